//! The channel's order ledger: insert-once documents by `out_trade_no`, durable before anything is answered.

pub(crate) mod document;
mod memory;

use std::ops::Bound;
use std::path::Path;

use payrig_commit::{CommitError, Entry, GroupCommit, Space};

use document::{Document, decode, encode};
pub use memory::MemoryLedger;

/// Where the documents are kept.
#[derive(Clone)]
pub enum Ledger {
    /// In memory only: for benches and tests.
    Memory(MemoryLedger),
    /// In a folder of its own, on disk before any answer.
    Durable(GroupCommit),
}

/// What can go wrong with the ledger.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The store below failed.
    #[error("the channel's ledger: {0}")]
    Commit(#[from] CommitError),
    /// A document could not be written as bytes.
    #[error("a document of the channel's ledger cannot be encoded: {0}")]
    Encode(String),
    /// A document cannot be read, or has gone.
    #[error("the channel's ledger is damaged at {shelf}/{key}: {what}")]
    Damaged {
        /// The kind of document.
        shelf: &'static str,
        /// Its id.
        key: String,
        /// What is wrong with it.
        what: String,
    },
}

/// The kinds of documents; also the key spaces of the folder, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shelf {
    Orders,
    Ends,
    Refunds,
    Keys,
    Told,
}

/// What an insert found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Inserted<D> {
    /// Nothing: the document went in.
    New,
    /// This one, which stays.
    Existing(D),
}

// === impl Shelf ===

impl Shelf {
    const COUNT: usize = 5;
    const ALL: [Self; Self::COUNT] = [Self::Orders, Self::Ends, Self::Refunds, Self::Keys, Self::Told];

    const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Ends => "ends",
            Self::Refunds => "refunds",
            Self::Keys => "keys",
            Self::Told => "told",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }

    const fn space(self) -> Space {
        Space(self as u8)
    }
}

// === impl Ledger ===

impl From<MemoryLedger> for Ledger {
    fn from(memory: MemoryLedger) -> Self {
        Self::Memory(memory)
    }
}

impl Ledger {
    /// Opens the durable ledger in this folder, or creates it. Blocks while what a crash left is read.
    ///
    /// # Errors
    /// The folder is in use, is none of ours, or cannot be read or written.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        // Half of the store's defaults: the ledger is one of two databases in the server's process.
        let defaults = payrig_commit::Options::default();
        let options = payrig_commit::Options {
            cache_bytes: defaults.cache_bytes / 2,
            memtable_bytes: defaults.memtable_bytes / 2,
            memory_bytes: defaults.memory_bytes / 2,
            ..defaults
        };
        Ok(Self::Durable(GroupCommit::open(dir, &Shelf::ALL.map(Shelf::name), options)?))
    }

    /// Inserts a document unless there is one; answers when whichever stands is durable.
    pub(crate) async fn insert<D: Document>(&self, key: &str, document: &D) -> Result<Inserted<D>, LedgerError> {
        let value = encode(document)?;
        let is_new = match self {
            Self::Memory(memory) => memory.insert(D::SHELF, key, value).await,
            Self::Durable(commit) => {
                let entry = Entry { space: D::SHELF.space(), key: key.as_bytes().to_vec(), value };
                commit.insert(vec![vec![entry]]).await?.first() == Some(&1)
            }
        };
        if is_new {
            return Ok(Inserted::New);
        }
        // Documents are never deleted, so one that stood in the way is still there.
        self.get(key).await?.map(Inserted::Existing).ok_or_else(|| LedgerError::Damaged {
            shelf: D::SHELF.name(),
            key: key.to_owned(),
            what: "it stood in the way of an insert and has gone".to_owned(),
        })
    }

    /// Inserts many documents, each unless there is one, in one commit.
    pub(crate) async fn insert_all<D: Document>(&self, documents: &[(String, D)]) -> Result<(), LedgerError> {
        let mut entries = Vec::with_capacity(documents.len());
        for (key, document) in documents {
            let value = encode(document)?;
            match self {
                Self::Memory(memory) => drop(memory.insert(D::SHELF, key, value).await),
                Self::Durable(_) => {
                    entries.push(vec![Entry { space: D::SHELF.space(), key: key.as_bytes().to_vec(), value }]);
                }
            }
        }
        if let Self::Durable(commit) = self {
            commit.insert(entries).await?;
        }
        Ok(())
    }

    /// The document with this id, if there is one; it is durable.
    pub(crate) async fn get<D: Document>(&self, key: &str) -> Result<Option<D>, LedgerError> {
        match self {
            Self::Memory(memory) => memory.get(D::SHELF, key).await.map(|bytes| decode(key, &bytes)),
            Self::Durable(commit) => commit.get(D::SHELF.space(), key.as_bytes())?.map(|bytes| decode(key, &bytes)),
        }
        .transpose()
    }

    /// The first documents after an id, in the order of their ids' bytes.
    pub(crate) async fn page<D: Document>(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, D)>, LedgerError> {
        match self {
            Self::Memory(memory) => {
                let page = memory.page(D::SHELF, after, limit).await;
                page.into_iter().map(|(key, bytes)| decode(&key, &bytes).map(|document| (key, document))).collect()
            }
            Self::Durable(commit) => {
                let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_bytes()));
                let page = commit.range(D::SHELF.space(), from, Bound::Unbounded, limit)?;
                page.iter()
                    .map(|(key, bytes)| {
                        let key = String::from_utf8_lossy(key).into_owned();
                        decode(&key, bytes).map(|document| (key, document))
                    })
                    .collect()
            }
        }
    }
}
