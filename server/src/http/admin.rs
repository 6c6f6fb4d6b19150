//! The read-only books, for checks from outside: every collection of the store, and the channel's ledger, page by page.

use http::StatusCode;
use payrig_api::{Problem, ProblemType};
use serde::Serialize;
use serde_json::Value;

use super::{reply, route::Answer};
use crate::{
    model::{Collection, Document, TaskId},
    parts::Parts,
    queue::QueueStats,
    store::DocumentStore as _,
};

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;

/// One page of a book. `next` is the `after` of the next page; absent on the last.
#[derive(Serialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Row {
    id: String,
    doc: Value,
}

/// What the books are, and what is in nobody's books yet.
#[derive(Serialize)]
struct Books {
    collections: Vec<&'static str>,
    queue_waiting: usize,
    queue_delayed: usize,
    queue_unacknowledged: usize,
    successes_waiting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_entries: Option<usize>,
    notifications_pending: usize,
    now_us: u64,
}

/// `GET /admin/books`.
pub(super) fn collections(parts: &Parts) -> Answer {
    let QueueStats { waiting, delayed, unacknowledged, .. } = parts.queue.stats();
    let books = Books {
        collections: Collection::ALL.map(Collection::name).to_vec(),
        queue_waiting: waiting,
        queue_delayed: delayed,
        queue_unacknowledged: unacknowledged,
        successes_waiting: parts.successes.waiting(),
        cache_entries: parts.cache.stats().entries,
        // Of a channel that is a program of its own these are in its own books.
        notifications_pending: parts
            .channel
            .simulated()
            .map_or(0, |channel| channel.simulation().notifications_pending()),
        now_us: parts.clock.now_us(),
    };
    reply::value(StatusCode::OK, &books)
}

/// `GET /admin/books/{collection}?after=ID&limit=N`.
pub(super) async fn book(parts: &Parts, collection: &str, query: Option<&str>) -> Answer {
    let Some(collection) = Collection::ALL.into_iter().find(|known| known.name() == collection) else {
        return reply::problem(&Problem::new(ProblemType::NotFound));
    };
    let (after, limit) = match page_of(query) {
        Ok(page) => page,
        Err(problem) => return reply::problem(&problem),
    };
    if after.as_deref().is_some_and(|after| !is_id(collection, after)) {
        return reply::problem(&Problem::new(ProblemType::BadParameter).field("after", "an id of this collection"));
    }
    let found = match parts.store.range(collection, after.as_deref(), None, limit).await {
        Ok(found) => found,
        Err(error) => return reply::problem(&reply::store(&error)),
    };
    let whole = found.len() == limit;
    let rows: Result<Vec<Row>, serde_json::Error> =
        found.iter().map(|document| Ok(Row { id: document.id(), doc: readable(document)? })).collect();
    match rows {
        Ok(items) => {
            let next = items.last().filter(|_| whole).map(|row| row.id.clone());
            reply::value(StatusCode::OK, &Page { items, next })
        }
        Err(error) => reply::internal(&error),
    }
}

/// Whether this can be an id of the collection: the others have no place in its order.
fn is_id(collection: Collection, text: &str) -> bool {
    collection.is_named_by_text() || text.get(..TaskId::TEXT_LEN).is_some_and(|task| task.parse::<TaskId>().is_ok())
}

fn readable(document: &Document) -> Result<Value, serde_json::Error> {
    match document {
        Document::OpenTask(document) => serde_json::to_value(document),
        Document::IdempotencyKey(document) => serde_json::to_value(document),
        Document::OrderSlot(document) => serde_json::to_value(document),
        Document::PayTask(document) => serde_json::to_value(document),
        Document::Payment(document) => serde_json::to_value(document),
        Document::Closing(document) => serde_json::to_value(document),
        Document::PaymentEnd(document) => serde_json::to_value(document),
        Document::Notice(document) => serde_json::to_value(document),
        Document::OrderSettlement(document) => serde_json::to_value(document),
        Document::Refund(document) => serde_json::to_value(document),
        Document::Refunded(document) => serde_json::to_value(document),
        Document::Order(document) => serde_json::to_value(document),
        Document::Shipment(document) => serde_json::to_value(document),
        Document::OrderPaid(document) => serde_json::to_value(document),
        Document::DailyTotal(document) => serde_json::to_value(document),
    }
}

/// `GET /admin/ledger?after=OUT_TRADE_NO&limit=N`: what the channel in process has in its own books.
pub(super) async fn ledger(parts: &Parts, query: Option<&str>) -> Answer {
    let (after, limit) = match page_of(query) {
        Ok(page) => page,
        Err(problem) => return reply::problem(&problem),
    };
    let Some(channel) = parts.channel.simulated() else {
        return reply::problem(&Problem::new(ProblemType::NotFound));
    };
    match channel.simulation().ledger_page(after.as_deref(), limit).await {
        Ok(items) => {
            let next = items.last().filter(|_| items.len() == limit).map(|row| row.out_trade_no.clone());
            reply::value(StatusCode::OK, &Page { items, next })
        }
        Err(error) => reply::internal(&error),
    }
}

fn page_of(query: Option<&str>) -> Result<(Option<String>, usize), Problem> {
    let (mut after, mut limit) = (None, PAGE_DEFAULT);
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", id)) => after = Some(unescaped(id)?),
            Some(("limit", number)) => {
                let wrong = || Problem::new(ProblemType::BadParameter).field("limit", format!("1 to {PAGE_MAX}"));
                limit = number.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(wrong)?;
            }
            _ => return Err(Problem::new(ProblemType::BadParameter).field(pair, "after or limit")),
        }
    }
    Ok((after, limit))
}

/// Percent-decoding, because ids of orders may hold anything visible.
fn unescaped(text: &str) -> Result<String, Problem> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Problem::new(ProblemType::BadParameter).field("after", "an id"))
}
