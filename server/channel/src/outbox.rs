//! Notifications that wait for their time: bounded, and dropped when there are too many; the server asks later.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::behaviour::Present;
use crate::clock::Clock;
use crate::notification::{Claim, News, Notification, Sealer};

/// The sending half, which the cashier holds, and whoever repeats what was not acknowledged.
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
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) clock: Clock,
    pub(crate) present: Arc<Present>,
    counts: Arc<Counts>,
}

/// One notification that is still to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) news: News,
    /// Counts the sendings of one notification, from 0.
    pub(crate) sending: u32,
    pub(crate) claim: Claim,
    /// A second copy, which is not repeated.
    pub(crate) is_copy: bool,
}

/// A repeat that is due within this is pending like a first sending: it is as good as under way.
const SOON: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Counts {
    /// All that wait or are under way: what the capacity bounds.
    held: AtomicUsize,
    /// Those of them that wait for a repeat that is not due soon.
    repeating: AtomicUsize,
    dropped: AtomicU64,
}

struct Waiting {
    /// Nothing: at once, without asking the timer.
    due: Option<Instant>,
    /// Counted among those that wait for a repeat.
    is_repeating: bool,
    letter: Letter,
}

/// Makes both halves; at most `capacity` notifications wait between them.
pub(crate) fn outbox(
    capacity: usize,
    sealer: Arc<Sealer>,
    clock: Clock,
    present: Arc<Present>,
) -> (Outbox, Notifications) {
    let capacity = capacity.max(1);
    let (sender, receiver) = mpsc::channel(capacity);
    let counts = Arc::new(Counts::default());
    let outbox = Outbox { arrivals: sender, counts: Arc::clone(&counts), capacity };
    let waiting = BinaryHeap::new();
    let notifications = Notifications { arrivals: receiver, waiting, closed: false, sealer, clock, present, counts };
    (outbox, notifications)
}

// === impl Letter ===

impl Letter {
    /// The first sending of the truth.
    pub(crate) const fn first(news: News) -> Self {
        Self { news, sending: 0, claim: Claim::Genuine, is_copy: false }
    }
}

// === impl Outbox ===

impl Outbox {
    /// Sends the letter after this long, or drops it if too many wait or nobody listens.
    pub(crate) fn send(&self, letter: Letter, delay: Duration) {
        // Counted before it is handed over, so that the receiver cannot take it out of the count first.
        if self.counts.held.fetch_add(1, Relaxed) < self.capacity {
            self.send_again(letter, delay);
        } else {
            self.settle();
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Sends a letter again that came from [`Notifications::next`] and keeps its place.
    pub(crate) fn send_again(&self, letter: Letter, delay: Duration) {
        let due = (!delay.is_zero()).then(|| Instant::now() + delay);
        // A copy's number says nothing about repeats: it is sent once.
        let is_repeating = letter.sending > 0 && !letter.is_copy && delay > SOON;
        self.counts.repeating.fetch_add(usize::from(is_repeating), Relaxed);
        if self.arrivals.try_send(Waiting { due, is_repeating, letter }).is_err() {
            self.counts.repeating.fetch_sub(usize::from(is_repeating), Relaxed);
            self.settle();
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// A letter that came from [`Notifications::next`] is done with.
    pub(crate) fn settle(&self) {
        self.counts.held.fetch_sub(1, Relaxed);
    }

    /// Those that are to be sent for the first time, are due, or are under way.
    pub(crate) fn pending(&self) -> usize {
        // In this order a letter that begins to wait in between counts as pending once more. One that passes from waiting
        // to settled in between is taken off both and may hide another for an instant: a look at a moment, not a promise.
        let repeating = self.repeating();
        self.counts.held.load(Relaxed).saturating_sub(repeating)
    }

    /// Those that nobody acknowledged and that wait for their next sending.
    pub(crate) fn repeating(&self) -> usize {
        self.counts.repeating.load(Relaxed)
    }

    /// Whether as many again could wait as do now.
    pub(crate) fn is_half_empty(&self) -> bool {
        self.counts.held.load(Relaxed) < self.capacity.div_ceil(2)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Relaxed)
    }
}

// === impl Notifications ===

impl Notifications {
    /// The next notification; none when the channel has gone and nothing waits any more. Nothing is lost if this is
    /// dropped before it answers, but what the profile loses.
    pub async fn recv(&mut self) -> Option<Notification> {
        loop {
            let letter = self.next().await?;
            self.counts.held.fetch_sub(1, Relaxed);
            if !self.present.loses(&letter.news.out_trade_no, letter.sending) {
                return Some(self.sealer.seal(&letter.news, letter.claim, self.clock.now_s(), letter.sending));
            }
        }
    }

    /// The next letter, which counts as pending until [`Outbox::settle`]; none as in [`Self::recv`]. Nothing is lost if
    /// this is dropped before it answers.
    pub(crate) async fn next(&mut self) -> Option<Letter> {
        let Waiting { is_repeating, letter, .. } = self.next_waiting().await?;
        self.counts.repeating.fetch_sub(usize::from(is_repeating), Relaxed);
        Some(letter)
    }

    async fn next_waiting(&mut self) -> Option<Waiting> {
        loop {
            while let Ok(arrival) = self.arrivals.try_recv() {
                if arrival.due.is_none() {
                    return Some(arrival);
                }
                self.waiting.push(arrival);
            }
            match self.waiting.peek().map(|first| first.due) {
                Some(Some(due)) if due > Instant::now() => self.wait_until(due).await,
                Some(_) => return self.waiting.pop(),
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
