//! Seam: the payment channel, the third party that takes the money. Every call is idempotent by `out_trade_no`, which is
//! the payment's number.

use std::{sync::Arc, time::Duration};

use payrig_api::{ChannelStyle, Currency};

use crate::model::{PayTask, RoundId};

mod any;
mod convert;
pub mod http;
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
    /// Transient, and known without a call: the channel does not answer now and was not asked.
    #[error("transient: {0}")]
    NotAsked(String),
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

/// A payment, as calls about it name it. Each style has calls of its own, and the channel wants to hear whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trade<'a> {
    /// Its number: the `out_trade_no`.
    pub payment_no: RoundId,
    /// Whose it is.
    pub merchant: &'a str,
    /// Which style's calls are about it.
    pub style: ChannelStyle,
    /// What it is over, in minor units.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: Currency,
}

impl<'a> Trade<'a> {
    /// The payment of a round of this task.
    #[must_use]
    pub fn of(task: &'a PayTask, payment_no: RoundId) -> Self {
        Self {
            payment_no,
            merchant: &task.merchant,
            style: task.channel,
            amount_minor: task.amount_minor,
            currency: task.currency,
        }
    }
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
    /// ISO 4217.
    pub currency: Currency,
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

/// The channel's word that it took money: a notification whose signature was right, or an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaidNotice {
    /// Which payment.
    pub payment_no: RoundId,
    /// Whose, where the channel says so by itself.
    pub merchant: Option<Arc<str>>,
    /// What was taken.
    pub paid: Paid,
}

/// The third party.
pub trait PaymentChannel: Send + Sync {
    /// How long calls had better wait, where the channel is known not to answer now. An attempt that waits for it is not
    /// an attempt yet.
    fn rests_for(&self) -> Option<Duration> {
        None
    }

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
    fn query(&self, trade: Trade<'_>) -> impl Future<Output = Result<TradeState, ChannelError>> + Send;

    /// Closes the payment; holds also for one that the channel has not seen yet.
    ///
    /// # Errors
    /// See [`ChannelError`].
    fn close(&self, trade: Trade<'_>) -> impl Future<Output = Result<CloseAnswer, ChannelError>> + Send;

    /// Gives so much of the money back, in minor units.
    ///
    /// # Errors
    /// See [`ChannelError`].
    fn refund(&self, trade: Trade<'_>, amount_minor: u64) -> impl Future<Output = Result<(), ChannelError>> + Send;
}
