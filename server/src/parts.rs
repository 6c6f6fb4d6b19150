//! What the flow's logic works with: one of each seam, the clock, the metrics and the settings.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Mutex, Semaphore};

use crate::{
    cache::Cache,
    channel::Channel,
    clock::Clock,
    metrics::Metrics,
    model::TaskId,
    queue::{Queue, success::Successes},
    refund::Desk,
    store::Store,
};

/// When a submission is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceptMode {
    /// After the write: a 202 is a promise.
    #[default]
    Durable,
    /// Before the write: a crash or a conflict may lose what a 202 promised.
    Early,
}

/// When a result is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncMode {
    /// Before it is shown.
    #[default]
    OnComplete,
    /// After the first query has shown it: a crash may take it back.
    OnQuery,
}

/// How the flow behaves.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// When a submission is answered.
    pub accept: AcceptMode,
    /// When a result is stored.
    pub sync: SyncMode,
    /// Whether nobody works here: accepted tasks are stored and not sent to the queue.
    pub accept_only: bool,
    /// How long a payer may take, and a round may go without an outcome.
    pub pay_window: Duration,
    /// How long an idempotency key is remembered.
    pub key_lifetime: Duration,
    /// How long attempts of a round may be put off while the channel is known not to answer.
    pub put_off: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            accept: AcceptMode::Durable,
            sync: SyncMode::OnComplete,
            accept_only: false,
            pay_window: Duration::from_mins(15),
            key_lifetime: Duration::from_hours(24),
            put_off: Duration::ZERO,
        }
    }
}

/// Everything the flow's logic works with. Shared by all runtimes of the process.
pub struct Parts {
    /// Documents.
    pub store: Store,
    /// Live views.
    pub cache: Cache,
    /// Attempts to make.
    pub queue: Queue,
    /// Payments that were made, for whoever does something with them.
    pub successes: Successes,
    /// The third party.
    pub channel: Channel,
    /// The time.
    pub clock: Clock,
    /// Counts and times.
    pub metrics: Arc<Metrics>,
    /// How the flow behaves.
    pub settings: Settings,
    /// Who gives money back.
    pub refunds: Desk,
    /// What only one may do at a time.
    pub locks: Locks,
}

/// Notices worked off at a time right after they came; what comes beyond them is stored, and the sweeper works it off.
const WORKING_OFF: usize = 1_024;

/// Locks of this process around decisions that take more than one document (nothing on the common path takes one), and
/// places for what only so many may do at a time.
pub struct Locks {
    /// Held while an expired idempotency key is replaced, so that nobody deletes its successor.
    pub replacing_key: Mutex<()>,
    /// Held while a notice that has just come is worked off.
    pub working_off: Arc<Semaphore>,
    deciding: [Mutex<()>; 32],
}

impl Default for Locks {
    fn default() -> Self {
        Self {
            replacing_key: Mutex::default(),
            working_off: Arc::new(Semaphore::new(WORKING_OFF)),
            deciding: Default::default(),
        }
    }
}

impl Locks {
    /// Held while a round that met a conflict is accepted or refused: it must not be both.
    #[must_use]
    pub fn deciding(&self, task: TaskId) -> &Mutex<()> {
        &self.deciding[usize::from(task.last_byte()) % self.deciding.len()]
    }
}

/// A span in microseconds.
#[must_use]
pub fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
