//! The simulated payment channel, in process: calls become calls of `payrig-channel`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use payrig_channel as simulation;

use super::{Attempt, ChannelError, CloseAnswer, Paid, PaidNotice, PaymentChannel, TradeState};
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
            Ok(payment_no) => Ok(PaidNotice { payment_no, paid: paid(notice.paid) }),
            Err(_) => Err(BadNotification::NotAPayment(notice.out_trade_no)),
        }
    }

    fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }
}

fn paid(paid: simulation::Paid) -> Paid {
    Paid { transaction_id: paid.transaction_id.into(), paid_at_us: paid.paid_at_us, amount_minor: paid.amount_minor }
}

fn failed(error: &simulation::ChannelError) -> ChannelError {
    match error {
        simulation::ChannelError::Permanent { .. } => ChannelError::Permanent(error.to_string()),
        _ => ChannelError::Transient(error.to_string()),
    }
}

fn order<'a>(attempt: Attempt<'a>, out_trade_no: &'a str) -> simulation::Order<'a> {
    simulation::Order {
        out_trade_no,
        merchant: &attempt.task.merchant,
        order_no: &attempt.task.order_no,
        amount_minor: attempt.task.amount_minor,
        currency: attempt.task.currency,
        style: attempt.task.channel,
    }
}

fn wish(attempt: Attempt<'_>) -> simulation::Wish {
    simulation::Wish { attempt: attempt.attempt, simulate: attempt.task.simulate }
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

    async fn query(&self, payment_no: RoundId) -> Result<TradeState, ChannelError> {
        let state = self.channel.query(&payment_no.payment_no(), self.next_call()).await;
        Ok(match state.map_err(|error| failed(&error))? {
            simulation::TradeState::Unknown | simulation::TradeState::AwaitingPayer => TradeState::Unpaid,
            simulation::TradeState::Paid(facts) => TradeState::Paid(paid(facts)),
            simulation::TradeState::Closed => TradeState::Closed,
        })
    }

    async fn close(&self, payment_no: RoundId) -> Result<CloseAnswer, ChannelError> {
        let answer = self.channel.close(&payment_no.payment_no(), self.next_call()).await;
        Ok(match answer.map_err(|error| failed(&error))? {
            simulation::CloseAnswer::Closed => CloseAnswer::Closed,
            simulation::CloseAnswer::AlreadyPaid(facts) => CloseAnswer::AlreadyPaid(paid(facts)),
        })
    }

    async fn refund(&self, payment_no: RoundId, amount_minor: u64) -> Result<(), ChannelError> {
        let refunded = self.channel.refund(&payment_no.payment_no(), amount_minor, self.next_call()).await;
        refunded.map_err(|error| failed(&error))
    }
}
