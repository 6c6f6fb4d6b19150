//! The simulated channel's cashier, where a payer pays with the signed parameters.

use std::time::Duration;

use http::StatusCode;
use hyper::body::Incoming;
use payrig_api::{Problem, ProblemType};
use payrig_channel::CashierError;

use super::{reply, route::Answer};
use crate::{channel::Channel, parts::Parts};

/// `POST /simulated/cashier`.
pub(super) async fn pay(parts: &Parts, body: Incoming, within: Duration) -> Answer {
    let body = match reply::body(body, within).await {
        Ok(body) => body,
        Err(problem) => return reply::problem(&problem),
    };
    let Channel::Simulated(channel) = &parts.channel;
    match channel.simulation().cashier(&body).await {
        Ok(transaction) => reply::value(StatusCode::OK, &transaction),
        Err(error) => refused(&error),
    }
}

fn refused(error: &CashierError) -> Answer {
    let kind = match error {
        CashierError::Closed => ProblemType::WrongState,
        CashierError::Malformed(_) => ProblemType::MalformedBody,
        CashierError::Tampered(_) => ProblemType::Unauthorized,
        CashierError::Unavailable => ProblemType::Overloaded,
        _ => ProblemType::FateUnknown,
    };
    if kind == ProblemType::FateUnknown {
        tracing::warn!(%error, "the cashier's ledger failed");
    }
    reply::problem(&Problem::new(kind).detail(error.to_string()))
}
