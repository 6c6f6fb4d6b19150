//! Answers, and the body of a request within its limits.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use serde::Serialize;

/// The largest body of a request, in bytes.
pub(super) const BODY_MAX: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// In how many pieces a slow body comes.
const PIECES: u32 = 8;

/// A body that is there at once, or one that trickles.
pub(super) type Answer = Response<Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>>;

/// The answer is lost: the connection ends without it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer is lost")]
pub(crate) struct Lost;

/// Why a body was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadBody {
    TooLarge,
    TooSlow,
    BrokeOff,
}

impl BadBody {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokeOff => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::TooLarge => "a body has at most 65536 bytes",
            Self::TooSlow => "a body has 10 s to arrive",
            Self::BrokeOff => "the body broke off",
        }
    }
}

/// Reads a request's body.
pub(super) async fn body(body: Incoming) -> Result<Bytes, BadBody> {
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(BadBody::TooLarge);
    }
    match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BadBody::TooLarge),
        Ok(Err(_)) => Err(BadBody::BrokeOff),
        Err(_) => Err(BadBody::TooSlow),
    }
}

/// An answer with a body of this type.
pub(super) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    answer(status, "application/json", to_json(value))
}

pub(super) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and integers can always be written as JSON")
}

/// Adds a header of ours, whose value is always visible ASCII.
pub(super) fn add_header(answer: &mut Answer, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// The same body in pieces, over so long.
pub(super) async fn slowed(answer: Answer, over: Duration) -> Answer {
    let (head, body) = answer.into_parts();
    let whole = match body {
        Either::Left(whole) => match whole.collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(never) => match never {},
        },
        slow @ Either::Right(_) => return Response::from_parts(head, slow),
    };
    let piece = whole.len().div_ceil(PIECES as usize).max(1);
    let pause = over / PIECES;
    let pieces = stream::unfold(whole, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let next = rest.split_to(piece.min(rest.len()));
        Some((Ok::<_, Infallible>(Frame::data(next)), rest))
    });
    Response::from_parts(head, Either::Right(StreamBody::new(pieces).boxed_unsync()))
}
