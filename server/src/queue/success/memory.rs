//! A subscriber's queue in process: bounded, first in first out, each message once. Where there is no room it takes
//! nothing more until the subscriber, done with what it has, is told to look into the store: so what was left out is not
//! overtaken by what came later.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Polled, SuccessQueue, SuccessStats};
use crate::model::{RoundId, Success};

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Success>>,
    /// What waits, and what is delivered and not acknowledged.
    there: HashSet<RoundId>,
    behind: bool,
    closed: bool,
}

struct Inner {
    state: Mutex<State>,
    capacity: usize,
    changed: Notify,
    closed: Notify,
}

/// A queue that lives and dies with the process.
#[derive(Clone)]
pub struct MemorySuccesses {
    inner: Arc<Inner>,
}

impl MemorySuccesses {
    /// A queue for so many waiting messages.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let inner =
            Inner { state: Mutex::default(), capacity: capacity.max(1), changed: Notify::new(), closed: Notify::new() };
        Self { inner: Arc::new(inner) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> SuccessStats {
        let state = self.state();
        let waiting = state.waiting.len();
        SuccessStats { waiting, unacknowledged: state.there.len() - waiting, behind: state.behind }
    }

    /// What waits, first the next one.
    #[must_use]
    pub fn waiting(&self) -> Vec<RoundId> {
        self.state().waiting.iter().map(|success| success.payment_no).collect()
    }

    /// Something that it should have had is in the store only.
    pub fn fall_behind(&self) {
        self.state().behind = true;
        self.inner.changed.notify_one();
    }

    /// Takes no more messages; what waits is still delivered.
    pub fn close(&self) {
        self.state().closed = true;
        self.inner.changed.notify_one();
        self.inner.closed.notify_waiters();
    }

    /// Resolves once it is closed.
    pub async fn closed(&self) {
        let closed = self.inner.closed.notified();
        tokio::pin!(closed);
        closed.as_mut().enable();
        if !self.state().closed {
            closed.await;
        }
    }

    /// What there is now, if there is anything.
    fn take(&self, at_most: usize) -> Option<Polled> {
        let mut state = self.state();
        if !state.waiting.is_empty() {
            let taken = state.waiting.len().min(at_most.max(1));
            return Some(Polled::Messages(state.waiting.drain(..taken).collect()));
        }
        if state.closed {
            return Some(Polled::Closed);
        }
        std::mem::take(&mut state.behind).then_some(Polled::Behind)
    }
}

impl State {
    /// Whether it is in, now or before.
    fn take_in(&mut self, success: &Arc<Success>, capacity: usize) -> bool {
        if self.there.contains(&success.payment_no) {
            return true;
        }
        if self.closed {
            return false;
        }
        if self.behind || self.waiting.len() >= capacity {
            self.behind = true;
            return false;
        }
        self.there.insert(success.payment_no);
        self.waiting.push_back(Arc::clone(success));
        true
    }
}

impl SuccessQueue for MemorySuccesses {
    async fn offer(&self, messages: &[Arc<Success>]) -> usize {
        let mut state = self.state();
        let left = messages.iter().filter(|success| !state.take_in(success, self.inner.capacity)).count();
        drop(state);
        self.inner.changed.notify_one();
        left
    }

    async fn poll(&self, at_most: usize) -> Polled {
        loop {
            let changed = self.inner.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(polled) = self.take(at_most) {
                return polled;
            }
            changed.await;
        }
    }

    async fn ack(&self, payment_nos: &[RoundId]) {
        let mut state = self.state();
        for payment_no in payment_nos {
            state.there.remove(payment_no);
        }
    }
}
