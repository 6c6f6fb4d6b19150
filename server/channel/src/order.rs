//! What the server and the channel say to each other about one order.

use payrig_api::{ChannelStyle, Currency, Simulate};
use serde::{Deserialize, Serialize};

use crate::error::ChannelError;

/// The longest `out_trade_no`, as Alipay has it.
const OUT_TRADE_NO_MAX: usize = 64;

pub(crate) fn check_out_trade_no(out_trade_no: &str) -> Result<(), ChannelError> {
    let fits = (1..=OUT_TRADE_NO_MAX).contains(&out_trade_no.len())
        && out_trade_no.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    Err(ChannelError::permanent("PARAM_ERROR", "an out_trade_no has 1 to 64 visible ASCII characters"))
}

/// What is to be paid, as the server names it towards the channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order<'a> {
    /// The server's number of the payment; every call is idempotent by it.
    pub out_trade_no: &'a str,
    /// Who is paid.
    pub merchant: &'a str,
    /// The merchant's own number of what is bought.
    pub order_no: &'a str,
    /// In minor units of the currency.
    pub amount_minor: u64,
    /// ISO 4217 currency.
    pub currency: Currency,
    /// Which way of paying.
    pub style: ChannelStyle,
}

/// What the caller tells the simulation about an attempt; a real channel gets none of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Number of the attempt over the task's whole life, from 1.
    pub attempt: u8,
    /// What shall happen, beyond what the profile does by itself.
    pub simulate: Option<Simulate>,
}

impl Wish {
    /// The first attempt, with nothing asked for.
    pub const PLAIN: Self = Self { attempt: 1, simulate: None };

    /// Whether no notification shall be sent when this order is paid.
    #[must_use]
    pub fn drops_notification(&self) -> bool {
        self.simulate.is_some_and(|simulate| simulate.drop_notification)
    }
}

/// Whose order a caller takes it for. Over HTTP every call says so; in process nobody else calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Whose<'a> {
    pub(crate) merchant: Option<&'a str>,
    pub(crate) currency: Option<Currency>,
}

impl<'a> Whose<'a> {
    /// Whoever's it is.
    pub(crate) const ANYBODYS: Self = Self { merchant: None, currency: None };

    /// This merchant's, in whatever currency.
    pub(crate) const fn of(merchant: &'a str) -> Self {
        Self { merchant: Some(merchant), ..Self::ANYBODYS }
    }

    /// Nothing happens to an order that is another's.
    pub(crate) fn check(self, merchant: &str, currency: Currency) -> Result<(), ChannelError> {
        if self.merchant.is_some_and(|claimed| claimed != merchant) {
            return Err(ChannelError::permanent("PARAM_ERROR", "the order is another merchant's"));
        }
        if self.currency.is_some_and(|claimed| claimed != currency) {
            return Err(ChannelError::permanent("PARAM_ERROR", "the order is in another currency"));
        }
        Ok(())
    }
}

/// What a WeChat-style channel gives for an order before the payer can pay it: `wx`, the second in which it was given,
/// and a digest. The same order always has the same one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PrepayId(pub(crate) String);

impl PrepayId {
    /// The id as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for PrepayId {
    /// An id that was given before; one that never was is found out where it is used.
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl std::fmt::Display for PrepayId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an order stands at the channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TradeState {
    /// The channel has never heard of it (in Alipay style: the payer has not come yet).
    Unknown,
    /// Prepaid, and neither paid nor closed.
    AwaitingPayer,
    /// The money was taken.
    Paid(Paid),
    /// It can never be paid.
    Closed,
}

/// The fact that money was taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Paid {
    /// The channel's number of the transaction.
    pub transaction_id: String,
    /// When, by the channel's clock, in microseconds since the Unix epoch.
    pub paid_at_us: u64,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// ISO 4217 currency.
    pub currency: Currency,
}

/// What became of the wish to close an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CloseAnswer {
    /// Nobody can pay it any more.
    Closed,
    /// The payer was first.
    AlreadyPaid(Paid),
}
