//! The ledger that keeps nothing: for benches, and for tests that go through interleavings and crashes step by step.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use super::Shelf;

type Shelves = [BTreeMap<String, Vec<u8>>; Shelf::COUNT];

/// An in-memory ledger. Clones share their content, so that a channel can be "restarted" on what another left.
#[derive(Clone, Default, Debug)]
pub struct MemoryLedger {
    shelves: Arc<Mutex<Shelves>>,
    stepped: bool,
}

impl MemoryLedger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty ledger whose every operation is pending once before it happens: whoever polls the calls by hand decides
    /// in which order operations of several calls happen, and between which two of them a call is dropped.
    #[must_use]
    pub fn stepped() -> Self {
        Self { stepped: true, ..Self::default() }
    }

    pub(super) async fn insert(&self, shelf: Shelf, key: &str, value: Vec<u8>) -> bool {
        self.step().await;
        let mut shelves = self.lock();
        let documents = &mut shelves[shelf.index()];
        if documents.contains_key(key) {
            return false;
        }
        documents.insert(key.to_owned(), value);
        true
    }

    pub(super) async fn get(&self, shelf: Shelf, key: &str) -> Option<Vec<u8>> {
        self.step().await;
        self.lock()[shelf.index()].get(key).cloned()
    }

    pub(super) async fn page(&self, shelf: Shelf, after: Option<&str>, limit: usize) -> Vec<(String, Vec<u8>)> {
        self.step().await;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let shelves = self.lock();
        let page = shelves[shelf.index()].range::<str, _>((from, Bound::Unbounded)).take(limit);
        page.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    async fn step(&self) {
        if self.stepped {
            PendingOnce(false).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        // A panic elsewhere leaves no half-done insert behind: each is one call of the map.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct PendingOnce(bool);

impl Future for PendingOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
