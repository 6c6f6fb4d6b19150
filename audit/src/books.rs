//! The books as plain data: every collection of the store, the channel's ledger, and what is in nobody's books yet.
//!
//! Only what the check needs is read of a document; instants are microseconds since the epoch, amounts minor units.

use payrig_api::{TaskInfo, TaskState};
use serde::Deserialize;

use crate::ids::{OrderId, Round};

/// Everything that there is to compare on the server's side.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Accepted rounds that are not final and announced.
    pub open_tasks: Vec<OpenTask>,
    /// Idempotency keys.
    pub idempotency_keys: Vec<IdempotencyKey>,
    /// Who may pay which order.
    pub order_slots: Vec<OrderSlot>,
    /// Outcomes of rounds.
    pub pay_tasks: Vec<Outcome>,
    /// Payments.
    pub payments: Vec<Payment>,
    /// Payments that somebody wants closed.
    pub closings: Vec<Closing>,
    /// Ends of payments.
    pub payment_ends: Vec<PaymentEnd>,
    /// Paid, and not worked off.
    pub notices: Vec<Money>,
    /// What paid which order.
    pub order_settlements: Vec<OrderSettlement>,
    /// Money to give back.
    pub refunds: Vec<Money>,
    /// Money given back.
    pub refunded: Vec<Money>,
    /// Orders and what subscribers wrote of payments; nothing of a server that keeps no such books.
    pub orders: Option<OrderBooks>,
    /// The channel's own books.
    pub ledger: Vec<LedgerRow>,
    /// What is under way.
    pub counts: Counts,
}

/// Orders, and what followed the payments that paid them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrderBooks {
    /// What the order subscriber wrote: one document a payment that settled an order.
    pub paid: Vec<OrderPaid>,
    /// What daily totals are summed from: the same payments.
    pub daily_totals: Vec<DailyTotal>,
    /// Orders split into parcels.
    pub shipments: Vec<Shipment>,
}

/// What is in nobody's books yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Messages that wait for a consumer.
    pub queue_waiting: u64,
    /// Messages that wait for their time.
    pub queue_delayed: u64,
    /// Deliveries that are not acknowledged.
    pub queue_unacknowledged: u64,
    /// Notifications that the channel sends now, or has never sent. Those that wait for a repeat do not count: what the
    /// server has not heard by them shows in the ledger.
    pub notifications_pending: u64,
    /// Success messages on their way to a subscriber.
    pub successes_waiting: u64,
}

impl Counts {
    /// Whether nothing is under way.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// What a task is, in whichever round.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct TaskFacts {
    /// Its id.
    pub task_id: String,
    /// Whose it is.
    pub merchant: String,
    /// The order that it pays.
    pub order_no: String,
    /// In minor units.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: String,
    /// Retry settings.
    pub task_info: TaskInfo,
}

impl TaskFacts {
    /// The order that it pays.
    #[must_use]
    pub fn order(&self) -> OrderId {
        OrderId { merchant: self.merchant.clone(), order_no: self.order_no.clone() }
    }
}

/// An accepted round.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct OpenTask {
    /// The task.
    pub task: TaskFacts,
    /// The round, from 1.
    pub round: u8,
    /// When the round was accepted.
    pub accepted_at_us: u64,
    /// Attempts that earlier rounds made.
    pub attempts_before: u8,
    /// The key that it came with.
    pub key: Option<KeyUse>,
}

/// A key as it was used.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct KeyUse {
    /// The key itself.
    pub key: String,
}

/// What a key stands for.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct IdempotencyKey {
    /// Whose key.
    pub merchant: String,
    /// The key.
    pub used: KeyUse,
    /// The task that it made.
    pub task_id: String,
}

/// Who may pay an order, in generation n.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct OrderSlot {
    /// Whose order.
    pub merchant: String,
    /// Its number.
    pub order_no: String,
    /// From 0, without gaps.
    pub generation: u32,
    /// Who may pay it.
    pub holder: Round,
}

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeState {
    /// A payment exists.
    Succeeded,
    /// Every attempt failed.
    Failed,
    /// Cancelled before it succeeded.
    Cancelled,
    /// Never accepted; nobody was told its id.
    Refused,
}

impl OutcomeState {
    /// The task's state after it; nothing for a task that never was.
    #[must_use]
    pub const fn task_state(self) -> Option<TaskState> {
        match self {
            Self::Succeeded => Some(TaskState::Succeeded),
            Self::Failed => Some(TaskState::Failed),
            Self::Cancelled => Some(TaskState::Cancelled),
            Self::Refused => None,
        }
    }
}

/// One step of a round.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct HistoryEntry {
    /// The state it came into.
    pub state: TaskState,
    /// The attempt, over all rounds.
    pub attempt: u8,
    /// When.
    pub at_us: u64,
}

/// The outcome of a round.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Outcome {
    /// The task.
    pub task: TaskFacts,
    /// The round, from 1.
    pub round: u8,
    /// How it ended.
    pub state: OutcomeState,
    /// Attempts so far, over all rounds.
    pub attempt: u8,
    /// When the round was accepted.
    pub accepted_at_us: u64,
    /// When it ended.
    pub settled_at_us: u64,
    /// Every step, oldest first.
    pub history: Vec<HistoryEntry>,
}

impl Outcome {
    /// Which round this is.
    #[must_use]
    pub fn round_id(&self) -> Round {
        Round::new(&self.task.task_id, self.round)
    }
}

impl OpenTask {
    /// Which round this is.
    #[must_use]
    pub fn round_id(&self) -> Round {
        Round::new(&self.task.task_id, self.round)
    }
}

/// A payment.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Payment {
    /// Its number.
    pub payment_no: Round,
    /// Whose it is.
    pub merchant: String,
    /// The order that it pays.
    pub order_no: String,
    /// In minor units.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: String,
}

/// Somebody wants a payment closed.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Closing {
    /// Which one.
    pub payment_no: Round,
}

/// How a payment ended.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The channel took the money.
    Paid {
        /// The channel's transaction.
        transaction_id: String,
        /// How much, in minor units.
        amount_minor: u64,
    },
    /// It can no longer be paid.
    Closed {},
}

/// The end of a payment.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct PaymentEnd {
    /// Which one.
    pub payment_no: Round,
    /// How.
    pub end: End,
}

/// A payment and an amount: a notice, a refund to make, a refund made.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Money {
    /// Which payment.
    pub payment_no: Round,
    /// How much, in minor units.
    pub amount_minor: u64,
}

/// The one payment that paid an order.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct OrderSettlement {
    /// Whose order.
    pub merchant: String,
    /// Its number.
    pub order_no: String,
    /// What paid it.
    pub payment_no: Round,
}

/// An order is paid.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct OrderPaid {
    /// What paid it.
    pub payment_no: Round,
    /// Whose order.
    pub merchant: String,
    /// Its number.
    pub order_no: String,
    /// The channel's transaction.
    pub transaction_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
}

/// One payment's part of a merchant's total of a day.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct DailyTotal {
    /// What was paid.
    pub payment_no: Round,
    /// Whose total.
    pub merchant: String,
    /// In minor units.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: String,
}

/// An order split into parcels.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Shipment {
    /// Whose order.
    pub merchant: String,
    /// Its number.
    pub order_no: String,
    /// What paid it.
    pub payment_no: Round,
    /// The parcels.
    pub children: Vec<Parcel>,
}

/// One parcel.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Parcel {
    /// Its share of what was paid, in minor units.
    pub amount_minor: u64,
}

/// What the channel knows of a payment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LedgerRow {
    /// The payment's number.
    pub out_trade_no: String,
    /// The merchant's number of what is bought.
    pub order_no: Option<String>,
    /// Who is paid.
    pub merchant: Option<String>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// The money that was taken.
    pub paid: Option<Taken>,
    /// When it was closed.
    pub closed_at_us: Option<u64>,
    /// The money that was given back.
    pub refunded: Option<GivenBack>,
}

/// Money that the channel took.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Taken {
    /// The channel's transaction.
    pub transaction_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
}

/// Money that the channel gave back.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct GivenBack {
    /// How much, in minor units.
    pub amount_minor: u64,
}

impl LedgerRow {
    /// What the channel holds in the end, in minor units: taken less given back.
    #[must_use]
    pub fn net_minor(&self) -> u64 {
        let taken = self.paid.as_ref().map_or(0, |taken| taken.amount_minor);
        taken.saturating_sub(self.refunded.as_ref().map_or(0, |given| given.amount_minor))
    }
}
