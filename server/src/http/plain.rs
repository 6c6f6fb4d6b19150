//! Health, metrics and the contract's own description.

use std::{fmt::Write as _, sync::LazyLock};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use payrig_api::{Problem, ProblemType, openapi, reply::Health};

use super::{reply, route::Answer};
use crate::{
    channel::{Channel, http::breaker::Position},
    dispatch::SUBSCRIBERS,
    model::Collection,
    parts::Parts,
    store::{DocumentStore as _, Store},
};

/// `GET /healthz`: the process answers, and nothing has broken in it that only a restart mends.
pub(super) fn health(parts: &Parts) -> Answer {
    if parts.store.broken().is_some() {
        let detail = "the document store has stopped writing for good: restart";
        return reply::problem(&Problem::new(ProblemType::Overloaded).detail(detail));
    }
    reply::json(StatusCode::OK, Bytes::from_static(b"{\"status\":\"ok\"}"))
}

/// `GET /readyz`: the store answers. Whether the channel and the result cache do is told and does not matter: without the
/// one tasks are accepted and wait, without the other queries are answered from the store.
pub(super) async fn ready(parts: &Parts) -> Answer {
    let answers = match parts.store.broken() {
        Some(broken) => Err(broken),
        None => parts.store.get(Collection::OpenTasks, "0").await,
    };
    match answers {
        Ok(_) => {
            let channel_breaker = parts.channel.http().map(|channel| channel.stats().breaker.name().to_owned());
            let cache = parts.cache.stats();
            let status = if cache.up { "ready" } else { "degraded" }.to_owned();
            let cache = cache.connections.map(|_| if cache.up { "up" } else { "down" }.to_owned());
            reply::value(StatusCode::OK, &Health { status, channel_breaker, cache })
        }
        Err(error) => {
            tracing::warn!(%error, "not ready");
            reply::problem(&Problem::new(ProblemType::Overloaded).detail("the document store is not available"))
        }
    }
}

/// `GET /openapi.json`.
pub(super) fn openapi() -> Answer {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi::document().into_bytes().into());
    reply::json(StatusCode::OK, DOCUMENT.clone())
}

/// `GET /metrics`: Prometheus text.
pub(super) fn metrics(parts: &Parts) -> Answer {
    let mut text = parts.metrics.text();
    let queue = parts.queue.stats();
    let oldest_us = match queue.waiting {
        0 => 0,
        _ => parts.clock.now_us().saturating_sub(queue.delivering_since_us),
    };
    gauge(&mut text, "queue_waiting", "Messages that wait for a consumer", queue.waiting);
    gauge(&mut text, "queue_delayed", "Messages that wait for their time", queue.delayed);
    gauge(&mut text, "queue_unacknowledged", "Deliveries that are not acknowledged", queue.unacknowledged);
    gauge(&mut text, "queue_age_microseconds", "Age of the message delivered last, while others wait", oldest_us);
    #[cfg(feature = "rabbitmq")]
    if let Some(queue) = parts.queue.rabbitmq() {
        let help = "Whether RabbitMQ is there and takes messages: 1, or 0";
        gauge(&mut text, "rabbitmq_available", help, u8::from(queue.is_available()));
        gauge(&mut text, "rabbitmq_parked", "Messages in RabbitMQ that nobody can work with", queue.parked());
    }
    successes(&mut text, parts);
    cache(&mut text, parts);
    channel(&mut text, &parts.channel);
    if let Store::Embedded(store) = &parts.store {
        commits(&mut text, &store.stats());
    }
    text.push_str("# EOF\n");
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    let openmetrics = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, openmetrics);
    answer
}

/// The result cache: whether it answers, and what is known of it here.
fn cache(text: &mut String, parts: &Parts) {
    let stats = parts.cache.stats();
    gauge(text, "cache_up", "Whether the result cache answers", u8::from(stats.up));
    if let Some(entries) = stats.entries {
        gauge(text, "cache_entries", "Entries of the result cache", entries);
    }
    if let Some(connections) = stats.connections {
        gauge(text, "cache_connections", "Connections to the result cache that answer", connections);
    }
}

/// Success messages that wait, by subscriber.
fn successes(text: &mut String, parts: &Parts) {
    let name = "success_waiting";
    let _ =
        writeln!(text, "# HELP payrig_{name} Success messages that wait for a subscriber.\n# TYPE payrig_{name} gauge");
    for (subscriber, queue) in SUBSCRIBERS.iter().zip(parts.successes.queues()) {
        let _ = writeln!(text, "payrig_{name}{{name=\"{}\"}} {}", subscriber.name, queue.stats().waiting);
    }
}

/// The channel's notifications where it is in process, else the link to it.
fn channel(text: &mut String, channel: &Channel) {
    match channel {
        Channel::Simulated(channel) => {
            let simulation = channel.simulation();
            for (name, help, value) in [
                (
                    "pending",
                    "Notifications that the simulated channel has yet to send",
                    simulation.notifications_pending() as u64,
                ),
                (
                    "dropped",
                    "Notifications that the simulated channel had no room for",
                    simulation.notifications_dropped(),
                ),
            ] {
                gauge(text, &format!("channel_notifications_{name}"), help, value);
            }
        }
        Channel::Http(channel) => {
            let stats = channel.stats();
            let position = match stats.breaker {
                Position::Closed => 0,
                Position::HalfOpen => 1,
                Position::Open => 2,
            };
            let help = "Where the circuit breaker of the channel stands: 0 closed, 1 half-open, 2 open";
            gauge(text, "channel_breaker", help, position);
            counter(
                text,
                "channel_breaker_opened",
                "How often the circuit breaker of the channel opened",
                stats.opened,
            );
            gauge(text, "notify_nonces", "Nonces of notifications that are remembered", stats.nonces);
            let help = "How often nonces were forgotten early for want of room";
            counter(text, "notify_nonces_crowded", help, stats.nonces_crowded);
        }
    }
}

/// The embedded store's commits.
fn commits(text: &mut String, stats: &payrig_commit::Stats) {
    gauge(text, "store_waiting", "Documents that wait for a commit", stats.waiting);
    for (name, help, count) in [
        ("store_commits", "Commits made durable", stats.commits),
        ("store_documents", "Documents inserted", stats.documents),
        ("store_deleted", "Documents deleted", stats.deleted),
        ("store_stalls", "Commits that waited for memtables", stats.stalls),
    ] {
        counter(text, name, help, count);
    }
    histogram(text, "store_batch_documents", "Documents in one commit", &stats.batch_size);
    histogram(text, "store_commit_microseconds", "From a commit's first byte to durable", &stats.commit_time_us);
}

fn histogram(text: &mut String, name: &str, help: &str, values: &payrig_commit::Histogram) {
    let _ = writeln!(text, "# HELP payrig_{name} {help}.\n# TYPE payrig_{name} histogram");
    let bounds = values.bounds.iter().map(|bound| format!("{bound}.0")).chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(&values.cumulative) {
        let _ = writeln!(text, "payrig_{name}_bucket{{le=\"{bound}\"}} {count}");
    }
    let count = values.cumulative.last().copied().unwrap_or(0);
    let _ = writeln!(text, "payrig_{name}_sum {}\npayrig_{name}_count {count}", values.sum);
}

fn counter(text: &mut String, name: &str, help: &str, count: u64) {
    let _ = writeln!(text, "# HELP payrig_{name} {help}.\n# TYPE payrig_{name} counter\npayrig_{name}_total {count}");
}

fn gauge(text: &mut String, name: &str, help: &str, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP payrig_{name} {help}.\n# TYPE payrig_{name} gauge\npayrig_{name} {value}");
}
