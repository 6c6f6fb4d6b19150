//! The publisher: announced successes to every subscriber's queue, in batches, a few under way at once.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use super::{SUBSCRIBERS, Subscriber};
use crate::{
    metrics::Named,
    model::Success,
    parts::Parts,
    queue::success::{Announced, SubscriberQueue, SuccessQueue as _},
};

/// Messages of one batch.
const BATCH: usize = 512;
/// Batches under way at once. A queue in process takes one at once; one far away keeps a few waiting.
const UNDER_WAY: u32 = 4;

/// The work of publishing: to be run as a task.
pub struct Publisher {
    announced: Announced,
    parts: Arc<Parts>,
}

impl Publisher {
    /// Publishes what is announced to the queues of these parts.
    #[must_use]
    pub const fn new(parts: Arc<Parts>, announced: Announced) -> Self {
        Self { announced, parts }
    }

    /// Publishes until told to stop, and then what was announced before.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let under_way = Arc::new(Semaphore::new(UNDER_WAY as usize));
        let mut stopping = false;
        loop {
            let mut batch = Vec::new();
            let taken = tokio::select! {
                biased;
                taken = self.announced.0.recv_many(&mut batch, BATCH) => taken,
                // Whoever could say so being gone is the end too.
                _ = &mut stop, if !stopping => {
                    stopping = true;
                    self.announced.0.close();
                    continue;
                }
            };
            if taken == 0 {
                break;
            }
            let Ok(place) = Arc::clone(&under_way).acquire_owned().await else { break };
            let parts = Arc::clone(&self.parts);
            tokio::spawn(async move {
                publish(&parts, &batch).await;
                drop(place);
            });
        }
        let _ = under_way.acquire_many(UNDER_WAY).await;
    }

    /// Publishes here and now what was announced, for whoever drives it step by step.
    pub async fn publish_announced(&mut self) {
        while let Ok(success) = self.announced.0.try_recv() {
            publish(&self.parts, &[success]).await;
        }
    }
}

async fn publish(parts: &Parts, batch: &[Arc<Success>]) {
    parts.metrics.success_published.inc_by(u64::try_from(batch.len()).unwrap_or(u64::MAX));
    let left = parts.successes.publish(batch).await;
    for (subscriber, left) in SUBSCRIBERS.iter().zip(left) {
        count_left(parts, subscriber, left);
    }
}

/// Offers messages to one subscriber; what its queue has no room for is counted and stays in the store.
pub(super) async fn offer(parts: &Parts, subscriber: &Subscriber, queue: &SubscriberQueue, batch: &[Arc<Success>]) {
    count_left(parts, subscriber, queue.offer(batch).await);
}

fn count_left(parts: &Parts, subscriber: &Subscriber, left: usize) {
    if left > 0 {
        let counter = parts.metrics.success_left.get_or_create(&Named { name: subscriber.name }).clone();
        counter.inc_by(u64::try_from(left).unwrap_or(u64::MAX));
    }
}
