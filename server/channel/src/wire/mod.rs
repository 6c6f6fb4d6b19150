//! The wire between the server and the channel: paths, bodies, headers and signatures, for both sides.
//!
//! Modelled on what WeChat Pay v3 and Alipay publish. WeChat style: JSON calls signed in the `Authorization` header
//! ([`authorization`]), JSON answers signed in `Wechatpay-*` headers. Alipay style: a form of sorted signed fields to one
//! gateway ([`gateway`]), and a JSON answer that carries its signature. Notifications go the other way ([`notify`]).
//! Amounts are in minor units, instants in microseconds since the Unix epoch unless a name says otherwise.

pub mod authorization;
pub mod gateway;
pub mod notify;
pub(crate) mod sorted;
pub mod wechat;

/// WeChat style: prepay, `POST`.
pub const PREPAY: &str = "/v3/pay/transactions/jsapi";
/// WeChat style: the start of query and close.
pub const BY_NUMBER: &str = "/v3/pay/transactions/out-trade-no/";
/// WeChat style: refund, `POST`.
pub const REFUND: &str = "/v3/refund/domestic/refunds";
/// Alipay style: every call, `POST`.
pub const GATEWAY: &str = "/gateway.do";
/// Where the payer pays, in both styles, `POST`.
pub const CASHIER: &str = "/cashier";

/// The platform's account at the channel: stands in each WeChat-style `Authorization`.
pub const PLATFORM_MCHID: &str = "1900000001";
/// The platform's app at the channel, Alipay style.
pub const ALIPAY_APP_ID: &str = "2026000000000001";
/// The platform's app at the channel, WeChat style.
pub const WECHAT_APP_ID: &str = "wx2026000000000001";

/// How far a signed call's or notification's time stamp may be from the reader's clock, in seconds.
pub const CLOCK_SKEW_S: u64 = 300;

/// WeChat style: `GET` this to ask for an order.
#[must_use]
pub fn query_path(out_trade_no: &str, mchid: &str) -> String {
    let mut path = String::with_capacity(BY_NUMBER.len() + out_trade_no.len() + mchid.len() + 8);
    path.push_str(BY_NUMBER);
    sorted::push_encoded(&mut path, out_trade_no);
    path.push_str("?mchid=");
    sorted::push_encoded(&mut path, mchid);
    path
}

/// WeChat style: `POST` this to close an order.
#[must_use]
pub fn close_path(out_trade_no: &str) -> String {
    let mut path = String::with_capacity(BY_NUMBER.len() + out_trade_no.len() + 6);
    path.push_str(BY_NUMBER);
    sorted::push_encoded(&mut path, out_trade_no);
    path.push_str("/close");
    path
}

/// Whether a time stamp is close enough to the reader's clock.
#[must_use]
pub const fn is_recent(timestamp_s: u64, now_s: u64) -> bool {
    timestamp_s.abs_diff(now_s) <= CLOCK_SKEW_S
}

/// Whether notifications can go to this address: `http://HOST/PATH`, as long as an address may be.
#[must_use]
pub fn is_http_url(text: &str) -> bool {
    const LONGEST: usize = 256;
    let uri = text.parse::<http::Uri>();
    text.len() <= LONGEST && uri.is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
}

/// A number of seconds in the one spelling that is taken.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

/// Line feeds and quotes separate what is signed, so a nonce must not bring any.
pub(crate) fn is_nonce(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
