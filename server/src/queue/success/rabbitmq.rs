//! Success messages on RabbitMQ: one publish to an exchange, which hands the message to a queue of each subscriber. What
//! cannot be sent, and what is lost, its subscribers read from the notices.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use lapin::types::ShortString;

use super::{Polled, SuccessQueue, SuccessStats};
use crate::{
    model::{RoundId, Success},
    queue::rabbitmq::{BATCH, Intake, Outgoing, Rabbit, Tag, success},
};

/// Deliveries that a subscriber has at once: what it works off in one go, twice.
const PREFETCH: u16 = 512;

/// The way to all subscribers.
#[derive(Clone)]
pub struct RabbitExchange {
    rabbit: Rabbit,
    exchange: ShortString,
}

impl RabbitExchange {
    /// The exchange of this RabbitMQ.
    #[must_use]
    pub fn new(rabbit: &Rabbit) -> Self {
        Self { rabbit: rabbit.clone(), exchange: rabbit.names().success_exchange() }
    }

    /// Sends messages to every subscriber; tells how many may have been left out.
    pub async fn publish(&self, messages: &[Arc<Success>]) -> usize {
        send(&self.rabbit, &self.exchange, &ShortString::default(), messages).await
    }
}

/// A subscriber's queue on RabbitMQ, shared by all nodes: each message goes to one of them.
#[derive(Clone)]
pub struct RabbitSuccesses {
    inner: Arc<Inner>,
}

struct Inner {
    rabbit: Rabbit,
    queue: ShortString,
    intake: Intake<Arc<Success>>,
    /// What is in the subscriber's hands. A message may have come twice.
    in_hand: Mutex<HashMap<RoundId, Vec<Tag>>>,
    behind: AtomicBool,
}

impl RabbitSuccesses {
    /// The queue of this subscriber, which was named when RabbitMQ was connected.
    #[must_use]
    pub fn new(rabbit: &Rabbit, subscriber: &str) -> Self {
        let queue = rabbit.names().success(subscriber);
        let intake = rabbit.successes(queue.clone(), PREFETCH);
        let rabbit = rabbit.clone();
        let inner = Inner { rabbit, queue, intake, in_hand: Mutex::default(), behind: AtomicBool::new(false) };
        Self { inner: Arc::new(inner) }
    }

    fn in_hand(&self) -> MutexGuard<'_, HashMap<RoundId, Vec<Tag>>> {
        // Nothing panics while it holds the lock.
        self.inner.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands: what waits, of all nodes; what is in hand, of this one.
    #[must_use]
    pub fn stats(&self) -> SuccessStats {
        SuccessStats {
            waiting: self.inner.intake.waiting(),
            unacknowledged: self.inner.intake.unacknowledged(),
            behind: self.inner.behind.load(Ordering::SeqCst),
        }
    }

    /// Something that it should have had is in the store only.
    pub fn fall_behind(&self) {
        self.inner.behind.store(true, Ordering::SeqCst);
        self.inner.intake.wake();
    }

    /// Delivers no more: what waits is the other nodes', or the next start's.
    pub fn close(&self) {
        self.inner.intake.close();
    }

    /// Resolves once it is closed.
    pub async fn closed(&self) {
        self.inner.intake.closed().await;
    }

    /// Waits until everything is acknowledged that was told to be.
    pub async fn finish(&self) {
        self.inner.intake.flush().await;
    }
}

impl SuccessQueue for RabbitSuccesses {
    /// To this subscriber only; where all are to have it, [`RabbitExchange`] is one message instead of several. What is in
    /// the queue already is sent again: a subscriber's effect is written once all the same.
    async fn offer(&self, messages: &[Arc<Success>]) -> usize {
        if self.inner.intake.is_closed() {
            return messages.len();
        }
        let left = send(&self.inner.rabbit, &ShortString::default(), &self.inner.queue, messages).await;
        if left > 0 {
            self.fall_behind();
        }
        left
    }

    async fn poll(&self, at_most: usize) -> Polled {
        let polled = self.inner.intake.take(
            at_most,
            |taken| {
                let mut in_hand = self.in_hand();
                let mut messages = Vec::with_capacity(taken.len());
                for (tag, success) in taken {
                    in_hand.entry(success.payment_no).or_default().push(tag);
                    messages.push(success);
                }
                Polled::Messages(messages)
            },
            || self.inner.behind.swap(false, Ordering::SeqCst).then_some(Polled::Behind),
        );
        polled.await.unwrap_or(Polled::Closed)
    }

    async fn ack(&self, payment_nos: &[RoundId]) {
        let tags: Vec<Tag> = {
            let mut in_hand = self.in_hand();
            payment_nos.iter().filter_map(|payment_no| in_hand.remove(payment_no)).flatten().collect()
        };
        for tag in tags {
            self.inner.intake.ack(tag).await;
        }
    }
}

/// Sends messages; tells how many are not confirmed.
async fn send(rabbit: &Rabbit, exchange: &ShortString, queue: &ShortString, messages: &[Arc<Success>]) -> usize {
    let mut left = 0;
    for batch in messages.chunks(BATCH) {
        let outgoing = batch.iter().map(|message| {
            let (payload, properties) = success(message)?;
            let (exchange, routing_key) = (exchange.clone(), queue.clone());
            Ok(Outgoing { exchange, routing_key, properties, label: message.payment_no.payment_no(), payload })
        });
        let sent = match outgoing.collect::<Result<Vec<_>, postcard::Error>>() {
            Ok(outgoing) => rabbit.send(outgoing).await.map_err(|not_sent| (not_sent.left, not_sent.error.to_string())),
            Err(error) => Err((batch.len(), error.to_string())),
        };
        if let Err((of_these, error)) = sent {
            tracing::warn!(
                error,
                messages = of_these,
                "success messages were not sent; they are read from the notices"
            );
            left += of_these;
        }
    }
    left
}
