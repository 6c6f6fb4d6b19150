//! The simulated payment channel, in process: calls become calls of `payrig-channel`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use payrig_channel as simulation;

use super::{
    Attempt, ChannelError, CloseAnswer, PaidNotice, PaymentChannel, Trade, TradeState,
    convert::{self, failed, order, paid, wish},
};
use crate::model::RoundId;

/// The simulated third party.
#[derive(Clone)]
pub struct SimulatedChannel {
    channel: simulation::SimulatedChannel,
    /// Calls about existing payments so far: a call that failed must not fail for ever.
    calls: Arc<AtomicU64>,
}

/// A notification that was not signed by the channel, or is about nothing of ours.
#[derive(Debug, thiserror::Error)]
pub enum BadNotification {
    /// The signature is wrong.
    #[error(transparent)]
    Signature(#[from] simulation::SignatureError),
    /// The number is no payment's.
    #[error("{0} is no payment number")]
    NotAPayment(String),
}

impl SimulatedChannel {
    /// The seam over a running simulation.
    #[must_use]
    pub fn new(channel: simulation::SimulatedChannel) -> Self {
        Self { channel, calls: Arc::default() }
    }

    /// The simulation itself, for its cashier and its books.
    #[must_use]
    pub const fn simulation(&self) -> &simulation::SimulatedChannel {
        &self.channel
    }

    /// What a notification says, once its signature has been checked.
    ///
    /// # Errors
    /// See [`BadNotification`].
    pub fn verify(&self, notification: &simulation::Notification) -> Result<PaidNotice, BadNotification> {
        let notice = self.channel.verify(notification)?;
        match RoundId::from_payment_no(&notice.out_trade_no) {
            Ok(payment_no) => {
                Ok(PaidNotice { payment_no, merchant: Some(notice.merchant.into()), paid: paid(notice.paid) })
            }
            Err(_) => Err(BadNotification::NotAPayment(notice.out_trade_no)),
        }
    }

    fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }
}

impl PaymentChannel for SimulatedChannel {
    async fn prepay(&self, attempt: Attempt<'_>) -> Result<String, ChannelError> {
        let out_trade_no = attempt.round.payment_no();
        let prepaid = self.channel.prepay(&order(attempt, &out_trade_no), &wish(attempt)).await;
        prepaid.map(|id| id.to_string()).map_err(|error| failed(&error))
    }

    fn pay_params(&self, attempt: Attempt<'_>, prepay_id: Option<String>) -> Result<String, ChannelError> {
        let out_trade_no = attempt.round.payment_no();
        let prepay_id = prepay_id.map(simulation::PrepayId::from);
        let params = self.channel.pay_params(&order(attempt, &out_trade_no), prepay_id.as_ref(), &wish(attempt));
        params.map_err(|error| failed(&error))
    }

    async fn query(&self, trade: Trade<'_>) -> Result<TradeState, ChannelError> {
        let state = self.channel.query(&trade.payment_no.payment_no(), self.next_call()).await;
        state.map(convert::state).map_err(|error| failed(&error))
    }

    async fn close(&self, trade: Trade<'_>) -> Result<CloseAnswer, ChannelError> {
        let answer = self.channel.close(&trade.payment_no.payment_no(), self.next_call()).await;
        Ok(match answer.map_err(|error| failed(&error))? {
            simulation::CloseAnswer::Closed => CloseAnswer::Closed,
            simulation::CloseAnswer::AlreadyPaid(facts) => CloseAnswer::AlreadyPaid(paid(facts)),
        })
    }

    async fn refund(&self, trade: Trade<'_>, amount_minor: u64) -> Result<(), ChannelError> {
        let refunded = self.channel.refund(&trade.payment_no.payment_no(), amount_minor, self.next_call()).await;
        refunded.map_err(|error| failed(&error))
    }
}
