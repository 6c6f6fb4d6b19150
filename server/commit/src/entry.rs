//! What callers hand in and get back: the space a key lives in, the entry, the value.

use std::fmt;
use std::ops::Deref;

/// A named key space of the database: its index in the list given to [`GroupCommit::open`](crate::GroupCommit::open).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space(pub u8);

/// A document to be inserted once: it goes in only if its key is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the key lives.
    pub space: Space,
    /// The id, 1 to [`Entry::MAX_KEY_BYTES`] bytes; spaces are ordered by these bytes.
    pub key: Vec<u8>,
    /// The document, at most [`Entry::MAX_VALUE_BYTES`] bytes.
    pub value: Vec<u8>,
}

impl Entry {
    /// The longest key, in bytes.
    pub const MAX_KEY_BYTES: usize = 65_535;
    /// The largest value, in bytes (16 MiB).
    pub const MAX_VALUE_BYTES: usize = 16 << 20;
}

/// Stored bytes (a key or a document), cheap to clone; short ones are held in place, others are shared.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub(crate) fjall::Slice);

// === impl Value ===

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
