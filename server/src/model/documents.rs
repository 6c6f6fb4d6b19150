//! The documents that the store keeps: all of them insert-once, none ever updated.

use std::sync::Arc;

use payrig_api::{ChannelStyle, Currency, TaskState};
use serde::{Deserialize, Serialize};

use super::{
    collection::Collection,
    id::{OrderKey, RoundId, TaskId},
    order::{DailyTotal, Order, OrderPaid, Shipment},
    task::{MerchantId, PayTask},
};

/// An accepted round with its whole body.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenTask {
    /// The task.
    pub task: Arc<PayTask>,
    /// The round, from 1.
    pub round: u8,
    /// When this round was accepted, microseconds since the epoch.
    pub accepted_at_us: u64,
    /// How many attempts earlier rounds made.
    pub attempts_before: u8,
    /// The idempotency key it came with (first rounds only).
    pub key: Option<KeyUse>,
}

impl OpenTask {
    /// Which round this is.
    #[must_use]
    pub fn round_id(&self) -> RoundId {
        self.task.task_id.round(self.round)
    }
}

/// An idempotency key and the body that came with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyUse {
    /// The key as the client sent it.
    pub key: Arc<str>,
    /// SHA-256 of the body.
    pub body_sha256: [u8; 32],
}

/// What a key stands for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// Whose key.
    pub merchant: MerchantId,
    /// The key and its body.
    pub used: KeyUse,
    /// The task that it made.
    pub task_id: TaskId,
    /// When it is forgotten, microseconds since the epoch.
    pub expires_at_us: u64,
}

impl IdempotencyKey {
    /// The id of a merchant's key.
    #[must_use]
    pub fn document_id(merchant: &str, key: &str) -> String {
        format!("{merchant}:{key}")
    }
}

/// Which task and round may pay the order, in generation n. Never deleted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderSlot {
    /// Whose order.
    pub merchant: MerchantId,
    /// Its number.
    pub order_no: Arc<str>,
    /// From 0; the next one is for after this one ended unpaid.
    pub generation: u32,
    /// Who may pay it.
    pub holder: RoundId,
}

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeState {
    /// A payment exists.
    Succeeded,
    /// Every attempt failed.
    Failed,
    /// Cancelled before it succeeded.
    Cancelled,
    /// Never accepted: it got no slot, or its key went to another. Nobody was told its id.
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

/// What a round's time went into, in microseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stages {
    /// In the queue, beyond intended delays.
    pub queue_wait_us: u64,
    /// In calls of the channel.
    pub channel_us: u64,
    /// Intended delays between attempts.
    pub retry_wait_us: u64,
}

impl Stages {
    /// What is left of a round that took so long: what the flow itself cost, in microseconds.
    #[must_use]
    pub const fn own_us(&self, accepted_at_us: u64, settled_at_us: u64) -> u64 {
        let others_us = self.queue_wait_us + self.channel_us + self.retry_wait_us;
        settled_at_us.saturating_sub(accepted_at_us).saturating_sub(others_us)
    }
}

/// One step of a round's life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The state it came into.
    pub state: TaskState,
    /// The attempt, over all rounds.
    pub attempt: u8,
    /// Microseconds since the epoch.
    pub at_us: u64,
    /// Why, where there is something to say.
    pub reason: Option<String>,
}

/// The outcome of a round: whoever inserts it first decides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The task.
    pub task: Arc<PayTask>,
    /// The round.
    pub round: u8,
    /// How it ended.
    pub state: OutcomeState,
    /// Attempts so far, over all rounds.
    pub attempt: u8,
    /// Why it ended so.
    pub reason: Option<String>,
    /// When the round was accepted.
    pub accepted_at_us: u64,
    /// When its first attempt began.
    pub started_at_us: Option<u64>,
    /// When it ended.
    pub settled_at_us: u64,
    /// Where the time went.
    pub stages: Stages,
    /// Every step, oldest first.
    pub history: Vec<HistoryEntry>,
}

impl Outcome {
    /// Which round this is.
    #[must_use]
    pub fn round_id(&self) -> RoundId {
        self.task.task_id.round(self.round)
    }

    /// Whether its attempts may have left an order at the channel that nobody was shown: in `WeChat` style the channel
    /// is asked before there are parameters, and its answer may have been lost.
    #[must_use]
    pub fn leaves_an_order(&self) -> bool {
        self.task.channel == ChannelStyle::Wechat
            && matches!(self.state, OutcomeState::Failed | OutcomeState::Cancelled)
    }
}

/// The payment that a successful round leaves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Payment {
    /// Its number.
    pub payment_no: RoundId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// The order that it pays.
    pub order_no: Arc<str>,
    /// In minor units.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: Currency,
    /// The channel style.
    pub channel: ChannelStyle,
    /// The signed parameters for the payer: one JSON object in text.
    pub pay_params: Arc<str>,
    /// When it was made, microseconds since the epoch.
    pub created_at_us: u64,
}

/// Somebody wants a payment closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Closing {
    /// Which one.
    pub payment_no: RoundId,
    /// Why.
    pub reason: String,
    /// When it was wanted, microseconds since the epoch.
    pub at_us: u64,
}

/// How a payment ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The channel took the money.
    Paid {
        /// The channel's transaction.
        transaction_id: Arc<str>,
        /// When the channel took it, microseconds since the epoch.
        paid_at_us: u64,
        /// In minor units.
        amount_minor: u64,
    },
    /// The channel has said that it cannot be paid any more.
    Closed {
        /// Why it was closed.
        reason: String,
    },
}

/// The end of a payment: whoever inserts it first decides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentEnd {
    /// Which one.
    pub payment_no: RoundId,
    /// How.
    pub end: End,
    /// When this was written down, microseconds since the epoch.
    pub at_us: u64,
}

/// The channel took money, and this is not yet fully worked off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// For which payment.
    pub payment_no: RoundId,
    /// The channel's transaction.
    pub transaction_id: Arc<str>,
    /// When the channel took it.
    pub paid_at_us: u64,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// When it was learnt.
    pub at_us: u64,
}

/// The one payment that paid the order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderSettlement {
    /// Whose order.
    pub merchant: MerchantId,
    /// Its number.
    pub order_no: Arc<str>,
    /// What paid it.
    pub payment_no: RoundId,
    /// When, microseconds since the epoch.
    pub at_us: u64,
}

/// Money to give back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refund {
    /// For which payment.
    pub payment_no: RoundId,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// Why.
    pub reason: String,
    /// Since when, microseconds since the epoch.
    pub at_us: u64,
}

/// Money given back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refunded {
    /// For which payment.
    pub payment_no: RoundId,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// When, microseconds since the epoch.
    pub at_us: u64,
}

/// Any document. Large ones are shared, not copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Document {
    /// See [`OpenTask`].
    OpenTask(Arc<OpenTask>),
    /// See [`IdempotencyKey`].
    IdempotencyKey(IdempotencyKey),
    /// See [`OrderSlot`].
    OrderSlot(OrderSlot),
    /// See [`Outcome`].
    PayTask(Arc<Outcome>),
    /// See [`Payment`].
    Payment(Arc<Payment>),
    /// See [`Closing`].
    Closing(Closing),
    /// See [`PaymentEnd`].
    PaymentEnd(PaymentEnd),
    /// See [`Notice`].
    Notice(Notice),
    /// See [`OrderSettlement`].
    OrderSettlement(OrderSettlement),
    /// See [`Refund`].
    Refund(Refund),
    /// See [`Refunded`].
    Refunded(Refunded),
    /// See [`Order`].
    Order(Arc<Order>),
    /// See [`Shipment`].
    Shipment(Arc<Shipment>),
    /// See [`OrderPaid`].
    OrderPaid(OrderPaid),
    /// See [`DailyTotal`].
    DailyTotal(DailyTotal),
}

impl Document {
    /// Where it lives.
    #[must_use]
    pub const fn collection(&self) -> Collection {
        match self {
            Self::OpenTask(_) => Collection::OpenTasks,
            Self::IdempotencyKey(_) => Collection::IdempotencyKeys,
            Self::OrderSlot(_) => Collection::OrderSlots,
            Self::PayTask(_) => Collection::PayTasks,
            Self::Payment(_) => Collection::Payments,
            Self::Closing(_) => Collection::Closings,
            Self::PaymentEnd(_) => Collection::PaymentEnds,
            Self::Notice(_) => Collection::Notices,
            Self::OrderSettlement(_) => Collection::OrderSettlements,
            Self::Refund(_) => Collection::Refunds,
            Self::Refunded(_) => Collection::Refunded,
            Self::Order(_) => Collection::Orders,
            Self::Shipment(_) => Collection::Shipments,
            Self::OrderPaid(_) => Collection::OrderPaid,
            Self::DailyTotal(_) => Collection::DailyTotals,
        }
    }

    /// Its unique id within the collection.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::OpenTask(open) => open.round_id().document_id(),
            Self::IdempotencyKey(key) => IdempotencyKey::document_id(&key.merchant, &key.used.key),
            Self::OrderSlot(slot) => {
                OrderKey { merchant: slot.merchant.clone(), order_no: slot.order_no.clone() }.slot_id(slot.generation)
            }
            Self::PayTask(outcome) => outcome.round_id().document_id(),
            Self::Payment(payment) => payment.payment_no.payment_no(),
            Self::Closing(closing) => closing.payment_no.payment_no(),
            Self::PaymentEnd(end) => end.payment_no.payment_no(),
            Self::Notice(notice) => notice.payment_no.payment_no(),
            Self::OrderSettlement(settled) => OrderKey::id(&settled.merchant, &settled.order_no),
            Self::Refund(refund) => refund.payment_no.payment_no(),
            Self::Refunded(refunded) => refunded.payment_no.payment_no(),
            Self::Order(order) => OrderKey::id(&order.merchant, &order.order_no),
            Self::Shipment(shipment) => OrderKey::id(&shipment.merchant, &shipment.order_no),
            Self::OrderPaid(paid) => paid.payment_no.payment_no(),
            Self::DailyTotal(total) => total.payment_no.payment_no(),
        }
    }
}
