//! `run.json`: the summary of a run, what it was made with, and how it was judged.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{FigureTable, JourneyTotals, Machine, RUN_FILE, ResultsError};

/// The version of the folder's format; it changes when something is renamed, removed or means something else. New
/// members may be added without.
pub const SCHEMA_VERSION: u32 = 1;

/// A span of time, in microseconds since the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SpanUs {
    /// From.
    pub from_us: u64,
    /// To, not included.
    pub to_us: u64,
}

impl SpanUs {
    /// How long, in microseconds.
    #[must_use]
    pub const fn length_us(self) -> u64 {
        self.to_us.saturating_sub(self.from_us)
    }

    /// Whether an instant is in it.
    #[must_use]
    pub const fn contains(self, at_us: u64) -> bool {
        self.from_us <= at_us && at_us < self.to_us
    }
}

/// Who decides when the next request is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadModel {
    /// Users: a slow server slows its own load.
    Closed,
    /// An arrival rate: nothing slows the load.
    Open,
}

/// A program that took part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The commit that it was built from, with `-dirty` where the tree had changes; absent where unknown.
    pub git_revision: Option<String>,
}

/// Both halves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Versions {
    /// The harness.
    pub harness: Version,
    /// The server; absent where it does not say.
    pub server: Option<Version>,
}

/// Whether the measurement means anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidityVerdict {
    /// Nobody looked.
    NotJudged,
    /// Neither of the others.
    Valid,
    /// Something outside took the machine.
    Disturbed,
    /// The harness itself was the limit.
    Invalid,
}

/// The verdict with its reasons.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Validity {
    /// The verdict.
    pub verdict: ValidityVerdict,
    /// Why, for people.
    pub reasons: Vec<String>,
}

impl Validity {
    /// Not judged, and why not.
    #[must_use]
    pub fn not_judged(reason: impl Into<String>) -> Self {
        Self { verdict: ValidityVerdict::NotJudged, reasons: vec![reason.into()] }
    }
}

/// How a threshold stood.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ThresholdResult {
    /// As it was written.
    pub text: String,
    /// What was seen, in `unit`; absent where nothing was (then it is not kept).
    pub observed: Option<f64>,
    /// The limit, in `unit`.
    pub limit: f64,
    /// `us`, `share` (0 to 1) or `per_s`.
    pub unit: String,
    /// Whether it was kept.
    pub is_kept: bool,
}

/// What the audit said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditVerdict {
    /// There was none.
    NotRun,
    /// All books agree.
    Passed,
    /// They do not.
    Failed,
}

/// The audit's verdict with its findings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Audit {
    /// The verdict.
    pub verdict: AuditVerdict,
    /// What does not agree, or why there was no audit.
    pub findings: Vec<String>,
}

impl Audit {
    /// No audit, and why not.
    #[must_use]
    pub fn not_run(reason: impl Into<String>) -> Self {
        Self { verdict: AuditVerdict::NotRun, findings: vec![reason.into()] }
    }
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// As planned.
    Completed,
    /// By a signal; the figures are of what there was until then.
    Interrupted,
    /// By an error or a threshold.
    Aborted,
}

/// A run in `run.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The profile's name.
    pub scenario: String,
    /// `goose` or `open`.
    pub engine: String,
    /// Who decided when the next request was sent.
    pub model: LoadModel,
    /// The seed of all data, think times and schedules.
    pub seed: u64,
    /// The words of the command line.
    pub command: Vec<String>,
    /// The server under test, or how it was started.
    pub target: String,
    /// The full plan, as the harness understood it.
    pub plan: serde_json::Value,
    /// [`plan_hash`] of it: the same for the same plan.
    pub plan_hash: String,
    /// When it began, as text.
    pub started_at: String,
    /// From its beginning to its end.
    pub span: SpanUs,
    /// The phase that every figure is about.
    pub steady: SpanUs,
    /// How it ended.
    pub ended: Ended,
    /// What took part.
    pub versions: Versions,
    /// Where it ran.
    pub machine: Machine,
    /// Whether it means anything.
    pub validity: Validity,
    /// All figures; each can be computed again from `latency.hlog`.
    pub figures: FigureTable,
    /// Failed requests of the steady phase by step, then by what went wrong.
    pub failures: BTreeMap<String, BTreeMap<String, u64>>,
    /// Counts of journeys; each can be counted again from `journeys.jsonl`.
    pub journeys: JourneyTotals,
    /// How each threshold stood.
    pub thresholds: Vec<ThresholdResult>,
    /// What the audit said.
    pub audit: Audit,
    /// What a reader should know, such as what could not be seen.
    pub notes: Vec<String>,
    /// What the process ended with.
    pub exit_code: u8,
}

impl Run {
    /// Reads the summary in a results folder.
    ///
    /// # Errors
    /// There is none, it is not JSON, or another version wrote it: the error names both versions.
    pub fn read(dir: &Path) -> Result<Self, ResultsError> {
        #[derive(Deserialize)]
        struct Probe {
            schema_version: u64,
        }
        let path = dir.join(RUN_FILE);
        let bytes = std::fs::read(&path).map_err(ResultsError::io("read", &path))?;
        let malformed = |error: serde_json::Error| ResultsError::Malformed {
            path: path.clone(),
            line: error.line(),
            why: error.to_string(),
        };
        // The version first: what another one means by the rest is unknown.
        let probe: Probe = serde_json::from_slice(&bytes).map_err(malformed)?;
        if probe.schema_version != u64::from(SCHEMA_VERSION) {
            return Err(ResultsError::UnknownSchema { path, found: probe.schema_version, known: SCHEMA_VERSION });
        }
        serde_json::from_slice(&bytes).map_err(malformed)
    }

    /// Writes the summary into a results folder, in one piece: to a temporary name, then renamed.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write(&self, dir: &Path) -> Result<(), ResultsError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| ResultsError::Encode { what: RUN_FILE.to_owned(), why: error.to_string() })?;
        bytes.push(b'\n');
        let (temporary, path) = (dir.join(".run.json.tmp"), dir.join(RUN_FILE));
        let mut file = File::create(&temporary).map_err(ResultsError::io("create", &temporary))?;
        file.write_all(&bytes).map_err(ResultsError::io("write", &temporary))?;
        file.sync_all().map_err(ResultsError::io("write", &temporary))?;
        std::fs::rename(&temporary, &path).map_err(ResultsError::io("rename to", &path))
    }
}

/// A hash of a plan, over its canonical JSON (members sorted by name): the same plan has the same hash.
#[must_use]
pub fn plan_hash(plan: &serde_json::Value) -> String {
    let mut text = String::new();
    canonical(plan, &mut text);
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Sorted by hand: whether `serde_json` sorts depends on what features other crates switch on.
fn canonical(value: &serde_json::Value, text: &mut String) {
    match value {
        serde_json::Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            for (name, value) in sorted {
                text.push_str(&serde_json::Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        serde_json::Value::Array(values) => {
            for value in values {
                canonical(value, text);
                text.push(',');
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_hash_minds_values_and_not_the_order_of_members() {
        let hash = |text: &str| plan_hash(&serde_json::from_str(text).expect("JSON"));
        assert_eq!(hash(r#"{"a":1,"b":{"c":2,"d":3}}"#), hash(r#"{"b":{"d":3,"c":2},"a":1}"#));
        assert_ne!(hash(r#"{"a":1}"#), hash(r#"{"a":2}"#));
        assert_ne!(hash(r#"[[1],2]"#), hash(r#"[1,[2]]"#));
        assert_eq!(hash("{}").len(), 32);
    }

    #[test]
    fn an_unknown_schema_is_named_before_anything_else_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join(RUN_FILE), r#"{"schema_version": 7, "other": []}"#).expect("written");
        let error = Run::read(dir.path()).expect_err("unknown").to_string();
        assert!(error.contains("schema_version 7") && error.contains("reads 1"), "{error}");
        std::fs::write(dir.path().join(RUN_FILE), "{").expect("written");
        assert!(Run::read(dir.path()).expect_err("cut").to_string().contains("line 1"));
        assert!(Run::read(&dir.path().join("no")).expect_err("none").to_string().contains("no/run.json"));
    }
}
