//! Calls over kept-alive connections: bounded in number and in time, behind the circuit breaker.
//!
//! Every runtime thread has a pool of its own, so that an answer wakes nobody on another core. Nothing is repeated here:
//! the flow has its retries. (A request that met a connection which the channel had closed before a byte of it went out
//! is sent on another one; that is no second call, because there was no first.)

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client as Pooled, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use thread_local::ThreadLocal;
use tokio::{sync::Semaphore, time::timeout};

use super::breaker::{Breaker, Position, Refused, Ticket, Went};
use crate::{
    channel::ChannelError,
    clock::Clock,
    metrics::{Metrics, Named},
};

/// The largest answer that is read, in bytes; a longer one is none of the channel's.
const ANSWER_MAX: usize = 64 * 1024;
/// A connection at rest is closed after this long: before the channel closes it, which might cross a request.
const IDLE: Duration = Duration::from_secs(20);

/// How long calls may take, and how many there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// For a place among the calls under way: longer than that, and the call is not made.
    pub place: Duration,
    /// For a whole call: connecting, asking, and the answer to its last byte.
    pub call: Duration,
    /// For a new connection alone.
    pub connect: Duration,
    /// Calls under way at a time, each with a connection.
    pub calls: usize,
}

impl Default for Limits {
    /// A call has 5 s, as long as the channel itself waits for our answer to a notification: far beyond its slowest
    /// answers, and short enough that whoever cancels does not give up first. A connection has 2 s, so that one lost
    /// packet (sent again after 1 s) does not fail it.
    fn default() -> Self {
        Self {
            place: Duration::from_secs(2),
            call: Duration::from_secs(5),
            connect: Duration::from_secs(2),
            calls: 512,
        }
    }
}

/// An answer of the channel, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The client; shared by all runtimes of the process.
pub(super) struct Client {
    pools: ThreadLocal<Pooled<HttpConnector, Full<Bytes>>>,
    places: Semaphore,
    limits: Limits,
    breaker: Mutex<Breaker>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// A call that the breaker let through; it ends as abandoned where nobody waits for it any more.
struct Probe<'a> {
    client: &'a Client,
    ticket: Ticket,
    went: Went,
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.client.locked().went(self.client.clock.now_us(), &self.ticket, self.went);
    }
}

impl Client {
    pub(super) fn new(limits: Limits, breaker: Breaker, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let places = Semaphore::new(limits.calls.clamp(1, Semaphore::MAX_PERMITS));
        Self { pools: ThreadLocal::new(), places, limits, breaker: Mutex::new(breaker), clock, metrics }
    }

    /// Makes a call. `is_down` tells whether an answer says no more than that the channel cannot answer now.
    ///
    /// # Errors
    /// [`ChannelError::Transient`] where there is no whole answer; whether the call took effect is then unknown.
    /// [`ChannelError::NotAsked`] where the breaker is open or there is no place for another call; it did not.
    pub(super) async fn call(
        &self,
        request: Request<Full<Bytes>>,
        is_down: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, ChannelError> {
        // Before the breaker is asked, and in a time of its own: to wait here says nothing about the channel.
        let Ok(Ok(_place)) = timeout(self.limits.place, self.places.acquire()).await else {
            self.count("no_room");
            return Err(ChannelError::NotAsked("no room for another call of the channel".to_owned()));
        };
        let asked = self.locked().ask(self.clock.now_us());
        let Ok(ticket) = asked else {
            self.count("refused_by_breaker");
            return Err(ChannelError::NotAsked("the channel does not answer, and was not asked".to_owned()));
        };
        let mut probe = Probe { client: self, ticket, went: Went::Abandoned };
        let answered = timeout(self.limits.call, self.ask(request)).await;
        probe.went = match &answered {
            Ok(Ok(answer)) if !is_down(answer) => Went::Answered,
            _ => Went::Unanswered,
        };
        match answered {
            Ok(Ok(answer)) => {
                self.count(if probe.went == Went::Answered { "answered" } else { "unavailable" });
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed("broken", error)),
            Err(_) => {
                let within = humantime::format_duration(self.limits.call);
                Err(self.failed("timeout", format!("no answer of the channel within {within}")))
            }
        }
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let pool = self.pools.get_or(|| self.pool());
        let response = pool.request(request).await.map_err(|error| match error.is_connect() {
            true => format!("no connection to the channel: {}", deepest(&error)),
            false => format!("the connection to the channel broke: {}", deepest(&error)),
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| format!("the channel's answer broke off: {error}"))?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    fn pool(&self) -> Pooled<HttpConnector, Full<Bytes>> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.limits.connect));
        Pooled::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(self.limits.calls)
            .build(connector)
    }

    /// How many calls whoever has many to make may have under way: room stays for the others.
    pub(super) const fn share(&self) -> usize {
        self.limits.calls.div_ceil(2)
    }

    /// How long calls had better wait.
    pub(super) fn rests_for(&self) -> Option<Duration> {
        let refused = self.locked().would_refuse(self.clock.now_us());
        refused.map(|Refused { retry_in_us }| Duration::from_micros(retry_in_us))
    }

    /// Where the breaker stands, and how often it opened.
    pub(super) fn breaker(&self) -> (Position, u64) {
        let breaker = self.locked();
        (breaker.position(self.clock.now_us()), breaker.opened())
    }

    fn failed(&self, name: &'static str, why: String) -> ChannelError {
        self.count(name);
        ChannelError::Transient(why)
    }

    fn count(&self, name: &'static str) {
        self.metrics.channel_calls.get_or_create(&Named { name }).inc();
    }

    /// Never held over a wait.
    fn locked(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was wrong in the end: the client library's own words say only where.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
