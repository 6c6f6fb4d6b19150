//! Seam: the payment channel, the third party that takes the money. Every call is idempotent by `out_trade_no`, which is
//! the payment's number.

use std::sync::Arc;

use crate::model::{PayTask, RoundId};

mod any;
pub mod simulated;

pub use any::Channel;

/// Why the channel did not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChannelError {
    /// Busy, in an outage, or the answer was lost: the same call may go well later.
    #[error("transient: {0}")]
    Transient(String),
    /// Refused for good.
    #[error("permanent: {0}")]
    Permanent(String),
}

/// One attempt of a round, as the channel is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The task.
    pub task: &'a PayTask,
    /// The round, which gives the `out_trade_no`.
    pub round: RoundId,
    /// The attempt, over all rounds (of use to a simulated channel only).
    pub attempt: u8,
}

/// What the channel took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paid {
    /// The channel's transaction.
    pub transaction_id: Arc<str>,
    /// When, microseconds since the epoch by the channel's clock.
    pub paid_at_us: u64,
    /// How much, in minor units.
    pub amount_minor: u64,
}

/// How the channel sees a payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TradeState {
    /// Not known there, or not paid.
    Unpaid,
    /// It took the money.
    Paid(Paid),
    /// It can no longer be paid.
    Closed,
}

/// What came of closing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CloseAnswer {
    /// It can no longer be paid.
    Closed,
    /// Too late.
    AlreadyPaid(Paid),
}

/// A paid notification whose signature was right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaidNotice {
    /// Which payment.
    pub payment_no: RoundId,
    /// What was taken.
    pub paid: Paid,
}

/// The third party.
pub trait PaymentChannel: Send + Sync {
    /// `WeChat` style: asks for the id that the payer's parameters name.
    ///
    /// # Errors
    /// See [`ChannelError`].
    fn prepay(&self, attempt: Attempt<'_>) -> impl Future<Output = Result<String, ChannelError>> + Send;

    /// The signed parameters for the payer, as one JSON object. No call is made.
    ///
    /// # Errors
    /// See [`ChannelError`]; only a simulated channel that was asked to fails here.
    fn pay_params(&self, attempt: Attempt<'_>, prepay_id: Option<String>) -> Result<String, ChannelError>;

    /// How the channel sees the payment.
    ///
    /// # Errors
    /// See [`ChannelError`].
    fn query(&self, payment_no: RoundId) -> impl Future<Output = Result<TradeState, ChannelError>> + Send;

    /// Closes the payment; holds also for one that the channel has not seen yet.
    ///
    /// # Errors
    /// See [`ChannelError`].
    fn close(&self, payment_no: RoundId) -> impl Future<Output = Result<CloseAnswer, ChannelError>> + Send;

    /// Gives the money back.
    ///
    /// # Errors
    /// See [`ChannelError`].
    fn refund(&self, payment_no: RoundId, amount_minor: u64) -> impl Future<Output = Result<(), ChannelError>> + Send;
}
