//! Rounds: each is there, follows only a failed one, and has one outcome.

use std::collections::HashMap;

use super::{Index, Moment};
use crate::{books::OutcomeState, finding::Finding, ids::Round};

pub(super) fn check(index: &Index<'_>, moment: Moment, findings: &mut Vec<Finding>) {
    once(index, findings);
    sequence(index, findings);
    accepted(index, moment, findings);
    known_from_elsewhere(index, findings);
}

/// One outcome a round. (A store that keeps ids unique cannot have two; the check does not take its word for it.)
fn once(index: &Index<'_>, findings: &mut Vec<Finding>) {
    let mut counts: HashMap<Round, usize> = HashMap::new();
    for outcome in &index.books.pay_tasks {
        *counts.entry(outcome.round_id()).or_default() += 1;
    }
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    findings.extend(twice.map(|(round, count)| Finding::OutcomeTwice { round, count }));
}

/// Rounds without gaps (a refused one counts), each after one that failed.
fn sequence(index: &Index<'_>, findings: &mut Vec<Finding>) {
    for (task_id, rounds) in &index.tasks {
        let last = rounds.last().copied().unwrap_or(0);
        for number in 1..last {
            let (round, next) = (Round::new(*task_id, number), Round::new(*task_id, number + 1));
            match index.outcomes.get(&round).map(|outcome| outcome.state) {
                None => findings.push(Finding::RoundLost { round, because: "a later round is there" }),
                Some(OutcomeState::Failed) => {}
                // A refused retry used its number up, and nothing else.
                Some(OutcomeState::Refused) if number > 1 => {}
                Some(before) => findings.push(Finding::RoundAfterEnd { round: next, before }),
            }
        }
    }
}

/// Open rounds have all that an acceptance writes, and an outcome once nothing moves.
fn accepted(index: &Index<'_>, moment: Moment, findings: &mut Vec<Finding>) {
    let holders: HashMap<&Round, u32> =
        index.books.order_slots.iter().map(|slot| (&slot.holder, slot.generation)).collect();
    for (round, open) in index.open.iter().filter(|(round, _)| !index.outcomes.contains_key(*round)) {
        if !holders.contains_key(round) {
            findings.push(Finding::HalfAccepted { round: round.clone(), lacks: "its order's slot" });
        }
        let key = open.key.as_ref().map(|used| index.keys.get(&(&*open.task.merchant, &*used.key)));
        if key.is_some_and(|stands_for| stands_for != Some(&&*open.task.task_id)) {
            findings.push(Finding::HalfAccepted { round: round.clone(), lacks: "its idempotency key" });
        }
        if moment == Moment::AtRest {
            findings.push(Finding::OutcomeMissing { round: round.clone() });
        }
    }
    for outcome in &index.books.pay_tasks {
        let round = outcome.round_id();
        if outcome.state != OutcomeState::Refused && !holders.contains_key(&round) {
            findings.push(Finding::RoundLost { round, because: "it has an outcome and never held its order's slot" });
        }
    }
}

/// What other books say about rounds that are not there.
fn known_from_elsewhere(index: &Index<'_>, findings: &mut Vec<Finding>) {
    let is_there = |round: &Round| index.open.contains_key(round) || index.outcomes.contains_key(round);
    let mut lost = |round: &Round, because| {
        if !is_there(round) {
            findings.push(Finding::RoundLost { round: round.clone(), because });
        }
    };
    for slot in &index.books.order_slots {
        lost(&slot.holder, "it holds its order's slot");
    }
    for key in &index.books.idempotency_keys {
        lost(&Round::new(&key.task_id, 1), "its key stands for it");
    }
    for closing in &index.books.closings {
        lost(&closing.payment_no, "somebody wants its payment closed");
    }
}
