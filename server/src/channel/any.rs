//! The payment channel behind the seam, whichever it is.

use std::time::Duration;

use super::{
    Attempt, ChannelError, CloseAnswer, PaymentChannel, Trade, TradeState, http::HttpChannel,
    simulated::SimulatedChannel,
};

/// One of the backends.
#[derive(Clone)]
pub enum Channel {
    /// In process, with a ledger of its own.
    Simulated(SimulatedChannel),
    /// A program of its own, over HTTP.
    Http(HttpChannel),
}

macro_rules! each {
    ($self:ident, $channel:ident => $call:expr) => {
        match $self {
            Self::Simulated($channel) => $call,
            Self::Http($channel) => $call,
        }
    };
}

impl Channel {
    /// The channel in process, if it is that one: it has a cashier and books here.
    #[must_use]
    pub const fn simulated(&self) -> Option<&SimulatedChannel> {
        match self {
            Self::Simulated(channel) => Some(channel),
            Self::Http(_) => None,
        }
    }

    /// The channel over HTTP, if it is that one: it sends its notifications here.
    #[must_use]
    pub const fn http(&self) -> Option<&HttpChannel> {
        match self {
            Self::Simulated(_) => None,
            Self::Http(channel) => Some(channel),
        }
    }

    /// How many calls somebody who has many to make may have under way at most.
    #[must_use]
    pub fn share(&self) -> Option<usize> {
        self.http().map(HttpChannel::share)
    }
}

impl PaymentChannel for Channel {
    fn rests_for(&self) -> Option<Duration> {
        each!(self, channel => channel.rests_for())
    }

    async fn prepay(&self, attempt: Attempt<'_>) -> Result<String, ChannelError> {
        each!(self, channel => channel.prepay(attempt).await)
    }

    fn pay_params(&self, attempt: Attempt<'_>, prepay_id: Option<String>) -> Result<String, ChannelError> {
        each!(self, channel => channel.pay_params(attempt, prepay_id))
    }

    async fn query(&self, trade: Trade<'_>) -> Result<TradeState, ChannelError> {
        each!(self, channel => channel.query(trade).await)
    }

    async fn close(&self, trade: Trade<'_>) -> Result<CloseAnswer, ChannelError> {
        each!(self, channel => channel.close(trade).await)
    }

    async fn refund(&self, trade: Trade<'_>, amount_minor: u64) -> Result<(), ChannelError> {
        each!(self, channel => channel.refund(trade, amount_minor).await)
    }
}
