//! Ways of breaking healthy books, each with the finding that must tell it.

mod announced;
mod left;
mod money;
mod rounds;
mod told;

use payrig_audit::{
    Finding, Round,
    books::{End, LedgerRow, PaymentEnd},
};
use proptest::sample::Index;

use crate::healthy::World;

/// A way of breaking the books, and the finding that must tell it.
pub(crate) type Mutation = (&'static str, fn(&mut World, Index), fn(&Finding) -> bool);

/// One of those that fit, as chance has it.
pub(crate) fn pick<T>(items: &mut [T], choose: Index, fits: impl Fn(&T) -> bool) -> &mut T {
    let fitting: Vec<usize> = items.iter().enumerate().filter(|(_, item)| fits(item)).map(|(at, _)| at).collect();
    &mut items[fitting[choose.index(fitting.len())]]
}

pub(crate) fn remove<T>(items: &mut Vec<T>, choose: Index, fits: impl Fn(&T) -> bool) -> T {
    let fitting: Vec<usize> = items.iter().enumerate().filter(|(_, item)| fits(item)).map(|(at, _)| at).collect();
    items.remove(fitting[choose.index(fitting.len())])
}

pub(crate) fn is_paid(end: &PaymentEnd) -> bool {
    matches!(end.end, End::Paid { .. })
}

pub(crate) fn round_of(end: &PaymentEnd) -> Round {
    end.payment_no.clone()
}

/// The number of a payment that is paid and has paid its order.
pub(crate) fn some_paid(world: &mut World, choose: Index) -> Round {
    let books = &mut world.books;
    let settles = |end: &PaymentEnd| books.order_settlements.iter().any(|one| one.payment_no == end.payment_no);
    round_of(pick(&mut books.payment_ends, choose, |end| is_paid(end) && settles(end)))
}

/// The number of a payment that waits for its payer.
pub(crate) fn some_awaiting(world: &mut World, choose: Index) -> Round {
    pick(&mut world.books.open_tasks, choose, |_| true).round_id()
}

pub(crate) fn row_of<'a>(world: &'a mut World, payment_no: &Round) -> &'a mut LedgerRow {
    let id = payment_no.to_string();
    world.books.ledger.iter_mut().find(|row| row.out_trade_no == id).expect("it is in the ledger")
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Mutation> {
    [rounds::ROUNDS, money::MONEY, left::ORDERS, left::LEFTOVERS, announced::ANNOUNCED, told::TOLD]
        .into_iter()
        .flatten()
}
