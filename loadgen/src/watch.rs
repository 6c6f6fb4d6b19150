//! What the run costs: CPU time of the harness itself, and of the server and the channel that it started.

use std::time::Duration;

/// CPU time that a process has used so far, all threads, user and system; `None` for this process itself.
///
/// From `/proc/PID/stat`, whose sum is exact to one tick (10 ms) and keeps what ended threads have used, which
/// `/proc/PID/task/*/schedstat` does not. `None` where there is no such process or no `/proc`.
#[must_use]
pub fn cpu_time(pid: Option<u32>) -> Option<Duration> {
    let path = pid.map_or_else(|| "/proc/self/stat".to_owned(), |pid| format!("/proc/{pid}/stat"));
    let ticks = ticks_used(&std::fs::read_to_string(path).ok()?)?;
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_micros(ticks * 1_000_000 / ticks_per_second.max(1)))
}

/// Fields 14 and 15 (utime, stime), counted after the name, which may hold spaces and brackets.
fn ticks_used(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// CPU time between two readings of harness, server and channel.
#[derive(Clone, Copy, Default, Debug)]
pub struct CpuUse {
    /// The harness's own.
    pub harness: Option<Duration>,
    /// The server's, where this run started it.
    pub server: Option<Duration>,
    /// The channel's, where this run started one.
    pub channel: Option<Duration>,
}

impl CpuUse {
    /// Reads all now.
    #[must_use]
    pub fn read(server_pid: Option<u32>, channel_pid: Option<u32>) -> Self {
        let of = |pid: Option<u32>| pid.and_then(|pid| cpu_time(Some(pid)));
        Self { harness: cpu_time(None), server: of(server_pid), channel: of(channel_pid) }
    }

    /// What was used since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let spent = |now: Option<Duration>, then: Option<Duration>| Some(now?.saturating_sub(then?));
        Self {
            harness: spent(self.harness, earlier.harness),
            server: spent(self.server, earlier.server),
            channel: spent(self.channel, earlier.channel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_do_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 3 0 100 0 0";
        assert_eq!(ticks_used(stat), Some(175));
        assert_eq!(ticks_used("42 (x"), None);
    }

    #[test]
    fn the_own_time_grows() {
        let before = cpu_time(None).expect("/proc");
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(60) {
            std::hint::black_box(start);
        }
        assert!(cpu_time(None).expect("/proc") > before);
        assert!(cpu_time(Some(u32::MAX)).is_none());
    }
}
