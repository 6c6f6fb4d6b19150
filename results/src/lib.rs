//! The results format: one folder a run, with `run.json`, `latency.hlog` and `journeys.jsonl`; how it is written while a
//! run goes on, read back, merged, and computed again.
//!
//! Instants (`*_us` of a moment) are microseconds since the Unix epoch, spans are microseconds.

mod error;
mod exit;
mod figures;
mod hlog;
mod journeys;
mod machine;
mod recompute;
mod run;
mod series;
mod utc;
mod writer;

pub use error::ResultsError;
pub use exit::ExitCode;
pub use figures::{ByClass, FigureTable, Figures, StepFigures};
pub use hlog::{Line, LogReader, LogWriter};
pub use journeys::{JourneyCounts, JourneyTotals, JourneyWriter, Journeys, read_journeys};
pub use machine::{Machine, git_revision};
pub use recompute::{merge, recompute, recount};
pub use run::{
    Audit, AuditVerdict, Ended, LoadModel, Run, SCHEMA_VERSION, SpanUs, ThresholdResult, Validity, ValidityVerdict,
    Version, Versions, plan_hash,
};
pub use series::Series;
pub use utc::{folder_time, utc_time};
pub use writer::RunWriter;

/// The name of the summary in a results folder.
pub const RUN_FILE: &str = "run.json";
/// The name of the interval log in a results folder.
pub const LOG_FILE: &str = "latency.hlog";
/// The name of the journeys' records in a results folder.
pub const JOURNEYS_FILE: &str = "journeys.jsonl";
