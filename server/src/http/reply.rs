//! Replies, and the one place where errors become problems.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use payrig_api::{Problem, ProblemType, problem::PROBLEM_JSON};
use serde::Serialize;

use super::route::Answer;
use crate::{
    order::{NotCreated, NotShipped},
    service::{NotAccepted, NotCancelled, NotRetried, Refusal},
    store::StoreError,
};

/// The largest body of a request, in bytes.
const BODY_MAX: usize = 64 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// A poller comes back after this many seconds.
pub(super) const POLL_AGAIN: HeaderValue = HeaderValue::from_static("2");
/// Whoever was refused comes back after this many seconds.
const COME_BACK: HeaderValue = HeaderValue::from_static("1");

/// A JSON body with this status.
pub(super) fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

/// A value as JSON.
pub(super) fn value(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => json(status, body.into()),
        Err(error) => internal(&error),
    }
}

/// A problem document.
pub(super) fn problem(problem: &Problem) -> Answer {
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, COME_BACK);
    }
    answer
}

/// The resource knows another method.
pub(super) fn method_not_allowed(allowed: &Method) -> Answer {
    let mut answer = problem(&Problem::new(ProblemType::MethodNotAllowed).detail(format!("use {allowed}")));
    let allowed = if allowed == Method::GET { "GET, HEAD" } else { "POST" };
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Our own fault: the cause is for the log, not for the client.
pub(super) fn internal(error: &dyn std::error::Error) -> Answer {
    tracing::error!(%error, "an answer could not be made");
    problem(&Problem::new(ProblemType::Internal))
}

/// Reads a request's body within its limits.
pub(super) async fn body(body: Incoming, within: Duration) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(ProblemType::BodyTooLarge).field("body", format!("at most {BODY_MAX} bytes"));
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(within, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(ProblemType::MalformedBody).detail("the body broke off")),
        Err(_) => {
            let within = humantime::format_duration(within);
            Err(Problem::new(ProblemType::BodyTimeout).detail(format!("a body has {within} to arrive")))
        }
    }
}

// === errors of the flow ===

/// What a refused submission is told.
pub(super) fn not_accepted(error: &NotAccepted) -> Problem {
    match error {
        NotAccepted::Overloaded => Problem::new(ProblemType::Overloaded),
        NotAccepted::Stopping => Problem::new(ProblemType::Stopping),
        NotAccepted::Refused(refusal) => refused(*refusal),
        NotAccepted::Store(error) => store(error),
    }
}

fn refused(refusal: Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::KeyReused => {
            Problem::new(ProblemType::KeyReused).detail(detail).field("Idempotency-Key", "a fresh key for another body")
        }
        Refusal::OrderInUse(holder) => {
            Problem::new(ProblemType::OrderInUse).detail(detail).task(holder.task.to_string())
        }
        Refusal::OrderPaid(payment_no) => Problem::new(ProblemType::OrderInUse)
            .detail(detail)
            .task(payment_no.task.to_string())
            .payment(payment_no.payment_no()),
        Refusal::OrderDiffers(field) => order_differs(field).detail(detail),
        Refusal::RefusedBefore => {
            Problem::new(ProblemType::OrderInUse).detail(detail).field("Idempotency-Key", "a fresh key to try again")
        }
    }
}

fn order_differs(field: &'static str) -> Problem {
    Problem::new(ProblemType::OrderDiffers).field(field, "what the order has")
}

/// What somebody is told whose order was not created.
pub(super) fn not_created(error: &NotCreated) -> Problem {
    match error {
        NotCreated::Differs(field) => order_differs(field).detail(error.to_string()),
        NotCreated::Store(error) => store(error),
    }
}

/// What somebody is told whose order was not shipped.
pub(super) fn not_shipped(error: &NotShipped) -> Problem {
    match error {
        NotShipped::NotFound => Problem::new(ProblemType::NotFound),
        NotShipped::NotPaid => Problem::new(ProblemType::WrongState).detail(error.to_string()),
        NotShipped::Otherwise(mode) => Problem::new(ProblemType::WrongState)
            .detail(error.to_string())
            .field("mode", format!("\"{}\"", mode.name())),
        NotShipped::Store(error) => store(error),
    }
}

/// What a retry that was not accepted is told.
pub(super) fn not_retried(error: &NotRetried) -> Problem {
    match error {
        NotRetried::NotFound => Problem::new(ProblemType::NotFound),
        NotRetried::WrongState(_) => Problem::new(ProblemType::WrongState).detail(error.to_string()),
        NotRetried::UsedUp => Problem::new(ProblemType::RetriesUsedUp).detail(error.to_string()),
        NotRetried::NotAccepted(error) => not_accepted(error),
    }
}

/// What a cancellation that did not take place is told.
pub(super) fn not_cancelled(error: &NotCancelled) -> Problem {
    match error {
        NotCancelled::NotFound => Problem::new(ProblemType::NotFound),
        NotCancelled::Ended(_) => Problem::new(ProblemType::WrongState).detail(error.to_string()),
        NotCancelled::Paid(payment_no) => {
            Problem::new(ProblemType::WrongState).detail(error.to_string()).payment(payment_no.payment_no())
        }
        NotCancelled::Store(error) => store(error),
    }
}

/// A store that does not answer.
pub(super) fn store(error: &StoreError) -> Problem {
    tracing::warn!(%error, "a request met a store that does not answer");
    match error {
        StoreError::Unavailable(_) => {
            Problem::new(ProblemType::Overloaded).detail("the document store is not available")
        }
        StoreError::Unknown(_) => Problem::new(ProblemType::FateUnknown)
            .detail("it may have been done or not; repeat with the same Idempotency-Key to find out"),
        StoreError::Unreadable { .. } => Problem::new(ProblemType::Internal),
    }
}
