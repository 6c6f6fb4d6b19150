//! The task queue in process: a bounded crossbeam queue, and a timing wheel for what waits for its time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crossbeam_queue::ArrayQueue;
use futures_util::StreamExt;
use tokio::sync::{Notify, mpsc};
use tokio_util::time::DelayQueue;

use super::{Delivery, Message, QueueError, QueueStats, TaskQueue};

struct Inner {
    ready: ArrayQueue<Message>,
    /// Somebody may take: woken once an offer, and by a consumer that leaves some.
    arrived: Notify,
    /// Somebody may offer.
    room: Notify,
    offering: AtomicUsize,
    wheel: mpsc::Sender<(Message, Duration)>,
    delayed: AtomicUsize,
    unacknowledged: AtomicUsize,
    delivering_since_us: AtomicU64,
    closed: AtomicBool,
}

/// A queue that lives and dies with the process.
#[derive(Clone)]
pub struct MemoryQueue {
    inner: Arc<Inner>,
}

/// The part of the queue that waits: to be run as a task.
pub struct Wheel {
    incoming: mpsc::Receiver<(Message, Duration)>,
    queue: MemoryQueue,
}

impl MemoryQueue {
    /// A queue for so many waiting messages, and as many delayed ones; its [`Wheel`] has to be run.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, Wheel) {
        let capacity = capacity.max(1);
        let (wheel, incoming) = mpsc::channel(capacity);
        let inner = Inner {
            ready: ArrayQueue::new(capacity),
            arrived: Notify::new(),
            room: Notify::new(),
            offering: AtomicUsize::new(0),
            wheel,
            delayed: AtomicUsize::new(0),
            unacknowledged: AtomicUsize::new(0),
            delivering_since_us: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        };
        let queue = Self { inner: Arc::new(inner) };
        (queue.clone(), Wheel { incoming, queue })
    }

    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        QueueStats {
            waiting: self.inner.ready.len(),
            delayed: self.inner.delayed.load(Ordering::Relaxed),
            unacknowledged: self.inner.unacknowledged.load(Ordering::Relaxed),
            delivering_since_us: self.inner.delivering_since_us.load(Ordering::Relaxed),
        }
    }

    /// Whether another message would be taken now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.inner.ready.is_full()
    }

    /// Takes no more messages; what waits is still delivered.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        self.inner.arrived.notify_waiters();
        self.inner.room.notify_waiters();
    }

    fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::SeqCst)
    }

    /// Pushes, waiting for room.
    async fn push(&self, mut message: Message) -> Result<(), QueueError> {
        loop {
            if self.is_closed() {
                return Err(QueueError::Closed);
            }
            match self.inner.ready.push(message) {
                Ok(()) => return Ok(()),
                Err(back) => message = back,
            }
            let room = self.inner.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            self.inner.offering.fetch_add(1, Ordering::SeqCst);
            // A consumer that took between the push and the registration has not seen us: look again before waiting.
            if self.inner.ready.is_full() && !self.is_closed() {
                self.inner.arrived.notify_one();
                room.await;
            }
            self.inner.offering.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn take(&self, at_most: usize) -> Vec<Delivery> {
        let mut taken = Vec::new();
        while taken.len() < at_most {
            let Some(message) = self.inner.ready.pop() else { break };
            taken.push(Delivery { message, tag: 0 });
        }
        if let Some(last) = taken.last() {
            self.inner.delivering_since_us.store(last.message.enqueued_at_us, Ordering::Relaxed);
            self.inner.unacknowledged.fetch_add(taken.len(), Ordering::Relaxed);
            if self.inner.offering.load(Ordering::SeqCst) > 0 {
                self.inner.room.notify_waiters();
            }
            if !self.inner.ready.is_empty() {
                self.inner.arrived.notify_one();
            }
        }
        taken
    }
}

impl TaskQueue for MemoryQueue {
    async fn offer(&self, messages: Vec<Message>) -> Result<(), QueueError> {
        for message in messages {
            self.push(message).await?;
        }
        self.inner.arrived.notify_one();
        Ok(())
    }

    async fn offer_after(&self, message: Message, delay: Duration) -> Result<(), QueueError> {
        if self.is_closed() {
            return Err(QueueError::Closed);
        }
        if self.inner.delayed.fetch_add(1, Ordering::SeqCst) >= self.inner.ready.capacity() {
            self.inner.delayed.fetch_sub(1, Ordering::SeqCst);
            return Err(QueueError::Full);
        }
        self.inner.wheel.send((message, delay)).await.map_err(|_| QueueError::Closed)
    }

    async fn poll(&self, at_most: usize) -> Vec<Delivery> {
        loop {
            let arrived = self.inner.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let taken = self.take(at_most.max(1));
            if !taken.is_empty() || self.is_closed() {
                return taken;
            }
            arrived.await;
        }
    }

    async fn ack(&self, _tag: u64) {
        self.inner.unacknowledged.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Wheel {
    /// Delivers what is due, for as long as it is polled; ends with the first delivery that a closed queue refuses.
    pub async fn run(mut self) {
        let mut waiting = DelayQueue::new();
        loop {
            tokio::select! {
                // The queue that it delivers to keeps the way in open.
                Some((message, delay)) = self.incoming.recv() => { waiting.insert(message, delay); }
                Some(due) = waiting.next(), if !waiting.is_empty() => {
                    let sent = self.queue.offer(vec![due.into_inner()]).await;
                    self.queue.inner.delayed.fetch_sub(1, Ordering::SeqCst);
                    if sent.is_err() {
                        return;
                    }
                }
                else => return,
            }
        }
    }
}
