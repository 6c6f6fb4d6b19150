//! Notifications that wait for their time: bounded, and dropped when there are too many; the server asks later.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::notification::{News, Notification, Sealer};

/// The sending half, which the cashier holds.
pub(crate) struct Outbox {
    arrivals: mpsc::Sender<Waiting>,
    counts: Arc<Counts>,
    capacity: usize,
}

/// The notifications, each when its time has come, signed at that moment. Who drops this gets no more of them.
pub struct Notifications {
    arrivals: mpsc::Receiver<Waiting>,
    waiting: BinaryHeap<Waiting>,
    /// Whether the channel has gone; what waits is still delivered.
    closed: bool,
    sealer: Arc<Sealer>,
    clock: Clock,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    pending: AtomicUsize,
    dropped: AtomicU64,
}

struct Waiting {
    /// Nothing: at once, without asking the timer.
    due: Option<Instant>,
    news: News,
}

/// Makes both halves; at most `capacity` notifications wait between them.
pub(crate) fn outbox(capacity: usize, sealer: Arc<Sealer>, clock: Clock) -> (Outbox, Notifications) {
    let capacity = capacity.max(1);
    let (sender, receiver) = mpsc::channel(capacity);
    let counts = Arc::new(Counts::default());
    let outbox = Outbox { arrivals: sender, counts: Arc::clone(&counts), capacity };
    let notifications =
        Notifications { arrivals: receiver, waiting: BinaryHeap::new(), closed: false, sealer, clock, counts };
    (outbox, notifications)
}

// === impl Outbox ===

impl Outbox {
    /// Sends the news after this long, or drops them if too many wait or nobody listens.
    pub(crate) fn send(&self, news: News, delay: Duration) {
        // Counted before it is handed over, so that the receiver cannot take it out of the count first.
        if self.counts.pending.fetch_add(1, Relaxed) < self.capacity {
            let due = (!delay.is_zero()).then(|| Instant::now() + delay);
            if self.arrivals.try_send(Waiting { due, news }).is_ok() {
                return;
            }
        }
        self.counts.pending.fetch_sub(1, Relaxed);
        self.counts.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn pending(&self) -> usize {
        self.counts.pending.load(Relaxed)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Relaxed)
    }
}

// === impl Notifications ===

impl Notifications {
    /// The next notification; none when the channel has gone and nothing waits any more. Nothing is lost if this is
    /// dropped before it answers.
    pub async fn recv(&mut self) -> Option<Notification> {
        loop {
            while let Ok(arrival) = self.arrivals.try_recv() {
                if arrival.due.is_none() {
                    return Some(self.deliver(&arrival.news));
                }
                self.waiting.push(arrival);
            }
            match self.waiting.peek().map(|first| first.due) {
                Some(Some(due)) if due > Instant::now() => self.wait_until(due).await,
                Some(_) => {
                    let news = self.waiting.pop()?.news;
                    return Some(self.deliver(&news));
                }
                None => {
                    let arrival = self.arrivals.recv().await?;
                    self.waiting.push(arrival);
                }
            }
        }
    }

    /// Until then, or until another arrives, which may be due earlier.
    async fn wait_until(&mut self, due: Instant) {
        tokio::select! {
            arrival = self.arrivals.recv(), if !self.closed => match arrival {
                Some(arrival) => self.waiting.push(arrival),
                None => self.closed = true,
            },
            () = sleep_until(due) => {}
        }
    }

    fn deliver(&self, news: &News) -> Notification {
        self.counts.pending.fetch_sub(1, Relaxed);
        self.sealer.seal(news, self.clock.now_s())
    }
}

// === impl Waiting ===

/// The greatest is due first, as the heap wants it. What is due at once is delivered without the heap, except where it
/// arrived during a wait: `None` counts as earliest.
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Waiting {}
