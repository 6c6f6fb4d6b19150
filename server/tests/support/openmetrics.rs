//! A small strict reader of the `OpenMetrics` text format: what it takes, Prometheus takes.

use std::collections::{BTreeMap, BTreeSet};

/// One metric family.
#[derive(Default, Debug)]
struct Family {
    kind: Option<String>,
    help: bool,
    unit: Option<String>,
}

/// Everything in a text: values by series.
#[derive(Debug)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads a whole text.
    ///
    /// # Panics
    /// At the first line that is not as it should be.
    pub(crate) fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the text ends with # EOF and nothing after it");
        assert!(!body.contains("# EOF"), "one # EOF, at the end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        let mut done = BTreeSet::new();
        let mut series = BTreeMap::new();
        for line in body.lines() {
            assert_eq!(line.trim(), line, "no space around: {line:?}");
            if let Some(comment) = line.strip_prefix("# ") {
                let (word, rest) = comment.split_once(' ').unwrap_or_else(|| panic!("{line}"));
                let (name, said) = rest.split_once(' ').unwrap_or_else(|| panic!("nothing said: {line}"));
                if name != current {
                    assert!(done.insert(name.to_owned()), "the family {name} is torn or there twice");
                    name.clone_into(&mut current);
                }
                describe(families.entry(name.to_owned()).or_default(), word, name, said);
            } else {
                let (id, value) = sample(line, &current, &families);
                assert!(series.insert(id, value).is_none(), "twice: {line}");
            }
        }
        for (name, family) in &families {
            assert!(family.help && family.kind.is_some(), "{name} has HELP and TYPE");
            if family.kind.as_deref() == Some("histogram") {
                histogram(name, &series);
            }
        }
        Self(series)
    }

    /// The value of a series such as `payrig_settled_total{name="failed"}`; 0 where it has not been seen yet.
    pub(crate) fn get(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or(0.0)
    }

    /// Whether there is such a series.
    pub(crate) fn has(&self, series: &str) -> bool {
        self.0.contains_key(series)
    }
}

fn describe(family: &mut Family, word: &str, name: &str, said: &str) {
    match word {
        "HELP" => assert!(!std::mem::replace(&mut family.help, true), "{name}: HELP once"),
        "TYPE" => {
            assert!(["counter", "gauge", "histogram"].contains(&said), "{name} is a {said}");
            assert!(family.kind.replace(said.to_owned()).is_none(), "{name}: TYPE once");
        }
        "UNIT" => {
            assert!(name.ends_with(&format!("_{said}")), "{name} ends with its unit {said}");
            assert!(family.unit.replace(said.to_owned()).is_none(), "{name}: UNIT once");
        }
        _ => panic!("# {word}"),
    }
}

/// One sample of the current family: its series in canonical form and its value.
fn sample(line: &str, current: &str, families: &BTreeMap<String, Family>) -> (String, f64) {
    let (id, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let (name, labels) = match id.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))),
        None => (id, ""),
    };
    let good = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    assert!(good(name), "{line}");
    let mut names = BTreeSet::new();
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (label, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
        assert!(good(label) && names.insert(label), "label {label}: {line}");
        assert!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'), "{line}");
    }
    let kind = families.get(current).and_then(|family| family.kind.as_deref());
    let suffix = name.strip_prefix(current).unwrap_or_else(|| panic!("{name} stands under {current}"));
    let fits = match kind {
        Some("counter") => suffix == "_total",
        Some("gauge") => suffix.is_empty(),
        Some("histogram") => ["_bucket", "_sum", "_count"].contains(&suffix),
        _ => panic!("TYPE comes before samples: {line}"),
    };
    assert!(fits, "{name} is no sample of a {kind:?}");
    assert_eq!(suffix == "_bucket", names.contains("le"), "{line}");
    let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
    assert!(value.is_finite() && (value >= 0.0 || kind == Some("gauge")), "{line}");
    (id.to_owned(), value)
}

/// Buckets grow, end at +Inf, and that is the count.
fn histogram(name: &str, series: &BTreeMap<String, f64>) {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (id, count) in series {
        let Some(labels) = id.strip_prefix(&format!("{name}_bucket{{")) else { continue };
        let labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
        let le = labels.iter().find_map(|label| label.strip_prefix("le=\"")).expect("le").trim_end_matches('"');
        let bound = if le == "+Inf" { f64::INFINITY } else { le.parse().expect("a bound") };
        let others: Vec<&str> = labels.into_iter().filter(|label| !label.starts_with("le=")).collect();
        let others = if others.is_empty() { String::new() } else { format!("{{{}}}", others.join(",")) };
        buckets.entry(others).or_default().push((bound, *count));
    }
    for (labels, mut of) in buckets {
        of.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(of.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name}{labels} is not cumulative: {of:?}");
        let last = of.last().expect("a bucket");
        assert!(last.0.is_infinite(), "{name}{labels} ends at +Inf");
        assert_eq!(series.get(&format!("{name}_count{labels}")), Some(&last.1), "{name}{labels}");
        assert!(series.contains_key(&format!("{name}_sum{labels}")), "{name}{labels}");
    }
}
