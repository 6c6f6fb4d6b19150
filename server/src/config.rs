//! Flags, environment and file, read into one validated [`Config`].

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use serde::Deserialize;

use crate::{
    http::Deadlines,
    merchants::MerchantsFile,
    model::retry::longest_round,
    parts::{AcceptMode, Settings, SyncMode},
};

mod cache;
mod channel;
mod queue;
mod store;
mod value;

pub use cache::CacheKind;
pub use channel::ChannelKind;
pub use queue::QueueKind;
pub use store::StoreKind;
pub use value::ConfigError;
use value::{bad, duration, none_or_more, parsed, positive, some_time};

/// The reference server of payrig's payment flow.
///
/// Without flags it runs embedded and durable in ./payrig-data and listens on 127.0.0.1:8080.
#[derive(Parser, Deserialize, Default, Debug)]
#[command(name = "payrig-server", version, about)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawConfig {
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "PAYRIG_LISTEN")]
    pub listen: Option<String>,
    /// Folder of the embedded store and of the simulated channel's ledger [default: ./payrig-data]
    #[arg(long, value_name = "DIR", env = "PAYRIG_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// TOML file with the same settings, under the flags' names; flags and environment go first
    #[arg(long, value_name = "FILE.toml", env = "PAYRIG_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Task queue, of success messages too: memory, or RabbitMQ 3.10 or later at amqp://USER:PASSWORD@HOST:PORT/VHOST (%2f
    /// for the virtual host /), whose queues are called payrig.* or as ?prefix=NAME says [default: memory]
    #[arg(long, value_name = "QUEUE", env = "PAYRIG_QUEUE")]
    pub queue: Option<String>,
    /// Result cache: memory, redis://USER:PASSWORD@HOST:PORT/DATABASE (HOST:PORT is enough where no more is needed) or
    /// redis-cluster://HOST:PORT; rediss:// and rediss-cluster:// with TLS [default: memory]
    #[arg(long, value_name = "CACHE", env = "PAYRIG_CACHE")]
    pub cache: Option<String>,
    /// Document store: embedded, memory (for benches: keeps nothing), or mongodb://HOST:PORT/DATABASE [default: embedded]
    #[arg(long, value_name = "STORE", env = "PAYRIG_STORE")]
    pub store: Option<String>,
    /// Payment channel: simulated, simulated:PROFILE such as simulated:latency=0ms,transient=2%,seed=7, or a payrig-channel
    /// at http://HOST:PORT [default: simulated]
    #[arg(long, value_name = "CHANNEL", env = "PAYRIG_CHANNEL")]
    pub channel: Option<String>,
    /// Folder of both sides' keys, as payrig-channel makes it; read again on SIGHUP. Needed with --channel http://
    #[arg(long, value_name = "DIR", env = "PAYRIG_CHANNEL_KEYS")]
    pub channel_keys: Option<PathBuf>,
    /// Where the channel reaches this server with its notifications [default: http:// and the address listened on]
    #[arg(long, value_name = "URL", env = "PAYRIG_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// How long a call of the channel may take in all, with --channel http:// [default: 5s]
    #[arg(long, value_name = "DURATION", env = "PAYRIG_CHANNEL_TIMEOUT", help_heading = "Advanced")]
    pub channel_timeout: Option<String>,
    /// How long a connection to the channel may take to be made [default: 2s]
    #[arg(long, value_name = "DURATION", env = "PAYRIG_CHANNEL_CONNECT_TIMEOUT", help_heading = "Advanced")]
    pub channel_connect_timeout: Option<String>,
    /// Calls of the channel under way at once, each on a connection; more wait [default: 512]
    #[arg(long, value_name = "N", env = "PAYRIG_CHANNEL_CALLS", help_heading = "Advanced")]
    pub channel_calls: Option<usize>,
    /// When a submission is answered: durable (after the write) or early (before it) [default: durable]
    #[arg(long, value_enum, env = "PAYRIG_ACCEPT")]
    pub accept: Option<AcceptMode>,
    /// When a result is stored: on-complete (before it is shown) or on-query (after) [default: on-complete]
    #[arg(long, value_enum, env = "PAYRIG_SYNC")]
    pub sync: Option<SyncMode>,
    /// How long a payer may take, such as 15m [default: 15m]
    #[arg(long, value_name = "DURATION", env = "PAYRIG_PAY_WINDOW")]
    pub pay_window: Option<String>,
    /// Messages that may wait in the task queue; over it submissions are refused with 503 [default: 100000]
    #[arg(long, value_name = "N", env = "PAYRIG_QUEUE_CAPACITY")]
    pub queue_capacity: Option<usize>,
    /// Entries of the memory cache; over it the oldest go first [default: 1000000]
    #[arg(long, value_name = "N", env = "PAYRIG_CACHE_CAPACITY")]
    pub cache_capacity: Option<usize>,
    /// Submissions that may wait for the store; over it they are refused with 503 [default: 16384]
    #[arg(long, value_name = "N", env = "PAYRIG_BACKLOG")]
    pub backlog: Option<usize>,
    /// Attempts under way at once; 0 accepts only, for measuring [default: 4096]
    #[arg(long, value_name = "N", env = "PAYRIG_WORKERS")]
    pub workers: Option<usize>,
    /// Threads with a runtime each [default: one a core]
    #[arg(long, value_name = "N", env = "PAYRIG_THREADS")]
    pub threads: Option<usize>,
    /// Open connections at once; more wait to be accepted [default: 10000]
    #[arg(long, value_name = "N", env = "PAYRIG_CONNECTIONS")]
    pub connections: Option<usize>,
    /// How long a stop may take to drain [default: 30s]
    #[arg(long, value_name = "DURATION", env = "PAYRIG_DRAIN_TIMEOUT")]
    pub drain_timeout: Option<String>,
    /// How long a request's headers may take to arrive, and a new connection to send its first [default: 10s]
    #[arg(long, value_name = "DURATION", env = "PAYRIG_HEADER_TIMEOUT", help_heading = "Advanced")]
    pub header_timeout: Option<String>,
    /// How long a request's body may take to arrive [default: 10s]
    #[arg(long, value_name = "DURATION", env = "PAYRIG_BODY_TIMEOUT", help_heading = "Advanced")]
    pub body_timeout: Option<String>,
    /// How long a client may take to read an answer [default: 30s]
    #[arg(long, value_name = "DURATION", env = "PAYRIG_ANSWER_TIMEOUT", help_heading = "Advanced")]
    pub answer_timeout: Option<String>,
    /// How long a connection may rest between two requests [default: 75s]
    #[arg(long, value_name = "DURATION", env = "PAYRIG_IDLE_TIMEOUT", help_heading = "Advanced")]
    pub idle_timeout: Option<String>,
    /// TOML file of merchants, an id and hashed API keys each; read again on SIGHUP. Without it nobody needs a key
    #[arg(long, value_name = "FILE", env = "PAYRIG_MERCHANTS")]
    pub merchants: Option<PathBuf>,
    /// Listen beyond loopback without merchants' keys
    #[arg(long)]
    pub allow_anonymous: bool,
    /// Read-only books for checks from outside, on a loopback address
    #[arg(long, value_name = "ADDR", env = "PAYRIG_ADMIN_LISTEN")]
    pub admin_listen: Option<String>,
    /// Print `listening on http://ADDR` as the first line on stdout when ready
    #[arg(long)]
    #[serde(skip)]
    pub print_address: bool,
    /// Check the configuration, print it and stop
    #[arg(long)]
    #[serde(skip)]
    pub config_check: bool,
    /// What to do instead of serving
    #[command(subcommand)]
    #[serde(skip)]
    pub command: Option<Command>,
}

/// What there is to do beside serving.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// Make an API key and its entry for the --merchants file: the entry goes to stdout, the key to stderr, once
    MakeMerchant {
        /// The merchant's id: letters, digits, '-', '_' and '.'
        id: String,
    },
}

/// A validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The merchants, where calls need their keys.
    pub merchants: Option<MerchantsFile>,
    /// Where the admin books listen, if anywhere: loopback.
    pub admin_listen: Option<SocketAddr>,
    /// The data folder.
    pub data_dir: PathBuf,
    /// Where attempts and success messages wait.
    pub queue: QueueKind,
    /// Where documents are kept.
    pub store: StoreKind,
    /// Where live views are kept.
    pub cache: CacheKind,
    /// Which payment channel.
    pub channel: ChannelKind,
    /// How the flow behaves.
    pub settings: Settings,
    /// Messages that may wait.
    pub queue_capacity: usize,
    /// Entries of the cache.
    pub cache_capacity: usize,
    /// Submissions that may wait for the store.
    pub backlog: usize,
    /// Attempts under way at once.
    pub workers: usize,
    /// Threads with a runtime each.
    pub threads: usize,
    /// Open connections at once.
    pub connections: usize,
    /// How long a client may take.
    pub deadlines: Deadlines,
    /// How long a stop may take.
    pub drain_timeout: Duration,
    /// Whether to print the address.
    pub print_address: bool,
    /// Whether to stop after the check.
    pub config_check: bool,
}

impl RawConfig {
    /// Reads the file, if one is named, and lets flags and environment go first.
    ///
    /// # Errors
    /// Where the file cannot be read or has an unknown name or a wrong type.
    pub fn with_file(self) -> Result<Self, ConfigError> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::File { path: path.clone(), source })?;
        let file: Self =
            toml::from_str(&text).map_err(|source| ConfigError::Toml { path, source: Box::new(source) })?;
        Ok(Self {
            listen: self.listen.or(file.listen),
            data_dir: self.data_dir.or(file.data_dir),
            config: self.config,
            queue: self.queue.or(file.queue),
            cache: self.cache.or(file.cache),
            store: self.store.or(file.store),
            channel: self.channel.or(file.channel),
            channel_keys: self.channel_keys.or(file.channel_keys),
            public_url: self.public_url.or(file.public_url),
            channel_timeout: self.channel_timeout.or(file.channel_timeout),
            channel_connect_timeout: self.channel_connect_timeout.or(file.channel_connect_timeout),
            channel_calls: self.channel_calls.or(file.channel_calls),
            accept: self.accept.or(file.accept),
            sync: self.sync.or(file.sync),
            pay_window: self.pay_window.or(file.pay_window),
            queue_capacity: self.queue_capacity.or(file.queue_capacity),
            cache_capacity: self.cache_capacity.or(file.cache_capacity),
            backlog: self.backlog.or(file.backlog),
            workers: self.workers.or(file.workers),
            threads: self.threads.or(file.threads),
            connections: self.connections.or(file.connections),
            drain_timeout: self.drain_timeout.or(file.drain_timeout),
            header_timeout: self.header_timeout.or(file.header_timeout),
            body_timeout: self.body_timeout.or(file.body_timeout),
            answer_timeout: self.answer_timeout.or(file.answer_timeout),
            idle_timeout: self.idle_timeout.or(file.idle_timeout),
            merchants: self.merchants.or(file.merchants),
            allow_anonymous: self.allow_anonymous || file.allow_anonymous,
            admin_listen: self.admin_listen.or(file.admin_listen),
            print_address: self.print_address,
            config_check: self.config_check,
            command: self.command,
        })
    }

    /// Checks everything.
    ///
    /// # Errors
    /// The first setting that cannot be, with what was expected.
    pub fn validate(self) -> Result<Config, ConfigError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let listen = self.checked_listen()?;
        let channel = self.checked_channel(listen)?;
        // As long as the round would last if each of its calls ran into its deadline.
        let put_off = channel.call_timeout().map_or(Duration::ZERO, longest_round);
        Ok(Config {
            listen,
            channel,
            merchants: self.checked_merchants()?,
            admin_listen: self.checked_admin_listen()?,
            queue: self.checked_queue()?,
            store: self.checked_store()?,
            cache: CacheKind::parse(self.cache.as_deref())?,
            settings: Settings {
                accept: self.accept.unwrap_or_default(),
                sync: self.sync.unwrap_or_default(),
                accept_only: self.workers == Some(0),
                pay_window: self.checked_pay_window()?,
                put_off,
                ..Settings::default()
            },
            queue_capacity: positive("queue-capacity", self.queue_capacity, 100_000)?,
            cache_capacity: positive("cache-capacity", self.cache_capacity, 1_000_000)?,
            backlog: positive("backlog", self.backlog, 16_384)?,
            workers: none_or_more("workers", self.workers, 4_096)?,
            threads: positive("threads", self.threads, cores)?,
            connections: positive("connections", self.connections, 10_000)?,
            deadlines: self.checked_deadlines()?,
            drain_timeout: duration("drain-timeout", self.drain_timeout.as_deref(), Duration::from_secs(30))?,
            data_dir: self.checked_data_dir()?,
            print_address: self.print_address,
            config_check: self.config_check,
        })
    }

    fn checked_listen(&self) -> Result<SocketAddr, ConfigError> {
        let text = self.listen.as_deref().unwrap_or("127.0.0.1:8080");
        let listen: SocketAddr = parsed("listen", text, "expected an address and port such as 127.0.0.1:8080")?;
        if !listen.ip().is_loopback() && !self.allow_anonymous && self.merchants.is_none() {
            return Err(bad(
                "listen",
                text,
                "beyond loopback everybody could pay: add --merchants FILE, or --allow-anonymous if that is wanted",
            ));
        }
        Ok(listen)
    }

    fn checked_merchants(&self) -> Result<Option<MerchantsFile>, ConfigError> {
        let Some(path) = &self.merchants else { return Ok(None) };
        let wrong = |expected: String| bad("merchants", path.display(), expected);
        if self.allow_anonymous {
            return Err(wrong("with merchants' keys nobody is anonymous: leave out --allow-anonymous".to_owned()));
        }
        MerchantsFile::read(path).map(Some).map_err(|error| wrong(error.to_string()))
    }

    fn checked_data_dir(&self) -> Result<PathBuf, ConfigError> {
        match &self.data_dir {
            None => Ok(PathBuf::from("payrig-data")),
            Some(folder) if folder.as_os_str().is_empty() => Err(bad("data-dir", "", "expected a folder")),
            Some(folder) => Ok(folder.clone()),
        }
    }

    fn checked_admin_listen(&self) -> Result<Option<SocketAddr>, ConfigError> {
        let Some(text) = &self.admin_listen else { return Ok(None) };
        let listen: SocketAddr = parsed("admin-listen", text, "expected an address and port such as 127.0.0.1:8081")?;
        if !listen.ip().is_loopback() {
            return Err(bad("admin-listen", text, "the books are shown on loopback only"));
        }
        Ok(Some(listen))
    }

    fn checked_store(&self) -> Result<StoreKind, ConfigError> {
        store::checked_store(self.store.as_deref())
    }

    fn checked_deadlines(&self) -> Result<Deadlines, ConfigError> {
        let default = Deadlines::default();
        Ok(Deadlines {
            head: some_time("header-timeout", &self.header_timeout, default.head)?,
            body: some_time("body-timeout", &self.body_timeout, default.body)?,
            answer: some_time("answer-timeout", &self.answer_timeout, default.answer)?,
            idle: some_time("idle-timeout", &self.idle_timeout, default.idle)?,
        })
    }

    fn checked_pay_window(&self) -> Result<Duration, ConfigError> {
        let window = duration("pay-window", self.pay_window.as_deref(), Settings::default().pay_window)?;
        if window < Duration::from_secs(1) {
            return Err(bad("pay-window", humantime::format_duration(window), "expected at least 1s"));
        }
        Ok(window)
    }
}
