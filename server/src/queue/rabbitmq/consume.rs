//! Intake: what is delivered waits here until it is asked for, and is acknowledged when told so. Nothing is delivered
//! before the first call, and never more than the prefetch is unacknowledged.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::tally::Tally;

/// A delivery: which session brought it, and its tag there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in crate::queue) struct Tag(u64);

impl Tag {
    /// A session brings fewer deliveries than this: at 100,000 a second in 127 days, and then they are not acknowledged.
    const TAG_BITS: u32 = 40;

    pub(super) const fn new(session: u64, tag: u64) -> Self {
        Self((session << Self::TAG_BITS) | (tag & ((1 << Self::TAG_BITS) - 1)))
    }

    pub(super) const fn of_session(self, session: u64) -> bool {
        self.0 >> Self::TAG_BITS == session & ((1 << (u64::BITS - Self::TAG_BITS)) - 1)
    }

    pub(super) const fn tag(self) -> u64 {
        self.0 & ((1 << Self::TAG_BITS) - 1)
    }

    /// As the seam knows it.
    pub(in crate::queue) const fn number(self) -> u64 {
        self.0
    }

    /// The other way.
    pub(in crate::queue) const fn of_number(number: u64) -> Self {
        Self(number)
    }
}

/// What the consumer is told.
#[derive(Debug)]
pub(super) enum Told {
    /// The delivery's effect is stored.
    Ack(Tag),
    /// Somebody else shall have it.
    HandBack(Tag),
    /// Say when all that was told before is written.
    Flush(oneshot::Sender<()>),
}

/// What was delivered and is asked for by nobody yet, and the way back.
pub(in crate::queue) struct Intake<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Intake<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

pub(super) struct Shared<T> {
    here: Mutex<VecDeque<(Tag, T)>>,
    arrived: Notify,
    told: mpsc::Sender<Told>,
    /// Cancelled by the first who asks for something.
    pub(super) wanted: CancellationToken,
    /// Cancelled when nothing more is wanted.
    pub(super) closed: CancellationToken,
    pub(super) tally: Arc<Tally>,
    unacknowledged: AtomicUsize,
}

impl<T> Intake<T> {
    /// An intake whose consumer hears what it is told from the other end. Nobody holds more than the prefetch, so there
    /// is always room to say so.
    pub(super) fn new(prefetch: u16) -> (Self, mpsc::Receiver<Told>) {
        let (told, hears) = mpsc::channel(usize::from(prefetch) + 64);
        let shared = Shared {
            here: Mutex::default(),
            arrived: Notify::new(),
            told,
            wanted: CancellationToken::new(),
            closed: CancellationToken::new(),
            tally: Arc::default(),
            unacknowledged: AtomicUsize::new(0),
        };
        (Self { shared: Arc::new(shared) }, hears)
    }

    pub(super) const fn shared(&self) -> &Arc<Shared<T>> {
        &self.shared
    }

    /// Messages that wait, there and here.
    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.shared.tally
    }

    /// Deliveries that were taken and not acknowledged.
    pub(in crate::queue) fn unacknowledged(&self) -> usize {
        self.shared.unacknowledged.load(Ordering::Relaxed)
    }

    /// Messages that wait, as far as this node knows.
    pub(in crate::queue) fn waiting(&self) -> usize {
        self.shared.tally.waiting()
    }

    /// Waits for deliveries, and takes at most so many. `otherwise` is looked at whenever there are none. Nothing where
    /// it is closed.
    pub(in crate::queue) async fn take<R>(
        &self,
        at_most: usize,
        taken: impl FnOnce(Vec<(Tag, T)>) -> R,
        mut otherwise: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        self.shared.wanted.cancel();
        loop {
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.is_closed() {
                return None;
            }
            let now = self.shared.take(at_most.max(1));
            if !now.is_empty() {
                return Some(taken(now));
            }
            if let Some(other) = otherwise() {
                return Some(other);
            }
            arrived.await;
        }
    }

    /// Whoever waits for a delivery shall look again.
    pub(in crate::queue) fn wake(&self) {
        self.shared.arrived.notify_one();
    }

    /// The delivery's effect is stored. What a lost connection brought is delivered again whatever is said of it.
    pub(in crate::queue) async fn ack(&self, tag: Tag) {
        self.shared.unacknowledged.fetch_sub(1, Ordering::Relaxed);
        // The consumer is there as long as the runtime.
        let _ = self.shared.told.send(Told::Ack(tag)).await;
    }

    /// Nothing more is wanted. What was not taken goes back to the others.
    pub(in crate::queue) fn close(&self) {
        self.shared.closed.cancel();
        self.shared.arrived.notify_waiters();
    }

    /// Whether nothing more is wanted.
    pub(in crate::queue) fn is_closed(&self) -> bool {
        self.shared.closed.is_cancelled()
    }

    /// Resolves once it is closed.
    pub(in crate::queue) async fn closed(&self) {
        self.shared.closed.cancelled().await;
    }

    /// Resolves when every acknowledgement so far is written, or can no longer be.
    pub(in crate::queue) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.shared.told.send(Told::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}

impl<T> Shared<T> {
    fn here(&self) -> MutexGuard<'_, VecDeque<(Tag, T)>> {
        // Nothing panics while it holds the lock.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, at_most: usize) -> Vec<(Tag, T)> {
        let mut here = self.here();
        let taken: Vec<(Tag, T)> = {
            let at_most = at_most.min(here.len());
            here.drain(..at_most).collect()
        };
        let some_are_left = !here.is_empty();
        if !taken.is_empty() {
            self.unacknowledged.fetch_add(taken.len(), Ordering::Relaxed);
            self.tally.taken(taken.len());
        }
        drop(here);
        if some_are_left {
            self.arrived.notify_one();
        }
        taken
    }

    /// Puts down what was delivered.
    pub(super) fn put(&self, delivered: Vec<(Tag, T)>) {
        if delivered.is_empty() {
            return;
        }
        let mut here = self.here();
        self.tally.delivered(delivered.len());
        here.extend(delivered);
        drop(here);
        self.arrived.notify_one();
    }

    /// Whatever was not taken: the server has it again, or is to have it.
    pub(super) fn clear(&self) -> Vec<Tag> {
        let mut here = self.here();
        let tags: Vec<Tag> = here.drain(..).map(|(tag, _)| tag).collect();
        self.tally.went_back(tags.len());
        tags
    }

    /// Tells the consumer, from a task of its own.
    pub(super) async fn tell(&self, told: Told) {
        let _ = self.told.send(told).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_knows_its_session() {
        for (session, tag) in [(1, 1), (2, (1 << 40) - 1), ((1 << 24) - 1, 7)] {
            let packed = Tag::of_number(Tag::new(session, tag).number());
            assert!(packed.of_session(session) && packed.tag() == tag, "{session} {tag}");
            assert!(!packed.of_session(session + 1));
        }
    }

    #[tokio::test]
    async fn what_is_taken_is_told_of_once() {
        let (intake, mut hears) = Intake::new(8);
        intake.shared.put((1..=3).map(|tag| (Tag::new(1, tag), tag)).collect());
        assert!(intake.shared.wanted.is_cancelled() || intake.waiting() == 3);
        let taken = intake.take(2, |taken| taken, || None).await.unwrap();
        assert_eq!(taken.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((intake.waiting(), intake.unacknowledged()), (1, 2));
        intake.ack(taken[0].0).await;
        assert!(matches!(hears.recv().await, Some(Told::Ack(tag)) if tag == Tag::new(1, 1)));
        assert_eq!(intake.shared.clear(), [Tag::new(1, 3)]);
        assert_eq!((intake.waiting(), intake.unacknowledged()), (1, 1), "it waits there now");
        intake.close();
        assert!(intake.take(1, |_| (), || None).await.is_none());
    }
}
