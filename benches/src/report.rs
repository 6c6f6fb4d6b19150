//! Figures of the suite, as a table for people and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{figures::Spread, machine::Machine};

/// From this share of its core on the load tool is taken for the limit.
const LOAD_AT_LIMIT: f64 = 0.95;
/// From this share of its core on a server is taken for busy.
const SERVER_BUSY: f64 = 0.95;
/// More than this share of all cores taken by others makes a round disturbed.
const DISTURBED: f64 = 0.05;

/// One server in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Side {
    /// Requests, or payments.
    pub count: f64,
    /// Of them a second.
    pub rate: f64,
    /// The server's CPU time for each, in microseconds.
    pub cpu_us: f64,
    /// What the machine did meanwhile.
    pub machine: Machine,
}

impl Side {
    /// So many, at this rate, while the machine did this.
    #[must_use]
    pub fn new(count: f64, rate: f64, machine: Machine) -> Self {
        Self { count, rate, cpu_us: machine.server_cpu_s * 1e6 / count, machine }
    }

    /// So many requests make one of what is counted.
    #[must_use]
    pub fn divided(self, by: f64) -> Self {
        Self { count: self.count / by, rate: self.rate / by, cpu_us: self.cpu_us * by, machine: self.machine }
    }

    /// What lies between two measurements.
    #[must_use]
    pub fn mean(one: &Self, other: &Self) -> Self {
        let mean = |of: fn(&Self) -> f64| f64::midpoint(of(one), of(other));
        Self {
            count: mean(|side| side.count),
            rate: mean(|side| side.rate),
            cpu_us: mean(|side| side.cpu_us),
            machine: Machine {
                seconds: mean(|side| side.machine.seconds),
                server_cpu_s: mean(|side| side.machine.server_cpu_s),
                load_cpu_s: mean(|side| side.machine.load_cpu_s),
                steal: mean(|side| side.machine.steal),
                foreign: mean(|side| side.machine.foreign),
            },
        }
    }

    /// Whether the load tool, and not the server, was the limit.
    #[must_use]
    pub fn load_limited(&self) -> bool {
        self.machine.load_busy() > LOAD_AT_LIMIT && self.machine.server_busy() < SERVER_BUSY
    }

    /// The rate, or where the load tool was the limit what the whole core would have given.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        if self.load_limited() { self.rate / self.machine.server_busy() } else { self.rate }
    }
}

/// One round: both servers, and the ratio.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Round {
    /// Our rate to what the bare server can: the figure.
    pub ratio: f64,
    /// The bare server's CPU time to ours, for each: the same by another way, which neighbours disturb less.
    pub cpu_ratio: f64,
    /// Whether the bare server was held up by the load tool, so that its rate was reckoned up to a whole core.
    pub bare_load_limited: bool,
    /// Ours.
    pub ours: Side,
    /// The bare one.
    pub bare: Side,
}

/// A scenario's rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The ratio that is wanted.
    pub target: Option<f64>,
    /// Round by round.
    pub rounds: Vec<Round>,
    /// The ratio over the rounds.
    pub ratio: Spread,
    /// The ratio of CPU times over the rounds.
    pub cpu_ratio: Spread,
    /// Whether the median reaches the target.
    pub pass: Option<bool>,
    /// What has to be known beside.
    pub notes: Vec<String>,
}

impl Figure {
    /// No round yet.
    #[must_use]
    pub fn new(name: &str, target: Option<f64>) -> Self {
        let nothing = Spread::of([]);
        let (rounds, notes) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), target, rounds, ratio: nothing, cpu_ratio: nothing, pass: None, notes }
    }

    /// Takes a round.
    pub fn push(&mut self, ours: Side, bare: Side) {
        self.rounds.push(Round {
            ratio: ours.rate / bare.capacity(),
            cpu_ratio: bare.cpu_us / ours.cpu_us,
            bare_load_limited: bare.load_limited(),
            ours,
            bare,
        });
        self.ratio = Spread::of(self.rounds.iter().map(|round| round.ratio));
        self.cpu_ratio = Spread::of(self.rounds.iter().map(|round| round.cpu_ratio));
        self.pass = self.target.map(|target| self.ratio.median >= target);
    }

    /// Says something beside the figures.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Our rate, the middle of the rounds'.
    #[must_use]
    pub fn our_rate(&self) -> f64 {
        self.median(|round| round.ours.rate)
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        Spread::of(self.rounds.iter().map(of)).median
    }

    /// Its line of the table.
    #[must_use]
    pub fn line(&self) -> String {
        let Spread { median, min, max } = self.ratio;
        let target = self.target.map_or_else(|| "-".to_owned(), |target| format!("{target:.2}"));
        let verdict = match self.pass {
            Some(true) => "pass",
            Some(false) => "SHORT",
            None => "-",
        };
        let limited = if self.rounds.iter().any(|round| round.bare_load_limited) { "*" } else { "" };
        let disturbed = |round: &&Round| round.ours.machine.disturbed().max(round.bare.machine.disturbed()) > DISTURBED;
        let mut line = format!(
            "{:<50} {median:>5.2} {:>13} {target:>6} {verdict:>6} {:>8.0} {:>9} {:>7.1} {:>7.1} {:>6.2}",
            self.name,
            format!("({min:.2}..{max:.2})"),
            self.our_rate(),
            format!("{:.0}{limited}", self.median(|round| round.bare.capacity())),
            self.median(|round| round.ours.cpu_us),
            self.median(|round| round.bare.cpu_us),
            self.cpu_ratio.median,
        );
        let _ = write!(line, " {:>6}/{}", self.rounds.iter().filter(disturbed).count(), self.rounds.len());
        line
    }
}

/// The table's head.
#[must_use]
pub fn head() -> String {
    format!(
        "{:<50} {:>5} {:>13} {:>6} {:>6} {:>8} {:>9} {:>7} {:>7} {:>6} {:>8}",
        "ratio to the bare hyper server",
        "ratio",
        "(min..max)",
        "target",
        "",
        "ours/s",
        "bare/s",
        "CPU us",
        "bare",
        "by CPU",
        "disturbed"
    )
}

/// What the table's columns mean.
pub const LEGEND: &str = "\
ratio: median of the rounds' ratios of rates, ours to bare. CPU us, bare: server CPU time a request (or payment).
by CPU: the ratio of these, which neighbours on the machine disturb less. disturbed: rounds in which steal and foreign
processes took over 5 % of the machine. *: the load tool was the limit, so the bare rate is reckoned up to a whole core.";
