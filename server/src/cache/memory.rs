//! The result cache in process: a dashmap, and a wheel of one-second slots by which entries go.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, mapref::entry};
use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{CacheError, Entry, KEPT, KEPT_SHOWN, ResultCache};
use crate::model::TaskId;

/// How often old entries are looked for.
const TICK: Duration = Duration::from_secs(1);

/// An entry and when it goes.
struct Kept {
    entry: Entry,
    goes_at: Instant,
    shown: bool,
}

struct Inner {
    entries: DashMap<TaskId, Kept, RandomState>,
    /// Tasks in the order in which they came; each is looked at again when its entry may be due.
    due: Mutex<VecDeque<(Instant, TaskId)>>,
    /// Number of entries, so that nobody has to count the shards.
    len: AtomicUsize,
    capacity: usize,
}

/// Live views in this process, at most `capacity`; over it the oldest go first.
#[derive(Clone)]
pub struct MemoryCache {
    inner: Arc<Inner>,
}

impl MemoryCache {
    /// An empty cache for so many entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let inner = Inner {
            entries: DashMap::with_hasher(RandomState::default()),
            due: Mutex::new(VecDeque::new()),
            len: AtomicUsize::new(0),
            capacity: capacity.max(1),
        };
        Self { inner: Arc::new(inner) }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.len.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops entries as they fall due, for as long as it is polled.
    pub async fn run_evictions(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.evict_due(Instant::now());
        }
    }

    /// Drops what is due at this moment.
    pub fn evict_due(&self, now: Instant) {
        let mut again = Vec::new();
        while let Some((looked_at, task)) = self.pop_due(now) {
            match self.inner.entries.entry(task) {
                entry::Entry::Occupied(kept) if kept.get().goes_at <= now => self.forget(kept),
                entry::Entry::Occupied(kept) => again.push((kept.get().goes_at.max(looked_at + TICK), task)),
                entry::Entry::Vacant(_) => {}
            }
        }
        let mut due = self.due();
        // Entries are looked at every KEPT_SHOWN at least, so the list stays nearly in order; it need not be exact.
        due.extend(again);
    }

    fn forget(&self, kept: entry::OccupiedEntry<'_, TaskId, Kept>) {
        kept.remove();
        self.inner.len.fetch_sub(1, Ordering::Relaxed);
    }

    fn pop_due(&self, now: Instant) -> Option<(Instant, TaskId)> {
        let mut due = self.due();
        let next = *due.front()?;
        if next.0 > now {
            return None;
        }
        due.pop_front()
    }

    fn due(&self) -> std::sync::MutexGuard<'_, VecDeque<(Instant, TaskId)>> {
        self.inner.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a new entry: the one that came first goes.
    fn make_room(&self) {
        while self.len() >= self.inner.capacity {
            let Some((_, oldest)) = self.due().pop_front() else { return };
            if let entry::Entry::Occupied(kept) = self.inner.entries.entry(oldest) {
                self.forget(kept);
            }
        }
    }
}

impl ResultCache for MemoryCache {
    async fn put(&self, entry: Entry) -> Result<(), CacheError> {
        let task = entry.view.task.task_id;
        let now = Instant::now();
        if self.len() >= self.inner.capacity {
            self.make_room();
        }
        match self.inner.entries.entry(task) {
            entry::Entry::Occupied(mut there) => {
                let kept = there.get_mut();
                let (old, new) = (kept.entry.view.version(), entry.view.version());
                if new > old {
                    *kept = Kept { entry, goes_at: now + KEPT, shown: false };
                } else if new == old {
                    kept.entry.fact_at_us = kept.entry.fact_at_us.max(entry.fact_at_us);
                }
            }
            entry::Entry::Vacant(free) => {
                free.insert(Kept { entry, goes_at: now + KEPT, shown: false });
                self.inner.len.fetch_add(1, Ordering::Relaxed);
                // The first look is at the earliest moment at which it may have to go.
                self.due().push_back((now + KEPT_SHOWN, task));
            }
        }
        Ok(())
    }

    async fn get(&self, task: TaskId) -> Result<Option<Entry>, CacheError> {
        Ok(self.inner.entries.get(&task).map(|kept| kept.entry.clone()))
    }

    async fn shown_final(&self, task: TaskId) -> Result<(), CacheError> {
        // Read first: a polled final entry is shown many times and changes once.
        if self.inner.entries.get(&task).is_none_or(|kept| kept.shown) {
            return Ok(());
        }
        if let Some(mut kept) = self.inner.entries.get_mut(&task)
            && kept.entry.view.is_final()
            && !kept.shown
        {
            kept.shown = true;
            kept.goes_at = kept.goes_at.min(Instant::now() + KEPT_SHOWN);
        }
        Ok(())
    }

    async fn evict(&self, task: TaskId) -> Result<(), CacheError> {
        if let entry::Entry::Occupied(kept) = self.inner.entries.entry(task) {
            self.forget(kept);
        }
        Ok(())
    }
}
