//! Paid notifications: how each style writes and signs one, and how the server's side checks it.
//!
//! WeChat style: a JSON body, signed over `timestamp\nnonce\nbody\n`; all but the body travels beside it, in headers.
//! Alipay style: a form whose fields are sorted, signed over all but `sign` and `sign_type`; everything is in the form, and
//! the members beside it only repeat it.

use std::sync::Arc;

use payrig_api::{ChannelStyle, Currency};
use serde::{Deserialize, Serialize};

use crate::dice::{Cast, Dice};
use crate::json::push_hex;
use crate::order::Paid;
use crate::sign::{SignatureError, Signer};

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
}

/// Checks notifications with the channel's keys; cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    keys: Arc<[Signer]>,
}

/// Writes and signs notifications.
pub(crate) struct Sealer {
    signer: Signer,
    seed: u64,
}

/// The news of one payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct News {
    pub(crate) style: ChannelStyle,
    pub(crate) out_trade_no: String,
    pub(crate) merchant: String,
    pub(crate) paid: Paid,
}

const TRANSACTION_SUCCESS: &str = "TRANSACTION.SUCCESS";
const SUCCESS: &str = "SUCCESS";

/// The WeChat-style body. The real one encrypts the resource; here it is in the clear.
#[derive(Serialize, Deserialize)]
struct WechatBody<'a> {
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
    pub(crate) const fn new(signer: Signer, seed: u64) -> Self {
        Self { signer, seed }
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier { keys: Arc::from([self.signer.clone()]) }
    }

    /// The notification of `news`, sent at this second.
    pub(crate) fn seal(&self, news: &News, timestamp_s: u64) -> Notification {
        let mut nonce = String::with_capacity(32);
        push_hex(&mut nonce, &Dice::cast(self.seed, &news.out_trade_no, Cast::Nonce, timestamp_s).bytes());
        let mut signature = String::with_capacity(64);
        let body = match news.style {
            ChannelStyle::Alipay => form::write(news, timestamp_s, &nonce, &self.signer, &mut signature),
            ChannelStyle::Wechat => {
                let body = wechat_body(news);
                self.signer.sign_into(&wechat_message(&timestamp_s.to_string(), &nonce, &body), &mut signature);
                body
            }
        };
        Notification { style: news.style, timestamp_s, nonce, serial: self.signer.serial().to_owned(), signature, body }
    }
}

fn wechat_body(news: &News) -> Vec<u8> {
    let body = WechatBody {
        event_type: TRANSACTION_SUCCESS,
        resource: WechatResource {
            mchid: news.merchant.clone(),
            out_trade_no: news.out_trade_no.clone(),
            transaction_id: news.paid.transaction_id.clone(),
            trade_state: SUCCESS,
            success_time_us: news.paid.paid_at_us,
            amount: WechatAmount { total: news.paid.amount_minor, currency: news.paid.currency },
        },
    };
    serde_json::to_vec(&body).expect("texts and integers can always be written as JSON")
}

fn wechat_message<'a>(timestamp: &'a str, nonce: &'a str, body: &'a [u8]) -> [&'a [u8]; 6] {
    [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"]
}

// === impl Verifier ===

impl Verifier {
    /// Checks a notification over its raw bytes and reads it.
    ///
    /// # Errors
    /// [`SignatureError`]: nothing of the notification may be believed.
    pub fn verify(&self, notification: &Notification) -> Result<PaidNotice, SignatureError> {
        let signer =
            self.keys.iter().find(|key| key.serial() == notification.serial).ok_or(SignatureError::UnknownSerial)?;
        // Line feeds separate the signed parts, so a nonce must not bring any.
        if notification.nonce.is_empty() || !notification.nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(SignatureError::Malformed("the nonce"));
        }
        match notification.style {
            ChannelStyle::Alipay => form::read(notification, signer),
            ChannelStyle::Wechat => read_wechat(notification, signer),
        }
    }
}

fn read_wechat(notification: &Notification, signer: &Signer) -> Result<PaidNotice, SignatureError> {
    let timestamp = notification.timestamp_s.to_string();
    let message = wechat_message(&timestamp, &notification.nonce, &notification.body);
    signer.check(&message, &notification.signature)?;
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
    })
}
