//! The values of a profile's words that are about what happens now and then: spells, codes, and chances with a length.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::words::{Accepted, Chance, parse_duration, write_duration};
use crate::dice::{Cast, Dice};

const SPELLS: Accepted = "good/bad, two durations of at least 1ms each, such as 20s/2s";
const RARE: Accepted = "chance/duration, such as 2%/5s";
const TRANSIENT: Accepted = "codes with / between them, of SYSTEM_ERROR, FREQUENCY_LIMITED and BANK_ERROR; one that stands there twice comes twice as often";
const PERMANENT: Accepted = "codes with / between them, of RULE_LIMIT, NO_AUTH, PARAM_ERROR, ACCOUNT_ERROR and MCH_NOT_EXISTS; one that stands there twice comes twice as often";

/// Good and bad spells in turn. Each cycle of the two lengths has one bad spell, somewhere in it by the seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spells {
    good: Duration,
    bad: Duration,
}

impl Spells {
    /// So long good, so long bad; nothing if either is shorter than a millisecond.
    #[must_use]
    pub fn new(good: Duration, bad: Duration) -> Option<Self> {
        let least = Duration::from_millis(1);
        (good >= least && bad >= least).then_some(Self { good, bad })
    }

    /// Whether it is a bad time.
    pub(crate) fn is_bad(&self, seed: u64, running: Duration) -> bool {
        let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let (good, bad, running) = (us(self.good), us(self.bad), us(running));
        let cycle = good.saturating_add(bad);
        let mut dice = Dice::cast(seed, "", Cast::Spell, running / cycle);
        let begins = dice.below(good);
        (begins..begins.saturating_add(bad)).contains(&(running % cycle))
    }
}

impl FromStr for Spells {
    type Err = Accepted;

    fn from_str(text: &str) -> Result<Self, Accepted> {
        let (good, bad) = text.split_once('/').ok_or(SPELLS)?;
        let part = |text: &str| parse_duration(text.trim()).ok_or(SPELLS);
        Self::new(part(good)?, part(bad)?).ok_or(SPELLS)
    }
}

impl fmt::Display for Spells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_duration(f, self.good)?;
        f.write_str("/")?;
        write_duration(f, self.bad)
    }
}

/// Something that happens now and then and takes a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rare {
    /// How often.
    pub chance: Chance,
    /// How long.
    pub length: Duration,
}

impl Rare {
    /// Never.
    pub const NEVER: Self = Self { chance: Chance::NEVER, length: Duration::ZERO };

    /// How long this time, if it happens.
    pub(crate) fn draw(&self, dice: &mut Dice) -> Option<Duration> {
        (dice.millionth() < self.chance.ppm()).then_some(self.length)
    }
}

impl FromStr for Rare {
    type Err = Accepted;

    fn from_str(text: &str) -> Result<Self, Accepted> {
        let (chance, length) = text.split_once('/').ok_or(RARE)?;
        let chance = chance.trim().parse().map_err(|_| RARE)?;
        Ok(Self { chance, length: parse_duration(length.trim()).ok_or(RARE)? })
    }
}

impl fmt::Display for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.chance)?;
        write_duration(f, self.length)
    }
}

/// Codes of failures, one of which is drawn each time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Codes(Vec<&'static str>);

impl Codes {
    const TRANSIENT: [&'static str; 3] = ["SYSTEM_ERROR", "FREQUENCY_LIMITED", "BANK_ERROR"];
    const PERMANENT: [&'static str; 5] = ["RULE_LIMIT", "NO_AUTH", "PARAM_ERROR", "ACCOUNT_ERROR", "MCH_NOT_EXISTS"];

    /// Any transient one.
    #[must_use]
    pub fn transient() -> Self {
        Self(Self::TRANSIENT.to_vec())
    }

    /// `RULE_LIMIT`.
    #[must_use]
    pub fn permanent() -> Self {
        Self(Self::PERMANENT[..1].to_vec())
    }

    pub(super) fn read_transient(text: &str) -> Result<Self, Accepted> {
        Self::read(text, &Self::TRANSIENT).ok_or(TRANSIENT)
    }

    pub(super) fn read_permanent(text: &str) -> Result<Self, Accepted> {
        Self::read(text, &Self::PERMANENT).ok_or(PERMANENT)
    }

    fn read(text: &str, known: &[&'static str]) -> Option<Self> {
        let code = |text: &str| known.iter().copied().find(|code| *code == text.trim());
        text.split('/').map(code).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The one that an even draw chooses.
    pub(crate) fn pick(&self, draw: u32) -> &'static str {
        let at = usize::from(draw.to_le_bytes()[0]) % self.0.len().max(1);
        self.0.get(at).copied().unwrap_or("SYSTEM_ERROR")
    }
}

impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}
