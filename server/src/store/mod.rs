//! Seam: the document store. Insert with a unique id, delete that tells how many went, get, and range; nothing else, so
//! that it holds on any store.

use std::fmt;

use crate::model::{Collection, Document};

mod any;
mod codec;
pub mod embedded;
pub mod gate;
pub mod memory;
#[cfg(feature = "mongodb")]
pub mod mongodb;

pub use any::Store;

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written; a later try may go well.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Whether it was written is not known.
    #[error("the fate of a write is unknown: {0}")]
    Unknown(String),
    /// A document cannot be read.
    #[error("a document of {collection} cannot be read: {reason}")]
    Unreadable {
        /// Where it lives.
        collection: &'static str,
        /// Why not.
        reason: String,
    },
}

impl StoreError {
    /// The same failure of a call that had written something before: its fate is unknown.
    #[must_use]
    pub fn after_a_write(self) -> Self {
        match self {
            Self::Unavailable(reason) => Self::Unknown(reason),
            other => other,
        }
    }
}

/// Documents that go in one after another, up to the first whose id exists.
pub type Group = Vec<Document>;

/// The address of a document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Where it lives.
    pub collection: Collection,
    /// Its id there.
    pub id: String,
}

impl Key {
    /// The document with this id in this collection.
    #[must_use]
    pub const fn new(collection: Collection, id: String) -> Self {
        Self { collection, id }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection.name(), self.id)
    }
}

/// A store of documents. Every write is durable when it answers, and seen by nobody before that.
pub trait DocumentStore: Send + Sync {
    /// Inserts each group in order up to the first document whose id exists; tells for each group how many went in.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was written. [`StoreError::Unknown`]: each document may have gone in or not.
    fn insert(&self, groups: Vec<Group>) -> impl Future<Output = Result<Vec<usize>, StoreError>> + Send;

    /// Deletes; tells for each whether it was there. Of several who delete the same, one is told so.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    fn delete(&self, keys: Vec<Key>) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// Deletes in this order, a key after those before it; which were there is not told, so that a store that cannot tell
    /// many apart at once deletes them at once all the same.
    ///
    /// # Errors
    /// As [`insert`](Self::insert). It may be done again.
    fn forget(&self, keys: Vec<Key>) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { self.delete(keys).await.map(drop) }
    }

    /// The document with this id.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn get(
        &self,
        collection: Collection,
        id: &str,
    ) -> impl Future<Output = Result<Option<Document>, StoreError>> + Send;

    /// Documents in order of their ids, after `after` and before `before` (both exclusive, absent: unbounded), at most
    /// `limit`.
    ///
    /// # Errors
    /// Where one cannot be read.
    fn range(
        &self,
        collection: Collection,
        after: Option<&str>,
        before: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Document>, StoreError>> + Send;
}
