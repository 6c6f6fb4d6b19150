//! The task queue behind the seam, whichever it is.

use std::time::Duration;

#[cfg(feature = "rabbitmq")]
use super::rabbitmq::RabbitQueue;
use super::{Delivery, Message, QueueError, QueueStats, TaskQueue, memory::MemoryQueue};

/// One of the backends.
#[derive(Clone)]
pub enum Queue {
    /// crossbeam, in process.
    Memory(MemoryQueue),
    /// A quorum queue on RabbitMQ, shared by all nodes.
    #[cfg(feature = "rabbitmq")]
    Rabbitmq(RabbitQueue),
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

impl Queue {
    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        each!(self, queue => queue.stats())
    }

    /// Whether another message would be taken now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        each!(self, queue => queue.has_room())
    }

    /// Whether what it holds is lost when the process ends. Else it outlives the process and is shared with others, which
    /// may have in their hands what this one knows nothing of.
    #[must_use]
    pub const fn dies_with_the_process(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            #[cfg(feature = "rabbitmq")]
            Self::Rabbitmq(_) => false,
        }
    }

    /// The queue on RabbitMQ, if it is that one.
    #[cfg(feature = "rabbitmq")]
    #[must_use]
    pub const fn rabbitmq(&self) -> Option<&RabbitQueue> {
        match self {
            Self::Memory(_) => None,
            Self::Rabbitmq(queue) => Some(queue),
        }
    }

    /// Takes no more first messages. What waits in this process is still delivered, and what is delayed is let go (it
    /// stays open in the store); what waits outside is left to others.
    pub fn close(&self) {
        each!(self, queue => queue.close());
    }

    /// Waits until what was acknowledged is known to be so wherever it has to be. To be called when everything is
    /// acknowledged, and nothing after it.
    pub async fn finish(&self) {
        match self {
            Self::Memory(_) => {}
            #[cfg(feature = "rabbitmq")]
            Self::Rabbitmq(queue) => queue.finish().await,
        }
    }
}

impl TaskQueue for Queue {
    async fn offer(&self, messages: Vec<Message>) -> Result<(), QueueError> {
        each!(self, queue => queue.offer(messages).await)
    }

    async fn offer_after(&self, message: Message, delay: Duration) -> Result<(), QueueError> {
        each!(self, queue => queue.offer_after(message, delay).await)
    }

    async fn poll(&self, at_most: usize) -> Vec<Delivery> {
        each!(self, queue => queue.poll(at_most).await)
    }

    async fn ack(&self, tag: u64) {
        each!(self, queue => queue.ack(tag).await);
    }
}
