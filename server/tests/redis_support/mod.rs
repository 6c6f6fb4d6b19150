//! Redis for tests: where it is, a place of one's own in it, and its clock.

#![allow(dead_code, reason = "each suite uses the part that it needs")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod proxy;

use std::{
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    sync::{Arc, LazyLock, mpsc},
    time::Duration,
};

use fred::{
    clients::Client,
    interfaces::{ClientLike, KeysInterface as _},
    types::{
        ClusterHash, CustomCommand, Value,
        config::{Config, Options},
    },
};
use payrig_server::{
    cache::redis::{RedisCache, RedisConfig},
    clock::Clock,
    metrics::Metrics,
};
use tokio::runtime::Runtime;
use url::Url;

/// Where everything lives that is outside of a test's own runtime, whose time may stand still.
static OUTSIDE: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// Does something outside and waits for it.
pub(crate) fn outside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    OUTSIDE.spawn(async move { drop(tell.send(work.await)) });
    told.recv().unwrap()
}

/// The URL of the Redis to test on.
pub(crate) fn single() -> String {
    std::env::var("PAYRIG_TEST_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:26390".to_owned())
}

/// The URL of the Redis Cluster to test on.
pub(crate) fn cluster() -> String {
    std::env::var("PAYRIG_TEST_REDIS_CLUSTER_URL").unwrap_or_else(|_| "redis-cluster://127.0.0.1:26391".to_owned())
}

/// Where the server of this URL listens.
pub(crate) fn address(url: &str) -> SocketAddr {
    let url = Url::parse(url).unwrap();
    (url.host_str().unwrap(), url.port().unwrap_or(6379)).to_socket_addrs().unwrap().next().unwrap()
}

/// Why the server of this URL is not to be had, if so.
pub(crate) fn missing(url: &str) -> Option<String> {
    let reached = TcpStream::connect_timeout(&address(url), Duration::from_secs(2));
    reached.is_err().then(|| format!("no Redis at {}", RedisConfig::parse(url).unwrap().address()))
}

/// A prefix of one's own, and a client beside the cache. What is left there goes by itself within half a minute.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) prefix: String,
    pub(crate) beside: Client,
}

impl Place {
    pub(crate) fn fresh(server: &str) -> Self {
        let prefix = format!("test-{:032x}", rand::random::<u128>());
        let mut url = Url::parse(server).unwrap();
        url.query_pairs_mut().append_pair("prefix", &prefix);
        let config = Config::from_url(server).unwrap();
        let beside = outside(async move {
            let client = Client::new(config, None, None, None);
            client.init().await.unwrap();
            client
        });
        Self { url: url.into(), prefix, beside }
    }

    /// The same place by way of another port.
    pub(crate) fn by_way_of(&self, port: u16) -> String {
        let mut url = Url::parse(&self.url).unwrap();
        url.set_port(Some(port)).unwrap();
        url.into()
    }

    pub(crate) fn key(&self, task: impl std::fmt::Display) -> String {
        format!("{}:{{{task}}}", self.prefix)
    }

    /// All keys of this place, on whichever server they are.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for server in self.beside.active_connections() {
            let options = Options { cluster_node: Some(server), ..Options::default() };
            let command = CustomCommand::new_static("KEYS", ClusterHash::Random, false);
            let found: Vec<String> = self
                .beside
                .with_options(&options)
                .custom(command, vec![Value::from(format!("{}:*", self.prefix))])
                .await
                .unwrap();
            keys.extend(found);
        }
        keys
    }

    /// Lets so much time pass for every key: each has that much less left.
    pub(crate) async fn pass(&self, time: Duration) {
        let passed = i64::try_from(time.as_millis()).unwrap();
        for key in self.keys().await {
            let left: i64 = self.beside.pttl(&key).await.unwrap();
            assert!(left != -1, "{key} stays for ever");
            if left > passed {
                self.beside.pexpire::<(), _>(&key, left - passed, None).await.unwrap();
            } else {
                self.beside.del::<(), _>(&key).await.unwrap();
            }
        }
    }
}

/// A cache at this address, which has to be there.
pub(crate) fn cache(url: &str) -> RedisCache {
    try_cache(url).unwrap()
}

pub(crate) fn try_cache(url: &str) -> Result<RedisCache, String> {
    counted_cache(url, Arc::new(Metrics::new()))
}

pub(crate) fn counted_cache(url: &str, metrics: Arc<Metrics>) -> Result<RedisCache, String> {
    let config = RedisConfig::parse(url).unwrap();
    outside(
        async move { RedisCache::connect(config, Clock::start(), metrics).await.map_err(|error| error.to_string()) },
    )
}
