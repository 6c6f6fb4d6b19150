//! What a person sees on stderr while it runs.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::phases::Phase;
use crate::units::{human_count, human_rate, human_us};

/// Without a terminal a line comes this often.
const PLAIN_GAP: Duration = Duration::from_secs(5);

/// One moment of a run.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Since the first user was started.
    pub elapsed: Duration,
    /// Where the run stands.
    pub phase: Phase,
    /// Until the phase ends, where that is known.
    pub left: Option<Duration>,
    /// Users that have started.
    pub users: usize,
    /// Requests in the last second.
    pub requests_per_s: f64,
    /// Response time at p99 over the steady phase so far, microseconds.
    pub p99_us: Option<u64>,
    /// Rounds seen to settle so far.
    pub settled: u64,
    /// Payments seen to be paid so far.
    pub paid: u64,
    /// Failed requests so far.
    pub errors: u64,
    /// Journeys under way.
    pub under_way: usize,
}

impl Moment {
    fn line(&self) -> String {
        let left = self.left.map(|left| format!(", {:.0} s left", left.as_secs_f64())).unwrap_or_default();
        let p99 = self.p99_us.map_or("-".to_owned(), |us| {
            #[expect(clippy::cast_precision_loss, reason = "for people")]
            human_us(us as f64)
        });
        let closing = match self.phase {
            Phase::Closing => format!("  {} journeys under way", human_count(self.under_way as u64)),
            _ => String::new(),
        };
        format!(
            "{:>4.0} s  {}{left}  {} users  {}/s  p99 {p99}  settled {}  paid {}  errors {}{closing}",
            self.elapsed.as_secs_f64(),
            self.phase.name(),
            human_count(self.users as u64),
            human_rate(self.requests_per_s),
            human_count(self.settled),
            human_count(self.paid),
            human_count(self.errors),
        )
    }
}

/// Where progress goes.
#[derive(Debug)]
pub struct Progress {
    mode: Mode,
    last_plain: Option<(Instant, Phase)>,
    is_line_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Quiet,
    Plain,
    InPlace,
}

impl Progress {
    /// Progress as the flags and the terminal allow.
    #[must_use]
    pub fn new(is_quiet: bool, is_plain: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let mode = match (is_quiet, is_plain || is_dumb || !std::io::stderr().is_terminal()) {
            (true, _) => Mode::Quiet,
            (_, true) => Mode::Plain,
            (_, false) => Mode::InPlace,
        };
        Self { mode, last_plain: None, is_line_open: false }
    }

    /// Shows a moment; plain lines only every few seconds and when the phase changes.
    pub fn show(&mut self, moment: &Moment) {
        match self.mode {
            Mode::Quiet => {}
            Mode::InPlace => {
                // Back to the first column, the line, and whatever a longer one left behind cleared.
                let _ = write!(std::io::stderr(), "\r{}\x1b[K", moment.line());
                self.is_line_open = true;
            }
            Mode::Plain => {
                let is_due =
                    self.last_plain.is_none_or(|(at, phase)| phase != moment.phase || at.elapsed() >= PLAIN_GAP);
                if is_due {
                    let _ = writeln!(std::io::stderr(), "{}", moment.line());
                    self.last_plain = Some((Instant::now(), moment.phase));
                }
            }
        }
    }

    /// Says something once, above the line in place.
    pub fn say(&mut self, text: &str) {
        self.end_line();
        if self.mode != Mode::Quiet {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Leaves the line in place as it is.
    pub fn end_line(&mut self) {
        if std::mem::take(&mut self.is_line_open) {
            let _ = writeln!(std::io::stderr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_what_matters() {
        let moment = Moment {
            elapsed: Duration::from_secs(12),
            phase: Phase::Steady,
            left: Some(Duration::from_secs(48)),
            users: 100,
            requests_per_s: 1234.0,
            p99_us: Some(4_200),
            settled: 1200,
            paid: 900,
            errors: 3,
            under_way: 90,
        };
        assert_eq!(
            moment.line(),
            "  12 s  steady, 48 s left  100 users  1,234/s  p99 4.20 ms  settled 1,200  paid 900  errors 3"
        );
        let closing = Moment { phase: Phase::Closing, left: None, p99_us: None, ..moment };
        assert!(closing.line().ends_with("p99 -  settled 1,200  paid 900  errors 3  90 journeys under way"));
    }
}
