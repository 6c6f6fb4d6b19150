//! What the client was told: every accepted task is there, a key gave one task, and nothing shown was taken back.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use payrig_api::{PaymentState, TaskState};

use super::Index;
use crate::{
    books::{End, TaskFacts},
    finding::Finding,
    ids::{OrderId, Round},
    seen::{Seen, Shown, Submitted},
};

pub(super) fn check(index: &Index<'_>, seen: &Seen, findings: &mut Vec<Finding>) {
    let facts = facts(index);
    for submission in &seen.submissions {
        accepted(&facts, submission, findings);
        key(index, seen, submission, findings);
        taken_back(submission, findings);
        for shown in &submission.shown {
            agrees(index, shown, findings);
        }
        cashier(index, submission, findings);
    }
    same_key(seen, findings);
    if seen.is_complete {
        of_nobody(index, &facts, seen, findings);
    }
}

/// What each task that exists is.
fn facts<'a>(index: &Index<'a>) -> HashMap<&'a str, &'a TaskFacts> {
    let ended = index.books.pay_tasks.iter().map(|outcome| &outcome.task);
    let open = index.books.open_tasks.iter().map(|open| &open.task);
    let all = ended.chain(open).map(|task| (task.task_id.as_str(), task));
    all.filter(|(task_id, _)| index.tasks.contains_key(task_id)).collect()
}

/// Every id that got a 202 exists, as it was submitted.
fn accepted(facts: &HashMap<&str, &TaskFacts>, submission: &Submitted, findings: &mut Vec<Finding>) {
    let told = |order_no: &str, amount_minor: u64, currency: &str| format!("{order_no}, {amount_minor} {currency}");
    for task_id in submission.accepted.iter().collect::<BTreeSet<_>>() {
        let task_id = task_id.clone();
        match facts.get(task_id.as_str()) {
            None => findings.push(Finding::TaskLost { task_id }),
            Some(task) => {
                let submitted = told(&submission.order_no, submission.amount_minor, &submission.currency);
                let stored = told(&task.order_no, task.amount_minor, &task.currency);
                if submitted != stored {
                    findings.push(Finding::TaskDiffers { task_id, submitted, stored });
                }
            }
        }
    }
}

/// The key stands for the task that the client was told.
fn key(index: &Index<'_>, seen: &Seen, submission: &Submitted, findings: &mut Vec<Finding>) {
    let Some(key) = &submission.key else { return };
    let Some(told) = submission.accepted.first() else { return };
    let stored = index.keys.get(&(seen.merchant.as_str(), key.as_str()));
    // A key that is gone was forgotten after its day; that cannot be told from here.
    if let Some(stored) = stored.filter(|stored| *stored != told) {
        let (key, told, stored) = (key.clone(), told.clone(), (*stored).to_owned());
        findings.push(Finding::KeyDiffers { key, told, stored });
    }
}

/// One task a key, over all submissions that carried it.
fn same_key(seen: &Seen, findings: &mut Vec<Finding>) {
    let mut by_key: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
    for submission in &seen.submissions {
        if let Some(key) = &submission.key {
            by_key.entry(key).or_default().extend(&submission.accepted);
        }
    }
    for (key, task_ids) in by_key.into_iter().filter(|(_, task_ids)| task_ids.len() > 1) {
        let task_ids = task_ids.into_iter().cloned().collect();
        findings.push(Finding::KeyTwoTasks { key: key.to_owned(), task_ids });
    }
}

/// No answer contradicts one that came before it.
fn taken_back(submission: &Submitted, findings: &mut Vec<Finding>) {
    let mut newest: HashMap<&str, &Shown> = HashMap::new();
    for shown in &submission.shown {
        let (Shown::Task { task_id, .. } | Shown::NotFound { task_id }) = shown;
        if let Some(before) = newest.get(task_id.as_str())
            && contradicts(before, shown)
        {
            let (before, after) = (words(before), words(shown));
            findings.push(Finding::TakenBack { task_id: task_id.clone(), before, after });
        }
        if matches!(shown, Shown::NotFound { .. }) && submission.accepted.contains(task_id) {
            let (before, after) = ("accepted".to_owned(), words(shown));
            findings.push(Finding::TakenBack { task_id: task_id.clone(), before, after });
        }
        newest.insert(task_id, shown);
    }
}

fn contradicts(before: &Shown, after: &Shown) -> bool {
    let Shown::Task { round: old_round, state: old, payment: old_payment, .. } = before else { return false };
    let Shown::Task { round, state, payment, .. } = after else { return true };
    let round_went_back = matches!((old_round, round), (Some(old), Some(new)) if new < old);
    let same_round = old_round == round;
    // Where no round is told, only a failed one can be followed by anything else.
    let settled_changed =
        old.is_settled() && old != state && (same_round && round.is_some() || *old != TaskState::Failed);
    let is_end = |payment: &Option<PaymentState>| payment.is_some_and(|state| state != PaymentState::AwaitingPayer);
    round_went_back || settled_changed || is_end(old_payment) && old_payment != payment
}

fn words(shown: &Shown) -> String {
    match shown {
        Shown::NotFound { .. } => "unknown".to_owned(),
        Shown::Task { round, state, payment, .. } => {
            let round = round.map_or_else(String::new, |round| format!(" in round {round}"));
            let payment = payment.map_or_else(String::new, |payment| format!(", payment {payment:?}"));
            format!("{}{round}{payment}", state.name())
        }
    }
}

/// What was shown as settled, paid or closed is what is stored.
fn agrees(index: &Index<'_>, shown: &Shown, findings: &mut Vec<Finding>) {
    let Shown::Task { task_id, round, state, payment_no, payment, transaction_id } = shown else { return };
    if let Some(round) = round.filter(|_| state.is_settled()) {
        let round = Round::new(task_id, round);
        let stored = index.outcomes.get(&round).map(|outcome| outcome.state);
        if stored.and_then(|stored| stored.task_state()) != Some(*state) {
            findings.push(Finding::OutcomeDiffers { round, shown: *state, stored });
        }
    }
    let (Some(payment_no), Some(payment)) = (payment_no, payment) else { return };
    let end = payment_no.parse::<Round>().ok().and_then(|payment_no| index.end(&payment_no));
    let agrees = match (payment, end) {
        (PaymentState::AwaitingPayer, _) | (PaymentState::Closed, Some(End::Closed {})) => true,
        (PaymentState::Paid, Some(End::Paid { transaction_id: stored, .. })) => {
            transaction_id.as_ref().is_none_or(|shown| shown == stored)
        }
        _ => false,
    };
    if !agrees {
        findings.push(Finding::EndDiffers {
            payment_no: payment_no.clone(),
            shown: *payment,
            transaction_id: transaction_id.clone().unwrap_or_default(),
            stored: end.map_or_else(|| "open".to_owned(), |end| format!("{end:?}")),
        });
    }
}

/// What the cashier said that it took is in the channel's ledger.
fn cashier(index: &Index<'_>, submission: &Submitted, findings: &mut Vec<Finding>) {
    for told in &submission.cashier {
        let taken = index.ledger.get(told.payment_no.as_str()).and_then(|row| row.paid.as_ref());
        let agrees = taken.is_some_and(|taken| {
            taken.transaction_id == told.transaction_id && taken.amount_minor == told.amount_minor
        });
        if !agrees {
            findings.push(Finding::CashierDiffers {
                payment_no: told.payment_no.clone(),
                transaction_id: told.transaction_id.clone(),
                amount_minor: told.amount_minor,
                ledger: taken.map_or_else(|| "nothing".to_owned(), |taken| format!("{taken:?}")),
            });
        }
    }
}

/// Every task was submitted: its id was given, or a sending of just this went unanswered.
fn of_nobody(index: &Index<'_>, facts: &HashMap<&str, &TaskFacts>, seen: &Seen, findings: &mut Vec<Finding>) {
    let known: HashSet<&str> = seen.submissions.iter().flat_map(|one| &one.accepted).map(String::as_str).collect();
    let mut unanswered: HashMap<(&str, u64, &str), u32> = HashMap::new();
    for one in seen.submissions.iter().filter(|one| one.unanswered > 0) {
        let tasks = match &one.key {
            None => one.unanswered,
            // All sendings with a key are one task, and an answered one has told which.
            Some(_) => u32::from(one.accepted.is_empty()),
        };
        *unanswered.entry((&one.order_no, one.amount_minor, &one.currency)).or_default() += tasks;
    }
    for task_id in index.tasks.keys().filter(|task_id| !known.contains(*task_id)) {
        let Some(task) = facts.get(task_id) else { continue };
        let is_ours = task.merchant == seen.merchant;
        match unanswered.get_mut(&(task.order_no.as_str(), task.amount_minor, task.currency.as_str())) {
            Some(left) if is_ours && *left > 0 => *left -= 1,
            _ => {
                let order = OrderId { merchant: task.merchant.clone(), order_no: task.order_no.clone() };
                findings.push(Finding::TaskOfNobody { task_id: (*task_id).to_owned(), order });
            }
        }
    }
}
