//! Money that the two books tell differently, or that is held by whom it does not belong to.

use payrig_audit::{
    Finding, Round,
    books::{End, GivenBack, LedgerRow, OutcomeState, Payment, PaymentEnd, Taken},
};

use super::{Mutation, World, is_paid, pick, row_of, some_awaiting, some_paid};

/// The payments with this end.
fn ended_as(world: &World, end: &End) -> Vec<Round> {
    world.books.payment_ends.iter().filter(|one| one.end == *end).map(|one| one.payment_no.clone()).collect()
}

pub(crate) const MONEY: &[Mutation] = &[
    (
        "a success without a payment",
        |world, choose| {
            let round = some_awaiting(world, choose);
            world.books.payments.retain(|payment| payment.payment_no != round);
        },
        |finding| matches!(finding, Finding::PaymentMissing { .. }),
    ),
    (
        "a payment of no round",
        |world, choose| {
            let first = pick(&mut world.books.payments, choose, |_| true);
            let stray = Payment { payment_no: Round::new("STRAY", 1), ..first.clone() };
            world.books.payments.push(stray);
        },
        |finding| matches!(finding, Finding::PaymentOfNobody { .. }),
    ),
    (
        "an end of no payment",
        |world, choose| {
            let mut end = pick(&mut world.books.payment_ends, choose, is_paid).clone();
            end.payment_no.round = 6;
            world.books.payment_ends.push(end);
        },
        |finding| matches!(finding, Finding::PaymentOfNobody { .. }),
    ),
    (
        "a closed end of a round without a payment",
        |world, choose| {
            let failed = pick(&mut world.books.pay_tasks, choose, |outcome| outcome.state == OutcomeState::Failed);
            let payment_no = failed.round_id();
            world.books.payment_ends.push(PaymentEnd { payment_no, end: End::Closed {} });
        },
        |finding| matches!(finding, Finding::PaymentOfNobody { .. }),
    ),
    (
        "a payment over another amount",
        |world, choose| {
            let round = some_awaiting(world, choose);
            pick(&mut world.books.payments, choose, |payment| payment.payment_no == round).amount_minor -= 1;
        },
        |finding| matches!(finding, Finding::PaymentDiffers { .. }),
    ),
    (
        "paid, and the channel took nothing",
        |world, choose| {
            let paid = some_paid(world, choose);
            row_of(world, &paid).paid = None;
        },
        |finding| matches!(finding, Finding::PaidNotTaken { .. }),
    ),
    (
        "the channel took it, and nobody knows",
        |world, choose| {
            let taken = Taken { transaction_id: "tx".to_owned(), amount_minor: 7 };
            let out_trade_no = some_awaiting(world, choose).to_string();
            world.books.ledger.push(LedgerRow { out_trade_no, paid: Some(taken), ..LedgerRow::default() });
        },
        |finding| matches!(finding, Finding::TakenNotPaid { amount_minor: 7, .. }),
    ),
    (
        "the channel took money for a stranger",
        |world, _| {
            let paid = Some(Taken { transaction_id: "tx".to_owned(), amount_minor: 7 });
            world.books.ledger.push(LedgerRow { out_trade_no: "stranger".to_owned(), paid, ..LedgerRow::default() });
        },
        |finding| matches!(finding, Finding::TakenNotPaid { .. }),
    ),
    (
        "the channel took another amount",
        |world, choose| {
            let paid = some_paid(world, choose);
            row_of(world, &paid).paid.as_mut().expect("paid").amount_minor += 1;
        },
        |finding| matches!(finding, Finding::PaidDiffers { .. }),
    ),
    (
        "the channel names another transaction",
        |world, choose| {
            let paid = some_paid(world, choose);
            row_of(world, &paid).paid.as_mut().expect("paid").transaction_id.push('x');
        },
        |finding| matches!(finding, Finding::PaidDiffers { .. }),
    ),
    (
        "both took the same wrong amount",
        |world, choose| {
            let no = some_paid(world, choose);
            row_of(world, &no).paid.as_mut().expect("paid").amount_minor += 1;
            let end = pick(&mut world.books.payment_ends, choose, |end| end.payment_no == no);
            if let End::Paid { amount_minor, .. } = &mut end.end {
                *amount_minor += 1;
            }
        },
        |finding| matches!(finding, Finding::PaidOther { .. }),
    ),
    (
        "the channel took another currency",
        |world, choose| {
            let paid = some_paid(world, choose);
            row_of(world, &paid).currency = Some("USD".to_owned());
        },
        |finding| matches!(finding, Finding::PaidOther { paid, .. } if paid.contains("USD")),
    ),
    (
        "the channel paid another merchant",
        |world, choose| {
            let paid = some_paid(world, choose);
            row_of(world, &paid).merchant = Some("another".to_owned());
        },
        |finding| matches!(finding, Finding::PaidOther { paid, .. } if paid.contains("another")),
    ),
    (
        "the channel took it for another order",
        |world, choose| {
            let paid = some_paid(world, choose);
            row_of(world, &paid).order_no = Some("another".to_owned());
        },
        |finding| matches!(finding, Finding::PaidOther { paid, .. } if paid.contains("another")),
    ),
    (
        "money for a round without success is another amount",
        |world, choose| {
            let books = &mut world.books;
            let has_payment = |no: &Round| books.payments.iter().any(|payment| payment.payment_no == *no);
            let of_none = pick(&mut books.payment_ends, choose, |end| is_paid(end) && !has_payment(&end.payment_no));
            if let End::Paid { amount_minor, .. } = &mut of_none.end {
                *amount_minor -= 1;
            }
        },
        |finding| matches!(finding, Finding::PaidOther { paid, .. } if paid.contains("in the books")),
    ),
    (
        "two ends of a payment",
        |world, choose| {
            let payment_no = some_paid(world, choose);
            world.books.payment_ends.insert(0, PaymentEnd { payment_no, end: End::Closed {} });
        },
        |finding| matches!(finding, Finding::EndTwice { .. }),
    ),
    (
        "given back in the books alone",
        |world, _| world.books.ledger.iter_mut().for_each(|row| row.refunded = None),
        |finding| matches!(finding, Finding::RefundDiffers { theirs_minor: 0, .. }),
    ),
    (
        "given back at the channel alone",
        |world, choose| {
            let paid = some_paid(world, choose);
            row_of(world, &paid).refunded = Some(GivenBack { amount_minor: 1 });
        },
        |finding| matches!(finding, Finding::RefundDiffers { ours_minor: 0, theirs_minor: 1, .. }),
    ),
    (
        "an order paid twice",
        |world, choose| {
            let paid = some_paid(world, choose);
            let second = LedgerRow { out_trade_no: "second".to_owned(), ..row_of(world, &paid).clone() };
            world.books.ledger.push(second);
        },
        |finding| matches!(finding, Finding::OrderPaidTwice { payments, .. } if payments.len() == 2),
    ),
    (
        "a closed payment holds money",
        |world, choose| {
            let closed: Vec<Round> = ended_as(world, &End::Closed {});
            let refunded = pick(&mut world.books.refunded, choose, |money| closed.contains(&money.payment_no));
            let refunded = refunded.payment_no.clone();
            row_of(world, &refunded).refunded = Some(GivenBack { amount_minor: 1 });
        },
        |finding| matches!(finding, Finding::UnpaidHoldsMoney { ended: "as closed", .. }),
    ),
    (
        "a failed round holds money",
        |world, choose| {
            let failed = pick(&mut world.books.pay_tasks, choose, |outcome| outcome.state == OutcomeState::Failed);
            let paid = Some(Taken { transaction_id: "tx".to_owned(), amount_minor: 1 });
            let out_trade_no = failed.round_id().to_string();
            world.books.ledger.push(LedgerRow { out_trade_no, paid, ..LedgerRow::default() });
        },
        |finding| matches!(finding, Finding::UnpaidHoldsMoney { ended: "as failed", .. }),
    ),
    (
        "closed, and not at the channel",
        |world, choose| {
            pick(&mut world.books.ledger, choose, |row| row.closed_at_us.is_some()).closed_at_us = None;
        },
        |finding| matches!(finding, Finding::ClosedNotAtChannel { .. }),
    ),
    (
        "closed at the channel alone",
        |world, choose| {
            let out_trade_no = some_awaiting(world, choose).to_string();
            world.books.ledger.push(LedgerRow { out_trade_no, closed_at_us: Some(1), ..LedgerRow::default() });
        },
        |finding| matches!(finding, Finding::ClosedOnlyAtChannel { .. }),
    ),
];
