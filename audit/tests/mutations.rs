//! Whoever checks is checked: healthy books give no finding, and each way of breaking them gives its own.

mod healthy;
mod ways;

use healthy::{MERCHANT, STORIES, Story, world};
use payrig_audit::{Finding, Moment, OrderId, books::Money, check, moving};
use proptest::{prelude::*, sample::Index};
use ways::all;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn healthy_books_give_no_finding(more in prop::collection::vec(prop::sample::select(&STORIES[..]), 0..20)) {
        let world = world(&more);
        for moment in [Moment::AtRest, Moment::Drained] {
            prop_assert_eq!(check(&world.books, &world.seen, moment), []);
        }
        prop_assert_eq!(moving(&world.books), Vec::<String>::new());
    }

    #[test]
    fn every_way_of_breaking_the_books_is_found(
        more in prop::collection::vec(prop::sample::select(&STORIES[..]), 0..20),
        choose: Index,
    ) {
        for (name, mutate, is_it) in all() {
            let mut broken = world(&more);
            mutate(&mut broken, choose);
            let findings = check(&broken.books, &broken.seen, Moment::AtRest);
            prop_assert!(findings.iter().any(is_it), "{}: {:?}", name, findings);
            prop_assert!(findings.iter().all(|finding| !finding.to_string().is_empty()));
        }
    }
}

#[test]
fn a_lost_answer_explains_one_task_and_no_more() {
    let mut told = world(&[]);
    let mut unanswered = told.seen.submissions.remove(0);
    (unanswered.accepted, unanswered.shown, unanswered.cashier) = Default::default();
    unanswered.unanswered = 3;
    told.seen.submissions.push(unanswered);
    assert_eq!(check(&told.books, &told.seen, Moment::AtRest), []);

    let order = told.seen.submissions[0].order_no.clone();
    told.seen.submissions.retain(|one| one.order_no != order);
    let findings = check(&told.books, &told.seen, Moment::AtRest);
    let whose = OrderId { merchant: MERCHANT.to_owned(), order_no: order };
    assert!(findings.iter().any(|finding| matches!(finding, Finding::TaskOfNobody { order, .. } if *order == whose)));
}

#[test]
fn a_server_without_books_of_orders_is_checked_without_them() {
    let mut old = world(&[]);
    old.books.orders = None;
    assert_eq!(check(&old.books, &old.seen, Moment::AtRest), []);
}

#[test]
fn a_drained_server_may_have_announced_only_what_no_notice_is_left_of() {
    let mut drained = world(&[]);
    let marked = drained.orders().paid.remove(0);
    drained.orders().daily_totals.retain(|total| total.payment_no != marked.payment_no);
    drained.orders().shipments.retain(|shipment| shipment.payment_no != marked.payment_no);
    assert_ne!(check(&drained.books, &drained.seen, Moment::Drained), []);
    let (payment_no, amount_minor) = (marked.payment_no, marked.amount_minor);
    drained.books.notices.push(Money { payment_no, amount_minor });
    assert_eq!(check(&drained.books, &drained.seen, Moment::Drained), []);
    assert_ne!(check(&drained.books, &drained.seen, Moment::AtRest), []);
}

#[test]
fn a_drained_server_may_leave_what_waits_and_nothing_half_done() {
    let mut drained = world(&[Story::Awaiting]);
    let round = drained.books.open_tasks[0].round_id();
    drained.books.pay_tasks.retain(|outcome| outcome.round_id() != round);
    drained.books.payments.retain(|payment| payment.payment_no != round);
    drained.seen.submissions.iter_mut().for_each(|one| one.shown.clear());
    assert_eq!(check(&drained.books, &drained.seen, Moment::Drained), []);
    assert!(!moving(&drained.books).is_empty());
    drained.books.order_slots.retain(|slot| slot.holder != round);
    assert_ne!(check(&drained.books, &drained.seen, Moment::Drained), []);
}
