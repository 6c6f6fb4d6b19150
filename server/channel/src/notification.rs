//! Paid notifications: how each style writes and signs one, and how the server's side checks it.
//!
//! WeChat style: a JSON body, signed over `timestamp\nnonce\nbody\n`; all but the body travels beside it, in headers.
//! Alipay style: a form whose fields are sorted, signed over all but `sign` and `sign_type`; everything is in the form, and
//! the members beside it only repeat it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use payrig_api::{ChannelStyle, Currency};
use serde::{Deserialize, Serialize};

use crate::dice::{Cast, Dice};
use crate::json::push_hex;
use crate::order::Paid;
use crate::sign::{Checker, SignatureError, Signer};
use crate::wire::authorization::answer_message;
use crate::wire::is_nonce;

mod form;

/// A signed notification, as it travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notification {
    /// How it is written and signed.
    pub style: ChannelStyle,
    /// When it was sent, in seconds since the Unix epoch.
    pub timestamp_s: u64,
    /// Never the same twice.
    pub nonce: String,
    /// Names the key that signed it.
    pub serial: String,
    /// The signature.
    pub signature: String,
    /// What was signed, to the byte.
    pub body: Vec<u8>,
}

/// What a notification says, once its signature was believed. Whether it is recent and new is the receiver's to judge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaidNotice {
    /// The server's number of the payment.
    pub out_trade_no: String,
    /// Who was paid.
    pub merchant: String,
    /// What was paid.
    pub paid: Paid,
    /// When it was sent, in seconds since the Unix epoch; signed.
    pub timestamp_s: u64,
    /// Never the same twice; signed.
    pub nonce: String,
    /// The same for every repeat of this notification; signed.
    pub notify_id: String,
}

/// Checks notifications and answers with the channel's keys, of which there may be several while one takes another's
/// place; cheap to clone.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Arc<[Checker]>,
}

/// Writes and signs notifications.
pub(crate) struct Sealer {
    signer: ArcSwap<Signer>,
    /// Behind the ids of notifications, which stay the same whoever sends them again.
    seed: u64,
    /// Behind nonces. Not the ids' seed where a program sends: a restart within the same second would repeat a nonce.
    nonces: u64,
}

/// The news of one payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct News {
    pub(crate) style: ChannelStyle,
    pub(crate) out_trade_no: String,
    pub(crate) merchant: String,
    pub(crate) paid: Paid,
    /// Where they go, over HTTP.
    pub(crate) notify_url: Option<String>,
}

/// What a notification says about its payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// The truth.
    Genuine,
    /// That it is closed.
    Closed,
    /// That another amount was paid.
    OtherAmount,
    /// That it was paid by another transaction.
    OtherTransaction,
}

const TRANSACTION_SUCCESS: &str = "TRANSACTION.SUCCESS";
const TRANSACTION_CLOSED: &str = "TRANSACTION.CLOSED";
const SUCCESS: &str = "SUCCESS";
const CLOSED: &str = "CLOSED";

/// The WeChat-style body. The real one encrypts the resource; here it is in the clear.
#[derive(Serialize, Deserialize)]
struct WechatBody<'a> {
    id: String,
    event_type: &'a str,
    #[serde(borrow)]
    resource: WechatResource<'a>,
}

#[derive(Serialize, Deserialize)]
struct WechatResource<'a> {
    mchid: String,
    out_trade_no: String,
    transaction_id: String,
    trade_state: &'a str,
    success_time_us: u64,
    amount: WechatAmount,
}

#[derive(Serialize, Deserialize)]
struct WechatAmount {
    total: u64,
    currency: Currency,
}

// === impl Sealer ===

impl Sealer {
    /// Ids are functions of `seed`, nonces of `nonces`.
    pub(crate) fn new(signer: Signer, seed: u64, nonces: u64) -> Self {
        Self { signer: ArcSwap::from_pointee(signer), seed, nonces }
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier::new([self.signer.load().checker().clone()])
    }

    /// Signs with this key from now on.
    pub(crate) fn set_signer(&self, signer: Signer) {
        self.signer.store(Arc::new(signer));
    }

    /// The key that signs now.
    pub(crate) fn signer(&self) -> Arc<Signer> {
        self.signer.load_full()
    }

    /// The notification of `news`, sent at this second; `sending` counts its sendings from 0.
    pub(crate) fn seal(&self, news: &News, claim: Claim, timestamp_s: u64, sending: u32) -> Notification {
        let signer = self.signer.load();
        let hex = |seed, cast, number| {
            let mut text = String::with_capacity(32);
            push_hex(&mut text, &Dice::cast(seed, &news.out_trade_no, cast, number).bytes());
            text
        };
        // Repeats within one second are told apart; the first sending's nonce is a function of its second alone.
        let contradicts = u64::from(claim != Claim::Genuine);
        let nonce = hex(self.nonces, Cast::Nonce, timestamp_s | u64::from(sending) << 40 | contradicts << 63);
        let notify_id = hex(self.seed, Cast::NotifyId, contradicts);
        let claimed = claimed(news, claim);
        let (body, signature) = match news.style {
            ChannelStyle::Alipay => form::write(&claimed, timestamp_s, &nonce, &notify_id, &signer),
            ChannelStyle::Wechat => {
                let body = wechat_body(&claimed, notify_id);
                let mut signature = String::with_capacity(350);
                signer.sign_into(&answer_message(&timestamp_s.to_string(), &nonce, &body), &mut signature);
                (body, signature)
            }
        };
        Notification { style: news.style, timestamp_s, nonce, serial: signer.serial().to_owned(), signature, body }
    }
}

/// What a notification says: the news, or something else.
pub(crate) struct Claimed<'a> {
    news: &'a News,
    is_closed: bool,
    amount_minor: u64,
    transaction_id: std::borrow::Cow<'a, str>,
}

fn claimed(news: &News, claim: Claim) -> Claimed<'_> {
    let truth = Claimed {
        news,
        is_closed: false,
        amount_minor: news.paid.amount_minor,
        transaction_id: news.paid.transaction_id.as_str().into(),
    };
    match claim {
        Claim::Genuine => truth,
        Claim::Closed => Claimed { is_closed: true, ..truth },
        Claim::OtherAmount => Claimed { amount_minor: news.paid.amount_minor.saturating_add(1), ..truth },
        Claim::OtherTransaction => {
            Claimed { transaction_id: news.paid.transaction_id.chars().rev().collect::<String>().into(), ..truth }
        }
    }
}

fn wechat_body(claimed: &Claimed<'_>, id: String) -> Vec<u8> {
    let Claimed { news, is_closed, amount_minor, transaction_id } = claimed;
    let body = WechatBody {
        id,
        event_type: if *is_closed { TRANSACTION_CLOSED } else { TRANSACTION_SUCCESS },
        resource: WechatResource {
            mchid: news.merchant.clone(),
            out_trade_no: news.out_trade_no.clone(),
            transaction_id: transaction_id.clone().into_owned(),
            trade_state: if *is_closed { CLOSED } else { SUCCESS },
            success_time_us: news.paid.paid_at_us,
            amount: WechatAmount { total: *amount_minor, currency: news.paid.currency },
        },
    };
    serde_json::to_vec(&body).expect("texts and integers can always be written as JSON")
}

// === impl Verifier ===

impl Verifier {
    /// Checks with these keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = Checker>) -> Self {
        Self { keys: keys.into_iter().collect() }
    }

    /// Whether a key of this serial is known.
    #[must_use]
    pub fn knows(&self, serial: &str) -> bool {
        self.key(serial).is_ok()
    }

    pub(crate) fn key(&self, serial: &str) -> Result<&Checker, SignatureError> {
        self.keys.iter().find(|key| key.serial() == serial).ok_or(SignatureError::UnknownSerial)
    }

    /// Checks a notification over its raw bytes and reads it.
    ///
    /// # Errors
    /// [`SignatureError`]: nothing of the notification may be believed.
    pub fn verify(&self, notification: &Notification) -> Result<PaidNotice, SignatureError> {
        let checker = self.key(&notification.serial)?;
        // Line feeds separate the signed parts, so a nonce must not bring any.
        if !is_nonce(&notification.nonce) {
            return Err(SignatureError::Malformed("the nonce"));
        }
        match notification.style {
            ChannelStyle::Alipay => form::read(notification, checker),
            ChannelStyle::Wechat => read_wechat(notification, checker),
        }
    }
}

fn read_wechat(notification: &Notification, checker: &Checker) -> Result<PaidNotice, SignatureError> {
    let timestamp = notification.timestamp_s.to_string();
    let message = answer_message(&timestamp, &notification.nonce, &notification.body);
    checker.check(&message, &notification.signature)?;
    let body: WechatBody<'_> =
        serde_json::from_slice(&notification.body).map_err(|_| SignatureError::Malformed("the body"))?;
    if body.event_type != TRANSACTION_SUCCESS || body.resource.trade_state != SUCCESS {
        return Err(SignatureError::Malformed("no news of a payment"));
    }
    let resource = body.resource;
    Ok(PaidNotice {
        out_trade_no: resource.out_trade_no,
        merchant: resource.mchid,
        paid: Paid {
            transaction_id: resource.transaction_id,
            paid_at_us: resource.success_time_us,
            amount_minor: resource.amount.total,
            currency: resource.amount.currency,
        },
        timestamp_s: notification.timestamp_s,
        nonce: notification.nonce.clone(),
        notify_id: body.id,
    })
}
