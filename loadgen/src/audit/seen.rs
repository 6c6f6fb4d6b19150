//! From the journeys' records to what the check takes of a client's log.

use std::path::Path;

use payrig_audit::{Cashier, Shown, Submitted};
use payrig_results::{ResultsError, read_journeys};
use payrig_scenarios::{JourneyRecord, Outcome, Step};

/// What every journey in this file submitted and was told.
///
/// # Errors
/// The file cannot be read.
pub fn seen(journeys: &Path) -> Result<Vec<Submitted>, ResultsError> {
    read_journeys::<JourneyRecord>(journeys)?.map(|record| record.map(|record| of(&record))).collect()
}

fn of(record: &JourneyRecord) -> Submitted {
    Submitted {
        order_no: record.order_no.clone(),
        amount_minor: record.amount_minor,
        currency: record.currency.clone(),
        key: Some(record.idempotency_key.clone()),
        unanswered: u32::from(may_have_made_a_task(record)),
        accepted: record.task_id.iter().cloned().collect(),
        shown: shown(record),
        cashier: cashier(record),
    }
}

/// Whether a sending went unanswered, or was answered with an unknown fate, so that there may be a task of which the
/// client was never told.
fn may_have_made_a_task(record: &JourneyRecord) -> bool {
    let is_unknown = |status: Option<u16>| status.is_none_or(|status| status >= 500);
    let mut problems = record.problems.iter().filter(|problem| problem.step == Step::Submit.name());
    let was_cut = record.outcome == Outcome::Unfinished && record.submits > 0;
    record.task_id.is_none() && (was_cut || problems.any(|problem| is_unknown(problem.status)))
}

fn shown(record: &JourneyRecord) -> Vec<Shown> {
    let Some(task_id) = &record.task_id else { return Vec::new() };
    let view = |view: &payrig_scenarios::Shown| Shown::Task {
        task_id: task_id.clone(),
        round: view.round,
        state: view.state,
        payment_no: view.payment_no.clone(),
        payment: view.payment_state,
        transaction_id: view.transaction_id.clone(),
    };
    record.shown.iter().map(view).collect()
}

/// Each paying is for the payment that was shown last before it.
fn cashier(record: &JourneyRecord) -> Vec<Cashier> {
    let paid = record.pays.iter().filter_map(|pay| {
        let before =
            record.shown.iter().rev().find(|view| view.first_us <= pay.sent_us && view.payment_no.is_some())?;
        Some(Cashier {
            payment_no: before.payment_no.clone()?,
            transaction_id: pay.transaction_id.clone()?,
            amount_minor: record.amount_minor,
        })
    });
    paid.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use payrig_api::{PaymentState, TaskState};
    use payrig_scenarios::{PaySeen, ProblemSeen};

    fn view(first_us: u64, payment: Option<(&str, PaymentState)>) -> payrig_scenarios::Shown {
        payrig_scenarios::Shown {
            first_us,
            last_us: first_us,
            state: TaskState::Succeeded,
            round: Some(1),
            attempt: Some(1),
            payment_no: payment.map(|(no, _)| no.to_owned()),
            payment_state: payment.map(|(_, state)| state),
            transaction_id: None,
        }
    }

    #[test]
    fn a_paying_is_for_the_payment_that_was_shown_before_it() {
        let pay = |sent_us, transaction: Option<&str>| PaySeen {
            sent_us,
            answered_us: None,
            status: None,
            transaction_id: transaction.map(str::to_owned),
        };
        let record = JourneyRecord {
            task_id: Some("t".to_owned()),
            amount_minor: 7,
            shown: vec![
                view(1, None),
                view(2, Some(("t-1", PaymentState::AwaitingPayer))),
                view(9, Some(("t-2", PaymentState::Paid))),
            ],
            pays: vec![pay(3, None), pay(4, Some("x"))],
            ..JourneyRecord::default()
        };
        let submitted = of(&record);
        let told = Cashier { payment_no: "t-1".to_owned(), transaction_id: "x".to_owned(), amount_minor: 7 };
        assert_eq!((submitted.cashier, submitted.unanswered), (vec![told], 0));
        assert_eq!((submitted.accepted, submitted.shown.len()), (vec!["t".to_owned()], 3));
    }

    #[test]
    fn only_what_may_have_arrived_may_have_made_a_task() {
        let problem = |step: Step, status| ProblemSeen { at_us: 1, step: step.name().to_owned(), status, kind: None };
        let table = [
            (None, Outcome::Unfinished, vec![], true),
            (Some("t"), Outcome::Unfinished, vec![problem(Step::Submit, None)], false),
            (None, Outcome::Refused { status: 409, problem: None }, vec![problem(Step::Submit, Some(409))], false),
            (
                None,
                Outcome::Refused { status: 409, problem: None },
                vec![problem(Step::Submit, None), problem(Step::Submit, Some(409))],
                true,
            ),
            (None, Outcome::Refused { status: 503, problem: None }, vec![problem(Step::Submit, Some(503))], true),
            (None, Outcome::Refused { status: 422, problem: None }, vec![problem(Step::CreateOrder, None)], false),
        ];
        for (task_id, outcome, problems, may) in table {
            let task_id = task_id.map(str::to_owned);
            let record = JourneyRecord { task_id, outcome, problems, submits: 1, ..JourneyRecord::default() };
            assert_eq!(may_have_made_a_task(&record), may, "{record:?}");
        }
    }
}
