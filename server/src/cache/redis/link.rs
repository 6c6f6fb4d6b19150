//! One connection (to a cluster: one to each of its masters) and the task that looks after it.
//!
//! The client's own reconnecting is left off: it would repeat commands that were under way, believes itself connected
//! until its first pause is over, gives up on some errors, and cannot end a write that hangs. Here a connection that
//! breaks ends its commands with an error and is replaced by a new one, for as long as it takes.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use fred::{
    clients::{Client, WithOptions},
    error::{Error, ErrorKind},
    interfaces::{ClientLike as _, EventInterface as _},
    types::{
        ConnectHandle, InfoKind,
        config::{ConnectionConfig, Options, PerformanceConfig, TcpConfig},
    },
};
use futures_util::future::join_all;
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep, timeout},
};

use super::{config::RedisConfig, scripts::SCRIPTS};
use crate::{clock::Clock, metrics::Metrics};

/// How long a command may take. Whoever asks waits this long at most, and only until the first has: then the link counts
/// as down.
const COMMAND: Duration = Duration::from_secs(1);
/// How long a connection may take to be made, with everything that is said on it first.
const CONNECT: Duration = Duration::from_millis(4_500);
/// How often a connection is asked whether it still answers.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// The same while it does not.
const PROBE_DOWN_EVERY: Duration = Duration::from_millis(100);
/// A connection that has answered nothing for so long is given up for a new one.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two tries to connect: doubled from the one to the other.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Commands under way on a link at once; over it callers are told that it is busy.
pub(super) const PLACES: usize = 4_096;
/// Commands that the client holds before they are written. More than there are places, as those that timed out are there
/// too: when this is full even the client's own messages to itself are lost.
const BUFFER: usize = 4 * PLACES;

/// What a command goes through: with a deadline, and an error at once where there is no connection.
pub(super) type Speaker = WithOptions<Client>;

/// A connection that comes and goes.
pub(super) struct Link {
    speaker: ArcSwapOption<Speaker>,
    up: AtomicBool,
    /// It answers, and what it says shows that somebody else should be asked.
    wrong_server: AtomicBool,
    look: Notify,
    pub(super) places: Arc<Semaphore>,
}

/// What all links of a cache share.
pub(super) struct Health {
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    trusted_since_us: AtomicU64,
}

impl Health {
    pub(super) fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { clock, metrics, trusted_since_us: AtomicU64::new(0) }
    }

    pub(super) fn trusted_since_us(&self) -> u64 {
        self.trusted_since_us.load(Ordering::Acquire)
    }

    /// The cache may hold less than what is known elsewhere: facts from before now are asked again.
    pub(super) fn distrust(&self) {
        self.trusted_since_us.fetch_max(self.clock.now_us(), Ordering::AcqRel);
    }
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            speaker: ArcSwapOption::empty(),
            up: AtomicBool::new(false),
            wrong_server: AtomicBool::new(false),
            look: Notify::new(),
            places: Arc::new(Semaphore::new(PLACES)),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// The connection, where it answers.
    pub(super) fn speaker(&self) -> Option<Arc<Speaker>> {
        if self.is_up() { self.speaker.load_full() } else { None }
    }

    /// A command was not answered: nobody else waits for it until a look has shown that it answers.
    pub(super) fn doubt(&self) {
        self.up.store(false, Ordering::Release);
        self.look.notify_one();
    }

    /// It is a server that cannot be written to: a new connection may lead to another.
    pub(super) fn is_wrong_server(&self) {
        self.wrong_server.store(true, Ordering::Release);
        self.doubt();
    }

    /// Whatever was shown while it was down was not read here, so it is distrusted before it is used.
    fn rise(&self, health: &Health) {
        health.distrust();
        self.up.store(true, Ordering::Release);
    }
}

/// A connection that has been made; it ends with this.
pub(super) struct Connection {
    client: Client,
    task: ConnectHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes a connection on this runtime and readies the server for what follows.
///
/// # Errors
/// Why not, for people.
pub(super) async fn connect(config: &RedisConfig) -> Result<Connection, String> {
    match timeout(CONNECT, try_connect(config)).await {
        Ok(connected) => connected,
        Err(_) => Err(unanswered(&format!("not within {CONNECT:?}"))),
    }
}

async fn try_connect(config: &RedisConfig) -> Result<Connection, String> {
    let connection = ConnectionConfig {
        connection_timeout: CONNECT,
        internal_command_timeout: CONNECT,
        max_command_buffer_len: BUFFER,
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    };
    let performance = PerformanceConfig { default_command_timeout: COMMAND, ..PerformanceConfig::default() };
    let client = Client::new(config.client()?, Some(performance), Some(connection), None);
    let mut connected = pin!(client.wait_for_connect());
    // It listens from its first poll on: before there is anything to hear.
    let _ = futures_util::poll!(&mut connected);
    let mut made = Connection { client: client.clone(), task: client.connect() };
    let first = tokio::select! {
        said = connected => said,
        ended = &mut made.task => ended.unwrap_or_else(|_| Err(Error::new(ErrorKind::Canceled, "the task is gone"))),
    };
    first.map_err(|error| reason(&error))?;
    check_mode(&client, config).await?;
    for script in SCRIPTS.all() {
        script.load(&client).await.map_err(|error| match error.details() {
            said if is_the_servers(said) => format!("it takes no scripts: {said}"),
            _ => unanswered(error.details()),
        })?;
    }
    Ok(made)
}

/// A node of a cluster answers for a part of the keys only, which would show late.
async fn check_mode(client: &Client, config: &RedisConfig) -> Result<(), String> {
    if config.is_clustered() {
        return Ok(());
    }
    // Who may not ask may still be allowed to do what is needed.
    let info: String = client.info(Some(InfoKind::Server)).await.unwrap_or_default();
    if info.contains("redis_mode:cluster") {
        return Err("it is a node of a cluster: use redis-cluster://".to_owned());
    }
    Ok(())
}

/// Why a connection could not be made, and what to do.
fn reason(error: &Error) -> String {
    let details = error.details();
    if details.contains("cluster support disabled") {
        return "it is no cluster: use redis://".to_owned();
    }
    if *error.kind() == ErrorKind::Auth || details.contains("AUTH") || details.contains("HELLO") {
        return format!("it refuses the user or the password ({details}); they stand before the host, USER:PASSWORD@");
    }
    match error.kind() {
        ErrorKind::IO | ErrorKind::Timeout => unanswered(details),
        _ => details.to_owned(),
    }
}

fn unanswered(how: &str) -> String {
    format!("nothing answers there ({how}); start Redis there, or name another address")
}

/// Whether these are the words of a server, which begin with a code in capitals, and not of the client.
pub(super) fn is_the_servers(details: &str) -> bool {
    let code = details.split_whitespace().next().unwrap_or_default();
    code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Keeps a link connected for as long as it is polled.
pub(super) async fn look_after(link: &Link, config: &RedisConfig, health: &Health, first: Option<Connection>) {
    let mut pause = PAUSES.0;
    let mut made = first.map(Ok);
    loop {
        let tried = match made.take() {
            Some(first) => first,
            None => connect(config).await,
        };
        match tried {
            Ok(mut connection) => {
                let began = Instant::now();
                serve(link, &mut connection, health).await;
                tracing::warn!(cache = config.address(), "a connection to the result cache is lost");
                health.metrics.cache_connections_lost.inc();
                if began.elapsed() > PAUSES.1 {
                    pause = PAUSES.0;
                }
            }
            Err(error) => tracing::debug!(cache = config.address(), error, "no connection to the result cache yet"),
        }
        // Nodes that lost it together do not come back together.
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Lets callers use a connection for as long as it is good.
async fn serve(link: &Link, connection: &mut Connection, health: &Health) {
    let options = Options { fail_fast: true, timeout: Some(COMMAND), ..Options::default() };
    link.wrong_server.store(false, Ordering::Release);
    link.speaker.store(Some(Arc::new(connection.client.with_options(&options))));
    link.rise(health);
    watch(link, connection, health).await;
    link.up.store(false, Ordering::Release);
    link.speaker.store(None);
}

/// Returns when the connection is to be replaced.
async fn watch(link: &Link, connection: &mut Connection, health: &Health) {
    let mut changes = connection.client.cluster_change_rx();
    let mut answered = Instant::now();
    loop {
        let pause = if link.is_up() { PROBE_EVERY } else { PROBE_DOWN_EVERY };
        tokio::select! {
            biased;
            _ = &mut connection.task => return,
            // A replica that took over may lack the last that its master had.
            Ok(_) = changes.recv() => {
                health.distrust();
                continue;
            }
            () = link.look.notified() => {}
            () = sleep(pause) => {}
        }
        if link.wrong_server.load(Ordering::Acquire) {
            return;
        }
        if answers(&connection.client).await {
            answered = Instant::now();
            if !link.is_up() {
                link.rise(health);
            }
        } else {
            link.up.store(false, Ordering::Release);
            if answered.elapsed() > PATIENCE {
                return;
            }
        }
    }
}

/// Whether every server behind this client answers in time.
async fn answers(client: &Client) -> bool {
    let mut servers: Vec<_> = client.active_connections().into_iter().map(Some).collect();
    if servers.is_empty() {
        // Behind some proxies connections have no number and are not told apart: whichever it is.
        servers.push(None);
    }
    let pings = servers.into_iter().map(|cluster_node| {
        let options = Options { fail_fast: true, timeout: Some(COMMAND), cluster_node, ..Options::default() };
        let one = client.with_options(&options);
        async move { one.ping::<()>(None).await.is_ok() }
    });
    join_all(pings).await.into_iter().all(|answers| answers)
}
