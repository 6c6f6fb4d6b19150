//! Everything that can go wrong, and what a caller may conclude about its write from it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Entry;

/// Why a call failed. Clones share their cause, as one failed commit is answered to many callers.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Another process (or another handle of this one) has the folder open.
    #[error("{dir} is in use by another process")]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder holds something that is not ours; nothing in it was touched.
    #[error("{dir} is no data folder of ours and not empty: it holds {found:?}")]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// The name of one thing found in it.
        found: String,
    },
    /// The folder or a file in it cannot be created, read or written.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Stored data is damaged; nothing was changed.
    #[error("the data in {dir} is damaged: {what}")]
    Corrupt {
        /// The folder.
        dir: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// The database could not be opened for another reason.
    #[error("cannot open the database in {dir}: {source}")]
    Open {
        /// The folder.
        dir: PathBuf,
        /// The cause.
        source: Arc<fjall::Error>,
    },
    /// The list of spaces is empty, too long, or has a name twice or one of 0 or more than 255 bytes.
    #[error("bad list of spaces: {0}")]
    BadSpaces(String),
    /// An entry or key that can never be stored; nothing of the call was written.
    #[error("bad entry: {0}")]
    BadEntry(#[from] BadEntry),
    /// Reading failed; if this comes from an insert or delete, nothing of the call was written.
    #[error("cannot read the database: {0}")]
    Read(#[source] Arc<fjall::Error>),
    /// The commit failed half-way: what was handed in may or may not be there after the next open.
    #[error("the fate of this write is unknown, as its commit failed: {0}")]
    Unknown(Cause),
    /// An earlier commit or a background write failed; nothing of this call was written, and only a new open helps.
    #[error("writing stopped after an earlier failure: {0}")]
    Broken(Cause),
    /// The group commit was closed; nothing of this call was written.
    #[error("the database is closed")]
    Closed,
}

/// What made writing stop: the first failure, as text.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub(crate) Arc<str>);

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// The space is not in the list given at open.
    #[error("no space has the index {0}")]
    Space(u8),
    /// The key is empty or too long.
    #[error("a key of {0} bytes (1 to {max} are possible)", max = Entry::MAX_KEY_BYTES)]
    Key(usize),
    /// The value is too large.
    #[error("a value of {0} bytes (at most {max} are possible)", max = Entry::MAX_VALUE_BYTES)]
    Value(usize),
}

// === impl CommitError ===

impl CommitError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source: Arc::new(source) }
    }

    pub(crate) fn read(source: fjall::Error) -> Self {
        Self::Read(Arc::new(source))
    }
}

// === impl Cause ===

impl Cause {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(Arc::from(text.into()))
    }
}
