//! One notification as one HTTP request, over connections that are kept.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{ANSWER_TIME, Post};
use crate::notification::Notification;
use crate::wire::notify::is_acknowledged;

/// Kept connections to one server.
const IDLE_PER_HOST: usize = 64;
const IDLE_TIME: Duration = Duration::from_secs(60);
/// More of an answer than this is none.
const ANSWER_MAX: usize = 64 * 1024;

/// How a notification was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answered {
    /// As its style demands.
    Acknowledged,
    /// In another way, with this status.
    Otherwise(u16),
    /// Not at all.
    Not(&'static str),
}

/// Posts notifications; connections are kept by server.
pub(super) struct Poster {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Poster {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(ANSWER_TIME));
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE_TIME)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client }
    }
}

impl Post for Poster {
    /// Within 5 s in all.
    async fn post(&self, url: &str, notification: Notification) -> Answered {
        let style = notification.style;
        let Some(request) = request(url, notification) else { return Answered::Not("the address is none") };
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| {
                tracing::debug!(%error, "no answer");
                "no answer"
            })?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
            let body = body.map_err(|_| "the answer broke off")?.to_bytes();
            Ok(if is_acknowledged(style, status, &body) { Answered::Acknowledged } else { Answered::Otherwise(status) })
        };
        match tokio::time::timeout(ANSWER_TIME, exchange).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(why)) => Answered::Not(why),
            Err(_) => Answered::Not("no answer in 5 s"),
        }
    }
}

fn request(url: &str, notification: Notification) -> Option<Request<Full<Bytes>>> {
    let uri: Uri = url.parse().ok()?;
    let mut request = Request::post(uri);
    let headers = request.headers_mut()?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(notification.content_type()));
    for (name, value) in notification.headers() {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?);
    }
    request.body(Full::new(Bytes::from(notification.body))).ok()
}
