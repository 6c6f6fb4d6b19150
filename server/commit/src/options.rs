//! How much memory and work the database may take; the defaults suit one core shared with an HTTP server.

const MIB: u64 = 1 << 20;

/// Limits of a [`GroupCommit`](crate::GroupCommit); values out of range are moved to the nearest that works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Documents that one commit takes at most (a single larger call still goes into one commit).
    pub max_batch: usize,
    /// Documents that may wait for the commit thread; whoever comes beyond waits for a place.
    pub inbox: usize,
    /// Cache for blocks read back from tables, in bytes.
    pub cache_bytes: u64,
    /// Size at which the memtable of one space is written out as a table, in bytes. Fixed when a space is created.
    pub memtable_bytes: u64,
    /// All memtables together, in bytes: half-way the largest one is written out early, at the limit commits wait.
    pub memory_bytes: u64,
    /// Journals kept before spaces that hold on to old ones are written out, in bytes (at least 64 MiB).
    pub journal_bytes: u64,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            max_batch: 1024,
            inbox: 8192,
            cache_bytes: 64 * MIB,
            memtable_bytes: 16 * MIB,
            memory_bytes: 192 * MIB,
            journal_bytes: 192 * MIB,
        }
    }
}

impl Options {
    /// The nearest options that work.
    pub(crate) fn clamped(self) -> Self {
        let memtable_bytes = self.memtable_bytes.clamp(MIB, 256 * MIB);
        Self {
            max_batch: self.max_batch.clamp(1, 1 << 20),
            inbox: self.inbox.clamp(1, 1 << 24),
            cache_bytes: self.cache_bytes.max(MIB),
            memtable_bytes,
            memory_bytes: self.memory_bytes.max(4 * memtable_bytes),
            journal_bytes: self.journal_bytes.max(64 * MIB),
        }
    }
}
