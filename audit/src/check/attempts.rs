//! History, attempts and the gaps between them.

use payrig_api::{RETRY_CAP, TaskState};

use super::Index;
use crate::{
    books::{Outcome, OutcomeState},
    finding::Finding,
    ids::Round,
};

/// The difference of the arithmetic sequence of delays.
const DELAY_STEP_US: u64 = 1_000_000;

pub(super) fn check(index: &Index<'_>, findings: &mut Vec<Finding>) {
    for outcome in index.books.pay_tasks.iter().filter(|outcome| outcome.state != OutcomeState::Refused) {
        if let Some(what) = broken(outcome) {
            findings.push(Finding::HistoryBroken { round: outcome.round_id(), what });
        }
        let allowed = allowed(index, outcome);
        if outcome.attempt > allowed {
            findings.push(Finding::TooManyAttempts { round: outcome.round_id(), attempts: outcome.attempt, allowed });
        }
        gaps(outcome, findings);
    }
}

/// The highest attempt number of a round: its own retries, and never more than the cap in all.
fn allowed(index: &Index<'_>, outcome: &Outcome) -> u8 {
    let cap = 1 + RETRY_CAP;
    if outcome.round == 1 {
        return cap.min(1 + outcome.task.task_info.automatic_retries());
    }
    // A manual retry is one attempt more than the last round that made any.
    let earlier = (1..outcome.round).filter_map(|round| index.outcomes.get(&Round::new(&outcome.task.task_id, round)));
    let made = earlier.map(|earlier| earlier.attempt).max().unwrap_or(0);
    cap.min(made + 1)
}

/// Why the history is none that a round can have.
fn broken(outcome: &Outcome) -> Option<String> {
    let (Some(first), Some(last)) = (outcome.history.first(), outcome.history.last()) else {
        return Some("there is none".to_owned());
    };
    if first.state != TaskState::Queued || first.at_us != outcome.accepted_at_us {
        return Some(format!("it begins as {} at {}", first.state.name(), first.at_us));
    }
    for pair in outcome.history.windows(2) {
        if pair[1].at_us < pair[0].at_us || pair[1].attempt < pair[0].attempt {
            let (from, to) = (&pair[0], &pair[1]);
            return Some(format!(
                "from {} (attempt {}, {}) back to {} (attempt {}, {})",
                from.state.name(),
                from.attempt,
                from.at_us,
                to.state.name(),
                to.attempt,
                to.at_us
            ));
        }
        if pair[0].state.is_settled() {
            return Some(format!("it goes on after {}", pair[0].state.name()));
        }
    }
    // A round that failed as poison was never started, and ends as it was queued.
    let is_poison = outcome.state == OutcomeState::Failed && outcome.history.len() == 1;
    if outcome.state.task_state() != Some(last.state) && !is_poison {
        return Some(format!("it ends as {}, its outcome is {:?}", last.state.name(), outcome.state));
    }
    (last.at_us > outcome.settled_at_us).then(|| format!("it goes on to {} after its end", last.at_us))
}

/// Retry k waits k seconds. Only the first round retries by itself.
fn gaps(outcome: &Outcome, findings: &mut Vec<Finding>) {
    for pair in outcome.history.windows(2) {
        let [waits, starts] = pair else { continue };
        if waits.state != TaskState::Retrying || starts.state != TaskState::Running {
            continue;
        }
        let least_us = DELAY_STEP_US * u64::from(waits.attempt);
        let gap_us = starts.at_us.saturating_sub(waits.at_us);
        if gap_us < least_us {
            let (round, attempt) = (outcome.round_id(), starts.attempt);
            findings.push(Finding::RetryTooEarly { round, attempt, gap_us, least_us });
        }
    }
}
