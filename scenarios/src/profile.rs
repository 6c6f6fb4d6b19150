//! Profiles: named mixes of journeys with their settings and thresholds, from TOML.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Scenario;
use crate::dice::Dice;

/// The profiles that are built in, by name.
const EMBEDDED: [(&str, &str); 9] = [
    ("mixed", include_str!("../profiles/mixed.toml")),
    ("checkout", include_str!("../profiles/checkout.toml")),
    ("flaky", include_str!("../profiles/flaky.toml")),
    ("impatient", include_str!("../profiles/impatient.toml")),
    ("double-click", include_str!("../profiles/double-click.toml")),
    ("abandon", include_str!("../profiles/abandon.toml")),
    ("wechat", include_str!("../profiles/wechat.toml")),
    ("alipay", include_str!("../profiles/alipay.toml")),
    ("order", include_str!("../profiles/order.toml")),
];

/// The longest span that a profile may ask for: a day.
const SPAN_MAX_MS: u64 = 86_400_000;

/// Why there is no such profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No built-in profile has this name.
    #[error("there is no scenario {name:?}; there are {known}, or give the path of a .toml file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read the profile {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or has a field of the wrong name or type.
    #[error("the profile {origin} is not as expected: {source}")]
    Parse {
        /// The file or the built-in name.
        origin: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value makes no sense.
    #[error("the profile {origin}: {field} must be {expected}")]
    Invalid {
        /// The file or the built-in name.
        origin: String,
        /// The field at fault.
        field: &'static str,
        /// What was expected there.
        expected: &'static str,
    },
}

/// From and to, in milliseconds, both included; drawn from uniformly.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Span(pub u64, pub u64);

impl Span {
    /// A draw, in microseconds, so that polls of many users do not fall on whole milliseconds.
    pub(crate) fn draw_us(self, dice: &mut Dice) -> u64 {
        dice.between(self.0 * 1_000, self.1 * 1_000)
    }

    fn is_valid(self) -> bool {
        self.0 >= 1 && self.0 <= self.1 && self.1 <= SPAN_MAX_MS
    }
}

/// How the payers of a profile behave.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Milliseconds between a reply and the next poll.
    pub poll_gap_ms: Span,
    /// Milliseconds before an early poll of the impatient.
    pub early_poll_ms: Span,
    /// Milliseconds that a payer thinks before paying, retrying or cancelling.
    pub think_ms: Span,
    /// The share of payers that pay late.
    pub late_share: f64,
    /// Milliseconds that a late payer thinks.
    pub late_think_ms: Span,
    /// Milliseconds between the two clicks of a double click.
    pub double_click_ms: Span,
    /// Milliseconds between two journeys of one user, where users (not an arrival rate) drive the load.
    pub pause_ms: Span,
    /// The share of submissions that list their items.
    pub items_share: f64,
    /// The share of payments in Alipay's style where the scenario leaves it open; the others are in WeChat's.
    pub alipay_share: f64,
    /// The share of impatient journeys that cancel.
    pub cancel_share: f64,
    /// The most polls of a journey, all phases together.
    pub max_polls: u32,
    /// The most sendings of one and the same submission, payment, retry or cancellation.
    pub max_tries: u32,
    /// How often an order is looked at before it counts as forgotten.
    pub max_order_reads: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll_gap_ms: Span(2_000, 3_000),
            early_poll_ms: Span(150, 250),
            think_ms: Span(500, 3_000),
            late_share: 0.05,
            late_think_ms: Span(6_000, 12_000),
            double_click_ms: Span(50, 300),
            pause_ms: Span(200, 2_000),
            items_share: 0.3,
            alipay_share: 0.5,
            cancel_share: 0.6,
            max_polls: 80,
            max_tries: 6,
            max_order_reads: 20,
        }
    }
}

impl Settings {
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        const SPAN: &str = "[from, to] in milliseconds with 1 <= from <= to <= 86400000";
        const SHARE: &str = "a share from 0.0 to 1.0";
        let spans = [
            ("settings.poll_gap_ms", self.poll_gap_ms),
            ("settings.early_poll_ms", self.early_poll_ms),
            ("settings.think_ms", self.think_ms),
            ("settings.late_think_ms", self.late_think_ms),
            ("settings.double_click_ms", self.double_click_ms),
            ("settings.pause_ms", self.pause_ms),
        ];
        let shares = [
            ("settings.late_share", self.late_share),
            ("settings.items_share", self.items_share),
            ("settings.alipay_share", self.alipay_share),
            ("settings.cancel_share", self.cancel_share),
        ];
        let span = spans.into_iter().find(|(_, span)| !span.is_valid()).map(|(field, _)| (field, SPAN));
        let share = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)).map(|(field, _)| (field, SHARE));
        let polls = (!(1..=100_000).contains(&self.max_polls)).then_some(("settings.max_polls", "from 1 to 100000"));
        let tries = (!(1..=1_000).contains(&self.max_tries)).then_some(("settings.max_tries", "from 1 to 1000"));
        let reads =
            (!(1..=1_000).contains(&self.max_order_reads)).then_some(("settings.max_order_reads", "from 1 to 1000"));
        span.or(share).or(polls).or(tries).or(reads)
    }
}

/// A named mix of scenarios.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, which the results folder carries too.
    pub name: String,
    /// What it is good for, in one sentence.
    pub description: String,
    /// How often each scenario is drawn, as parts of the sum.
    pub weights: BTreeMap<Scenario, u32>,
    /// How its payers behave.
    #[serde(default)]
    pub settings: Settings,
    /// Thresholds that a run of it is judged by, as on the command line.
    #[serde(default)]
    pub thresholds: Vec<String>,
}

impl Profile {
    /// The built-in profile of this name.
    ///
    /// # Errors
    /// There is none; the error names those that there are.
    pub fn named(name: &str) -> Result<Self, ProfileError> {
        let Some((_, text)) = EMBEDDED.into_iter().find(|(known, _)| *known == name) else {
            let known = EMBEDDED.map(|(known, _)| known).join(", ");
            return Err(ProfileError::Unknown { name: name.to_owned(), known });
        };
        Self::parse(text, name)
    }

    /// The profile in this file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a profile; the error says where and why.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ProfileError> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| ProfileError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Every built-in profile, `mixed` first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        // A test parses each of them, so none is left out here.
        EMBEDDED.into_iter().filter_map(|(name, text)| Self::parse(text, name).ok()).collect()
    }

    /// Reads a profile from TOML text; `origin` is what errors call it.
    ///
    /// # Errors
    /// It is not a profile; the error says where and why.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text)
            .map_err(|source| ProfileError::Parse { origin: origin.to_owned(), source: Box::new(source) })?;
        match profile.fault() {
            Some((field, expected)) => Err(ProfileError::Invalid { origin: origin.to_owned(), field, expected }),
            None => Ok(profile),
        }
    }

    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_plain) {
            return Some(("name", "1 to 64 letters, digits, '-' or '_' (it names a folder)"));
        }
        if self.weights.values().all(|weight| *weight == 0) {
            return Some(("weights", "scenarios, at least one with a weight above 0"));
        }
        self.settings.fault()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_is_read_and_named_as_its_file() {
        let all = Profile::all();
        assert_eq!(all.iter().map(|profile| profile.name.as_str()).collect::<Vec<_>>(), EMBEDDED.map(|(name, _)| name));
        assert!(all.iter().all(|profile| profile.settings.poll_gap_ms == Span(2_000, 3_000)));
        let mixed = &all[0];
        // All that need nothing but the payments' part of the contract.
        let in_mixed = |scenario: &Scenario| mixed.weights.get(scenario).is_some_and(|weight| *weight > 0);
        assert!(Scenario::ALL.iter().all(|scenario| in_mixed(scenario) != (*scenario == Scenario::Order)));
    }

    #[test]
    fn faults_are_named() {
        let base = "name = \"x\"\ndescription = \"y\"\n";
        for (rest, word) in [
            ("[weights]\n", "weights"),
            ("[weights]\nchekout = 1\n", "chekout"),
            ("[weights]\ncheckout = 1\n[settings]\nthink_ms = [0, 5]\n", "think_ms"),
            ("[weights]\ncheckout = 1\n[settings]\nlate_share = 1.5\n", "late_share"),
            ("[weights]\norder = 1\n[settings]\nmax_order_reads = 0\n", "max_order_reads"),
            ("[weights]\ncheckout = 1\n[settings]\npoll_gap = [1, 2]\n", "poll_gap"),
        ] {
            let error = Profile::parse(&format!("{base}{rest}"), "test").expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
        let unknown = Profile::named("chekout").expect_err("unknown").to_string();
        assert!(unknown.contains("double-click"), "{unknown}");
        assert!(Profile::load("/no/such/file.toml").expect_err("no file").to_string().contains("/no/such/file"));
    }
}
