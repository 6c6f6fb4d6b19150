//! The simulated channel's cashier, where a payer pays with the signed parameters.

use std::time::Duration;

use http::StatusCode;
use hyper::body::Incoming;
use payrig_api::{Problem, ProblemType};

use super::{reply, route::Answer};
use crate::parts::Parts;

/// `POST /simulated/cashier`; a channel that is a program of its own has a cashier of its own.
pub(super) async fn pay(parts: &Parts, body: Incoming, within: Duration) -> Answer {
    let Some(channel) = parts.channel.simulated() else {
        return reply::problem(&Problem::new(ProblemType::NotFound));
    };
    let body = match reply::body(body, within).await {
        Ok(body) => body,
        Err(problem) => return reply::problem(&problem),
    };
    match channel.simulation().cashier(&body).await {
        Ok(transaction) => reply::value(StatusCode::OK, &transaction),
        Err(error) => reply::problem(&error.problem()),
    }
}
