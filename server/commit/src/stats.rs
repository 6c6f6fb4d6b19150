//! Counters and histograms of the commit thread, read without locks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds (inclusive) of the buckets of [`Stats::batch_size`], in documents; one more bucket has no bound.
pub const BATCH_SIZE_BOUNDS: [u64; 12] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];

/// Upper bounds (inclusive) of the buckets of [`Stats::commit_time_us`], in microseconds; one more bucket has no bound.
pub const COMMIT_TIME_BOUNDS_US: [u64; 15] =
    [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 204_800, 409_600, 819_200];

/// What was committed since the open, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Commits made durable.
    pub commits: u64,
    /// Documents inserted.
    pub documents: u64,
    /// Documents deleted.
    pub deleted: u64,
    /// Entries and keys that wait for the commit thread or are being committed.
    pub waiting: u64,
    /// Times a commit had to wait for memtables to be written out.
    pub stalls: u64,
    /// Documents written or deleted by a commit.
    pub batch_size: Histogram,
    /// Time of a commit from the first byte written to visible and durable, in microseconds.
    pub commit_time_us: Histogram,
}

/// A histogram with fixed bounds, counts cumulated as Prometheus wants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Upper bounds, inclusive.
    pub bounds: &'static [u64],
    /// For each bound how many values were not above it, and at the end (no bound) how many there were.
    pub cumulative: Vec<u64>,
    /// Sum of all values.
    pub sum: u64,
}

/// The live side of [`Stats`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) documents: AtomicU64,
    pub(crate) deleted: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) stalls: AtomicU64,
    batch_size: Buckets<13>,
    commit_time_us: Buckets<16>,
}

struct Buckets<const N: usize> {
    counts: [AtomicU64; N],
    sum: AtomicU64,
}

// === impl Histogram ===

impl Histogram {
    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.cumulative.last().copied().unwrap_or(0)
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn committed(&self, inserted: u64, deleted: u64, took: Duration) {
        self.documents.fetch_add(inserted, Relaxed);
        self.deleted.fetch_add(deleted, Relaxed);
        self.batch_size.add(&BATCH_SIZE_BOUNDS, inserted + deleted);
        self.commit_time_us.add(&COMMIT_TIME_BOUNDS_US, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let batch_size = self.batch_size.snapshot(&BATCH_SIZE_BOUNDS);
        Stats {
            commits: batch_size.count(),
            documents: self.documents.load(Relaxed),
            deleted: self.deleted.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            stalls: self.stalls.load(Relaxed),
            batch_size,
            commit_time_us: self.commit_time_us.snapshot(&COMMIT_TIME_BOUNDS_US),
        }
    }
}

// === impl Buckets ===

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; N], sum: AtomicU64::new(0) }
    }
}

impl<const N: usize> Buckets<N> {
    fn add(&self, bounds: &[u64], value: u64) {
        self.counts[bounds.partition_point(|&bound| bound < value)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    fn snapshot(&self, bounds: &'static [u64]) -> Histogram {
        let mut total = 0;
        let cumulative = self.counts.iter().map(|count| {
            total += count.load(Relaxed);
            total
        });
        Histogram { bounds, cumulative: cumulative.collect(), sum: self.sum.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_bucket_whose_bound_is_not_below_them() {
        let counters = Counters::default();
        for (inserted, deleted, us) in [(1, 0, 50), (1, 1, 51), (2000, 48, 819_200), (2049, 0, 1_000_000)] {
            counters.committed(inserted, deleted, Duration::from_micros(us));
        }
        let stats = counters.snapshot();
        assert_eq!(stats.commits, 4);
        assert_eq!((stats.documents, stats.deleted), (4051, 49));
        assert_eq!(stats.batch_size.cumulative, [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4]);
        assert_eq!(stats.commit_time_us.cumulative, [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4]);
        assert_eq!(stats.batch_size.sum, 4100);
        assert_eq!(stats.batch_size.cumulative.len(), stats.batch_size.bounds.len() + 1);
    }
}
