//! The values of a profile's words: durations, delays, chances and outages, each read and written the same way.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::dice::Dice;

/// The 99 % point of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874_040_841;
/// No draw is longer: a tail without end would hold a run up.
const LONGEST_DRAW: Duration = Duration::from_secs(600);
const LONGEST_DURATION_US: u64 = 1_000 * 3_600 * 1_000_000;

/// What a word's text is measured against when it cannot be read.
pub(super) type Accepted = &'static str;

const DELAY: Accepted =
    "a duration such as 40ms or 1h30m, or lognormal(p50=40ms,p99=250ms) with durations from 1us to 10m and p50 <= p99";
const CHANCE: Accepted = "a percentage from 0% to 100% with at most four decimals, such as 0.5%";
const OUTAGE: Accepted = "from..to, two durations after the start, such as 30s..35s";

/// How long something takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delay {
    /// Always the same.
    Constant(Duration),
    /// Spread log-normally, as latencies of remote services are.
    LogNormal {
        /// The median.
        p50: Duration,
        /// What one in a hundred exceeds.
        p99: Duration,
    },
}

impl Delay {
    /// No delay: the timer is not touched.
    pub const NONE: Self = Self::Constant(Duration::ZERO);

    /// One draw.
    pub(crate) fn draw(&self, dice: &mut Dice) -> Duration {
        match *self {
            Self::Constant(duration) => duration,
            Self::LogNormal { p50, p99 } => {
                let sigma = (p99.as_secs_f64() / p50.as_secs_f64()).ln() / NORMAL_P99;
                let seconds = p50.as_secs_f64() * (sigma * dice.normal()).exp();
                Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_DRAW).min(LONGEST_DRAW)
            }
        }
    }
}

impl FromStr for Delay {
    type Err = Accepted;

    fn from_str(text: &str) -> Result<Self, Accepted> {
        let Some(inner) = text.strip_prefix("lognormal(").and_then(|rest| rest.strip_suffix(')')) else {
            return parse_duration(text).map(Self::Constant).ok_or(DELAY);
        };
        let (p50, p99) = inner.split_once(',').ok_or(DELAY)?;
        let point = |word: &str, name: &str| {
            word.trim().strip_prefix(name)?.trim_start().strip_prefix('=').and_then(|text| parse_duration(text.trim()))
        };
        let p50 = point(p50, "p50").ok_or(DELAY)?;
        let p99 = point(p99, "p99").ok_or(DELAY)?;
        if p50.is_zero() || p50 > p99 || p99 > LONGEST_DRAW {
            return Err(DELAY);
        }
        Ok(Self::LogNormal { p50, p99 })
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(duration) => write_duration(f, *duration),
            Self::LogNormal { p50, p99 } => {
                f.write_str("lognormal(p50=")?;
                write_duration(f, *p50)?;
                f.write_str(",p99=")?;
                write_duration(f, *p99)?;
                f.write_str(")")
            }
        }
    }
}

/// How often something happens, in parts per million.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Chance(u32);

impl Chance {
    /// 0 %.
    pub const NEVER: Self = Self(0);
    /// 100 %.
    pub const ALWAYS: Self = Self(1_000_000);

    /// The chance of so many in a million; more than a million is [`Self::ALWAYS`].
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Self {
        if ppm > Self::ALWAYS.0 { Self::ALWAYS } else { Self(ppm) }
    }

    /// How many in a million.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }
}

impl FromStr for Chance {
    type Err = Accepted;

    fn from_str(text: &str) -> Result<Self, Accepted> {
        let number = text.strip_suffix('%').ok_or(CHANCE)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, 3) || !digits(decimals, 4) {
            return Err(CHANCE);
        }
        let whole: u32 = whole.parse().map_err(|_| CHANCE)?;
        let decimals: u32 = format!("{decimals:0<4}").parse().map_err(|_| CHANCE)?;
        let ppm = whole * 10_000 + decimals;
        if ppm > Self::ALWAYS.0 { Err(CHANCE) } else { Ok(Self(ppm)) }
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 10_000, self.0 % 10_000);
        if decimals == 0 {
            return write!(f, "{whole}%");
        }
        write!(f, "{whole}.{}%", format!("{decimals:04}").trim_end_matches('0'))
    }
}

/// A time in which the channel is down, counted from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    from: Duration,
    to: Duration,
}

impl Outage {
    /// Down from `from` until just before `to` after the start; nothing if it would end before it begins.
    #[must_use]
    pub fn new(from: Duration, to: Duration) -> Option<Self> {
        (from < to).then_some(Self { from, to })
    }

    /// Whether it covers this instant.
    #[must_use]
    pub fn covers(&self, running: Duration) -> bool {
        (self.from..self.to).contains(&running)
    }

    /// When it is over.
    #[must_use]
    pub const fn end(&self) -> Duration {
        self.to
    }
}

impl FromStr for Outage {
    type Err = Accepted;

    fn from_str(text: &str) -> Result<Self, Accepted> {
        let (from, to) = text.split_once("..").ok_or(OUTAGE)?;
        let from = parse_duration(from.trim()).ok_or(OUTAGE)?;
        let to = parse_duration(to.trim()).ok_or(OUTAGE)?;
        Self::new(from, to).ok_or(OUTAGE)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_duration(f, self.from)?;
        f.write_str("..")?;
        write_duration(f, self.to)
    }
}

/// Units from the largest, in microseconds. `m` comes after `ms` is ruled out, because the whole unit is compared.
const UNITS: [(&str, u64); 5] = [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Numbers with units, larger units first, each at most once.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total_us: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() || next_unit == 0 {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit = after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len());
        let at = UNITS.iter().position(|known| known.0 == &after[..unit])?;
        if at < next_unit {
            return None;
        }
        next_unit = at + 1;
        total_us = total_us.checked_add(number.checked_mul(UNITS[at].1)?)?;
        rest = &after[unit..];
    }
    (total_us <= LONGEST_DURATION_US).then(|| Duration::from_micros(total_us))
}

pub(super) fn write_duration(f: &mut fmt::Formatter<'_>, duration: Duration) -> fmt::Result {
    let mut left_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if left_us == 0 {
        return f.write_str("0ms");
    }
    for (name, unit_us) in UNITS {
        if left_us >= unit_us {
            write!(f, "{}{name}", left_us / unit_us)?;
            left_us %= unit_us;
        }
    }
    Ok(())
}
