//! How the simulated channel behaves by itself: latencies, faults, outages and the seed behind them.

mod rare;
mod words;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use rare::{Codes, Rare, Spells};
pub use words::{Chance, Delay, Outage};

/// The behaviour of a channel. As text it is a list of words (`latency=40ms,transient=2%,seed=7`), each of which replaces
/// that part of the steady default; the bare word `quiet` in front starts from [`Profile::quiet`] instead.
#[derive(Clone, PartialEq, Debug)]
pub struct Profile {
    /// `latency`: how long each call of the channel takes.
    pub latency: Delay,
    /// `transient`: how often a call fails for now, without effect.
    pub transient: Chance,
    /// `permanent`: how often a prepay is refused for good. Only prepay: a query that fails for good would be no answer
    /// about money.
    pub permanent: Chance,
    /// `lost-answer`: how often a call takes effect and its answer is lost.
    pub lost_answer: Chance,
    /// `outage`: from when to when after the start every call and the cashier fail; the word may be repeated.
    pub outages: Vec<Outage>,
    /// `notify`: how long after the payment the notification comes.
    pub notify: Delay,
    /// `spells`: good and bad spells in turn, counted as outages are.
    pub spells: Option<Spells>,
    /// `bad-latency`: how long each call takes in a bad spell.
    pub bad_latency: Delay,
    /// `transient-codes`: with which codes calls fail for now.
    pub transient_codes: Codes,
    /// `permanent-codes`: with which codes a prepay is refused for good.
    pub permanent_codes: Codes,
    /// `slow-body`: how often an answer's body trickles, and for how long. Only over HTTP.
    pub slow_body: Rare,
    /// The words that begin with `notify-`.
    pub notify_faults: NotifyFaults,
    /// `seed`: behind every random decision.
    pub seed: u64,
}

/// What befalls notifications.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotifyFaults {
    /// `notify-lost`: how often a sending never arrives. Over HTTP the schedule goes on as if nobody had answered.
    pub lost: Chance,
    /// `notify-duplicate`: how often a notification comes twice.
    pub duplicate: Chance,
    /// `notify-late`: how often it comes so much later.
    pub late: Rare,
    /// `notify-reorder`: how often it is held back for an even draw of up to so long, so that later ones overtake it.
    pub reorder: Rare,
    /// `notify-contradict`: how often another signed one says something else about the same payment: another amount,
    /// another transaction, or that it is closed. Only over HTTP.
    pub contradict: Chance,
}

impl NotifyFaults {
    /// Every notification comes once, in its time.
    pub const NONE: Self = Self {
        lost: Chance::NEVER,
        duplicate: Chance::NEVER,
        late: Rare::NEVER,
        reorder: Rare::NEVER,
        contradict: Chance::NEVER,
    };
}

/// What a bad spell's latency is where nothing else is said.
const BAD_LATENCY: Delay = Delay::LogNormal { p50: Duration::from_millis(400), p99: Duration::from_secs(2) };

impl Default for Profile {
    /// The steady default, which `simulated` alone means.
    fn default() -> Self {
        Self {
            latency: Delay::LogNormal { p50: Duration::from_millis(40), p99: Duration::from_millis(250) },
            transient: Chance::from_ppm(20_000),
            permanent: Chance::from_ppm(5_000),
            lost_answer: Chance::from_ppm(5_000),
            outages: Vec::new(),
            notify: Delay::LogNormal { p50: Duration::from_millis(80), p99: Duration::from_secs(1) },
            ..Self::quiet()
        }
    }
}

/// A word of a profile that cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("channel profile: `{word}` cannot be taken; accepted: {accepted}")]
pub struct ProfileError {
    /// The word at fault, as it was given.
    pub word: String,
    /// What can stand there.
    pub accepted: &'static str,
}

const WORDS: &str = "latency=, spells=, bad-latency=, transient=, transient-codes=, permanent=, permanent-codes=, lost-answer=, \
                     outage=, slow-body=, notify=, notify-lost=, notify-duplicate=, notify-late=, notify-reorder=, \
                     notify-contradict=, seed=, or `quiet` in front of them";

impl Profile {
    /// No latency and no fault at all: what the caller asks for by `simulate` is all that happens.
    #[must_use]
    pub fn quiet() -> Self {
        Self {
            latency: Delay::NONE,
            transient: Chance::NEVER,
            permanent: Chance::NEVER,
            lost_answer: Chance::NEVER,
            outages: Vec::new(),
            notify: Delay::NONE,
            spells: None,
            bad_latency: BAD_LATENCY,
            transient_codes: Codes::transient(),
            permanent_codes: Codes::permanent(),
            slow_body: Rare::NEVER,
            notify_faults: NotifyFaults::NONE,
            seed: 7,
        }
    }

    /// Whether the channel is down, this long after its start.
    #[must_use]
    pub fn is_down(&self, running: Duration) -> bool {
        self.outages.iter().any(|outage| outage.covers(running))
    }

    /// How long a call takes, this long after the start.
    pub(crate) fn latency_now(&self, running: Duration) -> &Delay {
        match &self.spells {
            Some(spells) if spells.is_bad(self.seed, running) => &self.bad_latency,
            _ => &self.latency,
        }
    }

    /// A word of this profile that means nothing where the channel lives in the server's process: there is no body that
    /// could be slow, and the server is told by a call what it is told over HTTP by a signed text.
    #[must_use]
    pub fn only_over_http(&self) -> Option<&'static str> {
        if self.slow_body != Rare::NEVER {
            Some("slow-body")
        } else if self.notify_faults.contradict != Chance::NEVER {
            Some("notify-contradict")
        } else {
            None
        }
    }

    /// Replaces one part by a word's value.
    fn set(&mut self, name: &str, value: &str) -> Result<(), ProfileError> {
        let refuse = |accepted| ProfileError { word: format!("{name}={value}"), accepted };
        match name {
            "latency" => self.latency = value.parse().map_err(refuse)?,
            "notify" => self.notify = value.parse().map_err(refuse)?,
            "transient" => self.transient = value.parse().map_err(refuse)?,
            "permanent" => self.permanent = value.parse().map_err(refuse)?,
            "lost-answer" => self.lost_answer = value.parse().map_err(refuse)?,
            "spells" => self.spells = Some(value.parse().map_err(refuse)?),
            "bad-latency" => self.bad_latency = value.parse().map_err(refuse)?,
            "transient-codes" => self.transient_codes = Codes::read_transient(value).map_err(refuse)?,
            "permanent-codes" => self.permanent_codes = Codes::read_permanent(value).map_err(refuse)?,
            "slow-body" => self.slow_body = value.parse().map_err(refuse)?,
            "notify-lost" => self.notify_faults.lost = value.parse().map_err(refuse)?,
            "notify-duplicate" => self.notify_faults.duplicate = value.parse().map_err(refuse)?,
            "notify-late" => self.notify_faults.late = value.parse().map_err(refuse)?,
            "notify-reorder" => self.notify_faults.reorder = value.parse().map_err(refuse)?,
            "notify-contradict" => self.notify_faults.contradict = value.parse().map_err(refuse)?,
            "outage" => self.outages.push(value.parse().map_err(refuse)?),
            "seed" => self.seed = value.parse().map_err(|_| refuse("an integer from 0 to 2^64 - 1"))?,
            _ => return Err(ProfileError { word: name.to_owned(), accepted: WORDS }),
        }
        Ok(())
    }

    /// Reads words, each a name and a value, over a base.
    fn from_words<'a>(base: Self, words: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ProfileError> {
        let mut profile = base;
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in words {
            if seen.contains(&name) && name != "outage" {
                return Err(ProfileError { word: format!("{name}={value}"), accepted: "each word once (but outage)" });
            }
            seen.push(name);
            profile.set(name, value)?;
        }
        if profile.spells.is_none() && seen.contains(&"bad-latency") {
            return Err(ProfileError {
                word: format!("bad-latency={}", profile.bad_latency),
                accepted: "bad-latency beside spells, such as spells=20s/2s",
            });
        }
        let faults = profile.transient.ppm() + profile.permanent.ppm() + profile.lost_answer.ppm();
        if faults > Chance::ALWAYS.ppm() {
            return Err(ProfileError {
                word: format!(
                    "transient={},permanent={},lost-answer={}",
                    profile.transient, profile.permanent, profile.lost_answer
                ),
                accepted: "chances that sum to at most 100%",
            });
        }
        Ok(profile)
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let mut base = Self::default();
        let mut words = Vec::new();
        for (at, word) in split_words(text).enumerate() {
            match word.split_once('=') {
                Some((name, value)) => words.push((name.trim(), value.trim())),
                None if word == "quiet" && at == 0 => base = Self::quiet(),
                None => return Err(ProfileError { word: word.to_owned(), accepted: WORDS }),
            }
        }
        Self::from_words(base, words)
    }
}

/// The words between the commas that stand outside parentheses; nothing at all has no words.
fn split_words(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    let commas = move |character: char| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth <= 0
    };
    let whole = if text.trim().is_empty() { None } else { Some(text) };
    whole.into_iter().flat_map(move |text| text.split(commas)).map(str::trim)
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = Self::quiet();
        write!(f, "latency={},transient={},permanent={}", self.latency, self.transient, self.permanent)?;
        write!(f, ",lost-answer={}", self.lost_answer)?;
        for outage in &self.outages {
            write!(f, ",outage={outage}")?;
        }
        write!(f, ",notify={}", self.notify)?;
        if let Some(spells) = &self.spells {
            write!(f, ",spells={spells},bad-latency={}", self.bad_latency)?;
        }
        // What is as it would be anyway is left out.
        let mut word = |name: &str, value: &dyn fmt::Display, is_base: bool| match is_base {
            true => Ok(()),
            false => write!(f, ",{name}={value}"),
        };
        word("transient-codes", &self.transient_codes, self.transient_codes == base.transient_codes)?;
        word("permanent-codes", &self.permanent_codes, self.permanent_codes == base.permanent_codes)?;
        word("slow-body", &self.slow_body, self.slow_body == Rare::NEVER)?;
        let NotifyFaults { lost, duplicate, late, reorder, contradict } = &self.notify_faults;
        word("notify-lost", lost, *lost == Chance::NEVER)?;
        word("notify-duplicate", duplicate, *duplicate == Chance::NEVER)?;
        word("notify-late", late, *late == Rare::NEVER)?;
        word("notify-reorder", reorder, *reorder == Rare::NEVER)?;
        word("notify-contradict", contradict, *contradict == Chance::NEVER)?;
        write!(f, ",seed={}", self.seed)
    }
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Profile {
    /// From the words as one text, or from a table with the same words (`outage` may be a list; `quiet = true`).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ProfileVisitor)
    }
}

struct ProfileVisitor;

impl<'de> de::Visitor<'de> for ProfileVisitor {
    type Value = Profile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the words of a channel profile as one text, or a table of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Profile, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut table: A) -> Result<Profile, A::Error> {
        let mut base = Profile::default();
        let mut words: Vec<(String, String)> = Vec::new();
        while let Some(name) = table.next_key::<String>()? {
            if name == "quiet" {
                if table.next_value::<bool>()? {
                    base = Profile::quiet();
                }
                continue;
            }
            match table.next_value::<Value>()? {
                Value::Text(value) => words.push((name, value)),
                Value::Number(value) => words.push((name, value.to_string())),
                Value::List(values) => words.extend(values.into_iter().map(|value| (name.clone(), value))),
            }
        }
        let words = words.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Profile::from_words(base, words).map_err(de::Error::custom)
    }
}

/// What can stand behind a word in a table.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(u64),
    List(Vec<String>),
}

#[cfg(test)]
mod tests;
