//! The result cache behind the seam, whichever it is.

#[cfg(feature = "redis")]
use super::redis::RedisCache;
use super::{CacheError, Entry, ResultCache, memory::MemoryCache};
use crate::model::{TaskId, Version};

/// One of the backends.
#[derive(Clone)]
pub enum Cache {
    /// dashmap, in process.
    Memory(MemoryCache),
    /// Redis or Redis Cluster.
    #[cfg(feature = "redis")]
    Redis(RedisCache),
}

/// How the cache is, as far as this process knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheStats {
    /// Entries, where they are in this process.
    pub entries: Option<usize>,
    /// Whether it answers.
    pub up: bool,
    /// Connections that answer, where there are any to be had.
    pub connections: Option<usize>,
}

impl Cache {
    /// How it is.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        match self {
            Self::Memory(cache) => CacheStats { entries: Some(cache.len()), up: true, connections: None },
            #[cfg(feature = "redis")]
            Self::Redis(cache) => cache.stats(),
        }
    }

    /// Does what has to be done in the background, for as long as it is polled.
    pub async fn run(&self) {
        match self {
            Self::Memory(cache) => cache.run_evictions().await,
            // Redis lets entries go by itself, and each connection has its own task.
            #[cfg(feature = "redis")]
            Self::Redis(_) => {}
        }
    }

    /// Makes this thread at home: what it asks for goes over a connection of its own runtime, where there are
    /// connections. Called once on each runtime beyond the one that the cache was opened on.
    pub fn settle_in(&self) {
        match self {
            Self::Memory(_) => {}
            #[cfg(feature = "redis")]
            Self::Redis(cache) => cache.settle_in(),
        }
    }
}

impl ResultCache for Cache {
    async fn put(&self, entry: Entry) -> Result<(), CacheError> {
        match self {
            Self::Memory(cache) => cache.put(entry).await,
            #[cfg(feature = "redis")]
            Self::Redis(cache) => cache.put(entry).await,
        }
    }

    async fn put_all(&self, entries: Vec<Entry>) -> Result<(), CacheError> {
        match self {
            Self::Memory(cache) => cache.put_all(entries).await,
            #[cfg(feature = "redis")]
            Self::Redis(cache) => cache.put_all(entries).await,
        }
    }

    async fn get(&self, task: TaskId) -> Result<Option<Entry>, CacheError> {
        match self {
            Self::Memory(cache) => cache.get(task).await,
            #[cfg(feature = "redis")]
            Self::Redis(cache) => cache.get(task).await,
        }
    }

    async fn shown_final(&self, task: TaskId) -> Result<(), CacheError> {
        match self {
            Self::Memory(cache) => cache.shown_final(task).await,
            #[cfg(feature = "redis")]
            Self::Redis(cache) => cache.shown_final(task).await,
        }
    }

    async fn evict(&self, task: TaskId, up_to: Version) -> Result<(), CacheError> {
        match self {
            Self::Memory(cache) => cache.evict(task, up_to).await,
            #[cfg(feature = "redis")]
            Self::Redis(cache) => cache.evict(task, up_to).await,
        }
    }

    fn trusted_since_us(&self) -> u64 {
        match self {
            Self::Memory(cache) => cache.trusted_since_us(),
            #[cfg(feature = "redis")]
            Self::Redis(cache) => cache.trusted_since_us(),
        }
    }
}
