//! The task queue behind the seam, whichever it is.

use std::time::Duration;

use super::{Delivery, Message, QueueError, QueueStats, TaskQueue, memory::MemoryQueue};

/// One of the backends.
#[derive(Clone)]
pub enum Queue {
    /// crossbeam, in process.
    Memory(MemoryQueue),
}

impl Queue {
    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        let Self::Memory(queue) = self;
        queue.stats()
    }

    /// Whether another message would be taken now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let Self::Memory(queue) = self;
        queue.has_room()
    }

    /// Whether what it holds is lost when the process ends.
    #[must_use]
    pub const fn dies_with_the_process(&self) -> bool {
        let Self::Memory(_) = self;
        true
    }

    /// Takes no more messages; what waits is still delivered, what is delayed is let go (it stays open in the store).
    pub fn close(&self) {
        let Self::Memory(queue) = self;
        queue.close();
    }
}

impl TaskQueue for Queue {
    async fn offer(&self, messages: Vec<Message>) -> Result<(), QueueError> {
        let Self::Memory(queue) = self;
        queue.offer(messages).await
    }

    async fn offer_after(&self, message: Message, delay: Duration) -> Result<(), QueueError> {
        let Self::Memory(queue) = self;
        queue.offer_after(message, delay).await
    }

    async fn poll(&self, at_most: usize) -> Vec<Delivery> {
        let Self::Memory(queue) = self;
        queue.poll(at_most).await
    }

    async fn ack(&self, tag: u64) {
        let Self::Memory(queue) = self;
        queue.ack(tag).await;
    }
}
