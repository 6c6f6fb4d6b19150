//! Waiting until nothing moves any more, by looking at the books.

use std::{
    collections::{HashMap, HashSet},
    thread,
    time::{Duration, Instant},
};

use crate::{
    books::{Books, End, OpenTask, OutcomeState},
    check::waits_for_nothing,
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
/// have to agree, also where the patience is over.
///
/// # Errors
/// Where the books cannot be read. That they do not come to rest is no error here: [`Rest::moving`] says so, and so will
/// the check.
pub fn quiesce(admin: &Admin, patience: Duration) -> Result<Rest, ReadError> {
    quiesce_unless(admin, patience, || false)
}

/// The same, and the patience is over as soon as somebody has had enough, which is asked between two looks.
///
/// # Errors
/// As [`quiesce`].
pub fn quiesce_unless(admin: &Admin, patience: Duration, has_enough: impl Fn() -> bool) -> Result<Rest, ReadError> {
    let began = Instant::now();
    let mut was_at_rest = false;
    loop {
        let is_late = began.elapsed() >= patience || has_enough();
        if !admin.counts()?.is_zero() && !is_late {
            was_at_rest = false;
            thread::sleep(LOOK);
            continue;
        }
        let mut books = admin.books()?;
        // Something may have begun while the pages were read.
        books.counts = admin.counts()?;
        let moving = moving(&books);
        let is_at_rest = moving.is_empty();
        if (is_at_rest && was_at_rest) || (!is_at_rest && is_late) {
            return Ok(Rest { books, moving, waited: began.elapsed() });
        }
        was_at_rest = is_at_rest;
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
    let ends: HashMap<&Round, &End> = books.payment_ends.iter().map(|end| (&end.payment_no, &end.end)).collect();
    let refunded: HashSet<&Round> = books.refunded.iter().map(|money| &money.payment_no).collect();
    let outcomes: HashMap<Round, OutcomeState> =
        books.pay_tasks.iter().map(|outcome| (outcome.round_id(), outcome.state)).collect();
    for round in books.open_tasks.iter().map(OpenTask::round_id) {
        match outcomes.get(&round) {
            None => moving.push(format!("{round} has no outcome")),
            Some(state) => {
                let why = waits_for_nothing(*state, ends.contains_key(&round));
                moving.extend(why.map(|why| format!("open task {round}: {why}")));
            }
        }
    }
    moving.extend(books.notices.iter().map(|notice| format!("notice {}", notice.payment_no)));
    let refunds = books.refunds.iter().filter(|refund| !refunded.contains(&refund.payment_no));
    moving.extend(refunds.map(|refund| format!("refund {}", refund.payment_no)));
    let closings = books.closings.iter().filter(|closing| !ends.contains_key(&closing.payment_no));
    moving.extend(closings.map(|closing| format!("closing {}", closing.payment_no)));
    moving.extend(unheard(books, &ends, &outcomes).map(|round| format!("{round} has ended at the channel")));
    moving
}

/// Rounds that have ended at the channel, of which the server has yet to hear.
fn unheard<'a>(
    books: &'a Books,
    ends: &'a HashMap<&Round, &End>,
    outcomes: &'a HashMap<Round, OutcomeState>,
) -> impl Iterator<Item = Round> + 'a {
    let payments: HashSet<&Round> = books.payments.iter().map(|payment| &payment.payment_no).collect();
    let on_the_way_back: HashSet<&Round> = books.refunds.iter().map(|refund| &refund.payment_no).collect();
    books.ledger.iter().filter_map(move |row| {
        let round: Round = row.out_trade_no.parse().ok()?;
        let is_unheard = match ends.get(&round) {
            Some(End::Paid { .. }) => false,
            // Money for what is closed has to go back.
            Some(End::Closed {}) => row.net_minor() > 0 && !on_the_way_back.contains(&round),
            None if payments.contains(&round) => row.paid.is_some() || row.closed_at_us.is_some(),
            // So has money for a round that left no payment.
            None => row.paid.is_some() && outcomes.contains_key(&round),
        };
        is_unheard.then_some(round)
    })
}
