//! Seam: success messages, one bounded queue for each subscriber. It may lose everything: the notices in the store say
//! which successes are not worked off.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::model::{RoundId, Success};

mod any;
pub mod memory;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;

pub use any::{SubscriberQueue, SuccessExchange};

/// What a subscriber gets when it asks for more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Polled {
    /// Messages, in the order in which they were published.
    Messages(Vec<Arc<Success>>),
    /// There was no room for some. They are in the store, and everything published from now on is taken again.
    Behind,
    /// It is closed and empty.
    Closed,
}

/// How a subscriber's queue stands.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct SuccessStats {
    /// Messages that wait.
    pub waiting: usize,
    /// Deliveries that are not acknowledged.
    pub unacknowledged: usize,
    /// Whether there was no room for some, so that the subscriber has to look into the store.
    pub behind: bool,
}

/// A bounded queue of one subscriber. No offer ever waits for the subscriber.
pub trait SuccessQueue: Send + Sync {
    /// Takes what there is room for; tells how many were left out. What is known to be in it is not taken again.
    fn offer(&self, messages: &[Arc<Success>]) -> impl Future<Output = usize> + Send;

    /// Waits for messages, and takes at most so many.
    fn poll(&self, at_most: usize) -> impl Future<Output = Polled> + Send;

    /// The effects of these are stored, or they are given up and to be found in the store again.
    fn ack(&self, payment_nos: &[RoundId]) -> impl Future<Output = ()> + Send;
}

/// The way in: a bounded backlog of the publisher, and the subscribers' queues behind it.
#[derive(Clone)]
pub struct Successes {
    backlog: mpsc::Sender<Arc<Success>>,
    exchange: SuccessExchange,
    queues: Arc<[SubscriberQueue]>,
}

/// What was announced and is not published yet: the publisher's end of the backlog.
pub struct Announced(pub mpsc::Receiver<Arc<Success>>);

impl Successes {
    /// A backlog of so many messages before these queues.
    #[must_use]
    pub fn new(queues: Vec<SubscriberQueue>, backlog: usize) -> (Self, Announced) {
        Self::through(SuccessExchange::EachQueue, queues, backlog)
    }

    /// The same, with another way from the publisher to the queues.
    #[must_use]
    pub fn through(exchange: SuccessExchange, queues: Vec<SubscriberQueue>, backlog: usize) -> (Self, Announced) {
        let (backlog, announced) = mpsc::channel(backlog.max(1));
        (Self { backlog, exchange, queues: queues.into() }, Announced(announced))
    }

    /// Sends messages to all subscribers; tells how many each was left without, in the order of the queues. These it finds
    /// in the store.
    pub async fn publish(&self, messages: &[Arc<Success>]) -> Vec<usize> {
        match &self.exchange {
            SuccessExchange::EachQueue => {
                let mut left = Vec::with_capacity(self.queues.len());
                for queue in self.queues.iter() {
                    left.push(queue.offer(messages).await);
                }
                left
            }
            #[cfg(feature = "rabbitmq")]
            SuccessExchange::Rabbitmq(exchange) => {
                let left = exchange.publish(messages).await;
                if left > 0 {
                    self.queues.iter().for_each(SubscriberQueue::fall_behind);
                }
                vec![left; self.queues.len()]
            }
        }
    }

    /// Hands a message to the publisher. Where it has no room, every subscriber has to look into the store; tells whether
    /// it had.
    pub fn announce(&self, success: Arc<Success>) -> bool {
        let taken = self.backlog.try_send(success).is_ok();
        if !taken {
            self.queues.iter().for_each(SubscriberQueue::fall_behind);
        }
        taken
    }

    /// The subscribers' queues, in the order of the subscribers.
    #[must_use]
    pub fn queues(&self) -> &[SubscriberQueue] {
        &self.queues
    }

    /// Messages that somebody still has in hand or in a queue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let in_queue = |queue: &SubscriberQueue| queue.stats().waiting + queue.stats().unacknowledged;
        self.backlog.max_capacity() - self.backlog.capacity() + self.queues.iter().map(in_queue).sum::<usize>()
    }

    /// Takes no more; what waits is still delivered, what is only in the store stays there.
    pub fn close(&self) {
        self.queues.iter().for_each(SubscriberQueue::close);
    }

    /// Waits until what was acknowledged is known to be so wherever it has to be.
    pub async fn finish(&self) {
        for queue in self.queues.iter() {
            queue.finish().await;
        }
    }
}
