//! Whoever checks is checked: healthy books give no finding, and each way of breaking them gives its own.

mod healthy;
mod ways;

use healthy::{MERCHANT, STORIES, Story, World, world};
use payrig_audit::{
    Finding, Moment, OrderId, Round,
    books::{End, LedgerRow, Money, OutcomeState, PaymentEnd},
    check, moving,
};
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

/// What the check will demand of a server at rest is waited for.
#[test]
fn what_ends_by_itself_counts_as_moving() {
    let mut ended = world(&[]);
    let payment_no = ended.books.open_tasks[0].round_id();
    ended.books.payment_ends.push(PaymentEnd { payment_no: payment_no.clone(), end: End::Closed {} });
    assert_eq!(moving(&ended.books), [format!("open task {payment_no}: its payment has ended")]);

    let mut failed = world(&[]);
    let round = failed.books.open_tasks[0].round_id();
    let outcome = failed.books.pay_tasks.iter_mut().find(|outcome| outcome.round_id() == round).expect("it ended");
    outcome.state = OutcomeState::Failed;
    assert_eq!(moving(&failed.books), [format!("open task {round}: it failed")]);
}

fn has_payment(row: &LedgerRow, world: &World) -> bool {
    world.books.payments.iter().any(|payment| payment.payment_no.to_string() == row.out_trade_no)
}

/// A notification may come hours later; until it has come its money stands in the channel's ledger alone.
#[test]
fn money_that_the_server_has_not_heard_of_is_moving() {
    let story = |is_it: fn(&LedgerRow, &World) -> bool| {
        let mut world = world(&[]);
        let at = world.books.ledger.iter().position(|row| is_it(row, &world)).expect("there is such a story");
        world.books.ledger[at].refunded = None;
        let round: Round = world.books.ledger[at].out_trade_no.parse().expect("a payment's number");
        world.books.refunds.retain(|refund| refund.payment_no != round);
        world.books.refunded.retain(|refund| refund.payment_no != round);
        (world, round)
    };
    // For a payment that is closed.
    let (closed, round) = story(|row, world| row.refunded.is_some() && has_payment(row, world));
    assert_eq!(moving(&closed.books), [format!("{round} has ended at the channel")]);
    // For a round without a payment.
    let (mut without, round) = story(|row, world| row.refunded.is_some() && !has_payment(row, world));
    without.books.payment_ends.retain(|end| end.payment_no != round);
    assert_eq!(moving(&without.books), [format!("{round} has ended at the channel")]);
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
