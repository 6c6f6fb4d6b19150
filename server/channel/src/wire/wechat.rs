//! WeChat style: the JSON bodies of calls and answers.

use std::borrow::Cow;

use payrig_api::{Currency, Simulate};
use serde::{Deserialize, Serialize};

use crate::order::{Paid, TradeState};

/// An amount of money.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Amount {
    /// In minor units.
    pub total: u64,
    /// ISO 4217 currency.
    pub currency: Currency,
}

/// Body of [`super::PREPAY`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PrepayCall<'a> {
    /// Who is paid.
    #[serde(borrow)]
    pub mchid: Cow<'a, str>,
    /// The server's number of the payment.
    #[serde(borrow)]
    pub out_trade_no: Cow<'a, str>,
    /// The merchant's number of what is bought.
    #[serde(borrow)]
    pub order_no: Cow<'a, str>,
    /// What is to be paid.
    pub amount: Amount,
    /// Where the news of the payment go; `http://` only.
    #[serde(borrow)]
    pub notify_url: Cow<'a, str>,
    /// Number of the attempt over the task's whole life, from 1.
    pub attempt: u8,
    /// What the simulation shall do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulate: Option<Simulate>,
}

/// Answer to [`PrepayCall`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PrepayAnswer {
    /// The id, the same for every repeat.
    pub prepay_id: String,
}

/// Where an order stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Paid.
    Success,
    /// Neither paid nor closed.
    NotPay,
    /// It can never be paid.
    Closed,
}

/// Answer to a query; an unknown order gets 404 [`code::ORDER_NOT_EXIST`] instead.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QueryAnswer {
    /// Which order: whoever asked compares it.
    pub out_trade_no: String,
    /// Where it stands.
    pub trade_state: State,
    /// The channel's number, of a paid one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// When it was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_time_us: Option<u64>,
    /// What was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

impl QueryAnswer {
    /// The answer for a state; none for an unknown order.
    #[must_use]
    pub fn new(out_trade_no: &str, state: TradeState) -> Option<Self> {
        let plain = |trade_state| Self {
            out_trade_no: out_trade_no.to_owned(),
            trade_state,
            transaction_id: None,
            success_time_us: None,
            amount: None,
        };
        match state {
            TradeState::Unknown => None,
            TradeState::AwaitingPayer => Some(plain(State::NotPay)),
            TradeState::Closed => Some(plain(State::Closed)),
            TradeState::Paid(paid) => Some(Self {
                transaction_id: Some(paid.transaction_id),
                success_time_us: Some(paid.paid_at_us),
                amount: Some(Amount { total: paid.amount_minor, currency: paid.currency }),
                ..plain(State::Success)
            }),
        }
    }

    /// What it says; none if it says that the order is paid and not how.
    #[must_use]
    pub fn state(self) -> Option<TradeState> {
        Some(match self.trade_state {
            State::NotPay => TradeState::AwaitingPayer,
            State::Closed => TradeState::Closed,
            State::Success => {
                let amount = self.amount?;
                TradeState::Paid(Paid {
                    transaction_id: self.transaction_id?,
                    paid_at_us: self.success_time_us?,
                    amount_minor: amount.total,
                    currency: amount.currency,
                })
            }
        })
    }
}

/// Body of a close; its answer is 204, or 400 [`code::ORDERPAID`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CloseCall<'a> {
    /// Who would have been paid.
    #[serde(borrow)]
    pub mchid: Cow<'a, str>,
}

/// Body of [`super::REFUND`]: once an order; a repeat with the same amount changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefundCall<'a> {
    /// Who was paid.
    #[serde(borrow)]
    pub mchid: Cow<'a, str>,
    /// The server's number of the payment.
    #[serde(borrow)]
    pub out_trade_no: Cow<'a, str>,
    /// The server's number of the refund; comes back in the answer.
    #[serde(borrow)]
    pub out_refund_no: Cow<'a, str>,
    /// What is given back.
    pub amount: RefundAmount,
}

/// What is given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefundAmount {
    /// In minor units.
    pub refund: u64,
    /// ISO 4217 currency.
    pub currency: Currency,
}

/// Answer to [`RefundCall`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefundAnswer {
    /// The server's number of the payment.
    pub out_trade_no: String,
    /// The server's number of the refund.
    pub out_refund_no: String,
    /// `SUCCESS`.
    pub status: String,
}

/// Every answer that is no success: 429 and 5xx may succeed later, other 4xx never.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One of [`code`].
    pub code: String,
    /// For people.
    pub message: String,
}

/// Codes of [`ErrorBody`] that a caller acts upon.
pub mod code {
    /// Query or refund of an order that is not there (404).
    pub const ORDER_NOT_EXIST: &str = "ORDER_NOT_EXIST";
    /// Close of an order that is paid (400): ask for it.
    pub const ORDERPAID: &str = "ORDERPAID";
    /// The call is not signed by the platform, or not of now (401).
    pub const SIGN_ERROR: &str = "SIGN_ERROR";
    /// The call cannot be read (400).
    pub const PARAM_ERROR: &str = "PARAM_ERROR";
    /// Something failed for now (500, or 503 in an outage).
    pub const SYSTEM_ERROR: &str = "SYSTEM_ERROR";
}
