//! `/v1/notify/{channel}`: the channel says that it took money. Believed only if signed, of now, new, and about a payment
//! of ours over this amount; stored before it is answered, and worked off after that.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Incoming;
use payrig_api::{ChannelStyle, Problem, ProblemType};
use payrig_channel::wire::notify::ALIPAY_SUCCESS;

use super::{reply, route::Answer};
use crate::{
    channel::http::{Believed, HttpChannel},
    metrics::Named,
    model::Notice,
    notice,
    parts::Parts,
};

/// What a WeChat-style channel wants to hear.
const WECHAT_SUCCESS: &[u8] = b"{\"code\":\"SUCCESS\"}";

/// `POST /v1/notify/{channel}`.
pub(super) async fn take(
    parts: &Arc<Parts>,
    style: &str,
    headers: &HeaderMap,
    body: Incoming,
    within: Duration,
) -> Answer {
    let style = match style {
        "alipay" => ChannelStyle::Alipay,
        "wechat" => ChannelStyle::Wechat,
        _ => return reply::problem(&Problem::new(ProblemType::NotFound)),
    };
    // A channel in process sends its notifications by another way, and nobody else sends any.
    let Some(channel) = parts.channel.http() else {
        return reply::problem(&Problem::new(ProblemType::NotFound));
    };
    let body = match reply::body(body, within).await {
        Ok(body) => body,
        Err(problem) => return reply::problem(&problem),
    };
    match channel.believe(style, headers, &body) {
        Ok(believed) => store(parts, channel, style, believed).await,
        Err(error) => {
            parts.metrics.notices_rejected.get_or_create(&Named { name: error.name() }).inc();
            if channel.may_log_refusal() {
                tracing::warn!(?style, reason = error.name(), %error, "a notification is not believed; metrics count all");
            }
            refused()
        }
    }
}

async fn store(parts: &Arc<Parts>, channel: &HttpChannel, style: ChannelStyle, believed: Believed) -> Answer {
    match notice::learn(parts, believed.notice.clone()).await {
        Ok(Ok(notice)) => {
            parts.metrics.notices_taken.inc();
            if let Some(notice) = notice {
                work_off(parts, notice);
            }
            taken(style)
        }
        // It is counted and logged where it was found.
        Ok(Err(_)) => refused(),
        Err(error) => {
            channel.forget(&believed);
            reply::problem(&reply::store(&error))
        }
    }
}

/// What is wrong with it is for the log; whoever sends such things learns nothing.
fn refused() -> Answer {
    reply::problem(&Problem::new(ProblemType::Unauthorized))
}

fn taken(style: ChannelStyle) -> Answer {
    match style {
        ChannelStyle::Wechat => reply::json(StatusCode::OK, Bytes::from_static(WECHAT_SUCCESS)),
        ChannelStyle::Alipay => {
            let mut answer = Response::new(Full::new(Bytes::from_static(ALIPAY_SUCCESS.as_bytes())));
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            answer
        }
    }
}

/// After the answer: the end of the payment and what follows from it. Where there is no place the sweeper does it.
fn work_off(parts: &Arc<Parts>, notice: Notice) {
    let Ok(place) = Arc::clone(&parts.locks.working_off).try_acquire_owned() else { return };
    let parts = Arc::clone(parts);
    tokio::spawn(async move {
        if let Err(error) = notice::work_off(&parts, &notice).await {
            tracing::warn!(payment_no = notice.payment_no.payment_no(), %error, "a notice stays for the sweeper");
        }
        drop(place);
    });
}
