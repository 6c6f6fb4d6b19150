//! The result cache in process: a dashmap, and a wheel of one-second slots by which entries go.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, mapref::entry};
use foldhash::fast::RandomState;
use tokio::time::{Instant, MissedTickBehavior};

use super::{CacheError, Entry, KEPT, KEPT_SHOWN, ResultCache};
use crate::model::{TaskId, Version};

/// How often entries that are due are looked for: the wheel's grain.
const TICK: Duration = Duration::from_secs(1);
/// Slots of the wheel: more seconds than an entry can have left.
const SLOTS: usize = 64;

/// An entry and when it goes.
struct Kept {
    entry: Entry,
    goes_at: Instant,
    shown: bool,
}

/// Tasks by the second in which their entries may be due. A task may stand in several slots; its entry decides.
struct Wheel {
    slots: Vec<Vec<TaskId>>,
    /// The second that is looked at next, counted from the epoch.
    next: u64,
}

struct Inner {
    entries: DashMap<TaskId, Kept, RandomState>,
    wheel: Mutex<Wheel>,
    epoch: Instant,
    /// Number of entries, so that nobody has to count the shards.
    len: AtomicUsize,
    capacity: usize,
}

/// Live views in this process, at most about `capacity`; over it those that are due first go first.
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
            wheel: Mutex::new(Wheel { slots: vec![Vec::new(); SLOTS], next: 0 }),
            epoch: Instant::now(),
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
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.evict_due(tick.tick().await);
        }
    }

    /// Drops what is due at this moment.
    pub fn evict_due(&self, now: Instant) {
        while let Some(tasks) = self.next_slot(now) {
            for task in tasks {
                match self.inner.entries.entry(task) {
                    entry::Entry::Occupied(kept) if kept.get().goes_at <= now => self.forget(kept),
                    entry::Entry::Occupied(kept) => self.look_again(task, kept.get().goes_at),
                    entry::Entry::Vacant(_) => {}
                }
            }
        }
    }

    /// The tasks of the next second that is wholly over.
    fn next_slot(&self, now: Instant) -> Option<Vec<TaskId>> {
        let mut wheel = self.wheel();
        if wheel.next >= self.second(now) {
            return None;
        }
        let slot = slot_of(wheel.next);
        wheel.next += 1;
        Some(std::mem::take(&mut wheel.slots[slot]))
    }

    /// Puts a task where its entry is due, which is never a second that has been looked at.
    fn look_again(&self, task: TaskId, due: Instant) {
        let mut wheel = self.wheel();
        let second = self.second(due).clamp(wheel.next, wheel.next + SLOTS as u64 - 1);
        wheel.slots[slot_of(second)].push(task);
    }

    fn second(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.inner.epoch).as_secs()
    }

    fn forget(&self, kept: entry::OccupiedEntry<'_, TaskId, Kept>) {
        kept.remove();
        self.inner.len.fetch_sub(1, Ordering::Relaxed);
    }

    fn wheel(&self) -> MutexGuard<'_, Wheel> {
        self.inner.wheel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a new entry: one that is due first goes.
    fn make_room(&self) {
        while self.len() >= self.inner.capacity {
            let Some(task) = self.first_due() else { return };
            if let entry::Entry::Occupied(kept) = self.inner.entries.entry(task) {
                self.forget(kept);
            }
        }
    }

    fn first_due(&self) -> Option<TaskId> {
        let mut wheel = self.wheel();
        let next = wheel.next;
        (next..next + SLOTS as u64).find_map(|second| wheel.slots[slot_of(second)].pop())
    }
}

fn slot_of(second: u64) -> usize {
    usize::try_from(second % SLOTS as u64).unwrap_or(0)
}

impl ResultCache for MemoryCache {
    async fn put(&self, entry: Entry) -> Result<(), CacheError> {
        let task = entry.view.task.task_id;
        let goes_at = Instant::now() + KEPT;
        // Only for a new entry: the one that is there must not go, or an older version could take its place.
        if self.len() >= self.inner.capacity && !self.inner.entries.contains_key(&task) {
            self.make_room();
        }
        match self.inner.entries.entry(task) {
            entry::Entry::Occupied(mut there) => {
                let kept = there.get_mut();
                let (old, new) = (kept.entry.view.version(), entry.view.version());
                if new > old {
                    *kept = Kept { entry, goes_at, shown: false };
                } else if new == old {
                    kept.entry.fact_at_us = kept.entry.fact_at_us.max(entry.fact_at_us);
                }
            }
            entry::Entry::Vacant(free) => {
                free.insert(Kept { entry, goes_at, shown: false });
                self.inner.len.fetch_add(1, Ordering::Relaxed);
                self.look_again(task, goes_at);
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
            self.look_again(task, kept.goes_at);
        }
        Ok(())
    }

    async fn evict(&self, task: TaskId, up_to: Version) -> Result<(), CacheError> {
        if let entry::Entry::Occupied(kept) = self.inner.entries.entry(task)
            && kept.get().entry.view.version() <= up_to
        {
            self.forget(kept);
        }
        Ok(())
    }
}
