//! WeChat style: prepay, query, close and refund, each call and each answer signed.

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, StatusCode};
use payrig_api::ChannelStyle;

use super::answer::{Answer, Lost, add_header, answer, slowed, to_json};
use super::route::{App, number_of, unsigned};
use crate::error::ChannelError;
use crate::metrics;
use crate::order::{CloseAnswer, Order, Whose, Wish};
use crate::wire::authorization::{Call, answer_headers, check_call};
use crate::wire::sorted::decoded;
use crate::wire::wechat::{
    CloseCall, ErrorBody, PrepayAnswer, PrepayCall, QueryAnswer, RefundAnswer, RefundCall, code,
};
use crate::wire::{BY_NUMBER, is_http_url};

/// What a call is answered with before it is signed, and which order it was about.
struct Reply {
    status: StatusCode,
    body: Vec<u8>,
}

/// Why there is no answer but an error, or none at all.
enum Failed {
    Call(ChannelError),
    Read(&'static str),
}

impl From<ChannelError> for Failed {
    fn from(error: ChannelError) -> Self {
        Self::Call(error)
    }
}

/// One signed call.
pub(super) async fn call(app: &App, kind: metrics::Call, head: &Parts, body: &[u8]) -> Result<Answer, Lost> {
    let clock_s = app.channel.inner().clock.now_s();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let signed = Call { method: head.method.as_str(), target, body };
    let header = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let merchant = app.channel.inner().merchant.load();
    let nonce = match header(AUTHORIZATION) {
        Some(value) => check_call(value, &signed, &merchant, clock_s),
        None => Err(crate::SignatureError::Malformed("no Authorization")),
    };
    let nonce = match nonce {
        Ok(nonce) => nonce,
        Err(error) => {
            app.metrics.refused_calls.inc();
            // Anybody can send such a call, as often as he likes: the count tells, and the log only whoever asks for it.
            tracing::debug!(%error, target, "a call was not believed");
            return Ok(unsigned(StatusCode::UNAUTHORIZED, code::SIGN_ERROR, "the call is not signed by the platform"));
        }
    };
    let number = number_of(nonce);
    let mut about = String::new();
    let result = match kind {
        metrics::Call::Prepay => prepay(app, body, &mut about).await,
        metrics::Call::Query => query(app, head, number, &mut about).await,
        metrics::Call::Close => close(app, head, body, number, &mut about).await,
        _ => refund(app, body, number, &mut about).await,
    };
    let reply = match result {
        Ok(reply) => reply,
        Err(Failed::Read(what)) => failure(StatusCode::BAD_REQUEST, code::PARAM_ERROR, what),
        Err(Failed::Call(error)) => refused(&error)?,
    };
    let signed = sign(app, reply);
    Ok(match app.channel.slow_body(&about, number) {
        Some(over) => slowed(signed, over).await,
        None => signed,
    })
}

async fn prepay(app: &App, body: &[u8], about: &mut String) -> Result<Reply, Failed> {
    let call: PrepayCall<'_> = serde_json::from_slice(body).map_err(|_| Failed::Read("the body of a prepay"))?;
    if call.amount.total == 0 || call.amount.total > payrig_api::MAX_AMOUNT_MINOR {
        return Err(Failed::Read("amount.total"));
    }
    if !is_http_url(&call.notify_url) {
        return Err(Failed::Read("notify_url: http://HOST/PATH"));
    }
    about.push_str(&call.out_trade_no);
    let order = Order {
        out_trade_no: &call.out_trade_no,
        merchant: &call.mchid,
        order_no: &call.order_no,
        amount_minor: call.amount.total,
        currency: call.amount.currency,
        style: ChannelStyle::Wechat,
    };
    let wish = Wish { attempt: call.attempt, simulate: call.simulate };
    let prepay_id = app.channel.prepay_notified(&order, &call.notify_url, &wish).await?;
    Ok(Reply { status: StatusCode::OK, body: to_json(&PrepayAnswer { prepay_id: prepay_id.to_string() }) })
}

async fn query(app: &App, head: &Parts, number: u64, about: &mut String) -> Result<Reply, Failed> {
    *about = out_trade_no(head, "")?;
    let mchid = head.uri.query().and_then(|query| query.strip_prefix("mchid="));
    let mchid = mchid.and_then(decoded).ok_or(Failed::Read("mchid"))?;
    let state = app.channel.query_of(Whose::of(&mchid), about, number).await?;
    Ok(match QueryAnswer::new(about, state) {
        Some(found) => Reply { status: StatusCode::OK, body: to_json(&found) },
        None => failure(StatusCode::NOT_FOUND, code::ORDER_NOT_EXIST, "no such order"),
    })
}

async fn close(app: &App, head: &Parts, body: &[u8], number: u64, about: &mut String) -> Result<Reply, Failed> {
    *about = out_trade_no(head, "/close")?;
    let call: CloseCall<'_> = serde_json::from_slice(body).map_err(|_| Failed::Read("the body of a close"))?;
    Ok(match app.channel.close_of(Whose::of(&call.mchid), about, number).await? {
        CloseAnswer::Closed => Reply { status: StatusCode::NO_CONTENT, body: Vec::new() },
        CloseAnswer::AlreadyPaid(_) => failure(StatusCode::BAD_REQUEST, code::ORDERPAID, "the order is paid"),
    })
}

async fn refund(app: &App, body: &[u8], number: u64, about: &mut String) -> Result<Reply, Failed> {
    let call: RefundCall<'_> = serde_json::from_slice(body).map_err(|_| Failed::Read("the body of a refund"))?;
    about.push_str(&call.out_trade_no);
    let whose = Whose { currency: Some(call.amount.currency), ..Whose::of(&call.mchid) };
    app.channel.refund_of(whose, about, call.amount.refund, number).await?;
    let answer = RefundAnswer {
        out_trade_no: about.clone(),
        out_refund_no: call.out_refund_no.into_owned(),
        status: "SUCCESS".to_owned(),
    };
    Ok(Reply { status: StatusCode::OK, body: to_json(&answer) })
}

fn out_trade_no(head: &Parts, after: &str) -> Result<String, Failed> {
    let path = head.uri.path();
    let number = path.strip_prefix(BY_NUMBER).and_then(|rest| rest.strip_suffix(after));
    number.and_then(decoded).ok_or(Failed::Read("out_trade_no"))
}

fn failure(status: StatusCode, code: &str, message: &str) -> Reply {
    let body = ErrorBody { code: code.to_owned(), message: message.to_owned() };
    Reply { status, body: to_json(&body) }
}

/// The status of a code as published, or of its kind.
fn refused(error: &ChannelError) -> Result<Reply, Lost> {
    match error {
        ChannelError::Transient { code: "FREQUENCY_LIMITED", why } => {
            Ok(failure(StatusCode::TOO_MANY_REQUESTS, "FREQUENCY_LIMITED", why))
        }
        ChannelError::Transient { code, why } => {
            let down = *why == crate::faults::DOWN;
            let status = if down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
            Ok(failure(status, code, why))
        }
        ChannelError::Permanent { code, why } => {
            let status = match *code {
                code::ORDER_NOT_EXIST => StatusCode::NOT_FOUND,
                code::PARAM_ERROR | "INVALID_REQUEST" | "ORDER_CLOSED" => StatusCode::BAD_REQUEST,
                _ => StatusCode::FORBIDDEN,
            };
            Ok(failure(status, code, why))
        }
        ChannelError::NoAnswer => Err(Lost),
        ChannelError::Broken(error) => {
            tracing::error!(%error, "the ledger failed");
            Ok(failure(StatusCode::INTERNAL_SERVER_ERROR, code::SYSTEM_ERROR, "the ledger failed"))
        }
    }
}

fn sign(app: &App, reply: Reply) -> Answer {
    let inner = app.channel.inner();
    let headers = answer_headers(&inner.sealer.signer(), &reply.body, inner.clock.now_s(), &random_nonce());
    let mut signed = answer(reply.status, "application/json", reply.body);
    for (name, value) in &headers {
        add_header(&mut signed, name, value);
    }
    signed
}

fn random_nonce() -> String {
    let mut nonce = String::with_capacity(32);
    crate::json::push_hex(&mut nonce, &rand::random::<[u8; 16]>());
    nonce
}
