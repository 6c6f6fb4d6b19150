//! The task queue on RabbitMQ, shared by any number of nodes: quorum queues, persistent mandatory messages with confirms,
//! and acknowledgements only when told. Why it is built like this: docs/decisions/0011.
//!
//! Read [`topology`] for what is on the server, `link` for connections, `publish` and `courier` for the way there,
//! `consumer` and `consume` for the way back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lapin::types::ShortString;

use super::{Delivery, Message, QueueError, QueueStats, TaskQueue};

mod acks;
mod broker;
mod codec;
mod consume;
mod consumer;
mod courier;
mod error;
mod ledger;
mod link;
mod park;
mod publish;
mod sample;
mod settings;
mod tally;
pub mod topology;

pub use broker::Rabbit;
pub use error::RabbitError;
pub use settings::{BadUrl, RabbitSettings};

pub(in crate::queue) use codec::success;
pub(in crate::queue) use consume::{Intake, Tag};
pub(in crate::queue) use publish::{BATCH, Outgoing};

use tally::Tally;
use topology::{DELAYS, rounded_up};

/// Deliveries that wait here beyond those in somebody's hands, so that nobody waits for the network between two.
const AHEAD: usize = 256;

/// How much a node takes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Messages that may wait on the server, and as many delayed ones. Nodes share the number and know of each other's
    /// messages within a second, so that it may be exceeded by what arrives in that time.
    pub capacity: usize,
    /// Deliveries that this node has in its hands at once.
    pub in_hand: usize,
}

/// The task queue on RabbitMQ.
#[derive(Clone)]
pub struct RabbitQueue {
    inner: Arc<Inner>,
}

struct Inner {
    rabbit: Rabbit,
    tasks: ShortString,
    intake: Intake<Message>,
    delayed: Arc<Tally>,
    parked: Arc<Tally>,
    capacity: usize,
    delivering_since_us: AtomicU64,
}

impl RabbitQueue {
    /// The task queue of this RabbitMQ.
    #[must_use]
    pub fn new(rabbit: &Rabbit, limits: Limits) -> Self {
        let names = rabbit.names();
        let (delayed, parked) = (Arc::new(Tally::default()), Arc::new(Tally::default()));
        rabbit.watch(DELAYS.iter().map(|delay| names.delay(*delay)).collect(), &delayed);
        rabbit.watch(vec![names.parked()], &parked);
        let prefetch = u16::try_from(limits.in_hand.saturating_add(AHEAD)).unwrap_or(u16::MAX);
        let intake = rabbit.intake(names.tasks(), prefetch, codec::read_task, Some(Arc::clone(&delayed)));
        let inner = Inner {
            tasks: names.tasks(),
            rabbit: rabbit.clone(),
            intake,
            delayed,
            parked,
            capacity: limits.capacity.max(1),
            delivering_since_us: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// How it stands: what waits, of all nodes and as far as this one knows; what is in hand, of this node only.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        QueueStats {
            waiting: self.inner.intake.waiting(),
            delayed: self.inner.delayed.waiting(),
            unacknowledged: self.inner.intake.unacknowledged(),
            delivering_since_us: self.inner.delivering_since_us.load(Ordering::Relaxed),
        }
    }

    /// Messages that nobody can work with, for people to look at.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.inner.parked.waiting()
    }

    /// Whether RabbitMQ is there and takes messages.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.inner.rabbit.takes_messages()
    }

    /// Whether another message would be taken now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let inner = &self.inner;
        inner.intake.waiting() < inner.capacity && inner.rabbit.takes_messages()
    }

    /// Takes no more first messages and delivers no more: what waits is the other nodes', or the next start's. Attempts
    /// under way may still send their next one and be acknowledged.
    pub fn close(&self) {
        self.inner.intake.close();
        // Whoever waits for room is told.
        self.inner.intake.tally().announce_room(1);
    }

    /// Waits until everything is acknowledged that was told to be, and lets go of the connections.
    pub async fn finish(&self) {
        self.inner.intake.flush().await;
        self.inner.rabbit.close().await;
    }

    /// Takes room for at most so many messages, waiting until there is any.
    async fn reserve(&self, wanted: usize) -> Result<usize, QueueError> {
        let (intake, tally) = (&self.inner.intake, self.inner.intake.tally());
        loop {
            let more_room = tally.more_room();
            tokio::pin!(more_room);
            more_room.as_mut().enable();
            if intake.is_closed() {
                return Err(QueueError::Closed);
            }
            let reserved = tally.reserve(wanted, self.inner.capacity);
            if reserved > 0 {
                return Ok(reserved);
            }
            more_room.await;
        }
    }

    async fn send(&self, tally: &Tally, queue: &ShortString, messages: &[Message]) -> Result<(), QueueError> {
        let outgoing = messages.iter().map(|message| outgoing(queue, message)).collect::<Result<Vec<_>, _>>();
        let sent = match outgoing {
            Ok(outgoing) => self.inner.rabbit.send(outgoing).await.map_err(|not_sent| (not_sent.left, not_sent.error)),
            Err(error) => Err((messages.len(), QueueError::Unavailable(format!("a message has no form: {error}")))),
        };
        let left = sent.as_ref().err().map_or(0, |(left, _)| *left);
        tally.sent(messages.len() - left, left);
        sent.map_err(|(_, error)| error)
    }
}

fn outgoing(queue: &ShortString, message: &Message) -> Result<Outgoing, postcard::Error> {
    let (payload, properties) = codec::task(message)?;
    let label = format!("{}.{}", message.open.round_id().document_id(), message.attempt);
    Ok(Outgoing { exchange: "".into(), routing_key: queue.clone(), properties, label, payload })
}

impl TaskQueue for RabbitQueue {
    async fn offer(&self, messages: Vec<Message>) -> Result<(), QueueError> {
        let mut rest = messages.as_slice();
        while !rest.is_empty() {
            let now = self.reserve(rest.len().min(BATCH)).await?;
            let (first, later) = rest.split_at(now);
            self.send(self.inner.intake.tally(), &self.inner.tasks, first).await?;
            rest = later;
        }
        Ok(())
    }

    /// There is a queue for each of some delays; another delay is rounded up to the next of them, and to the longest at
    /// most.
    async fn offer_after(&self, message: Message, delay: Duration) -> Result<(), QueueError> {
        let delayed = &self.inner.delayed;
        if delayed.reserve(1, self.inner.capacity) == 0 {
            return Err(QueueError::Full);
        }
        let queue = self.inner.rabbit.names().delay(rounded_up(delay));
        self.send(delayed, &queue, &[message]).await
    }

    async fn poll(&self, at_most: usize) -> Vec<Delivery> {
        let polled = self.inner.intake.take(
            at_most,
            |taken| {
                let newest = taken.iter().map(|(_, message)| message.enqueued_at_us).max().unwrap_or(0);
                // What comes again is older than what the queue has come to.
                self.inner.delivering_since_us.fetch_max(newest, Ordering::Relaxed);
                taken.into_iter().map(|(tag, message)| Delivery { message, tag: tag.number() }).collect()
            },
            || None,
        );
        polled.await.unwrap_or_default()
    }

    async fn ack(&self, tag: u64) {
        self.inner.intake.ack(Tag::of_number(tag)).await;
    }
}
