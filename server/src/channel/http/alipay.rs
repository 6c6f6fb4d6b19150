//! Alipay style: forms to one gateway, and answers that carry their signature.

use bytes::Bytes;
use http::{HeaderValue, Method as Verb, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use payrig_channel::wire::{
    GATEWAY,
    gateway::{self, BizContent, GatewayAnswer, Method, TRADE_HAS_SUCCESS},
};

use super::{Link, client::Answer, wechat::cannot_answer};
use crate::channel::{ChannelError, CloseAnswer, Trade, TradeState, convert};

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");

/// Where the order stands.
pub(super) async fn query(link: &Link, trade: Trade<'_>) -> Result<TradeState, ChannelError> {
    let said = ask(link, Method::Query, trade, None).await?;
    said.state().map(convert::state).ok_or_else(|| failed(&said))
}

/// Closes the order.
pub(super) async fn close(link: &Link, trade: Trade<'_>) -> Result<CloseAnswer, ChannelError> {
    let said = ask(link, Method::Close, trade, None).await?;
    if said.code == gateway::OK {
        return Ok(CloseAnswer::Closed);
    }
    if said.sub_code.as_deref() != Some(TRADE_HAS_SUCCESS) {
        return Err(failed(&said));
    }
    match said.paid() {
        Some(paid) => Ok(CloseAnswer::AlreadyPaid(convert::paid(paid))),
        None => match query(link, trade).await? {
            TradeState::Paid(paid) => Ok(CloseAnswer::AlreadyPaid(paid)),
            TradeState::Closed => Ok(CloseAnswer::Closed),
            TradeState::Unpaid => Err(unfit("it says that the order is paid, and then that it is not")),
        },
    }
}

/// Gives money back, once a payment.
pub(super) async fn refund(link: &Link, trade: Trade<'_>, amount_minor: u64) -> Result<(), ChannelError> {
    let said = ask(link, Method::Refund, trade, Some(amount_minor)).await?;
    if said.code == gateway::OK { Ok(()) } else { Err(failed(&said)) }
}

// === calls and answers ===

async fn ask(
    link: &Link,
    method: Method,
    trade: Trade<'_>,
    refund_amount_minor: Option<u64>,
) -> Result<GatewayAnswer, ChannelError> {
    let out_trade_no = trade.payment_no.payment_no();
    let biz = BizContent { out_trade_no, merchant: trade.merchant.to_owned(), refund_amount_minor };
    let form = gateway::write_call(&link.keys.now().signer, method, &biz, Link::now_s(), &super::nonce());
    let request = Request::builder()
        .method(Verb::POST)
        .uri(link.uri(GATEWAY))
        .header(CONTENT_TYPE, FORM)
        .body(Full::new(Bytes::from(form)))
        .map_err(|error| ChannelError::Permanent(format!("the call cannot be written: {error}")))?;
    let answer = link.client.call(request, says_down).await?;
    if answer.status != StatusCode::OK {
        return Err(ChannelError::Transient(format!("the channel failed for now: {}", answer.status)));
    }
    let said = link.keys.checked(|verifier| gateway::read_answer(verifier, method, &answer.body));
    // An answer that the channel did not sign may be anybody's: the call's fate is unknown.
    let said =
        said.map_err(|error| ChannelError::Transient(format!("the channel's answer is not believed: {error}")))?;
    if said.out_trade_no.as_ref() != Some(&biz.out_trade_no) {
        return Err(unfit("it is about another order"));
    }
    Ok(said)
}

/// The gateway answers 200 whatever happens, and its code of a failure does not tell whether that is about this one order:
/// as in `WeChat` style only what a proxy or a listener says is about all of them.
fn says_down(answer: &Answer) -> bool {
    cannot_answer(answer.status)
}

/// What an answer that is no success means.
fn failed(said: &GatewayAnswer) -> ChannelError {
    let why = said.sub_code.as_deref().or(said.msg.as_deref()).unwrap_or_default();
    match said.code.as_str() {
        gateway::REFUSED => ChannelError::Permanent(format!("the channel refused: {why}")),
        code => ChannelError::Transient(format!("the channel failed for now: {code} {why}")),
    }
}

fn unfit(why: &str) -> ChannelError {
    ChannelError::Transient(format!("the channel's answer makes no sense: {why}"))
}
