//! Seam: the result cache. One entry a task: its live view, from acceptance on, with the time at which it was true.

use std::{sync::Arc, time::Duration};

use crate::model::{TaskId, TaskView, Version};

mod any;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

pub use any::{Cache, CacheStats};

/// How long an entry lives after its last change, whatever happens.
pub const KEPT: Duration = Duration::from_secs(30);
/// How long a final entry stays after a query has shown it: as long as a late writer may bring back an older view.
pub const KEPT_SHOWN: Duration = Duration::from_secs(10);

/// A view and when it was true.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The view.
    pub view: Arc<TaskView>,
    /// When its fact was true, microseconds since the epoch. A writer that looked at the store first and then worked
    /// gives the time at which it looked.
    pub fact_at_us: u64,
}

/// The cache is not to be had; the store answers instead.
#[derive(Debug, thiserror::Error)]
#[error("the result cache is not available: {0}")]
pub struct CacheError(pub String);

/// Live views by task. It may lose everything at any moment.
pub trait ResultCache: Send + Sync {
    /// Keeps the entry unless a newer version is there. Of the same version the later fact stays.
    ///
    /// # Errors
    /// Where the cache cannot be reached.
    fn put(&self, entry: Entry) -> impl Future<Output = Result<(), CacheError>> + Send;

    /// Keeps many entries, each like [`put`](Self::put), and as far as the cache can all at once.
    ///
    /// # Errors
    /// Where one of them was not kept for want of the cache; the others may have been.
    fn put_all(&self, entries: Vec<Entry>) -> impl Future<Output = Result<(), CacheError>> + Send {
        async move {
            let mut kept = Ok(());
            for entry in entries {
                kept = kept.and(self.put(entry).await);
            }
            kept
        }
    }

    /// The task's entry.
    ///
    /// # Errors
    /// Where the cache cannot be reached.
    fn get(&self, task: TaskId) -> impl Future<Output = Result<Option<Entry>, CacheError>> + Send;

    /// A query has shown the task's entry and it is final: it goes after [`KEPT_SHOWN`].
    ///
    /// # Errors
    /// Where the cache cannot be reached.
    fn shown_final(&self, task: TaskId) -> impl Future<Output = Result<(), CacheError>> + Send;

    /// Forgets the task's entry if it is of this version or an older one: what came since is somebody else's.
    ///
    /// # Errors
    /// Where the cache cannot be reached.
    fn evict(&self, task: TaskId, up_to: Version) -> impl Future<Output = Result<(), CacheError>> + Send;

    /// Since when (microseconds since the epoch) this process has had every answer of the cache. Whatever it has shown
    /// or written while it had none may be newer than what the cache holds, so an older fact is not believed.
    fn trusted_since_us(&self) -> u64 {
        0
    }
}
