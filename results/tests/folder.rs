//! A results folder from its first line to its last reader.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use payrig_results::{
    Audit, Ended, JourneyTotals, LOG_FILE, LoadModel, LogReader, Machine, ResultsError, Run, RunWriter, SCHEMA_VERSION,
    Series, SpanUs, Validity, Version, Versions, git_revision, merge, plan_hash, read_journeys, recompute, recount,
    utc_time,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const START_US: u64 = 1_767_225_600_123_456;
const SECOND_US: u64 = 1_000_000;

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap()
}

/// Values that look like latencies, from a small generator.
fn values(seed: u64, n: u64) -> impl Iterator<Item = u64> {
    (0..n).scan(seed, |state, _| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(1 << (*state >> 59)).map(|scale: u64| 1 + scale.min(1 << 30) + (*state >> 40) % 1_000)
    })
}

fn run(steady: SpanUs) -> Run {
    let plan = json!({"users": 100, "run_time_s": 60.0, "seed": 7});
    Run {
        schema_version: SCHEMA_VERSION,
        scenario: "mixed".to_owned(),
        engine: "goose".to_owned(),
        model: LoadModel::Closed,
        seed: 7,
        command: vec!["payrig".to_owned(), "run".to_owned()],
        target: "http://127.0.0.1:8080".to_owned(),
        plan_hash: plan_hash(&plan),
        plan,
        started_at: utc_time(START_US),
        span: steady,
        steady,
        ended: Ended::Completed,
        versions: Versions {
            harness: Version {
                name: "payrig".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                git_revision: git_revision(Path::new(env!("CARGO_MANIFEST_DIR"))),
            },
            server: None,
        },
        machine: Machine::read(),
        validity: Validity::not_judged("closed model: users wait for the server"),
        figures: payrig_results::FigureTable::default(),
        failures: BTreeMap::new(),
        journeys: JourneyTotals::default(),
        thresholds: Vec::new(),
        audit: Audit::not_run("there is no audit in this version"),
        notes: Vec::new(),
        exit_code: 0,
    }
}

const TAGS: [(&str, &str); 6] = [
    ("submit", "response_time"),
    ("submit", "service_time"),
    ("submit", "failed"),
    ("query", "response_time"),
    ("stage", "own"),
    ("journey", "settle_server"),
];

fn write(root: &Path, seconds: u64) -> RunWriter {
    let mut writer = RunWriter::create(root, "mixed", START_US).unwrap();
    let series = TAGS.map(|(subject, clock)| Series::all(subject, clock).unwrap());
    for second in 0..seconds {
        let mut interval = Vec::new();
        for (at, name) in (0..).zip(&series) {
            let mut histogram = empty();
            // The last series has gaps: seconds without a value have no line.
            let n = if at == 5 { second % 2 * 3 } else { 50 + at };
            values(second * 10 + at, n).for_each(|us| histogram.saturating_record(us));
            interval.push((name, histogram));
        }
        let start_us = START_US + second * SECOND_US;
        writer.interval(start_us, SECOND_US, interval.iter().map(|(name, histogram)| (*name, histogram))).unwrap();
        let record = |outcome: &str| {
            json!({"scenario": "checkout", "started_us": start_us, "task_id": "t", "polls": 3, "attempts": 1,
                "outcome": {"kind": outcome}, "problems": [{"at_us": 1}], "violations": [{"kind": "taken_back"}]})
        };
        writer.journey(&record("paid")).unwrap();
        writer.journey(&record("failed")).unwrap();
    }
    writer
}

#[test]
fn every_figure_of_a_run_can_be_computed_again_exactly() {
    let root = tempfile::tempdir().unwrap();
    let steady = SpanUs { from_us: START_US + SECOND_US, to_us: START_US + 7 * SECOND_US };
    let writer = write(root.path(), 7);
    let submit = Series::all("submit", "response_time").unwrap();
    assert_eq!(writer.total(&submit).unwrap().len(), 350);
    let (dir, written) = writer.finish(run(steady)).unwrap();
    assert_eq!(dir, root.path().join("20260101T000000Z-mixed"));
    let read = Run::read(&dir).unwrap();
    assert_eq!(read, written);
    assert_eq!(recompute(&dir, read.steady).unwrap(), read.figures);
    assert_eq!(recount(&dir, read.steady).unwrap(), read.journeys);

    let step = &read.figures.steps["submit"];
    assert_eq!((step.n, step.errors), (350, 7 * 52));
    assert!((step.rate_per_s - 350.0 / 6.0).abs() < 1e-9);
    assert!((step.error_rate - 364.0 / 714.0).abs() < 1e-9);
    assert_eq!(read.figures.all_steps.n, 350 + 7 * 53);
    assert_eq!(read.figures.stages["own"]["all"].n, 7 * 54);
    assert_eq!(read.figures.journey["settle_server"]["all"].n, 9);
    assert!(!read.figures.steps.contains_key("stage"));
    assert_eq!((read.journeys.all.n, read.journeys.steady.n), (14, 12), "warm-up is left out of the steady counts");
    assert_eq!(read.journeys.steady.outcomes, BTreeMap::from([("failed".to_owned(), 6), ("paid".to_owned(), 6)]));
    assert_eq!((read.journeys.all.polls, read.journeys.all.problems), (42, 14));

    let text: Value = serde_json::from_slice(&std::fs::read(dir.join("run.json")).unwrap()).unwrap();
    let figures = &text["figures"]["steps"]["submit"]["clocks"]["response_time"]["all"];
    for name in ["n", "min_us", "mean_us", "p50_us", "p90_us", "p95_us", "p99_us", "p99_9_us", "p99_99_us", "max_us"] {
        assert!(figures[name].is_number(), "{name}: {figures}");
    }
    assert_eq!(text["schema_version"], 1);
    assert_eq!(text["validity"]["verdict"], "not_judged");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 3, "nothing temporary is left");
}

#[test]
fn the_log_is_as_the_format_says() {
    let root = tempfile::tempdir().unwrap();
    let (dir, _) = write(root.path(), 3).finish(run(SpanUs::default())).unwrap();
    let text = std::fs::read_to_string(dir.join(LOG_FILE)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "#[Histogram log format version 1.3]");
    assert_eq!(lines[2], "#[StartTime: 1767225600.123 (seconds since epoch), 2026-01-01T00:00:00.123456Z]");
    assert_eq!(lines[3], "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"");
    assert_eq!(lines.len(), 4 + 5 + 6 + 5, "a line for each series of a second, unless it is empty");
    assert!(!text.contains("BaseTime"));
    let mut last = 0.0;
    for line in &lines[4..] {
        let parts: Vec<&str> = line.split(',').collect();
        assert_eq!(parts.len(), 5, "{line}");
        assert!(Series::from_tag(parts[0].strip_prefix("Tag=").unwrap()).is_some());
        let start: f64 = parts[1].parse().unwrap();
        assert!(start >= last && start >= 1_767_225_600.123);
        last = start;
        assert_eq!(parts[2], "1.000");
        assert!(parts[4].starts_with("HISTFAAA"), "V2 with deflate");
    }
}

#[test]
fn a_killed_run_keeps_every_whole_interval_and_every_flushed_journey() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = write(root.path(), 4);
    writer.interval(START_US + 4 * SECOND_US, SECOND_US, []).unwrap();
    let partial = writer.partial_dir().to_owned();
    // A kill runs no destructor and flushes nothing.
    std::mem::forget(writer);
    assert!(Run::read(&partial).is_err());
    assert_eq!(read_journeys::<Value>(&partial.join("journeys.jsonl")).unwrap().count(), 8);
    let table = recompute(&partial, SpanUs { from_us: START_US, to_us: START_US + 4 * SECOND_US }).unwrap();
    assert_eq!(table.steps["submit"].n, 200);
}

#[test]
fn a_cut_file_is_read_up_to_its_last_whole_line() {
    let root = tempfile::tempdir().unwrap();
    let (dir, _) = write(root.path(), 2).finish(run(SpanUs::default())).unwrap();
    let text = std::fs::read(dir.join(LOG_FILE)).unwrap();
    let cut = root.path().join("cut.hlog");
    for length in (0..text.len()).step_by(7) {
        std::fs::write(&cut, &text[..length]).unwrap();
        let whole = text[..length].iter().filter(|byte| **byte == b'\n').count();
        let log = LogReader::open(&cut).unwrap();
        let lines: Vec<_> = log.lines().collect::<Result<_, _>>().unwrap();
        assert_eq!(lines.len(), whole.saturating_sub(4));
        assert_eq!(log.is_cut(), length > 0 && text[length - 1] != b'\n');
        assert!(lines.iter().all(|line| line.histogram().is_ok()));
    }
}

#[test]
fn damage_is_named_with_its_line() {
    let root = tempfile::tempdir().unwrap();
    let (dir, _) = write(root.path(), 2).finish(run(SpanUs::default())).unwrap();
    let text = std::fs::read_to_string(dir.join(LOG_FILE)).unwrap();
    let damaged = |from: &str, to: &str| -> String {
        let path: PathBuf = root.path().join("damaged");
        std::fs::create_dir_all(&path).unwrap();
        let at = text.match_indices(from).nth(1).unwrap().0;
        let broken = format!("{}{to}{}", &text[..at], &text[at + from.len()..]);
        std::fs::write(path.join(LOG_FILE), broken).unwrap();
        recompute(&path, SpanUs::default()).expect_err(to).to_string()
    };
    assert!(damaged("Tag=submit", "Tag=sub mit").contains("line 6: the tag \"sub mit"));
    assert!(damaged("HISTFAAA", "HIST!AAA").contains("line 6: the histogram is no base64"));
    assert!(damaged("HISTFAAA", "AAAAFAAA").contains("line 6: the histogram cannot be read"));
    assert!(damaged(",1.000,", ",nonsense,").contains("line 6: neither"));
}

#[test]
fn runs_of_the_same_second_get_folders_of_their_own_and_time_never_goes_back() {
    let root = tempfile::tempdir().unwrap();
    let (first, _) = write(root.path(), 1).finish(run(SpanUs::default())).unwrap();
    let mut second = write(root.path(), 1);
    let third = write(root.path(), 1);
    assert_eq!(second.dir(), root.path().join("20260101T000000Z-mixed-2"));
    assert_eq!(third.dir(), root.path().join("20260101T000000Z-mixed-3"));
    assert!(first.exists());
    let error = second.interval(START_US - 1, SECOND_US, []).expect_err("out of order");
    assert!(matches!(error, ResultsError::OutOfOrder { .. }));
}

fn bytes(histogram: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_the_log_gives_the_same_bits_as_recording_at_once(
        seconds in prop::collection::vec(prop::collection::vec(0_u64..5_000_000_000, 0..60), 1..12)
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut writer = RunWriter::create(root.path(), "x", START_US).unwrap();
        let series = Series::all("submit", "response_time").unwrap();
        let mut at_once = empty();
        for (second, values) in (0..).zip(&seconds) {
            let mut histogram = empty();
            for value in values {
                histogram.saturating_record(*value);
                at_once.saturating_record(*value);
            }
            writer.interval(START_US + second * SECOND_US, SECOND_US, [(&series, &histogram)]).unwrap();
        }
        let merged = merge(writer.partial_dir()).unwrap();
        match merged.as_slice() {
            [] => prop_assert!(at_once.is_empty()),
            [(name, histogram)] => {
                prop_assert_eq!(name, &series);
                prop_assert_eq!(bytes(histogram), bytes(&at_once));
                prop_assert_eq!(bytes(writer.total(&series).unwrap()), bytes(&at_once));
            }
            _ => prop_assert!(false, "one series was written"),
        }
    }
}
