//! Seam: the task queue. Messages carry when they were sent; a delivery is acknowledged once its effect is stored. It may
//! lose everything: the sweeper sends again what is open.

use std::{sync::Arc, time::Duration};

use crate::model::{HistoryEntry, OpenTask, Stages};

mod any;
pub mod memory;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
pub mod success;

pub use any::Queue;

/// What a round has been through so far.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Progress {
    /// When its first attempt began, microseconds since the epoch.
    pub started_at_us: Option<u64>,
    /// Where the time went.
    pub stages: Stages,
    /// Steps after its acceptance.
    pub history: Vec<HistoryEntry>,
}

/// The next attempt of a round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The round with its whole task.
    pub open: Arc<OpenTask>,
    /// The attempt to make, over all rounds, from 1.
    pub attempt: u8,
    /// When it was sent, microseconds since the epoch.
    pub enqueued_at_us: u64,
    /// When it may be delivered: later than sent by the retry's delay.
    pub due_at_us: u64,
    /// What the round has been through.
    pub progress: Progress,
}

impl Message {
    /// The first message of a round.
    #[must_use]
    pub fn first(open: Arc<OpenTask>, now_us: u64) -> Self {
        let attempt = open.attempts_before + 1;
        Self { open, attempt, enqueued_at_us: now_us, due_at_us: now_us, progress: Progress::default() }
    }
}

/// A message in somebody's hands.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// What acknowledges it.
    pub tag: u64,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// No room now.
    #[error("the task queue is full")]
    Full,
    /// It is closed for good.
    #[error("the task queue is closed")]
    Closed,
    /// It cannot be reached.
    #[error("the task queue is not available: {0}")]
    Unavailable(String),
}

/// How the queue stands.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct QueueStats {
    /// Messages that wait for a consumer.
    pub waiting: usize,
    /// Messages that wait for their time.
    pub delayed: usize,
    /// Deliveries that are not acknowledged.
    pub unacknowledged: usize,
    /// When the message delivered last was sent, microseconds since the epoch; 0 before the first.
    pub delivering_since_us: u64,
}

/// A bounded queue of attempts.
pub trait TaskQueue: Send + Sync {
    /// Sends messages, waiting for room.
    ///
    /// # Errors
    /// Where the queue is closed or cannot be reached; then none or some were taken.
    fn offer(&self, messages: Vec<Message>) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Sends a message that is delivered after a delay, or a little later.
    ///
    /// # Errors
    /// As [`offer`](Self::offer), and [`QueueError::Full`].
    fn offer_after(&self, message: Message, delay: Duration) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Waits for messages and takes at most so many. An empty answer means that the queue is closed, and drained of what
    /// only this process has.
    fn poll(&self, at_most: usize) -> impl Future<Output = Vec<Delivery>> + Send;

    /// The delivery's effect is stored.
    fn ack(&self, tag: u64) -> impl Future<Output = ()> + Send;
}
