//! A RabbitMQ for tests: names of its own for each test, removed at the end, and a proxy before it that can do what
//! servers and networks do.

#![allow(dead_code, reason = "each suite uses the part that it needs")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeleteOptions},
};
use payrig_server::{
    metrics::Metrics,
    queue::rabbitmq::{Limits, Rabbit, RabbitQueue, RabbitSettings, topology::DELAYS},
};

pub(crate) mod proxy;

/// Subscribers to success messages, in these tests.
pub(crate) const SUBSCRIBERS: [&str; 2] = ["one", "other"];

/// Where RabbitMQ is.
pub(crate) fn url() -> String {
    let given = std::env::var("PAYRIG_TEST_RABBITMQ_URL").ok().filter(|url| !url.is_empty());
    given.unwrap_or_else(|| "amqp://payrig:payrig@127.0.0.1:25682/%2f".to_owned())
}

/// Why it is not to be had here, if so.
pub(crate) fn missing() -> Option<String> {
    let address = RabbitSettings::parse(&url()).expect("PAYRIG_TEST_RABBITMQ_URL").address();
    let answers = address.to_socket_addrs().ok().into_iter().flatten();
    let mut answers = answers.map(|address| TcpStream::connect_timeout(&address, Duration::from_secs(2)));
    if answers.any(|answer| answer.is_ok()) { None } else { Some(format!("no RabbitMQ at {address}")) }
}

/// Names of a test's own on the server, removed when this goes.
pub(crate) struct Place {
    pub(crate) prefix: String,
    url: String,
}

impl Place {
    pub(crate) fn fresh() -> Self {
        Self { prefix: format!("test-{:016x}", rand::random::<u64>()), url: url() }
    }

    /// Where it is, with the place's prefix.
    pub(crate) fn url(&self) -> String {
        format!("{}?prefix={}", self.url, self.prefix)
    }

    /// The same through a proxy on this port.
    pub(crate) fn url_through(&self, port: u16) -> String {
        let rest = self.url.strip_prefix("amqp://").unwrap();
        let (login, rest) = rest.rsplit_once('@').map_or(("guest:guest", rest), |(login, rest)| (login, rest));
        let vhost = rest.split_once('/').map_or("%2f", |(_, vhost)| vhost);
        format!("amqp://{login}@127.0.0.1:{port}/{vhost}?prefix={}&heartbeat=2", self.prefix)
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    /// A connection of the test's own, to look at what is there.
    pub(crate) async fn look(&self) -> (Connection, Channel) {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    async fn remove(&self) {
        let (connection, channel) = self.look().await;
        let mut queues = vec![self.name("tasks"), self.name("parked")];
        queues.extend(DELAYS.map(|delay| self.name(&format!("tasks.delay.{}s", delay.as_secs()))));
        queues.extend(SUBSCRIBERS.map(|name| self.name(&format!("success.{name}"))));
        for queue in queues {
            let _ = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await;
        }
        let exchange = self.name("success");
        let _ = channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await;
        let _ = connection.close(200, "done".into()).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        outside(self.remove());
    }
}

/// Runs something to its end on a thread and a runtime of its own: where a runtime is at work already, or its clock
/// stands still.
pub(crate) fn outside<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work)
        });
        thread.join().unwrap()
    })
}

/// Connects to RabbitMQ like a node does.
pub(crate) async fn connect(url: &str) -> (Rabbit, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let settings = RabbitSettings::parse(url).unwrap();
    let rabbit = Rabbit::connect(&settings, &SUBSCRIBERS, Arc::clone(&metrics)).await;
    (rabbit.unwrap_or_else(|error| panic!("{error}")), metrics)
}

/// A node's task queue.
pub(crate) async fn node(url: &str, capacity: usize) -> (RabbitQueue, Arc<Metrics>) {
    let (rabbit, metrics) = connect(url).await;
    (RabbitQueue::new(&rabbit, Limits { capacity, in_hand: 64 }), metrics)
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("{what}: not so"));
}

/// The number that a counter with a name stands at.
pub(crate) fn counted(metrics: &Metrics, counter: &str, name: &str) -> u64 {
    let line = format!("payrig_{counter}_total{{name=\"{name}\"}} ");
    let text = metrics.text();
    text.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}
