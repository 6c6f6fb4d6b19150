//! The channel's wall clock, which stands still where a test pauses time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Wall time at the start, carried on by the monotonic clock of tokio: it never goes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_since_epoch: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let started_since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_since_epoch }
    }

    /// Microseconds since the Unix epoch.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from((self.started_since_epoch + self.running()).as_micros()).unwrap_or(u64::MAX)
    }

    /// When it was started, in microseconds since the Unix epoch.
    pub(crate) fn started_us(&self) -> u64 {
        u64::try_from(self.started_since_epoch.as_micros()).unwrap_or(u64::MAX)
    }

    /// Seconds since the Unix epoch.
    pub(crate) fn now_s(&self) -> u64 {
        self.now_us() / 1_000_000
    }

    /// How long the channel has been running.
    pub(crate) fn running(&self) -> Duration {
        self.started.elapsed()
    }
}
