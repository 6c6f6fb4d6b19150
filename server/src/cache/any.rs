//! The result cache behind the seam, whichever it is.

use super::{CacheError, Entry, ResultCache, memory::MemoryCache};
use crate::model::TaskId;

/// One of the backends.
#[derive(Clone)]
pub enum Cache {
    /// dashmap, in process.
    Memory(MemoryCache),
}

impl ResultCache for Cache {
    async fn put(&self, entry: Entry) -> Result<(), CacheError> {
        let Self::Memory(cache) = self;
        cache.put(entry).await
    }

    async fn get(&self, task: TaskId) -> Result<Option<Entry>, CacheError> {
        let Self::Memory(cache) = self;
        cache.get(task).await
    }

    async fn shown_final(&self, task: TaskId) -> Result<(), CacheError> {
        let Self::Memory(cache) = self;
        cache.shown_final(task).await
    }

    async fn evict(&self, task: TaskId) -> Result<(), CacheError> {
        let Self::Memory(cache) = self;
        cache.evict(task).await
    }
}
