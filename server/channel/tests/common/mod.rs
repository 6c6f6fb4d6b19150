//! What the tests of the channel share: orders, and channels on the ledgers at hand.

#![allow(dead_code, reason = "each test uses the part that it needs")]

use payrig_api::{ChannelStyle, Currency};
use payrig_channel::{
    ChannelError, Ledger, MemoryLedger, Notifications, Options, Order, SecretKey, SimulatedChannel, Wish,
};

/// An order of 12.34 by this number.
pub(crate) const fn order(out_trade_no: &str, style: ChannelStyle) -> Order<'_> {
    Order {
        out_trade_no,
        merchant: "m 1&x=\"y\\",
        order_no: "o-1",
        amount_minor: 1_234,
        currency: Currency::CNY,
        style,
    }
}

pub(crate) fn options(profile: &str) -> Options {
    Options {
        profile: profile.parse().expect("the test's profile"),
        cashier_url: "http://127.0.0.1:1/simulated/cashier".to_owned(),
        secret: Some(SecretKey::from_bytes([3; 32])),
        ..Options::default()
    }
}

/// A channel on an empty memory ledger.
pub(crate) async fn channel(profile: &str) -> (SimulatedChannel, Notifications) {
    let ledger = Ledger::from(MemoryLedger::new());
    SimulatedChannel::start(ledger, options(profile)).await.expect("memory does not fail")
}

/// Everything up to the parameters, as the server does it.
pub(crate) async fn params(channel: &SimulatedChannel, order: &Order<'_>, wish: &Wish) -> Result<String, ChannelError> {
    match order.style {
        ChannelStyle::Alipay => channel.pay_params(order, None, wish),
        ChannelStyle::Wechat => {
            let prepay = channel.prepay(order, wish).await?;
            channel.pay_params(order, Some(&prepay), wish)
        }
    }
}

pub(crate) const STYLES: [ChannelStyle; 2] = [ChannelStyle::Alipay, ChannelStyle::Wechat];
