//! The check itself: every promise held against the books and the client's log.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use crate::{
    books::{Books, End, LedgerRow, OpenTask, Outcome, OutcomeState, Payment, PaymentEnd, TaskFacts},
    finding::Finding,
    ids::{OrderId, Round},
    seen::Seen,
};

mod announced;
mod attempts;
mod leftovers;
mod money;
mod orders;
mod rounds;
mod told;

pub(crate) use leftovers::waits_for_nothing;

/// In which moment of its life the server is, which decides what may be left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// It runs and nothing moves any more (see [`crate::quiesce()`]): open is only what waits for a payer.
    AtRest,
    /// It was drained and stopped: rounds that wait for a retry are open too, and payments that wait for the channel.
    Drained,
}

/// Everything that is wrong. Nothing: every promise was kept, as far as books and log can tell.
#[must_use]
pub fn check(books: &Books, seen: &Seen, moment: Moment) -> Vec<Finding> {
    let index = Index::new(books);
    let mut findings = Vec::new();
    rounds::check(&index, moment, &mut findings);
    attempts::check(&index, &mut findings);
    money::check(&index, moment, &mut findings);
    orders::check(&index, &mut findings);
    announced::check(&index, moment, &mut findings);
    leftovers::check(&index, moment, &mut findings);
    told::check(&index, seen, &mut findings);
    findings
}

/// The books by their ids.
struct Index<'a> {
    books: &'a Books,
    open: HashMap<Round, &'a OpenTask>,
    outcomes: HashMap<Round, &'a Outcome>,
    payments: HashMap<&'a Round, &'a Payment>,
    ends: HashMap<&'a Round, &'a PaymentEnd>,
    ledger: HashMap<&'a str, &'a LedgerRow>,
    refunded: HashMap<&'a Round, u64>,
    closings: HashSet<&'a Round>,
    notices: HashSet<&'a Round>,
    refunds: HashSet<&'a Round>,
    /// The task that a merchant's key stands for.
    keys: HashMap<(&'a str, &'a str), &'a str>,
    /// Each task that exists, with its rounds in order; one that was refused never existed.
    tasks: BTreeMap<&'a str, Vec<u8>>,
    settlements: HashMap<OrderId, &'a Round>,
}

/// What is paid to whom, and for what.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Agreed<'a> {
    amount_minor: u64,
    currency: &'a str,
    merchant: &'a str,
    order_no: &'a str,
}

impl fmt::Display for Agreed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}:{}", self.amount_minor, self.currency, self.merchant, self.order_no)
    }
}

impl<'a> Index<'a> {
    fn new(books: &'a Books) -> Self {
        let open: HashMap<_, _> = books.open_tasks.iter().map(|open| (open.round_id(), open)).collect();
        let outcomes: HashMap<_, _> = books.pay_tasks.iter().map(|outcome| (outcome.round_id(), outcome)).collect();
        let mut tasks: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for outcome in books.pay_tasks.iter().filter(|outcome| outcome.state != OutcomeState::Refused) {
            tasks.entry(&outcome.task.task_id).or_default().push(outcome.round);
        }
        for open in books.open_tasks.iter().filter(|open| !outcomes.contains_key(&open.round_id())) {
            tasks.entry(&open.task.task_id).or_default().push(open.round);
        }
        for rounds in tasks.values_mut() {
            rounds.sort_unstable();
            rounds.dedup();
        }
        let order =
            |merchant: &str, order_no: &str| OrderId { merchant: merchant.to_owned(), order_no: order_no.to_owned() };
        let settlements = books.order_settlements.iter();
        Self {
            open,
            outcomes,
            payments: books.payments.iter().map(|payment| (&payment.payment_no, payment)).collect(),
            ends: books.payment_ends.iter().map(|end| (&end.payment_no, end)).collect(),
            ledger: books.ledger.iter().map(|row| (row.out_trade_no.as_str(), row)).collect(),
            refunded: books.refunded.iter().map(|money| (&money.payment_no, money.amount_minor)).collect(),
            closings: books.closings.iter().map(|closing| &closing.payment_no).collect(),
            notices: books.notices.iter().map(|notice| &notice.payment_no).collect(),
            refunds: books.refunds.iter().map(|refund| &refund.payment_no).collect(),
            keys: books.idempotency_keys.iter().map(|key| ((&*key.merchant, &*key.used.key), &*key.task_id)).collect(),
            tasks,
            settlements: settlements.map(|one| (order(&one.merchant, &one.order_no), &one.payment_no)).collect(),
            books,
        }
    }

    /// What the channel knows of a payment.
    fn row(&self, payment_no: &Round) -> Option<&'a LedgerRow> {
        self.ledger.get(payment_no.to_string().as_str()).copied()
    }

    /// What the channel holds of a payment in the end, in minor units.
    fn net_minor(&self, payment_no: &Round) -> u64 {
        self.row(payment_no).map_or(0, LedgerRow::net_minor)
    }

    /// What is to be paid for a round: its payment's word, or its task's where no payment came of it.
    fn agreed(&self, round: &Round) -> Option<Agreed<'a>> {
        if let Some(payment) = self.payments.get(round) {
            let Payment { merchant, order_no, amount_minor, currency, .. } = payment;
            return Some(Agreed { amount_minor: *amount_minor, currency, merchant, order_no });
        }
        let of_outcome = self.outcomes.get(round).map(|outcome| &outcome.task);
        let task = of_outcome.or_else(|| self.open.get(round).map(|open| &open.task))?;
        let TaskFacts { merchant, order_no, amount_minor, currency, .. } = task;
        Some(Agreed { amount_minor: *amount_minor, currency, merchant, order_no })
    }

    /// How a payment ended.
    fn end(&self, payment_no: &Round) -> Option<&'a End> {
        self.ends.get(payment_no).map(|end| &end.end)
    }

    /// Whether a round keeps others from its order no longer: it ended, and nobody can pay it.
    fn ended_unpaid(&self, round: &Round) -> bool {
        match self.outcomes.get(round).map(|outcome| outcome.state) {
            None => false,
            Some(OutcomeState::Succeeded) => matches!(self.end(round), Some(End::Closed {})),
            Some(_) => true,
        }
    }
}
