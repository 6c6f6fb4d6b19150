//! `WeChat` style: JSON calls, each signed in its `Authorization`, and JSON answers, each signed in its headers.

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::Full;
use payrig_channel::wire::{
    self,
    authorization::{self, Call},
    wechat::{
        Amount, CloseCall, ErrorBody, PrepayAnswer, PrepayCall, QueryAnswer, RefundAmount, RefundAnswer, RefundCall,
        code,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Link, client::Answer, one_header};
use crate::channel::{Attempt, ChannelError, CloseAnswer, Trade, TradeState, convert};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What a refund that was taken says.
const SUCCESS: &str = "SUCCESS";

/// Asks for a prepay id.
pub(super) async fn prepay(link: &Link, attempt: Attempt<'_>) -> Result<String, ChannelError> {
    let task = attempt.task;
    let call = PrepayCall {
        mchid: Cow::Borrowed(&task.merchant),
        out_trade_no: Cow::Owned(attempt.round.payment_no()),
        order_no: Cow::Borrowed(&task.order_no),
        amount: Amount { total: task.amount_minor, currency: task.currency },
        notify_url: Cow::Borrowed(&link.notify_wechat),
        attempt: attempt.attempt,
        simulate: task.simulate,
    };
    let answer = post(link, wire::PREPAY, &call).await?;
    let PrepayAnswer { prepay_id } = read(link, &answer)?;
    Ok(prepay_id)
}

/// Where the order stands.
pub(super) async fn query(link: &Link, trade: Trade<'_>) -> Result<TradeState, ChannelError> {
    let out_trade_no = trade.payment_no.payment_no();
    let answer = call(link, Method::GET, &wire::query_path(&out_trade_no, trade.merchant), Vec::new()).await?;
    if refusal(&answer).as_ref().is_some_and(|error| error.code == code::ORDER_NOT_EXIST) {
        believed(link, &answer)?;
        return Ok(TradeState::Unpaid);
    }
    let said: QueryAnswer = read(link, &answer)?;
    if said.out_trade_no != out_trade_no {
        return Err(unfit("it is about another order"));
    }
    said.state().map(convert::state).ok_or_else(|| unfit("it says that the order is paid and not how"))
}

/// Closes the order.
pub(super) async fn close(link: &Link, trade: Trade<'_>) -> Result<CloseAnswer, ChannelError> {
    let body = CloseCall { mchid: Cow::Borrowed(trade.merchant) };
    let answer = post(link, &wire::close_path(&trade.payment_no.payment_no()), &body).await?;
    if answer.status == StatusCode::NO_CONTENT {
        believed(link, &answer)?;
        return Ok(CloseAnswer::Closed);
    }
    match refusal(&answer) {
        Some(error) if error.code == code::ORDERPAID => {
            // What was paid is not said here; it only matters as the answer to the question that now follows.
            match query(link, trade).await? {
                TradeState::Paid(paid) => Ok(CloseAnswer::AlreadyPaid(paid)),
                TradeState::Closed => Ok(CloseAnswer::Closed),
                TradeState::Unpaid => Err(unfit("it says that the order is paid, and then that it is not")),
            }
        }
        _ => Err(failed(link, &answer)),
    }
}

/// Gives money back, once a payment.
pub(super) async fn refund(link: &Link, trade: Trade<'_>, amount_minor: u64) -> Result<(), ChannelError> {
    let number = trade.payment_no.payment_no();
    let body = RefundCall {
        mchid: Cow::Borrowed(trade.merchant),
        out_trade_no: Cow::Borrowed(&number),
        out_refund_no: Cow::Borrowed(&number),
        amount: RefundAmount { refund: amount_minor, currency: trade.currency },
    };
    let answer = post(link, wire::REFUND, &body).await?;
    let said: RefundAnswer = read(link, &answer)?;
    if said.out_refund_no != number || said.out_trade_no != number {
        return Err(unfit("it is about another refund"));
    }
    if said.status == SUCCESS { Ok(()) } else { Err(unfit("the refund is not done yet")) }
}

// === calls and answers ===

async fn post(link: &Link, target: &str, body: &impl Serialize) -> Result<Answer, ChannelError> {
    let body = serde_json::to_vec(body).map_err(|error| ChannelError::Permanent(error.to_string()))?;
    call(link, Method::POST, target, body).await
}

async fn call(link: &Link, method: Method, target: &str, body: Vec<u8>) -> Result<Answer, ChannelError> {
    let signed = Call { method: method.as_str(), target, body: &body };
    let authorization = authorization::authorize(&link.keys.now().signer, &signed, Link::now_s(), &super::nonce());
    let request = Request::builder()
        .method(method)
        .uri(link.uri(target))
        .header(AUTHORIZATION, authorization)
        .header(ACCEPT, JSON)
        .header(CONTENT_TYPE, JSON)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| ChannelError::Permanent(format!("the call cannot be written: {error}")))?;
    link.client.call(request, |answer| cannot_answer(answer.status)).await
}

/// Nobody is there to answer, or not for so many calls: what the breaker counts. A failure of its own (500) may be about
/// this one order, and of the others nothing is known by it.
pub(super) const fn cannot_answer(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502..=504)
}

/// Busy, or out of order: it may be well again soon.
fn is_down(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT
}

fn refusal(answer: &Answer) -> Option<ErrorBody> {
    if answer.status.is_client_error() { serde_json::from_slice(&answer.body).ok() } else { None }
}

/// The body of a success, once its signature has been checked.
fn read<T: DeserializeOwned>(link: &Link, answer: &Answer) -> Result<T, ChannelError> {
    if answer.status != StatusCode::OK {
        return Err(failed(link, answer));
    }
    believed(link, answer)?;
    serde_json::from_slice(&answer.body).map_err(|error| unfit(&error.to_string()))
}

/// An answer that the channel did not sign may be anybody's: the call's fate is unknown.
fn believed(link: &Link, answer: &Answer) -> Result<(), ChannelError> {
    let now_s = Link::now_s();
    let header = |name: &str| one_header(&answer.headers, name);
    let checked = link.keys.checked(|verifier| authorization::check_answer(header, &answer.body, verifier, now_s));
    checked.map_err(|error| ChannelError::Transient(format!("the channel's answer is not believed: {error}")))
}

/// What an answer that is no success means. Only what the channel has signed is final.
fn failed(link: &Link, answer: &Answer) -> ChannelError {
    let Answer { status, body, .. } = answer;
    let said = serde_json::from_slice::<ErrorBody>(body).ok();
    let said = said.map_or_else(|| status.to_string(), |error| format!("{} ({})", error.code, error.message));
    if is_down(*status) || !status.is_client_error() {
        return ChannelError::Transient(format!("the channel failed for now: {said}"));
    }
    match believed(link, answer) {
        Ok(()) => ChannelError::Permanent(format!("the channel refused: {said}")),
        Err(error) => error,
    }
}

fn unfit(why: &str) -> ChannelError {
    ChannelError::Transient(format!("the channel's answer makes no sense: {why}"))
}
