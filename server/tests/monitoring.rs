//! What docs/monitoring gives to Prometheus and Grafana names only metrics that a server shows.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use support::Shared;

static SHARED: Shared = Shared::new();

/// The samples' names that a family of this type has.
fn samples(family: &str, kind: &str) -> Vec<String> {
    let endings: &[&str] = match kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        "gauge" => &[""],
        other => panic!("{family} is a {other}"),
    };
    endings.iter().map(|ending| format!("{family}{ending}")).collect()
}

fn shown() -> BTreeSet<String> {
    let metrics = SHARED.get().get("/metrics").text();
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.flat_map(|(family, kind)| samples(family, kind)).collect()
}

fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|each: char| !(each.is_ascii_alphanumeric() || each == '_'));
    words.filter(|word| word.starts_with("payrig_")).collect()
}

fn holds(file: &str, text: &str) {
    let (named, shown) = (named(text), shown());
    assert!(named.len() >= 5, "{file} names {named:?}");
    let unknown: Vec<_> = named.into_iter().filter(|name| !shown.contains(*name)).collect();
    assert!(unknown.is_empty(), "{file} names what no server shows: {unknown:?}; there is {shown:?}");
}

#[test]
fn alerts_name_metrics_that_exist() {
    holds("alerts.yml", include_str!("../../docs/monitoring/alerts.yml"));
}

#[test]
fn the_dashboard_is_json_and_names_metrics_that_exist() {
    let text = include_str!("../../docs/monitoring/dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).unwrap();
    assert!(!dashboard["panels"].as_array().unwrap().is_empty());
    holds("dashboard.json", text);
}
