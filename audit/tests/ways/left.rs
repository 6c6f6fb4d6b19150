//! Orders that are settled wrongly, and work that is left over.

use payrig_audit::{
    Finding,
    books::{Closing, End, Money, OrderSettlement, PaymentEnd},
};

use super::{Mutation, pick, remove, some_awaiting, some_paid};
use crate::healthy::MERCHANT;

pub(crate) const ORDERS: &[Mutation] = &[
    (
        "a settlement that names an unpaid payment",
        |world, choose| {
            let payment_no = some_awaiting(world, choose);
            let payment = world.books.payments.iter().find(|payment| payment.payment_no == payment_no);
            let order_no = payment.expect("it succeeded").order_no.clone();
            world.books.order_settlements.push(OrderSettlement { merchant: MERCHANT.to_owned(), order_no, payment_no });
        },
        |finding| matches!(finding, Finding::SettledByUnpaid { why: "has no end", .. }),
    ),
    (
        "a settlement that names another order's payment",
        |world, choose| pick(&mut world.books.order_settlements, choose, |_| true).order_no.push('x'),
        |finding| matches!(finding, Finding::SettledByUnpaid { why: "pays another order", .. }),
    ),
    (
        "a paid order without a settlement",
        |world, choose| drop(remove(&mut world.books.order_settlements, choose, |_| true)),
        |finding| matches!(finding, Finding::PaidNotSettled { .. }),
    ),
    (
        "two rounds that may pay an order",
        |world, choose| {
            let mut slot = pick(&mut world.books.order_slots, choose, |slot| slot.generation == 1).clone();
            slot.generation = 2;
            world.books.order_slots.push(slot);
        },
        |finding| matches!(finding, Finding::SlotsBroken { .. }),
    ),
    (
        "a gap in the slots",
        |world, choose| pick(&mut world.books.order_slots, choose, |slot| slot.generation == 1).generation = 3,
        |finding| matches!(finding, Finding::SlotsBroken { .. }),
    ),
    (
        "a round that never held its slot",
        |world, choose| drop(remove(&mut world.books.order_slots, choose, |_| true)),
        |finding| matches!(finding, Finding::RoundLost { .. } | Finding::HalfAccepted { .. }),
    ),
];

pub(crate) const LEFTOVERS: &[Mutation] = &[
    (
        "a notice that is left",
        |world, choose| {
            let payment_no = some_paid(world, choose);
            world.books.notices.push(Money { payment_no, amount_minor: 5 });
        },
        |finding| matches!(finding, Finding::NoticeLeft { amount_minor: 5, .. }),
    ),
    (
        "a refund that is left",
        |world, _| {
            world.books.refunded.clear();
            world.books.ledger.iter_mut().for_each(|row| row.refunded = None);
        },
        |finding| matches!(finding, Finding::RefundLeft { .. }),
    ),
    (
        "a closing that is left",
        |world, choose| {
            let payment_no = some_awaiting(world, choose);
            world.books.closings.push(Closing { payment_no });
        },
        |finding| matches!(finding, Finding::ClosingLeft { .. }),
    ),
    (
        "an open task that has ended",
        |world, choose| {
            let payment_no = some_awaiting(world, choose);
            world.books.payment_ends.push(PaymentEnd { payment_no, end: End::Closed {} });
        },
        |finding| matches!(finding, Finding::OpenTaskLeft { why: "its payment has ended", .. }),
    ),
    (
        "a payment that waits and is on no list",
        |world, choose| drop(remove(&mut world.books.open_tasks, choose, |_| true)),
        |finding| matches!(finding, Finding::Forgotten { .. }),
    ),
    (
        "something under way",
        |world, _| world.books.counts.queue_delayed = 1,
        |finding| matches!(finding, Finding::UnderWay(counts) if counts.queue_delayed == 1),
    ),
];
