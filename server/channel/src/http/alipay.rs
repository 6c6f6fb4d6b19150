//! Alipay style: the gateway.

use http::StatusCode;

use super::answer::{Answer, Lost, answer, slowed};
use super::route::{App, number_of};
use crate::error::ChannelError;
use crate::order::{CloseAnswer, TradeState, Whose};
use crate::wire::gateway::{
    self, GatewayAnswer, GatewayCall, Method, REFUSED, TRADE_HAS_SUCCESS, TRADE_NOT_EXIST, TradeStatus, UNAVAILABLE,
    read_call, write_answer,
};

/// `POST /gateway.do`.
pub(super) async fn call(app: &App, body: &[u8]) -> Result<Answer, Lost> {
    let inner = app.channel.inner();
    let read = read_call(body, &inner.merchant.load(), inner.clock.now_s());
    let call = match read {
        Ok(call) => call,
        Err(error) => {
            app.metrics.refused_calls.inc();
            // Anybody can send such a call, as often as he likes: the count tells, and the log only whoever asks for it.
            tracing::debug!(%error, "a call of the gateway was not believed");
            let refused = GatewayAnswer {
                msg: Some("the call is not signed by the platform, or cannot be read".to_owned()),
                sub_code: Some("isv.invalid-signature".to_owned()),
                ..GatewayAnswer::plain(gateway::BAD_CALL, None)
            };
            // As published: 200 with a code that says what it is. Nobody was believed, so nothing is signed.
            let body = serde_json::json!({ "error_response": refused }).to_string();
            return Ok(answer(StatusCode::OK, "application/json", body));
        }
    };
    let number = number_of(&call.nonce);
    let out_trade_no = call.biz.out_trade_no.as_str();
    let plain = |code| GatewayAnswer::plain(code, Some(out_trade_no));
    let mut status = StatusCode::OK;
    let result = match done(app, &call, number, plain(gateway::OK)).await {
        Ok(done) => done,
        Err(ChannelError::NoAnswer) => return Err(Lost),
        Err(ChannelError::Transient { code, why }) => {
            if why == crate::faults::DOWN {
                // Nobody is there: what stands before the gateway says so.
                status = StatusCode::SERVICE_UNAVAILABLE;
            }
            failed(plain(UNAVAILABLE), code, why)
        }
        Err(ChannelError::Permanent { code: "ORDER_NOT_EXIST", why }) => {
            GatewayAnswer { msg: Some(why.to_owned()), sub_code: Some(TRADE_NOT_EXIST.to_owned()), ..plain(REFUSED) }
        }
        Err(ChannelError::Permanent { code, why }) => failed(plain(REFUSED), code, why),
        Err(ChannelError::Broken(error)) => {
            tracing::error!(%error, "the ledger failed");
            failed(plain(UNAVAILABLE), "SYSTEM_ERROR", "the ledger failed")
        }
    };
    let signed = write_answer(&inner.sealer.signer(), call.method, &result);
    let signed = answer(status, "application/json", signed);
    Ok(match app.channel.slow_body(out_trade_no, number) {
        Some(over) => slowed(signed, over).await,
        None => signed,
    })
}

fn failed(answer: GatewayAnswer, code: &str, why: &str) -> GatewayAnswer {
    GatewayAnswer { msg: Some(why.to_owned()), sub_code: Some(format!("ACQ.{code}")), ..answer }
}

async fn done(app: &App, call: &GatewayCall, number: u64, ok: GatewayAnswer) -> Result<GatewayAnswer, ChannelError> {
    let out_trade_no = call.biz.out_trade_no.as_str();
    let refused = |sub_code: &str| GatewayAnswer {
        sub_code: Some(sub_code.to_owned()),
        ..GatewayAnswer::plain(REFUSED, Some(out_trade_no))
    };
    let whose = Whose::of(&call.biz.merchant);
    let with = |status| GatewayAnswer { trade_status: Some(status), ..ok.clone() };
    Ok(match call.method {
        Method::Query => match app.channel.query_of(whose, out_trade_no, number).await? {
            TradeState::Unknown => refused(TRADE_NOT_EXIST),
            TradeState::AwaitingPayer => with(TradeStatus::WaitBuyerPay),
            TradeState::Closed => with(TradeStatus::TradeClosed),
            TradeState::Paid(paid) => ok.with_paid(paid),
        },
        Method::Close => match app.channel.close_of(whose, out_trade_no, number).await? {
            CloseAnswer::Closed => with(TradeStatus::TradeClosed),
            CloseAnswer::AlreadyPaid(paid) => refused(TRADE_HAS_SUCCESS).with_paid(paid),
        },
        Method::Refund => {
            let amount_minor = call.biz.refund_amount_minor.unwrap_or(0);
            app.channel.refund_of(whose, out_trade_no, amount_minor, number).await?;
            ok
        }
    })
}
