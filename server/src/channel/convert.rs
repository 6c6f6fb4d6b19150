//! Between the seam's words and those of `payrig-channel`, which both backends speak.

use payrig_channel as simulation;

use super::{Attempt, ChannelError, Paid, TradeState};

pub(super) fn paid(paid: simulation::Paid) -> Paid {
    Paid {
        transaction_id: paid.transaction_id.into(),
        paid_at_us: paid.paid_at_us,
        amount_minor: paid.amount_minor,
        currency: paid.currency,
    }
}

pub(super) fn state(state: simulation::TradeState) -> TradeState {
    match state {
        simulation::TradeState::Unknown | simulation::TradeState::AwaitingPayer => TradeState::Unpaid,
        simulation::TradeState::Paid(facts) => TradeState::Paid(paid(facts)),
        simulation::TradeState::Closed => TradeState::Closed,
    }
}

pub(super) fn failed(error: &simulation::ChannelError) -> ChannelError {
    match error {
        simulation::ChannelError::Permanent { .. } => ChannelError::Permanent(error.to_string()),
        _ => ChannelError::Transient(error.to_string()),
    }
}

pub(super) fn order<'a>(attempt: Attempt<'a>, out_trade_no: &'a str) -> simulation::Order<'a> {
    simulation::Order {
        out_trade_no,
        merchant: &attempt.task.merchant,
        order_no: &attempt.task.order_no,
        amount_minor: attempt.task.amount_minor,
        currency: attempt.task.currency,
        style: attempt.task.channel,
    }
}

pub(super) fn wish(attempt: Attempt<'_>) -> simulation::Wish {
    simulation::Wish { attempt: attempt.attempt, simulate: attempt.task.simulate }
}
