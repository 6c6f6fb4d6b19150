//! Where the payer pays: the same contract as the cashier that the server serves for its in-process channel.

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use payrig_api::problem::PROBLEM_JSON;

use super::answer::{Answer, answer, json, to_json};
use crate::cashier::CashierError;
use crate::simulated::SimulatedChannel;

/// After so many seconds whoever is told 503 may come back, as at the server.
const COME_BACK: HeaderValue = HeaderValue::from_static("1");

/// `POST /cashier`.
pub(super) async fn pay(channel: &SimulatedChannel, body: &[u8]) -> Answer {
    match channel.cashier(body).await {
        Ok(transaction) => json(StatusCode::OK, &transaction),
        Err(error) => refused(&error),
    }
}

fn refused(error: &CashierError) -> Answer {
    let problem = error.problem();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = answer(status, PROBLEM_JSON, to_json(&problem));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, COME_BACK);
    }
    answer
}
