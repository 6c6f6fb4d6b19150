//! Waiting until nothing moves any more, by looking at the books.

use std::{
    collections::HashSet,
    thread,
    time::{Duration, Instant},
};

use crate::{
    books::Books,
    ids::Round,
    read::{Admin, ReadError},
};

/// Between two looks at the counts.
const LOOK: Duration = Duration::from_millis(100);
/// Between two looks at all books, which cost the server more.
const LOOK_AT_ALL: Duration = Duration::from_millis(500);

/// The books when the waiting was over.
#[derive(Clone, Debug)]
pub struct Rest {
    /// What was read last.
    pub books: Books,
    /// What still moved when the patience was over; empty: it is at rest.
    pub moving: Vec<String>,
    /// How long it took.
    pub waited: Duration,
}

/// Waits, at most for `patience`, until nothing moves any more: nothing is queued, delayed or under way, every open round
/// only waits for its payer, and everything that was taken, refunded or closed has come to its end. Two looks in a row
/// have to agree.
///
/// # Errors
/// Where the books cannot be read. That they do not come to rest is no error here: [`Rest::moving`] says so, and so will
/// the check.
pub fn quiesce(admin: &Admin, patience: Duration) -> Result<Rest, ReadError> {
    let began = Instant::now();
    let mut was_at_rest = false;
    loop {
        let is_late = began.elapsed() >= patience;
        if !admin.counts()?.is_zero() && !is_late {
            was_at_rest = false;
            thread::sleep(LOOK);
            continue;
        }
        let mut books = admin.books()?;
        // Something may have begun while the pages were read.
        books.counts = admin.counts()?;
        let moving = moving(&books);
        if (moving.is_empty() && was_at_rest) || is_late {
            return Ok(Rest { books, moving, waited: began.elapsed() });
        }
        was_at_rest = moving.is_empty();
        thread::sleep(if was_at_rest { LOOK } else { LOOK_AT_ALL });
    }
}

/// What will still move by itself, in words.
#[must_use]
pub fn moving(books: &Books) -> Vec<String> {
    let mut moving = Vec::new();
    if !books.counts.is_zero() {
        moving.push(format!("under way: {:?}", books.counts));
    }
    let ends: HashSet<&Round> = books.payment_ends.iter().map(|end| &end.payment_no).collect();
    let refunded: HashSet<&Round> = books.refunded.iter().map(|money| &money.payment_no).collect();
    let settled: HashSet<Round> = books.pay_tasks.iter().map(crate::books::Outcome::round_id).collect();
    let payments: HashSet<&Round> = books.payments.iter().map(|payment| &payment.payment_no).collect();
    let unsettled = books.open_tasks.iter().map(crate::books::OpenTask::round_id);
    moving.extend(unsettled.filter(|round| !settled.contains(round)).map(|round| format!("{round} has no outcome")));
    moving.extend(books.notices.iter().map(|notice| format!("notice {}", notice.payment_no)));
    let refunds = books.refunds.iter().filter(|refund| !refunded.contains(&refund.payment_no));
    moving.extend(refunds.map(|refund| format!("refund {}", refund.payment_no)));
    let closings = books.closings.iter().filter(|closing| !ends.contains(&closing.payment_no));
    moving.extend(closings.map(|closing| format!("closing {}", closing.payment_no)));
    // The channel took the money, and the server has yet to hear of it.
    let taken = books.ledger.iter().filter(|row| row.paid.is_some() || row.closed_at_us.is_some());
    let unheard = taken.filter_map(|row| row.out_trade_no.parse::<Round>().ok());
    let unheard = unheard.filter(|round| payments.contains(round) && !ends.contains(round));
    moving.extend(unheard.map(|round| format!("{round} has ended at the channel")));
    moving
}
