//! The only file that names concrete backends: makes the parts of a configuration and runs them on their runtimes.

use std::{io, sync::Arc, thread::JoinHandle};

use payrig_channel::{LedgerError, Notifications, keys::KeysError};
use payrig_commit::CommitError;
use tokio::{
    runtime::Runtime,
    sync::{Barrier, mpsc, oneshot, watch},
    task::JoinSet,
};

#[cfg(feature = "mongodb")]
use crate::store::mongodb::{MongoError, MongoStore};
use crate::{
    cache::{Cache, memory::MemoryCache},
    clock::Clock,
    config::{CacheKind, Config, StoreKind},
    dispatch,
    http::{Deadlines, Endpoint, Face, Handed, Listening, serve},
    merchants::{Merchants, Reloading},
    metrics::Metrics,
    parts::{Locks, Parts, SyncMode},
    queue::{memory::Wheel, success::Announced},
    refund::{Desk, Owed},
    runner::{Runner, run_pool},
    service::{Backlog, PayService},
    stop::{Signals, Stopped, until_stopped},
    store::{Store, embedded::EmbeddedStore, memory::MemoryStore},
    sweep,
    sync::{self, Unsynced, UnsyncedWork},
};

mod channel;
mod queue;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; --{flag} takes another address, and its port 0 takes a free port")]
    Listen {
        /// The setting that names it.
        flag: &'static str,
        /// Which one.
        address: std::net::SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error("cannot open the document store: {0}; --data-dir takes another folder")]
    Store(#[source] CommitError),
    /// The result cache cannot be reached.
    #[cfg(feature = "redis")]
    #[error("cannot use the result cache: {0}")]
    Cache(#[from] crate::cache::redis::RedisError),
    /// The database cannot be used as the store.
    #[cfg(feature = "mongodb")]
    #[error(transparent)]
    Mongodb(#[from] MongoError),
    /// The channel's ledger cannot be opened.
    #[error("cannot open the simulated channel's ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The keys of the channel cannot be used.
    #[error("cannot use the keys of --channel-keys: {0}")]
    Keys(#[source] KeysError),
    /// RabbitMQ cannot be used.
    #[cfg(feature = "rabbitmq")]
    #[error(transparent)]
    Rabbitmq(#[from] crate::queue::rabbitmq::RabbitError),
    /// The system refuses threads, timers or signals.
    #[error("the system refuses what a server needs: {0}")]
    System(#[from] io::Error),
}

/// A server that is ready to serve.
pub struct Server {
    config: Config,
    runtime: Runtime,
    parts: Arc<Parts>,
    merchants: Arc<Merchants>,
    public: Listening,
    admin: Option<Listening>,
    background: Background,
}

/// Work that runs once in a process.
struct Background {
    wheel: Option<Wheel>,
    notifications: Option<Notifications>,
    announced: Announced,
    owed: Owed,
    unsynced: Arc<Unsynced>,
    unsynced_work: UnsyncedWork,
}

impl Server {
    /// Opens everything that the configuration names and binds its addresses.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn assemble(config: Config) -> Result<Self, ServerError> {
        let bind =
            |flag, address| Listening::bind(address).map_err(|source| ServerError::Listen { flag, address, source });
        let public = bind("listen", config.listen)?;
        let admin = config.admin_listen.map(|address| bind("admin-listen", address)).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        let (clock, metrics) = (Clock::start(), Arc::new(Metrics::new()));
        let store = runtime.block_on(open_store(&config, &metrics))?;
        let opening = channel::open(&config, public.address, clock, &metrics);
        let (channel, notifications) = runtime.block_on(opening)?;
        let cache = runtime.block_on(open_cache(&config, clock, &metrics))?;
        let (refunds, owed) = Desk::with_pool();
        let queues = runtime.block_on(queue::open(&config, &metrics))?;
        let queue::Queues { tasks, successes, announced, wheel } = queues;
        let parts = Arc::new(Parts {
            store,
            cache,
            queue: tasks,
            successes,
            channel,
            clock,
            metrics,
            settings: config.settings,
            refunds,
            locks: Locks::default(),
        });
        let (unsynced, unsynced_work) = Unsynced::new(Arc::clone(&parts));
        drop(within);
        let background = Background { wheel, notifications, announced, owed, unsynced, unsynced_work };
        let merchants = Arc::new(Merchants::new(config.merchants.clone()));
        Ok(Self { config, runtime, parts, merchants, public, admin, background })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> std::net::SocketAddr {
        self.public.address
    }

    /// Where the admin books are, if anywhere.
    #[must_use]
    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// Serves until a signal; `ready` is called once connections are taken. It is not generic, so that the library holds
    /// the code of the whole server and a binary compiles none of it again.
    ///
    /// # Errors
    /// Where the system refuses threads or signals.
    pub fn run(self, ready: &dyn Fn()) -> Result<Stopped, ServerError> {
        let Self { config, runtime, parts, merchants, public, admin, background } = self;
        let (signals, reloading, new_keys) = {
            let _within = runtime.enter();
            let new_keys = parts.channel.http().cloned().map(|channel| Ok((channel, channel::hangups()?)));
            let new_keys = new_keys.transpose().map_err(ServerError::System)?;
            (Signals::listen()?, Reloading::listen(&merchants, &parts.metrics)?, new_keys)
        };
        let (stop, stopping) = watch::channel(false);
        let barrier = Arc::new(Barrier::new(config.threads));
        let node = |handed| Node {
            parts: Arc::clone(&parts),
            merchants: Arc::clone(&merchants),
            unsynced: Arc::clone(&background.unsynced),
            backlog: config.backlog.div_ceil(config.threads),
            workers: config.workers.div_ceil(config.threads),
            deadlines: config.deadlines,
            handed,
            stopping: stopping.clone(),
            barrier: Arc::clone(&barrier),
        };
        let mut ways = Vec::with_capacity(config.threads);
        let mut threads = Vec::with_capacity(config.threads);
        let (way, own_handed) = Listening::way();
        ways.push(way);
        for number in 1..config.threads {
            let (way, handed) = Listening::way();
            ways.push(way);
            threads.push(spawn(number, node(handed))?);
        }
        let own = node(own_handed);
        let unsynced = Arc::clone(&background.unsynced);
        let stopped = runtime.block_on(async {
            let (mut once, notifications, announced) = run_background(&parts, background, &own);
            let (stop_dispatch, dispatch_stops) = oneshot::channel();
            let dispatching = tokio::spawn(dispatch::run(Arc::clone(&parts), announced, dispatch_stops));
            if let Some(admin) = admin {
                let endpoint = own.admin_endpoint();
                once.spawn(serve_admin(admin, endpoint, stopping.clone()));
            }
            if let Some(reloading) = reloading {
                once.spawn(reloading.run());
            }
            if let Some((channel, hangups)) = new_keys {
                once.spawn(channel::reload_keys(channel, hangups));
            }
            let own = tokio::spawn(own.run());
            let connections = config.connections;
            let acceptor = tokio::spawn(public.deal(ways, connections, stopping.clone()));
            ready();
            let taking = tokio::spawn(channel::take_notifications(Arc::clone(&parts), notifications, stopping.clone()));
            let drained = async {
                let _ = own.await;
                for thread in threads {
                    let _ = tokio::task::spawn_blocking(move || thread.join()).await;
                }
                let _ = acceptor.await;
                let _ = taking.await;
                // Nobody announces any more but the sweeper, which has stopped.
                let _ = stop_dispatch.send(());
                let _ = dispatching.await;
                parts.successes.finish().await;
                parts.queue.finish().await;
                once.abort_all();
                while once.join_next().await.is_some() {}
                // With `--sync on-query`: what was shown is stored before the end.
                unsynced.flush().await;
            };
            until_stopped(signals, stop, drained, config.drain_timeout, &parts).await
        });
        // What hangs on a deadline is let go; the store's own thread ends with the last write that it was given.
        runtime.shutdown_background();
        Ok(stopped)
    }
}

#[cfg_attr(
    not(feature = "mongodb"),
    expect(unused_variables, clippy::unused_async, reason = "for a store that is somewhere else")
)]
async fn open_store(config: &Config, metrics: &Arc<Metrics>) -> Result<Store, ServerError> {
    match &config.store {
        StoreKind::Memory => Ok(Store::Memory(MemoryStore::default())),
        StoreKind::Embedded => {
            let store = EmbeddedStore::open(&config.data_dir.join("store")).map_err(ServerError::Store)?;
            Ok(Store::Embedded(store))
        }
        #[cfg(feature = "mongodb")]
        StoreKind::Mongodb(settings) => Ok(Store::Mongodb(MongoStore::connect(settings, Arc::clone(metrics)).await?)),
    }
}

#[cfg_attr(
    not(feature = "redis"),
    expect(unused_variables, clippy::unused_async, reason = "for a cache that is somewhere else")
)]
async fn open_cache(config: &Config, clock: Clock, metrics: &Arc<Metrics>) -> Result<Cache, ServerError> {
    match &config.cache {
        CacheKind::Memory => Ok(Cache::Memory(MemoryCache::new(config.cache_capacity))),
        #[cfg(feature = "redis")]
        CacheKind::Redis(redis) => {
            let cache = crate::cache::redis::RedisCache::connect(redis.clone(), clock, Arc::clone(metrics)).await?;
            Ok(Cache::Redis(cache))
        }
    }
}

fn spawn(number: usize, node: Node) -> Result<JoinHandle<()>, ServerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name(format!("node-{number}"));
    Ok(thread.spawn(move || {
        runtime.block_on(async {
            node.parts.cache.settle_in();
            node.run().await;
        });
        runtime.shutdown_background();
    })?)
}

/// One runtime: its connections, publishers, attempts and batches.
struct Node {
    parts: Arc<Parts>,
    merchants: Arc<Merchants>,
    unsynced: Arc<Unsynced>,
    backlog: usize,
    workers: usize,
    deadlines: Deadlines,
    handed: mpsc::Receiver<Handed>,
    stopping: watch::Receiver<bool>,
    barrier: Arc<Barrier>,
}

impl Node {
    /// Serves until told to stop, then drains stage after stage: answers, acceptances, attempts, outcomes.
    async fn run(self) {
        let (backlog, publisher) = Backlog::new(Arc::clone(&self.parts), self.backlog);
        let (synchroniser, batches) = sync::start(&self.parts, &self.unsynced);
        let service = PayService::new(Arc::clone(&self.parts), backlog, synchroniser.clone());
        let runner = Runner::new(Arc::clone(&self.parts), synchroniser);
        let publisher = tokio::spawn(publisher.run());
        let attempts = tokio::spawn(run_pool(runner, self.parts.queue.clone(), self.workers));
        let batches = batches.map(|batches| tokio::spawn(batches.run()));
        let endpoint = Endpoint::new(service, Face::Public, self.merchants, self.deadlines);
        // The service goes with the last connection, and the backlog with it.
        serve(endpoint, self.handed, self.stopping).await;
        let _ = publisher.await;
        // Every runtime's acceptances are in the queue; now it may close.
        self.barrier.wait().await;
        self.parts.queue.close();
        let _ = attempts.await;
        if let Some(batches) = batches {
            let _ = batches.await;
        }
    }

    /// The read-only books. What their service hands in goes nowhere.
    fn admin_endpoint(&self) -> Endpoint {
        let (backlog, _) = Backlog::new(Arc::clone(&self.parts), 1);
        let sync = sync::Synchroniser::OnQuery(Arc::clone(&self.unsynced));
        let service = PayService::new(Arc::clone(&self.parts), backlog, sync);
        Endpoint::new(service, Face::Admin, Arc::clone(&self.merchants), self.deadlines)
    }
}

/// Starts what runs once in a process; gives back the notifications and announced successes, which are drained apart.
fn run_background(
    parts: &Arc<Parts>,
    background: Background,
    own: &Node,
) -> (JoinSet<()>, Option<Notifications>, Announced) {
    let Background { wheel, notifications, announced, owed, unsynced, unsynced_work } = background;
    let mut once = JoinSet::new();
    if let Some(wheel) = wheel {
        once.spawn(wheel.run());
    }
    let cache = parts.cache.clone();
    once.spawn(async move { cache.run().await });
    if own.workers > 0 {
        once.spawn(sweep::run(Arc::clone(parts), own.stopping.clone()));
        once.spawn(sweep::forget_keys(Arc::clone(parts)));
        once.spawn(sweep::give_refunds(Arc::clone(parts), owed));
    }
    if parts.settings.sync == SyncMode::OnQuery {
        once.spawn(unsynced_work.run());
    }
    drop(unsynced);
    (once, notifications, announced)
}

async fn serve_admin(listening: Listening, endpoint: Endpoint, stopping: watch::Receiver<bool>) {
    const AT_MOST: usize = 64;
    let (way, handed) = Listening::way();
    let dealing = tokio::spawn(listening.deal(vec![way], AT_MOST, stopping.clone()));
    serve(endpoint, handed, stopping).await;
    dealing.abort();
}
