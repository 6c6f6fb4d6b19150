//! Answers that the client got and that do not hold.

use payrig_api::{PaymentState, TaskState};
use payrig_audit::{
    Finding, Shown,
    books::{End, OutcomeState},
};

use super::{Mutation, pick, some_paid};

pub(crate) const TOLD: &[Mutation] = &[
    (
        "a key that gave two tasks",
        |world, choose| {
            let other = world.seen.submissions[0].accepted[0].clone();
            let last = world.seen.submissions.len() - 1;
            let at = 1 + choose.index(last);
            world.seen.submissions[at].accepted.push(other);
        },
        |finding| matches!(finding, Finding::KeyTwoTasks { task_ids, .. } if task_ids.len() == 2),
    ),
    (
        "a key that stands for another task",
        |world, choose| pick(&mut world.books.idempotency_keys, choose, |_| true).task_id.push('x'),
        |finding| matches!(finding, Finding::KeyDiffers { .. }),
    ),
    (
        "a settled answer that was taken back",
        |world, choose| {
            let shown = &mut pick(&mut world.seen.submissions, choose, |one| one.shown.len() > 2).shown;
            let first = shown[0].clone();
            shown.push(first);
        },
        |finding| matches!(finding, Finding::TakenBack { .. }),
    ),
    (
        "paid, taken back",
        |world, choose| {
            let fits = |shown: &Shown| matches!(shown, Shown::Task { payment: Some(PaymentState::Paid), .. });
            let submission = pick(&mut world.seen.submissions, choose, |one| one.shown.iter().any(fits));
            let mut again = submission.shown[submission.shown.len() - 1].clone();
            if let Shown::Task { payment, .. } = &mut again {
                *payment = Some(PaymentState::AwaitingPayer);
            }
            submission.shown.push(again);
        },
        |finding| matches!(finding, Finding::TakenBack { .. }),
    ),
    (
        "accepted, and then unknown",
        |world, choose| {
            let submission = pick(&mut world.seen.submissions, choose, |_| true);
            let task_id = submission.accepted[0].clone();
            submission.shown.push(Shown::NotFound { task_id });
        },
        |finding| matches!(finding, Finding::TakenBack { .. }),
    ),
    (
        "an outcome that is not what was shown",
        |world, choose| {
            let shown = |one: &Shown| matches!(one, Shown::Task { state: TaskState::Cancelled, .. });
            let submission =
                pick(&mut world.seen.submissions, choose, |one| one.shown.iter().any(shown)).accepted[0].clone();
            let outcomes = &mut world.books.pay_tasks;
            pick(outcomes, choose, |outcome| outcome.task.task_id == submission).state = OutcomeState::Failed;
        },
        |finding| matches!(finding, Finding::OutcomeDiffers { shown: TaskState::Cancelled, .. }),
    ),
    (
        "an end that is not what was shown",
        |world, choose| {
            let paid = some_paid(world, choose);
            pick(&mut world.books.payment_ends, choose, |end| end.payment_no == paid).end = End::Closed {};
        },
        |finding| matches!(finding, Finding::EndDiffers { shown: PaymentState::Paid, .. }),
    ),
    (
        "the cashier's word without a ledger behind it",
        |world, choose| {
            let paid = some_paid(world, choose).to_string();
            world.books.ledger.retain(|row| row.out_trade_no != paid);
        },
        |finding| matches!(finding, Finding::CashierDiffers { .. }),
    ),
];
