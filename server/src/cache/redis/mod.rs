//! The result cache on Redis or Redis Cluster: one key a task, changed by scripts that look at what is there.
//!
//! One connection a runtime, on which the commands of all its tasks are pipelined. A link that does not answer counts as
//! down at once, and callers are told so without waiting; see `link`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use fred::{
    error::{Error, ErrorKind},
    interfaces::{ClientLike as _, KeysInterface as _},
    types::{ClusterHash, CustomCommand, Value, scripts::Script},
};
use futures_util::future::join_all;
use thread_local::ThreadLocal;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{
    link::{Connection, Health, Link, PLACES, Speaker, is_the_servers},
    scripts::SCRIPTS,
};
use super::{CacheError, CacheStats, Entry, KEPT, KEPT_SHOWN, ResultCache};
use crate::{
    clock::Clock,
    metrics::{Metrics, Named},
    model::{TaskId, Version},
};

mod config;
mod entry;
mod link;
mod scripts;

pub use config::{RedisConfig, RedisUrlError};

/// The cache cannot be used: wrong at start.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("--cache {address}: {reason}")]
pub struct RedisError {
    /// Where it was looked for, without its secrets.
    pub address: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Live views in Redis. It may lose them, hang or go away at any moment: every call then fails within a second, most at
/// once, and [`trusted_since_us`](ResultCache::trusted_since_us) moves.
#[derive(Clone)]
pub struct RedisCache {
    shared: Arc<Shared>,
}

struct Shared {
    config: RedisConfig,
    health: Arc<Health>,
    /// All links, the one that was opened first in front.
    links: ArcSwap<Vec<Arc<Link>>>,
    /// The link of each thread that has settled in.
    own: ThreadLocal<Arc<Link>>,
    settling: Mutex<()>,
    stop: CancellationToken,
    _stops: DropGuard,
}

/// A link that answers, and a place on it.
struct Spoken {
    link: Arc<Link>,
    speaker: Arc<Speaker>,
    _place: OwnedSemaphorePermit,
}

impl RedisCache {
    /// Connects on this runtime, which the first connection lives on.
    ///
    /// # Errors
    /// [`RedisError`] within 5 s where it cannot be reached, refuses the credentials or the scripts, or is a cluster and
    /// should be none.
    pub async fn connect(config: RedisConfig, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, RedisError> {
        let first = link::connect(&config).await;
        let first = first.map_err(|reason| RedisError { address: config.address(), reason })?;
        let stop = CancellationToken::new();
        let shared = Shared {
            config,
            health: Arc::new(Health::new(clock, metrics)),
            links: ArcSwap::from_pointee(Vec::new()),
            own: ThreadLocal::new(),
            settling: Mutex::default(),
            stop: stop.clone(),
            _stops: stop.drop_guard(),
        };
        let cache = Self { shared: Arc::new(shared) };
        let link = cache.open(Some(first));
        while !link.is_up() {
            // Its task has not run yet.
            tokio::task::yield_now().await;
        }
        Ok(cache)
    }

    /// Gives this thread a link of its own on its runtime; it is used once it is connected.
    pub(super) fn settle_in(&self) {
        self.shared.own.get_or(|| self.open(None));
    }

    /// How it is.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let up = self.shared.links.load().iter().filter(|link| link.is_up()).count();
        CacheStats { entries: None, up: up > 0, connections: Some(up) }
    }

    /// Commands that are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.links.load().iter().map(|link| PLACES - link.places.available_permits()).sum()
    }

    /// A new link and the task that looks after it.
    fn open(&self, first: Option<Connection>) -> Arc<Link> {
        let link = Arc::new(Link::new());
        let shared = &self.shared;
        let (served, config, health) = (Arc::clone(&link), shared.config.clone(), Arc::clone(&shared.health));
        let stop = shared.stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(link::look_after(&served, &config, &health, first)).await;
        });
        let _settling = shared.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut links = Vec::clone(&shared.links.load());
        links.push(Arc::clone(&link));
        shared.links.store(Arc::new(links));
        link
    }

    /// A link that answers: this thread's own, else any.
    fn spoken(&self) -> Result<Spoken, CacheError> {
        let own = self.shared.own.get().and_then(|link| Some((Arc::clone(link), link.speaker()?)));
        let any = || self.shared.links.load().iter().find_map(|link| Some((Arc::clone(link), link.speaker()?)));
        let Some((link, speaker)) = own.or_else(any) else {
            return Err(self.failed("down", format!("{} does not answer", self.shared.config.address())));
        };
        match Arc::clone(&link.places).try_acquire_owned() {
            Ok(place) => Ok(Spoken { link, speaker, _place: place }),
            Err(_) => Err(self.failed("busy", format!("{PLACES} commands are under way"))),
        }
    }

    /// Counts a failure. Whatever the call was about, the cache may know less of it now than others.
    fn failed(&self, kind: &'static str, reason: String) -> CacheError {
        let health = &self.shared.health;
        health.metrics.cache_errors.get_or_create(&Named { name: kind }).inc();
        health.distrust();
        CacheError(reason)
    }

    /// Counts how a command went and draws the conclusions for its link.
    fn concluded<T>(
        &self,
        call: &'static str,
        spoken: &Spoken,
        began: Instant,
        went: Result<T, Error>,
    ) -> Result<T, CacheError> {
        let latency = self.shared.health.metrics.cache_latency.get_or_create(&Named { name: call }).clone();
        latency.observe(began.elapsed().as_secs_f64());
        let error = match went {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let kind = match error.kind() {
            ErrorKind::Timeout => "timeout",
            ErrorKind::Backpressure => "busy",
            _ if is_the_servers(error.details()) => "refused",
            _ => "lost",
        };
        match kind {
            "timeout" | "lost" => spoken.link.doubt(),
            "refused" if is_wrong_server(error.details()) => spoken.link.is_wrong_server(),
            _ => {}
        }
        Err(self.failed(kind, format!("{}: {}", self.shared.config.address(), error.details())))
    }

    /// The task's only key; its id is the hash tag, as it would be of any other.
    fn key(&self, task: TaskId) -> Bytes {
        format!("{}:{{{task}}}", self.shared.config.prefix()).into()
    }

    /// Runs a script on the task's entry: by its hash, and with its text where the server has lost it. Not by the
    /// client's own `evalsha`, which ignores its options.
    async fn run(
        &self,
        call: &'static str,
        script: &Script,
        spoken: Spoken,
        task: TaskId,
        arguments: &[Value],
    ) -> Result<(), CacheError> {
        let key = self.key(task);
        let whole = |head: &str| {
            let mut whole = Vec::with_capacity(3 + arguments.len());
            whole.extend([Value::from(head), Value::Integer(1), Value::Bytes(key.clone())]);
            whole.extend_from_slice(arguments);
            whole
        };
        let began = Instant::now();
        let by = |name| CustomCommand::new_static(name, ClusterHash::Offset(2), false);
        let mut went = spoken.speaker.custom::<i64, Value>(by("EVALSHA"), whole(script.sha1())).await;
        if let (Err(error), Some(text)) = (&went, script.lua())
            && error.details().starts_with("NOSCRIPT")
        {
            went = spoken.speaker.custom(by("EVAL"), whole(text)).await;
        }
        self.concluded(call, &spoken, began, went).map(|_| ())
    }
}

impl ResultCache for RedisCache {
    async fn put(&self, entry: Entry) -> Result<(), CacheError> {
        let spoken = self.spoken()?;
        let task = entry.view.task.task_id;
        let arguments = [Value::Bytes(entry::encode(&entry)?.into()), milliseconds(KEPT)];
        self.run("put", &SCRIPTS.put, spoken, task, &arguments).await
    }

    async fn put_all(&self, entries: Vec<Entry>) -> Result<(), CacheError> {
        join_all(entries.into_iter().map(|entry| self.put(entry))).await.into_iter().collect()
    }

    async fn get(&self, task: TaskId) -> Result<Option<Entry>, CacheError> {
        let spoken = self.spoken()?;
        let began = Instant::now();
        let found = spoken.speaker.get::<Option<Bytes>, _>(self.key(task)).await;
        let Some(bytes) = self.concluded("get", &spoken, began, found)? else { return Ok(None) };
        let entry = entry::decode(task, &bytes);
        if entry.is_none() {
            self.shared.health.metrics.cache_unreadable.inc();
        }
        Ok(entry)
    }

    /// Nobody waits for it: a query is answered in one round trip. If it fails the entry goes a little later.
    async fn shown_final(&self, task: TaskId) -> Result<(), CacheError> {
        let spoken = self.spoken()?;
        let cache = self.clone();
        tokio::spawn(async move {
            cache.run("shown_final", &SCRIPTS.shown_final, spoken, task, &[milliseconds(KEPT_SHOWN)]).await
        });
        Ok(())
    }

    async fn evict(&self, task: TaskId, up_to: Version) -> Result<(), CacheError> {
        let arguments = [Value::Bytes(up_to.to_bytes().to_vec().into())];
        self.run("evict", &SCRIPTS.evict, self.spoken()?, task, &arguments).await
    }

    fn trusted_since_us(&self) -> u64 {
        self.shared.health.trusted_since_us()
    }
}

fn milliseconds(time: Duration) -> Value {
    Value::Integer(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// It serves no writes, or nothing yet: it was a master, or comes back.
fn is_wrong_server(details: &str) -> bool {
    ["READONLY", "LOADING", "MASTERDOWN", "NOAUTH"].iter().any(|code| details.starts_with(code))
}
