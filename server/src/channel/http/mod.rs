//! The payment channel as a program of its own, over HTTP: calls in either style, behind a circuit breaker, and the
//! notifications that it sends.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, Uri, uri::Authority};
use payrig_api::ChannelStyle;
use payrig_channel::{Notification, PrepayId, SignatureError, keys::KeysError, wire};

use super::{
    Attempt, ChannelError, CloseAnswer, PaidNotice, PaymentChannel, Trade, TradeState,
    convert::{self, failed, order, wish},
};
use crate::{clock::Clock, metrics::Metrics, model::RoundId};

mod alipay;
pub mod breaker;
mod client;
mod keys;
mod nonces;
mod wechat;

use breaker::{Breaker, Position};
use client::Client;
pub use client::Limits;
use keys::KeyRing;
use nonces::Nonces;

/// How the channel is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Its host and port.
    pub address: Authority,
    /// The folder of both sides' keys.
    pub keys: PathBuf,
    /// Where this server is reached from the channel: `http://HOST:PORT`.
    pub public_url: String,
    /// Bounds of calls.
    pub limits: Limits,
}

/// The third party, over HTTP.
#[derive(Clone)]
pub struct HttpChannel {
    link: Arc<Link>,
}

/// What calls and notifications need.
struct Link {
    address: Authority,
    notify_wechat: String,
    client: Client,
    keys: KeyRing,
    nonces: Nonces,
    clock: Clock,
    refusal_logged_s: AtomicU64,
}

/// How the link stands, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Where the breaker stands.
    pub breaker: Position,
    /// How often it opened.
    pub opened: u64,
    /// Nonces of notifications that are remembered.
    pub nonces: usize,
    /// How often there were too many of them.
    pub nonces_crowded: u64,
}

/// Why a notification is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadNotification {
    /// It is not signed, or not by the channel.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Its time stamp is too far from now.
    #[error("its time stamp is more than {} s from now", wire::CLOCK_SKEW_S)]
    NotOfNow,
    /// Its nonce came before.
    #[error("its nonce came before")]
    Replayed,
    /// Its number is no payment's.
    #[error("its number is no payment's")]
    NotAPayment,
}

impl BadNotification {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signature(SignatureError::UnknownSerial) => "unknown_serial",
            Self::Signature(SignatureError::Malformed(_)) => "malformed",
            Self::Signature(_) => "bad_signature",
            Self::NotOfNow => "not_of_now",
            Self::Replayed => "replayed",
            Self::NotAPayment => "no_payment_number",
        }
    }
}

/// A notification that is believed, with what has to be forgotten if it cannot be stored.
#[derive(Debug)]
pub struct Believed {
    /// What it says.
    pub notice: PaidNotice,
    nonce: String,
}

impl HttpChannel {
    /// A channel at this address, with the keys of this folder. Nothing is asked of it yet.
    ///
    /// # Errors
    /// Where the keys cannot be read.
    pub fn open(settings: Settings, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, KeysError> {
        let Settings { address, keys, public_url, limits } = settings;
        let notify = |style| format!("{public_url}/v1/notify/{style}");
        let cashier_url = format!("http://{address}{}", wire::CASHIER);
        let keys = KeyRing::open(keys, cashier_url, notify("alipay"), clock)?;
        let client = Client::new(limits, Breaker::new(breaker::Limits::default()), clock, metrics);
        // A time stamp may be as far ahead as it may be behind: it is believed for so long.
        let nonces = Nonces::new(2 * wire::CLOCK_SKEW_S * 1_000_000);
        let link = Link {
            address,
            notify_wechat: notify("wechat"),
            client,
            keys,
            nonces,
            clock,
            refusal_logged_s: AtomicU64::new(0),
        };
        Ok(Self { link: Arc::new(link) })
    }

    /// Whether a refusal may be written to the log now: one a second, since anybody may send what is refused.
    pub fn may_log_refusal(&self) -> bool {
        let now_s = self.link.clock.now_us() / 1_000_000;
        self.link.refusal_logged_s.swap(now_s, Ordering::Relaxed) != now_s
    }

    /// How many calls the sweeper may have under way.
    #[must_use]
    pub fn share(&self) -> usize {
        self.link.client.share()
    }

    /// Reads the keys again.
    ///
    /// # Errors
    /// Where they cannot be read; those of before stay.
    pub fn reload_keys(&self) -> Result<(), KeysError> {
        self.link.keys.reload()
    }

    /// Checks a notification over its raw bytes: signature, time stamp, and that its nonce is new. A repeat of the channel
    /// has a nonce and a time stamp of its own.
    ///
    /// # Errors
    /// See [`BadNotification`]: nothing of it may be believed.
    pub fn believe(&self, style: ChannelStyle, headers: &HeaderMap, body: &[u8]) -> Result<Believed, BadNotification> {
        let notification = Notification::from_http(style, |name| one_header(headers, name), body.to_vec())?;
        let said = self.link.keys.checked(|verifier| verifier.verify(&notification))?;
        if !wire::is_recent(said.timestamp_s, Link::now_s()) {
            return Err(BadNotification::NotOfNow);
        }
        let payment_no = RoundId::from_payment_no(&said.out_trade_no).map_err(|_| BadNotification::NotAPayment)?;
        // Last, so that only what the channel has signed takes room.
        if !self.link.nonces.is_new(&said.nonce, self.link.clock.now_us()) {
            return Err(BadNotification::Replayed);
        }
        let notice = PaidNotice { payment_no, merchant: Some(said.merchant.into()), paid: convert::paid(said.paid) };
        Ok(Believed { notice, nonce: said.nonce })
    }

    /// The notification could not be stored, and may come again as it is.
    pub fn forget(&self, believed: &Believed) {
        self.link.nonces.forget(&believed.nonce);
    }

    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (breaker, opened) = self.link.client.breaker();
        let (nonces, nonces_crowded) = self.link.nonces.stats();
        Stats { breaker, opened, nonces, nonces_crowded }
    }
}

impl PaymentChannel for HttpChannel {
    fn rests_for(&self) -> Option<Duration> {
        self.link.client.rests_for()
    }

    async fn prepay(&self, attempt: Attempt<'_>) -> Result<String, ChannelError> {
        wechat::prepay(&self.link, attempt).await
    }

    fn pay_params(&self, attempt: Attempt<'_>, prepay_id: Option<String>) -> Result<String, ChannelError> {
        let out_trade_no = attempt.round.payment_no();
        let prepay_id = prepay_id.map(PrepayId::from);
        let keys = self.link.keys.now();
        let params = keys.params.pay_params(&order(attempt, &out_trade_no), prepay_id.as_ref(), &wish(attempt));
        params.map_err(|error| failed(&error))
    }

    async fn query(&self, trade: Trade<'_>) -> Result<TradeState, ChannelError> {
        match trade.style {
            ChannelStyle::Alipay => alipay::query(&self.link, trade).await,
            ChannelStyle::Wechat => wechat::query(&self.link, trade).await,
        }
    }

    async fn close(&self, trade: Trade<'_>) -> Result<CloseAnswer, ChannelError> {
        match trade.style {
            ChannelStyle::Alipay => alipay::close(&self.link, trade).await,
            ChannelStyle::Wechat => wechat::close(&self.link, trade).await,
        }
    }

    async fn refund(&self, trade: Trade<'_>, amount_minor: u64) -> Result<(), ChannelError> {
        match trade.style {
            ChannelStyle::Alipay => alipay::refund(&self.link, trade, amount_minor).await,
            ChannelStyle::Wechat => wechat::refund(&self.link, trade, amount_minor).await,
        }
    }
}

impl Link {
    /// Seconds since the epoch by the machine's clock as it is now: what is signed is judged by somebody else's clock, so
    /// that this one has to follow where it is set.
    fn now_s() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// The target at the channel's address; a target that is none is the root, which answers nothing of use.
    fn uri(&self, target: &str) -> Uri {
        let uri = Uri::builder().scheme("http").authority(self.address.clone()).path_and_query(target);
        uri.build().unwrap_or_default()
    }
}

/// The header's value, if there is exactly one that is text.
fn one_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// 32 digits that nobody can guess.
fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}
