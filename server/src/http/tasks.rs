//! `/v1/pay-tasks` and `/v1/payments`.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use hyper::body::Incoming;
use payrig_api::{IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_MAX, Problem, ProblemType, Submission};
use sha2::{Digest as _, Sha256};

use super::{reply, route::Answer};
use crate::{
    model::{KeyUse, RoundId, TaskId, TaskView},
    service::{Cancelled, PayService},
};

/// `POST /v1/pay-tasks`.
pub(super) async fn submit(
    service: &PayService,
    merchant: &str,
    headers: &HeaderMap,
    body: Incoming,
    within: Duration,
) -> Answer {
    let open = match read_submission(headers, body, within).await {
        Ok((submission, key)) => service.build(Arc::from(merchant), submission, key),
        Err(problem) => return reply::problem(&problem),
    };
    match service.submit(open).await {
        Ok(view) => accepted(&view),
        Err(error) => reply::problem(&reply::not_accepted(&error)),
    }
}

async fn read_submission(
    headers: &HeaderMap,
    body: Incoming,
    within: Duration,
) -> Result<(Submission, Option<KeyUse>), Problem> {
    expect_json(headers)?;
    let key = idempotency_key(headers)?;
    let body = reply::body(body, within).await?;
    let submission = Submission::from_json(&body).map_err(|problem| *problem)?;
    let key = key.map(|key| KeyUse { key, body_sha256: Sha256::digest(&body).into() });
    Ok((submission, key))
}

/// Refuses a body of another type.
pub(super) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    if is_json(headers) {
        return Ok(());
    }
    Err(Problem::new(ProblemType::UnsupportedMediaType).field("Content-Type", "application/json"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(media) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = media.split_once(';').map_or(media, |(media, _)| media).trim();
    media.eq_ignore_ascii_case("application/json")
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), again) = (keys.next(), keys.next()) else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| {
        (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match (key, again) {
        (Some(key), None) => Ok(Some(key.into())),
        _ => {
            let expected = format!("one key of 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters");
            Err(Problem::new(ProblemType::BadHeader).field("Idempotency-Key", expected))
        }
    }
}

fn accepted(view: &TaskView) -> Answer {
    let mut answer = reply::json(StatusCode::ACCEPTED, view.body());
    let location = format!("/v1/pay-tasks/{}", view.task.task_id);
    if let Ok(location) = HeaderValue::try_from(location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer.headers_mut().insert(RETRY_AFTER, reply::POLL_AGAIN);
    answer
}

fn shown(view: &TaskView) -> Answer {
    let mut answer = reply::json(StatusCode::OK, view.body());
    if !view.is_final() {
        answer.headers_mut().insert(RETRY_AFTER, reply::POLL_AGAIN);
    }
    answer
}

pub(super) fn not_found() -> Answer {
    reply::problem(&Problem::new(ProblemType::NotFound))
}

/// `GET /v1/pay-tasks/{task_id}`.
pub(super) async fn query(service: &PayService, merchant: &str, task: &str) -> Answer {
    let Ok(task) = task.parse::<TaskId>() else { return not_found() };
    match service.query(merchant, task).await {
        Ok(Some(view)) => shown(&view),
        Ok(None) => not_found(),
        Err(error) => reply::problem(&reply::store(&error)),
    }
}

/// `POST /v1/pay-tasks/{task_id}/retry`.
pub(super) async fn retry(service: &PayService, merchant: &str, task: &str) -> Answer {
    let Ok(task) = task.parse::<TaskId>() else { return not_found() };
    match service.retry(merchant, task).await {
        Ok(view) => accepted(&view),
        Err(error) => reply::problem(&reply::not_retried(&error)),
    }
}

/// `POST /v1/pay-tasks/{task_id}/cancel`.
pub(super) async fn cancel(service: &PayService, merchant: &str, task: &str) -> Answer {
    let Ok(task) = task.parse::<TaskId>() else { return not_found() };
    match service.cancel(merchant, task).await {
        Ok(Cancelled::Done(view)) => shown(&view),
        Ok(Cancelled::GoingOn(view)) => accepted(&view),
        Err(error) => reply::problem(&reply::not_cancelled(&error)),
    }
}

/// `GET /v1/payments/{payment_no}`.
pub(super) async fn payment(service: &PayService, merchant: &str, payment_no: &str) -> Answer {
    let Ok(payment_no) = RoundId::from_payment_no(payment_no) else { return not_found() };
    match service.payment(merchant, payment_no).await {
        Ok(Some(view)) => match view.reply().payment {
            Some(payment) => reply::value(StatusCode::OK, &payment),
            None => not_found(),
        },
        Ok(None) => not_found(),
        Err(error) => reply::problem(&reply::store(&error)),
    }
}
