//! Journeys against a model server that keeps the contract, and against ones that break one promise each.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod model;

use std::collections::BTreeMap;

use model::{Fault, Model, us};
use payrig_scenarios::{Action, Generator, JourneyRecord, Outcome, Profile, Step, ViolationKind};

fn run(profile: &str, fault: Fault, journeys: u64) -> Vec<(JourneyRecord, Vec<Action>)> {
    let mut generator = Generator::new(&Profile::named(profile).unwrap(), 42, 0, "test");
    (0..journeys).map(|_| Model::new(fault).drive(generator.journey())).collect()
}

fn outcomes(runs: &[(JourneyRecord, Vec<Action>)]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for (record, _) in runs {
        *counts.entry(record.outcome.name()).or_default() += 1;
    }
    counts
}

fn has_violation(record: &JourneyRecord, kind: ViolationKind) -> bool {
    record.violations.iter().any(|violation| violation.kind == kind)
}

#[test]
fn a_good_server_gets_every_outcome_and_no_blame() {
    let runs = run("mixed", Fault::None, 2_000);
    let counts = outcomes(&runs);
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["abandoned", "cancelled", "failed", "paid"], "{counts:?}");
    assert!(counts["paid"] > 1_600, "{counts:?}");
    for (record, _) in &runs {
        assert!(record.violations.is_empty(), "{record:?}");
        assert_eq!(record.task_id.as_deref(), Some("task1"));
    }
}

#[test]
fn a_checkout_waits_thinks_pays_once_and_is_bounded_by_what_it_saw() {
    for (record, actions) in run("checkout", Fault::None, 300) {
        assert_eq!(record.outcome, Outcome::Paid);
        assert_eq!(record.pays.len(), 1);
        let [round] = record.rounds.as_slice() else { panic!("{record:?}") };
        let settled_us = record.started_us.unwrap() + 300_000;
        assert!(round.last_unsettled_us <= settled_us && settled_us <= round.first_settled_us.unwrap(), "{record:?}");
        assert_eq!(round.stages.own_us, Some(7));
        let paid_us = record.pays[0].sent_us + 700_000;
        assert!(record.last_unpaid_us.unwrap_or(0) <= paid_us && paid_us <= record.first_paid_us.unwrap());
        for pair in actions.windows(2) {
            let (Action::Wait(wait), Action::Send(request)) = (&pair[0], &pair[1]) else { continue };
            match request.step {
                Step::Query | Step::QueryPaid => assert!((2_000_000..=3_000_000).contains(&us(*wait))),
                _ => assert!(us(*wait) >= 500_000),
            }
        }
    }
}

#[test]
fn poll_gaps_fill_the_range_uniformly() {
    let mut counts = [0_u32; 10];
    for (_, actions) in run("checkout", Fault::None, 2_000) {
        for pair in actions.windows(2) {
            let (Action::Wait(wait), Action::Send(request)) = (&pair[0], &pair[1]) else { continue };
            if matches!(request.step, Step::Query | Step::QueryPaid) {
                counts[usize::try_from((us(*wait) - 2_000_000) / 100_001).unwrap()] += 1;
            }
        }
    }
    let mean = counts.iter().sum::<u32>() / 10;
    assert!(counts.iter().all(|count| count.abs_diff(mean) < mean / 4), "{counts:?}");
}

#[test]
fn flaky_payments_recover_by_automatic_or_manual_retries_or_fail() {
    let runs = run("flaky", Fault::None, 500);
    let (mut automatic, mut manual, mut failed) = (0, 0, 0);
    for (record, _) in &runs {
        assert_eq!(record.channel, "wechat");
        match (&record.outcome, record.manual_retries) {
            (Outcome::Paid, 0) => automatic += u32::from(record.attempts > 1),
            (Outcome::Paid, _) => {
                manual += 1;
                assert!(record.rounds.len() > 1 && record.rounds.iter().all(|round| round.first_settled_us.is_some()));
            }
            (Outcome::Failed, 1) => failed += 1,
            other => panic!("{other:?} {record:?}"),
        }
        assert!(record.violations.is_empty(), "{record:?}");
    }
    assert!(automatic > 150 && manual > 100 && failed > 20, "{automatic} {manual} {failed}");
}

#[test]
fn impatient_payers_poll_early_and_cancel_in_time_or_too_late() {
    let runs = run("impatient", Fault::None, 500);
    let counts = outcomes(&runs);
    assert!(counts["cancelled"] > 150 && counts["paid"] > 150, "{counts:?}");
    assert!(runs.iter().all(|(record, _)| record.violations.is_empty()));
    assert!(runs.iter().all(|(_, actions)| matches!(actions[1], Action::Wait(wait) if us(wait) <= 250_000)));
    let too_late = |record: &JourneyRecord| record.outcome == Outcome::Paid && record.cancels > 0;
    assert!(runs.iter().any(|(record, _)| too_late(record) && record.problems[0].status == Some(409)));
}

#[test]
fn double_clicks_find_the_same_task_and_transaction_or_say_so() {
    for (record, _) in run("double-click", Fault::None, 100) {
        assert_eq!((record.submits, record.pays.len(), &record.outcome), (2, 2, &Outcome::Paid));
        assert!(record.violations.is_empty());
    }
    for (record, _) in run("double-click", Fault::ForgetsKeys, 20) {
        assert!(has_violation(&record, ViolationKind::KeyNotHonoured));
    }
    for (record, _) in run("double-click", Fault::PaysTwice, 20) {
        assert!(has_violation(&record, ViolationKind::OtherTransaction));
    }
}

#[test]
fn abandoned_payments_are_never_paid() {
    for (record, _) in run("abandon", Fault::None, 50) {
        assert_eq!((&record.outcome, record.pays.len()), (&Outcome::Abandoned, 0));
    }
}

#[test]
fn a_server_without_a_cashier_ends_when_settled() {
    let counts = outcomes(&run("checkout", Fault::Foreign, 50));
    assert_eq!(counts, BTreeMap::from([("settled_only", 50)]));
}

#[test]
fn without_rounds_and_with_lost_replies_nobody_is_blamed() {
    let runs = run("flaky", Fault::ForeignLossy, 300);
    let counts = outcomes(&runs);
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["failed", "settled_only"], "{counts:?}");
    assert!(runs.iter().any(|(record, _)| record.rounds.len() > 1));
    assert!(runs.iter().all(|(record, _)| record.violations.is_empty()), "{runs:?}");
}

#[test]
fn lost_replies_and_overload_are_repeated_with_the_same_key() {
    let runs = run("mixed", Fault::LosesReplies, 500);
    let counts = outcomes(&runs);
    assert!(counts["paid"] > 400 && !counts.contains_key("error") && !counts.contains_key("gave_up"), "{counts:?}");
    assert!(runs.iter().all(|(record, _)| record.violations.is_empty() && record.submits >= 2));
    for (record, actions) in run("checkout", Fault::Overloaded, 50) {
        assert_eq!((&record.outcome, record.submits, record.problems.len()), (&Outcome::Paid, 3, 2));
        assert!(matches!(actions[1], Action::Wait(wait) if (2_000_000..=2_500_000).contains(&us(wait))));
    }
}

#[test]
fn a_result_that_is_taken_back_is_noted() {
    let runs = run("checkout", Fault::TakesBack, 20);
    assert!(runs.iter().all(|(record, _)| has_violation(record, ViolationKind::TakenBack)));
}

#[test]
fn an_order_is_created_paid_seen_as_paid_split_and_seen_once_more() {
    let mut modes = BTreeMap::new();
    for (record, actions) in run("order", Fault::None, 300) {
        assert_eq!((&record.outcome, record.violations.len()), (&Outcome::Shipped, 0), "{record:?}");
        let mut steps: Vec<Step> = actions.iter().filter_map(step_of).collect();
        steps.dedup();
        let whole = [
            Step::CreateOrder,
            Step::Submit,
            Step::Query,
            Step::Pay,
            Step::QueryPaid,
            Step::Order,
            Step::Ship,
            Step::Order,
        ];
        assert_eq!(steps, whole);
        let order = record.order.as_ref().unwrap();
        assert_eq!(order.children_minor.as_ref().unwrap().iter().sum::<u64>(), record.amount_minor);
        assert!(order.reads >= 3, "it was not paid at once: {order:?}");
        // The round is asked for after the order was made and looked at.
        let [round] = record.rounds.as_slice() else { panic!("{record:?}") };
        assert!(order.created_us.unwrap() + 500_000 <= round.asked_us && round.asked_us < record.accepted_us.unwrap());
        *modes.entry(order.mode.clone()).or_insert(0) += 1;
    }
    assert_eq!(modes.keys().collect::<Vec<_>>(), ["by_merchant", "by_warehouse", "none"]);
    assert!(modes.values().all(|count| *count > 60), "{modes:?}");
}

fn step_of(action: &Action) -> Option<Step> {
    match action {
        Action::Send(request) => Some(request.step),
        _ => None,
    }
}

#[test]
fn orders_survive_lost_replies() {
    for (record, _) in run("order", Fault::LosesReplies, 200) {
        assert_eq!((&record.outcome, record.violations.len()), (&Outcome::Shipped, 0), "{record:?}");
    }
}

#[test]
fn what_is_wrong_with_an_order_is_noted() {
    let table = [
        (Fault::ForgetsOrder, ViolationKind::OrderNotPaid, "gave_up"),
        (Fault::RefusesToShip, ViolationKind::OrderNotPaid, "error"),
        (Fault::LosesACent, ViolationKind::PartsDoNotSum, "shipped"),
        (Fault::PaidByAnother, ViolationKind::OrderDiffers, "shipped"),
        (Fault::TakesOrderBack, ViolationKind::TakenBack, "shipped"),
        (Fault::OtherOrder, ViolationKind::OtherOrder, "error"),
    ];
    for (fault, kind, outcome) in table {
        for (record, _) in run("order", fault, 20) {
            assert!(has_violation(&record, kind), "{fault:?}: {record:?}");
            assert!(record.violations.iter().all(|violation| violation.kind == kind), "{fault:?}: {record:?}");
            assert_eq!(record.outcome.name(), outcome, "{fault:?}: {record:?}");
        }
    }
    let (record, _) = run("order", Fault::ForgetsOrder, 1).remove(0);
    assert_eq!(record.order.unwrap().reads, 20);
}

#[test]
fn the_same_seed_does_the_same_against_the_same_server() {
    assert_eq!(run("mixed", Fault::None, 200), run("mixed", Fault::None, 200));
}
