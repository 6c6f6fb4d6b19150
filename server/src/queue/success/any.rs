//! A subscriber's queue behind the seam, whichever it is.

use std::sync::Arc;

use super::{Polled, SuccessQueue, SuccessStats, memory::MemorySuccesses};
use crate::model::{RoundId, Success};

/// One of the backends.
#[derive(Clone)]
pub enum SubscriberQueue {
    /// In process.
    Memory(MemorySuccesses),
}

impl SubscriberQueue {
    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> SuccessStats {
        let Self::Memory(queue) = self;
        queue.stats()
    }

    /// Something that it should have had is in the store only.
    pub fn fall_behind(&self) {
        let Self::Memory(queue) = self;
        queue.fall_behind();
    }

    /// Takes no more messages; what waits is still delivered.
    pub fn close(&self) {
        let Self::Memory(queue) = self;
        queue.close();
    }

    /// Resolves once it is closed.
    pub async fn closed(&self) {
        let Self::Memory(queue) = self;
        queue.closed().await;
    }
}

impl SuccessQueue for SubscriberQueue {
    async fn offer(&self, messages: &[Arc<Success>]) -> usize {
        let Self::Memory(queue) = self;
        queue.offer(messages).await
    }

    async fn poll(&self, at_most: usize) -> Polled {
        let Self::Memory(queue) = self;
        queue.poll(at_most).await
    }

    async fn ack(&self, payment_nos: &[RoundId]) {
        let Self::Memory(queue) = self;
        queue.ack(payment_nos).await;
    }
}
