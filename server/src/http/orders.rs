//! `/v1/orders`.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header::LOCATION};
use hyper::body::Incoming;
use payrig_api::{NewOrder, Problem, Ship};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{
    reply,
    route::Answer,
    tasks::{expect_json, not_found},
};
use crate::{
    order::{self, Created},
    parts::Parts,
};

/// What an order's number may hold and a path may not.
const NOT_IN_A_PATH: &AsciiSet = &CONTROLS
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// `POST /v1/orders`.
pub(super) async fn create(
    parts: &Parts,
    merchant: &str,
    headers: &HeaderMap,
    body: Incoming,
    within: Duration,
) -> Answer {
    let new = match read_new(headers, body, within).await {
        Ok(new) => new,
        Err(problem) => return reply::problem(&problem),
    };
    match order::create(parts, merchant, new).await {
        Ok(Created::New(order)) => created(&order),
        Ok(Created::Same(order)) => reply::value(StatusCode::OK, &order),
        Err(error) => reply::problem(&reply::not_created(&error)),
    }
}

async fn read_new(headers: &HeaderMap, body: Incoming, within: Duration) -> Result<NewOrder, Problem> {
    expect_json(headers)?;
    NewOrder::from_json(&reply::body(body, within).await?).map_err(|problem| *problem)
}

fn created(order: &payrig_api::Order) -> Answer {
    let mut answer = reply::value(StatusCode::CREATED, order);
    let location = format!("/v1/orders/{}", utf8_percent_encode(&order.order_no, NOT_IN_A_PATH));
    if let Ok(location) = HeaderValue::try_from(location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// `GET /v1/orders/{order_no}`.
pub(super) async fn read(parts: &Parts, merchant: &str, order_no: &str) -> Answer {
    let Some(order_no) = unescaped(order_no) else { return not_found() };
    match order::read(parts, merchant, &order_no).await {
        Ok(Some(order)) => reply::value(StatusCode::OK, &order),
        Ok(None) => not_found(),
        Err(error) => reply::problem(&reply::store(&error)),
    }
}

/// `POST /v1/orders/{order_no}/ship`.
pub(super) async fn ship(
    parts: &Parts,
    merchant: &str,
    order_no: &str,
    headers: &HeaderMap,
    body: Incoming,
    within: Duration,
) -> Answer {
    let Some(order_no) = unescaped(order_no) else { return not_found() };
    let ship = match read_ship(headers, body, within).await {
        Ok(ship) => ship,
        Err(problem) => return reply::problem(&problem),
    };
    match order::ship(parts, merchant, &order_no, ship.mode).await {
        Ok(order) => reply::value(StatusCode::OK, &order),
        Err(error) => reply::problem(&reply::not_shipped(&error)),
    }
}

async fn read_ship(headers: &HeaderMap, body: Incoming, within: Duration) -> Result<Ship, Problem> {
    expect_json(headers)?;
    Ship::from_json(&reply::body(body, within).await?).map_err(|problem| *problem)
}

/// Percent-decoding, because numbers of orders may hold what a path may not.
fn unescaped(order_no: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(order_no).decode_utf8().ok()
}
