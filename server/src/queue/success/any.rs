//! A subscriber's queue behind the seam, and the way to all of them, whichever they are.

use std::sync::Arc;

#[cfg(feature = "rabbitmq")]
use super::rabbitmq::{RabbitExchange, RabbitSuccesses};
use super::{Polled, SuccessQueue, SuccessStats, memory::MemorySuccesses};
use crate::model::{RoundId, Success};

/// One of the backends.
#[derive(Clone)]
pub enum SubscriberQueue {
    /// In process.
    Memory(MemorySuccesses),
    /// A quorum queue on RabbitMQ.
    #[cfg(feature = "rabbitmq")]
    Rabbitmq(RabbitSuccesses),
}

/// How a message gets to all subscribers.
#[derive(Clone, Default)]
pub enum SuccessExchange {
    /// It is offered to each queue.
    #[default]
    EachQueue,
    /// It is sent once, and RabbitMQ hands it to each queue.
    #[cfg(feature = "rabbitmq")]
    Rabbitmq(RabbitExchange),
}

macro_rules! each {
    ($self:ident, $queue:ident => $call:expr) => {
        match $self {
            Self::Memory($queue) => $call,
            #[cfg(feature = "rabbitmq")]
            Self::Rabbitmq($queue) => $call,
        }
    };
}

impl SubscriberQueue {
    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> SuccessStats {
        each!(self, queue => queue.stats())
    }

    /// Something that it should have had is in the store only.
    pub fn fall_behind(&self) {
        each!(self, queue => queue.fall_behind());
    }

    /// Takes no more messages. What waits in this process is still delivered; what waits outside is left to others.
    pub fn close(&self) {
        each!(self, queue => queue.close());
    }

    /// Resolves once it is closed.
    pub async fn closed(&self) {
        each!(self, queue => queue.closed().await);
    }

    /// Waits until what was acknowledged is known to be so wherever it has to be.
    pub async fn finish(&self) {
        match self {
            Self::Memory(_) => {}
            #[cfg(feature = "rabbitmq")]
            Self::Rabbitmq(queue) => queue.finish().await,
        }
    }
}

impl SuccessQueue for SubscriberQueue {
    async fn offer(&self, messages: &[Arc<Success>]) -> usize {
        each!(self, queue => queue.offer(messages).await)
    }

    async fn poll(&self, at_most: usize) -> Polled {
        each!(self, queue => queue.poll(at_most).await)
    }

    async fn ack(&self, payment_nos: &[RoundId]) {
        each!(self, queue => queue.ack(payment_nos).await);
    }
}
