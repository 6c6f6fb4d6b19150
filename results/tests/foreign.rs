//! A reader that someone else wrote (Python's hdrhistogram) finds the same figures in the log.
//!
//! Skipped, and said so, where that library is not installed (`results/tests/install_foreign_readers.sh` does it);
//! `PAYRIG_REQUIRE_SERVICES=1` turns the skip into a failure.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use hdrhistogram::Histogram;
use payrig_results::{Figures, LOG_FILE, RunWriter, Series, merge};
use serde_json::Value;

const START_US: u64 = 1_767_225_600_123_000;

fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let installed = root.join("target/foreign-readers/bin/python");
    [installed, PathBuf::from("python3")]
        .into_iter()
        .find(|python| Command::new(python).args(["-c", "import hdrh"]).output().is_ok_and(|run| run.status.success()))
}

fn write_log(root: &Path) -> PathBuf {
    let mut writer = RunWriter::create(root, "foreign", START_US).unwrap();
    let series = [Series::all("submit", "response_time").unwrap(), Series::all("query_paid", "service_time").unwrap()];
    for second in 0..20_u64 {
        let mut histograms = [0, 1].map(|_| Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).unwrap());
        for value in 0..500_u64 {
            histograms[0].saturating_record(100 + value * value * (second + 1));
            histograms[1].saturating_record(1 << (value % 40));
        }
        let start_us = START_US + second * 1_000_000;
        writer.interval(start_us, 1_000_000, series.iter().zip(&histograms)).unwrap();
    }
    writer.partial_dir().to_owned()
}

#[test]
fn python_finds_the_same_figures() {
    let Some(python) = python() else {
        assert!(
            std::env::var_os("PAYRIG_REQUIRE_SERVICES").is_none_or(|value| value != "1"),
            "Python's hdrhistogram is required and not installed: run results/tests/install_foreign_readers.sh"
        );
        eprintln!("skipped: Python's hdrhistogram is not installed (results/tests/install_foreign_readers.sh)");
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let dir = write_log(root.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_reader.py");
    let output = Command::new(python).arg(script).arg(dir.join(LOG_FILE)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!((seen["start_s"].as_f64().unwrap() - 1_767_225_600.123).abs() < 1e-6);
    assert_eq!(seen["starts_ms"].as_array().unwrap().len(), 40, "no line ended the reading early");
    let merged = merge(&dir).unwrap();
    assert_eq!(seen["tags"].as_object().unwrap().len(), merged.len());
    for (series, histogram) in merged {
        let (ours, theirs) = (Figures::of(&histogram), &seen["tags"][series.tag()]);
        assert_eq!(theirs["n"], ours.n);
        for (name, ours_us) in
            [("p50_us", ours.p50_us), ("p99_us", ours.p99_us), ("p99_9_us", ours.p99_9_us), ("max_us", ours.max_us)]
        {
            let theirs_us = theirs[name].as_u64().unwrap();
            assert!(theirs_us.abs_diff(ours_us) <= ours_us / 1_000, "{series} {name}: {theirs_us} and {ours_us}");
        }
        let mean_us = theirs["mean_us"].as_f64().unwrap();
        assert!((mean_us - ours.mean_us).abs() <= ours.mean_us / 1_000.0, "{mean_us} and {}", ours.mean_us);
    }
}
