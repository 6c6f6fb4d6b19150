//! The payment channel behind the seam, whichever it is.

use super::{Attempt, ChannelError, CloseAnswer, PaymentChannel, TradeState, simulated::SimulatedChannel};
use crate::model::RoundId;

/// One of the backends.
#[derive(Clone)]
pub enum Channel {
    /// In process, with a ledger of its own.
    Simulated(SimulatedChannel),
}

impl PaymentChannel for Channel {
    async fn prepay(&self, attempt: Attempt<'_>) -> Result<String, ChannelError> {
        let Self::Simulated(channel) = self;
        channel.prepay(attempt).await
    }

    fn pay_params(&self, attempt: Attempt<'_>, prepay_id: Option<String>) -> Result<String, ChannelError> {
        let Self::Simulated(channel) = self;
        channel.pay_params(attempt, prepay_id)
    }

    async fn query(&self, payment_no: RoundId) -> Result<TradeState, ChannelError> {
        let Self::Simulated(channel) = self;
        channel.query(payment_no).await
    }

    async fn close(&self, payment_no: RoundId) -> Result<CloseAnswer, ChannelError> {
        let Self::Simulated(channel) = self;
        channel.close(payment_no).await
    }

    async fn refund(&self, payment_no: RoundId, amount_minor: u64) -> Result<(), ChannelError> {
        let Self::Simulated(channel) = self;
        channel.refund(payment_no, amount_minor).await
    }
}
