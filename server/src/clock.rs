//! The server's clock: wall-clock microseconds that never step back while the process lives, and stand still where a
//! test has paused time.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Microseconds since the Unix epoch, monotonic: anchored once, then driven by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor_us: u64,
    anchor: Instant,
}

impl Clock {
    /// A clock anchored at the machine's wall clock.
    #[must_use]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::anchored(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
    }

    /// A clock that reads so many microseconds now.
    #[must_use]
    pub fn anchored(anchor_us: u64) -> Self {
        Self { anchor_us, anchor: Instant::now() }
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        let elapsed = Instant::now().saturating_duration_since(self.anchor);
        self.anchor_us + u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX / 2)
    }
}
