//! The books, for checks from outside, and the profile, which can be changed while the channel runs.

use http::StatusCode;
use serde::Serialize;

use super::answer::{Answer, answer, json};
use super::route::unsigned;
use crate::metrics::Metrics;
use crate::simulated::SimulatedChannel;
use crate::wire::sorted::decoded;

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;
const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One page of a book. `next` is the `after` of the next page; absent on the last.
#[derive(Serialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

/// What is in nobody's books yet.
#[derive(Serialize)]
struct Books {
    /// Under way, due, or to be sent for the first time.
    notifications_pending: usize,
    /// Not acknowledged, and waiting for the schedule: seconds to hours.
    notifications_repeating: usize,
    notifications_dropped: u64,
    now_us: u64,
}

/// `GET /admin/books`.
pub(super) fn books(channel: &SimulatedChannel) -> Answer {
    let books = Books {
        notifications_pending: channel.notifications_pending(),
        notifications_repeating: channel.notifications_repeating(),
        notifications_dropped: channel.notifications_dropped(),
        now_us: channel.inner().clock.now_us(),
    };
    json(StatusCode::OK, &books)
}

/// `GET /admin/ledger?after=OUT_TRADE_NO&limit=N`.
pub(super) async fn ledger(channel: &SimulatedChannel, query: Option<&str>) -> Answer {
    let Some((after, limit)) = page_of(query) else {
        return unsigned(StatusCode::BAD_REQUEST, "PARAM_ERROR", "after=OUT_TRADE_NO and limit=1 to 10000");
    };
    match channel.ledger_page(after.as_deref(), limit).await {
        Ok(items) => {
            let next = items.last().filter(|_| items.len() == limit).map(|row| row.out_trade_no.clone());
            json(StatusCode::OK, &Page { items, next })
        }
        Err(error) => {
            tracing::error!(%error, "the ledger cannot be read");
            unsigned(StatusCode::INTERNAL_SERVER_ERROR, "SYSTEM_ERROR", "the ledger cannot be read")
        }
    }
}

fn page_of(query: Option<&str>) -> Option<(Option<String>, usize)> {
    let (mut after, mut limit) = (None, PAGE_DEFAULT);
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", id)) => after = Some(decoded(id)?),
            Some(("limit", number)) => {
                limit = number.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit))?;
            }
            _ => return None,
        }
    }
    Some((after, limit))
}

/// `GET /admin/profile`: the words in force.
pub(super) fn profile(channel: &SimulatedChannel) -> Answer {
    answer(StatusCode::OK, TEXT, format!("{}\n", channel.profile()))
}

/// `PUT /admin/profile`: other words from now on; answers what is then in force.
pub(super) fn set_profile(channel: &SimulatedChannel, body: &[u8]) -> Answer {
    let words = std::str::from_utf8(body).map_err(|_| "the words of a profile are text".to_owned());
    match words.and_then(|words| words.trim().parse().map_err(|error: crate::ProfileError| error.to_string())) {
        Ok(words) => {
            channel.set_profile(words);
            tracing::info!(profile = %channel.profile(), "another profile is in force");
            profile(channel)
        }
        Err(why) => unsigned(StatusCode::UNPROCESSABLE_ENTITY, "PARAM_ERROR", &why),
    }
}

/// `GET /metrics`.
pub(super) fn metrics(channel: &SimulatedChannel, metrics: &Metrics) -> Answer {
    match metrics.text(channel) {
        Ok(text) => answer(StatusCode::OK, METRICS, text),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            unsigned(StatusCode::INTERNAL_SERVER_ERROR, "SYSTEM_ERROR", "the metrics cannot be written")
        }
    }
}
