//! The run's clock and its phases: ramp-up, warm-up, the steady phase that is judged, and the closing.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch that never go back: the epoch is read once, the rest is a monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    origin_us: u64,
}

impl Clock {
    /// A clock that agrees with the wall clock now.
    #[must_use]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_us: as_us(since_epoch) }
    }

    /// The present instant.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.origin_us + as_us(self.origin.elapsed())
    }

    /// When this clock was started.
    #[must_use]
    pub fn origin_us(&self) -> u64 {
        self.origin_us
    }

    /// The instant for timers.
    #[must_use]
    pub fn instant(&self, us: u64) -> Instant {
        self.origin + Duration::from_micros(us.saturating_sub(self.origin_us))
    }
}

/// A span in whole microseconds.
#[must_use]
pub fn as_us(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Where a run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Users are being started.
    Ramp,
    /// All users run; nothing is judged yet.
    Warmup,
    /// What is judged.
    Steady,
    /// No journey begins; those under way go on.
    Closing,
}

impl Phase {
    /// The name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ramp => "ramp-up",
            Self::Warmup => "warm-up",
            Self::Steady => "steady",
            Self::Closing => "closing",
        }
    }
}

/// The boundaries of the phases, shared by everyone; unknown until the last user has started.
#[derive(Debug)]
pub struct Phases {
    users: usize,
    warmup_us: u64,
    run_time_us: u64,
    started: AtomicUsize,
    /// `u64::MAX` while unknown.
    steady_from_us: AtomicU64,
    steady_until_us: AtomicU64,
}

impl Phases {
    /// Phases for so many users.
    #[must_use]
    pub fn new(users: usize, warmup: Duration, run_time: Duration) -> Self {
        Self {
            users,
            warmup_us: as_us(warmup),
            run_time_us: as_us(run_time),
            started: AtomicUsize::new(0),
            steady_from_us: AtomicU64::new(u64::MAX),
            steady_until_us: AtomicU64::new(u64::MAX),
        }
    }

    /// Counts a user in; the last one fixes when the steady phase begins and ends.
    pub fn user_started(&self, now_us: u64) {
        if self.started.fetch_add(1, Ordering::AcqRel) + 1 == self.users {
            let from = now_us + self.warmup_us;
            // Unless the run was ended before; whoever reads `from` sees `until` too.
            let until = from + self.run_time_us;
            let _ = self.steady_until_us.compare_exchange(u64::MAX, until, Ordering::AcqRel, Ordering::Acquire);
            self.steady_from_us.store(from, Ordering::Release);
        }
    }

    /// Ends the steady phase now, if it would go on longer.
    pub fn end_now(&self, now_us: u64) {
        self.steady_until_us.fetch_min(now_us, Ordering::AcqRel);
    }

    /// How many users have started.
    #[must_use]
    pub fn users_started(&self) -> usize {
        self.started.load(Ordering::Acquire)
    }

    /// From when to when the steady phase lasts, as far as it is known; empty if the run was ended before it began.
    #[must_use]
    pub fn steady_us(&self) -> Option<(u64, u64)> {
        let from = self.steady_from_us.load(Ordering::Acquire);
        let until = self.steady_until_us.load(Ordering::Acquire);
        (from != u64::MAX).then(|| (from, until.max(from)))
    }

    /// Whether what was scheduled at this instant is judged.
    #[must_use]
    pub fn is_steady(&self, scheduled_us: u64) -> bool {
        scheduled_us >= self.steady_from_us.load(Ordering::Acquire) && !self.is_over(scheduled_us)
    }

    /// Whether no journey may begin any more at this instant.
    #[must_use]
    pub fn is_over(&self, now_us: u64) -> bool {
        now_us >= self.steady_until_us.load(Ordering::Acquire)
    }

    /// Where the run stands at this instant.
    #[must_use]
    pub fn phase(&self, now_us: u64) -> Phase {
        if self.is_over(now_us) {
            return Phase::Closing;
        }
        match self.steady_us() {
            None => Phase::Ramp,
            Some((from, _)) if now_us < from => Phase::Warmup,
            Some(_) => Phase::Steady,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_user_fixes_the_steady_phase() {
        let phases = Phases::new(2, Duration::from_micros(5), Duration::from_micros(10));
        phases.user_started(100);
        assert_eq!(phases.phase(100), Phase::Ramp);
        assert_eq!(phases.steady_us(), None);
        phases.user_started(200);
        assert_eq!(phases.steady_us(), Some((205, 215)));
        assert_eq!([204, 205, 214, 215].map(|us| phases.is_steady(us)), [false, true, true, false]);
        assert_eq!([200, 205, 215].map(|us| phases.phase(us)), [Phase::Warmup, Phase::Steady, Phase::Closing]);
    }

    #[test]
    fn an_early_end_holds_whenever_it_comes() {
        let phases = Phases::new(1, Duration::from_micros(5), Duration::from_micros(10));
        phases.user_started(100);
        phases.end_now(110);
        assert_eq!(phases.steady_us(), Some((105, 110)));
        phases.end_now(114);
        assert!(phases.is_over(110));

        let phases = Phases::new(1, Duration::from_micros(5), Duration::from_micros(10));
        phases.end_now(50);
        phases.user_started(100);
        assert!(phases.is_over(100));
        assert_eq!(phases.steady_us(), Some((105, 105)));
        assert!(!phases.is_steady(105));
    }
}
