//! Rounds that are lost, doubled, half accepted, out of order, or tried too often.

use payrig_api::TaskState;
use payrig_audit::{
    Finding,
    books::{HistoryEntry, OutcomeState},
};

use super::{Mutation, pick, remove, some_awaiting};

pub(crate) const ROUNDS: &[Mutation] = &[
    (
        "an accepted task is lost",
        |world, choose| {
            let lost = world.books.pay_tasks[choose.index(world.books.pay_tasks.len())].task.task_id.clone();
            let lost = if world.seen.submissions.iter().any(|one| one.accepted.contains(&lost)) {
                lost
            } else {
                world.seen.submissions[0].accepted[0].clone()
            };
            world.books.pay_tasks.retain(|outcome| outcome.task.task_id != lost);
            world.books.open_tasks.retain(|open| open.task.task_id != lost);
        },
        |finding| matches!(finding, Finding::TaskLost { .. }),
    ),
    (
        "a task that nobody submitted",
        |world, choose| {
            remove(&mut world.seen.submissions, choose, |_| true);
        },
        |finding| matches!(finding, Finding::TaskOfNobody { .. }),
    ),
    (
        "a task over another amount than submitted",
        |world, choose| pick(&mut world.seen.submissions, choose, |_| true).amount_minor += 1,
        |finding| matches!(finding, Finding::TaskDiffers { .. }),
    ),
    (
        "a round lost between others",
        |world, choose| {
            remove(&mut world.books.pay_tasks, choose, |outcome| {
                outcome.round == 1 && outcome.state == OutcomeState::Failed
            });
        },
        |finding| matches!(finding, Finding::RoundLost { .. }),
    ),
    (
        "two outcomes of a round",
        |world, choose| {
            let mut second = pick(&mut world.books.pay_tasks, choose, |_| true).clone();
            second.state = OutcomeState::Cancelled;
            world.books.pay_tasks.insert(0, second);
        },
        |finding| matches!(finding, Finding::OutcomeTwice { count: 2, .. }),
    ),
    (
        "a round without an outcome",
        |world, choose| {
            let round = some_awaiting(world, choose);
            world.books.pay_tasks.retain(|outcome| outcome.round_id() != round);
        },
        |finding| matches!(finding, Finding::OutcomeMissing { .. }),
    ),
    (
        "a retry of what had succeeded",
        |world, choose| {
            let failed = |state| state == OutcomeState::Failed;
            pick(&mut world.books.pay_tasks, choose, |outcome| failed(outcome.state)).state = OutcomeState::Succeeded;
        },
        |finding| matches!(finding, Finding::RoundAfterEnd { .. }),
    ),
    (
        "an open round without its slot",
        |world, choose| {
            let round = some_awaiting(world, choose);
            world.books.pay_tasks.retain(|outcome| outcome.round_id() != round);
            world.books.order_slots.retain(|slot| slot.holder != round);
        },
        |finding| matches!(finding, Finding::HalfAccepted { lacks: "its order's slot", .. }),
    ),
    (
        "an open round without its key",
        |world, choose| {
            let round = some_awaiting(world, choose);
            world.books.pay_tasks.retain(|outcome| outcome.round_id() != round);
            world.books.idempotency_keys.retain(|key| key.task_id != round.task_id);
        },
        |finding| matches!(finding, Finding::HalfAccepted { lacks: "its idempotency key", .. }),
    ),
    (
        "history that goes back in time",
        |world, choose| {
            let outcome = pick(&mut world.books.pay_tasks, choose, |outcome| outcome.history.len() > 2);
            outcome.history[2].at_us = 0;
        },
        |finding| matches!(finding, Finding::HistoryBroken { .. }),
    ),
    (
        "history that goes on after its end",
        |world, choose| {
            let outcome = pick(&mut world.books.pay_tasks, choose, |outcome| outcome.history.len() > 2);
            let last = outcome.history.len() - 1;
            outcome.history.insert(last, HistoryEntry { state: TaskState::Failed, ..outcome.history[last].clone() });
        },
        |finding| matches!(finding, Finding::HistoryBroken { .. }),
    ),
    (
        "one attempt too many",
        |world, choose| {
            let of_three = |attempt| attempt == 3;
            pick(&mut world.books.pay_tasks, choose, |outcome| of_three(outcome.attempt)).attempt = 5;
        },
        |finding| matches!(finding, Finding::TooManyAttempts { attempts: 5, allowed: 4, .. }),
    ),
    (
        "two attempts in one manual retry",
        |world, choose| pick(&mut world.books.pay_tasks, choose, |outcome| outcome.round == 2).attempt = 3,
        |finding| matches!(finding, Finding::TooManyAttempts { attempts: 3, allowed: 2, .. }),
    ),
    (
        "a retry a microsecond too early",
        |world, choose| {
            let outcome = pick(&mut world.books.pay_tasks, choose, |outcome| outcome.attempt == 3);
            outcome.history[5].at_us = outcome.history[4].at_us + 1_999_999;
        },
        |finding| matches!(finding, Finding::RetryTooEarly { attempt: 3, gap_us: 1_999_999, least_us: 2_000_000, .. }),
    ),
];
