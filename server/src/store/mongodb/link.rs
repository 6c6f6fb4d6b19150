//! The link to the server: one driver's client, its settings, and whether anybody answers.
//!
//! No future of the driver is ever dropped half-way, which would leave its connection in the middle of a message: a command
//! runs as a task of its own, to its end, and who waits for it gives up on the task's handle.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mongodb::{
    Client, Collection as Remote, Database,
    bson::{Document as Fields, RawDocumentBuf, doc},
    error::{Error, ErrorKind},
    options::{
        Acknowledgment, ClientOptions, DatabaseOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
    },
};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use super::{
    error::{MongoError, Trouble, told},
    settings::MongoSettings,
};
use crate::{
    metrics::{Metrics, Named},
    model::Collection,
};

/// How long the driver looks for a server, and how long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the start waits for a first answer: a little more, so that the driver's own reason is heard.
const START_WITHIN: Duration = Duration::from_millis(5_500);
/// How long one command is waited for: longer than the driver looks for a server, so that what it says is heard.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// Connections kept open, and at most; the driver's own 0, 10 and 2 at a time keep a busy server idle.
const POOL_MIN: u32 = 4;
const POOL_MAX: u32 = 64;
const CONNECTING: u32 = 8;
/// Commands under way at a time, those included that nobody waits for any more.
const COMMANDS: usize = 256;
/// How often it is asked whether anybody answers: while somebody does, and while nobody does.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_AGAIN: Duration = Duration::from_millis(200);

/// The link, shared by all lanes.
pub(super) struct Link {
    database: Database,
    runtime: Handle,
    commands: Arc<Semaphore>,
    pub(super) metrics: Arc<Metrics>,
    answered: AtomicU64,
    is_down: AtomicBool,
}

impl Link {
    /// Connects, on this runtime: its connections and monitors live there.
    ///
    /// # Errors
    /// See [`MongoError`]; after 5 s at the latest where nobody answers.
    pub(super) async fn open(settings: &MongoSettings, metrics: Arc<Metrics>) -> Result<Arc<Self>, MongoError> {
        let (to_connect, runtime) = (settings.clone(), Handle::current());
        let connecting = runtime.spawn(async move { connect(&to_connect).await });
        let database = match timeout(START_WITHIN, connecting).await {
            Ok(Ok(connected)) => connected.map_err(|error| not_connected(settings, &error))?,
            Ok(Err(broken)) => return Err(unreachable(settings, broken.to_string())),
            Err(_) => return Err(unreachable(settings, "no answer within 5 s".to_owned())),
        };
        let link = Arc::new(Self {
            database,
            commands: Arc::new(Semaphore::new(COMMANDS)),
            metrics,
            answered: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
            runtime: runtime.clone(),
        });
        runtime.spawn(watch(Arc::downgrade(&link)));
        Ok(link)
    }

    /// Where its tasks run.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The database.
    pub(super) const fn database(&self) -> &Database {
        &self.database
    }

    /// A collection, its documents as bytes.
    pub(super) fn collection(&self, collection: Collection) -> Remote<RawDocumentBuf> {
        self.database.collection(collection.name())
    }

    /// Why nothing can be had now, where that is known: asking would only take time.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Has a command done. It runs to its end whoever waits.
    ///
    /// # Errors
    /// The driver's, as far as it is known what has been done.
    pub(super) async fn run<T, F>(&self, name: &'static str, command: F) -> Result<T, Trouble>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.try_run(name, command).await?.map_err(Trouble::from)
    }

    /// Has a command done and gives the driver's result; the outer error where there is none.
    ///
    /// # Errors
    /// Where there was no place for it, or no answer in time.
    pub(super) async fn try_run<T, F>(&self, name: &'static str, command: F) -> Result<Result<T, Error>, Trouble>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let begun = Instant::now();
        let place = match timeout(ANSWER_WITHIN, Arc::clone(&self.commands).acquire_owned()).await {
            Ok(Ok(place)) => place,
            _ => return Err(Trouble::NothingDone("too many commands wait for the server".to_owned())),
        };
        let running = self.runtime.spawn(async move {
            let result = command.await;
            drop(place);
            result
        });
        let result = match timeout(ANSWER_WITHIN, running).await {
            Ok(Ok(result)) => result,
            Ok(Err(broken)) => return Err(Trouble::Unknown(broken.to_string())),
            Err(_) => {
                self.failed(name);
                return Err(Trouble::Unknown(format!("no answer within {} s", ANSWER_WITHIN.as_secs())));
            }
        };
        // Whatever is a server's word, also "it exists", is an answer.
        let is_answer = result.as_ref().err().is_none_or(|error| {
            matches!(*error.kind, ErrorKind::Command(_) | ErrorKind::InsertMany(_) | ErrorKind::Write(_))
        });
        if is_answer {
            self.answered.fetch_add(1, Ordering::Relaxed);
            self.metrics.mongodb_command_time.get_or_create(&Named { name }).observe(begun.elapsed().as_secs_f64());
        } else {
            self.failed(name);
        }
        Ok(result)
    }

    fn failed(&self, name: &'static str) {
        self.metrics.mongodb_failed.get_or_create(&Named { name }).inc();
    }

    /// Asks whether anybody answers. That nobody does is believed only if nobody else has had an answer meanwhile: a busy
    /// server is slow.
    async fn ping(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        let database = self.database.clone();
        let pinged = self.run("ping", async move { database.run_command(doc! { "ping": 1 }).await }).await;
        match pinged {
            Ok(_) => {
                if self.is_down.swap(false, Ordering::Relaxed) {
                    tracing::warn!("the document store answers again");
                }
            }
            Err(_) if self.answered.load(Ordering::Relaxed) != before => self.is_down.store(false, Ordering::Relaxed),
            Err(trouble) => {
                if !self.is_down.swap(true, Ordering::Relaxed) {
                    tracing::error!(reason = trouble.reason(), "the document store does not answer");
                }
            }
        }
        self.metrics.mongodb_down.set(i64::from(self.is_down()));
    }
}

/// Pings for as long as somebody uses the link.
async fn watch(link: Weak<Link>) {
    loop {
        let pause = match link.upgrade() {
            None => return,
            Some(link) => {
                link.ping().await;
                if link.is_down() { PING_AGAIN } else { PING_EVERY }
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn connect(settings: &MongoSettings) -> Result<Database, Error> {
    let mut options = ClientOptions::parse(settings.url()).await?;
    options.app_name.get_or_insert_with(|| "payrig-server".to_owned());
    options.connect_timeout.get_or_insert(CONNECT_WITHIN);
    options.server_selection_timeout.get_or_insert(CONNECT_WITHIN);
    options.min_pool_size.get_or_insert(POOL_MIN.min(options.max_pool_size.unwrap_or(POOL_MAX)));
    options.max_pool_size.get_or_insert(POOL_MAX);
    options.max_connecting.get_or_insert(CONNECTING);
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    // A 202 rests on these, whatever the URL says.
    options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    // What is written again is recognised by its `_by`, on every server; a retry of the driver's would rest on one that
    // remembers what it has done, and would be reported as somebody else's document by one that does not.
    options.retry_writes = Some(false);
    let client = Client::with_options(options)?;
    let hello = client.database("admin").run_command(doc! { "hello": 1 }).await?;
    if !is_replicated(&hello) {
        return Ok(client.database(settings.database()));
    }
    // A single server refuses the read concern or has no use for it.
    let options = DatabaseOptions::builder().read_concern(ReadConcern::majority()).build();
    Ok(client.database_with_options(settings.database(), options))
}

/// Whether it is a replica set or a router before some.
fn is_replicated(hello: &Fields) -> bool {
    hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid")
}

fn not_connected(settings: &MongoSettings, error: &Error) -> MongoError {
    let (address, reason) = (settings.to_string(), told(error));
    match &*error.kind {
        ErrorKind::Authentication { .. } => MongoError::Refused { address, reason },
        ErrorKind::Command(command) if matches!(command.code, 13 | 18) => MongoError::Refused { address, reason },
        ErrorKind::InvalidArgument { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::IncompatibleServer { .. } => MongoError::Settings { address, reason },
        _ => unreachable(settings, reason),
    }
}

fn unreachable(settings: &MongoSettings, reason: String) -> MongoError {
    MongoError::Unreachable { address: settings.to_string(), reason }
}
