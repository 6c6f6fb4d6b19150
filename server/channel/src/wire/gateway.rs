//! Alipay style: calls of the one gateway, and its answers.

use payrig_api::Currency;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::sorted::{Fields, write};
use super::{ALIPAY_APP_ID, is_nonce, is_recent};
use crate::notification::Verifier;
use crate::order::{Paid, TradeState};
use crate::sign::{Checker, SignatureError, Signer};

/// What is asked of the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `alipay.trade.query`.
    Query,
    /// `alipay.trade.close`.
    Close,
    /// `alipay.trade.refund`.
    Refund,
}

impl Method {
    const ALL: [Self; 3] = [Self::Query, Self::Close, Self::Refund];

    /// The name as it stands in the call.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query => "alipay.trade.query",
            Self::Close => "alipay.trade.close",
            Self::Refund => "alipay.trade.refund",
        }
    }

    /// The name of the answer's member.
    #[must_use]
    pub const fn answer(self) -> &'static str {
        match self {
            Self::Query => "alipay_trade_query_response",
            Self::Close => "alipay_trade_close_response",
            Self::Refund => "alipay_trade_refund_response",
        }
    }
}

/// What a call is about: the JSON of `biz_content`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BizContent {
    /// The server's number of the payment.
    pub out_trade_no: String,
    /// Who is paid.
    pub merchant: String,
    /// What is given back, in minor units; of a refund only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_amount_minor: Option<u64>,
}

/// A call that was believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatewayCall {
    /// What is asked.
    pub method: Method,
    /// About what.
    pub biz: BizContent,
    /// Never the same twice.
    pub nonce: String,
}

/// The form of a call, signed by the platform at this second; its type is `application/x-www-form-urlencoded`. The nonce
/// has 1 to 64 letters and digits and is never the same twice.
#[must_use]
pub fn write_call(signer: &Signer, method: Method, biz: &BizContent, now_s: u64, nonce: &str) -> String {
    let biz = serde_json::to_string(biz).expect("texts and integers can always be written as JSON");
    let fields = [
        ("app_id", ALIPAY_APP_ID),
        ("biz_content", &biz),
        ("cert_serial", signer.serial()),
        ("method", method.name()),
        ("nonce", nonce),
        ("sign_type", signer.algorithm().name()),
        ("timestamp", &now_s.to_string()),
    ];
    write(&fields, &[], signer).0
}

/// Checks and reads a call's form.
///
/// # Errors
/// [`SignatureError`]: the call is not the platform's, or not of now, or no call at all.
pub fn read_call(body: &[u8], checker: &Checker, now_s: u64) -> Result<GatewayCall, SignatureError> {
    let form = Fields::read(body)?;
    if form.text("cert_serial")? != checker.serial() {
        return Err(SignatureError::UnknownSerial);
    }
    if form.text("sign_type")? != checker.algorithm().name() {
        return Err(SignatureError::Malformed("sign_type"));
    }
    form.check(&[], checker)?;
    if form.text("app_id")? != ALIPAY_APP_ID {
        return Err(SignatureError::Malformed("app_id"));
    }
    if !is_recent(form.number("timestamp")?, now_s) {
        return Err(SignatureError::Malformed("the time stamp is not of now"));
    }
    let nonce = form.text("nonce")?;
    if !is_nonce(&nonce) {
        return Err(SignatureError::Malformed("the nonce"));
    }
    let name = form.text("method")?;
    let method = Method::ALL.into_iter().find(|method| method.name() == name);
    let method = method.ok_or(SignatureError::Malformed("method"))?;
    let biz = serde_json::from_str(&form.text("biz_content")?);
    Ok(GatewayCall { method, biz: biz.map_err(|_| SignatureError::Malformed("biz_content"))?, nonce })
}

/// Code of an answer: done.
pub const OK: &str = "10000";
/// Code of an answer: not now; the same call may succeed later.
pub const UNAVAILABLE: &str = "20000";
/// Code of an answer: the call is not signed by the platform, or cannot be read.
pub const BAD_CALL: &str = "40002";
/// Code of an answer: refused, and a repeat will not change that.
pub const REFUSED: &str = "40004";
/// Sub-code of [`REFUSED`]: query or refund of an order that is not there.
pub const TRADE_NOT_EXIST: &str = "ACQ.TRADE_NOT_EXIST";
/// Sub-code of [`REFUSED`]: close of an order that is paid; the answer says how.
pub const TRADE_HAS_SUCCESS: &str = "ACQ.TRADE_HAS_SUCCESS";

/// Where an order stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TradeStatus {
    /// Neither paid nor closed.
    WaitBuyerPay,
    /// Paid.
    TradeSuccess,
    /// It can never be paid.
    TradeClosed,
}

/// What the gateway answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GatewayAnswer {
    /// [`OK`], [`UNAVAILABLE`], [`BAD_CALL`] or [`REFUSED`].
    pub code: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg: Option<String>,
    /// Why, of what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_code: Option<String>,
    /// Which order: whoever asked compares it. Absent where the call could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_trade_no: Option<String>,
    /// Where the order stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trade_status: Option<TradeStatus>,
    /// The channel's number, of a paid one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trade_no: Option<String>,
    /// What was paid, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<u64>,
    /// ISO 4217 currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// When it was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gmt_payment_us: Option<u64>,
}

impl GatewayAnswer {
    /// An answer with a code and nothing else.
    #[must_use]
    pub fn plain(code: &str, out_trade_no: Option<&str>) -> Self {
        Self {
            code: code.to_owned(),
            msg: None,
            sub_code: None,
            out_trade_no: out_trade_no.map(str::to_owned),
            trade_status: None,
            trade_no: None,
            amount_minor: None,
            currency: None,
            gmt_payment_us: None,
        }
    }

    /// The same, with the facts of a payment.
    #[must_use]
    pub fn with_paid(self, paid: Paid) -> Self {
        Self {
            trade_status: Some(TradeStatus::TradeSuccess),
            trade_no: Some(paid.transaction_id),
            amount_minor: Some(paid.amount_minor),
            currency: Some(paid.currency),
            gmt_payment_us: Some(paid.paid_at_us),
            ..self
        }
    }

    /// The facts of a payment, if it brings them all.
    #[must_use]
    pub fn paid(&self) -> Option<Paid> {
        Some(Paid {
            transaction_id: self.trade_no.clone()?,
            paid_at_us: self.gmt_payment_us?,
            amount_minor: self.amount_minor?,
            currency: self.currency?,
        })
    }

    /// What the answer to a query says: none if it is no whole answer about an order.
    #[must_use]
    pub fn state(&self) -> Option<TradeState> {
        if self.code == REFUSED && self.sub_code.as_deref() == Some(TRADE_NOT_EXIST) {
            return Some(TradeState::Unknown);
        }
        if self.code != OK {
            return None;
        }
        match self.trade_status? {
            TradeStatus::WaitBuyerPay => Some(TradeState::AwaitingPayer),
            TradeStatus::TradeClosed => Some(TradeState::Closed),
            TradeStatus::TradeSuccess => self.paid().map(TradeState::Paid),
        }
    }
}

/// The whole answer as it is sent: the object, the key's serial and the signature over the object's text.
#[must_use]
pub fn write_answer(signer: &Signer, method: Method, answer: &GatewayAnswer) -> String {
    let object = serde_json::to_string(answer).expect("texts and integers can always be written as JSON");
    let mut signature = String::with_capacity(350);
    signer.sign_into(&[object.as_bytes()], &mut signature);
    format!(r#"{{"{}":{object},"cert_serial":"{}","sign":"{signature}"}}"#, method.answer(), signer.serial())
}

/// Checks and reads an answer over its raw text.
///
/// # Errors
/// [`SignatureError`]: nothing of the answer may be believed. An answer about another order than was asked for is the
/// caller's to find, by [`GatewayAnswer::out_trade_no`].
pub fn read_answer(verifier: &Verifier, method: Method, body: &[u8]) -> Result<GatewayAnswer, SignatureError> {
    #[derive(Deserialize)]
    struct Signed<'a> {
        #[serde(
            borrow,
            alias = "alipay_trade_query_response",
            alias = "alipay_trade_close_response",
            alias = "alipay_trade_refund_response"
        )]
        object: &'a RawValue,
        cert_serial: &'a str,
        sign: &'a str,
    }
    let malformed = |_| SignatureError::Malformed("the answer");
    let signed: Signed<'_> = serde_json::from_slice(body).map_err(malformed)?;
    let expected = method.answer();
    if body.get(2..2 + expected.len()) != Some(expected.as_bytes()) {
        return Err(SignatureError::Malformed("the answer to another call"));
    }
    let object = signed.object.get();
    verifier.key(signed.cert_serial)?.check(&[object.as_bytes()], signed.sign)?;
    serde_json::from_str(object).map_err(malformed)
}
