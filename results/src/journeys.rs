//! `journeys.jsonl`: one JSON object a line for each journey, ended or not, and the counts that are made from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ResultsError, SpanUs};

/// Appends records to `journeys.jsonl`.
#[derive(Debug)]
pub struct JourneyWriter {
    file: BufWriter<File>,
    path: PathBuf,
    line: Vec<u8>,
}

impl JourneyWriter {
    /// Starts a file.
    ///
    /// # Errors
    /// The file exists already, or the file system refuses.
    pub fn create(path: &Path) -> Result<Self, ResultsError> {
        let file = File::create_new(path).map_err(ResultsError::io("create", path))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 18, file), path: path.to_owned(), line: Vec::new() })
    }

    /// Appends one record, as one line.
    ///
    /// # Errors
    /// The record cannot be JSON, or the file system refuses.
    pub fn write(&mut self, record: &impl Serialize) -> Result<(), ResultsError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record)
            .map_err(|error| ResultsError::Encode { what: "a journey".to_owned(), why: error.to_string() })?;
        self.line.push(b'\n');
        self.file.write_all(&self.line).map_err(ResultsError::io("write", &self.path))
    }

    /// Hands everything to the file, so that a killed run keeps it.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn flush(&mut self) -> Result<(), ResultsError> {
        self.file.flush().map_err(ResultsError::io("write", &self.path))
    }

    /// Sees to it that the file is on the disk.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn sync(&mut self) -> Result<(), ResultsError> {
        self.flush()?;
        self.file.get_ref().sync_all().map_err(ResultsError::io("write", &self.path))
    }
}

/// The records of a file, one at a time. A last line without its end is left out.
#[derive(Debug)]
pub struct Journeys<T> {
    file: BufReader<File>,
    path: PathBuf,
    number: usize,
    line: Vec<u8>,
    is_over: bool,
    record: PhantomData<fn() -> T>,
}

/// Opens `journeys.jsonl` for reading.
///
/// # Errors
/// The file cannot be opened.
pub fn read_journeys<T: DeserializeOwned>(path: &Path) -> Result<Journeys<T>, ResultsError> {
    let file = File::open(path).map_err(ResultsError::io("read", path))?;
    Ok(Journeys {
        file: BufReader::with_capacity(1 << 18, file),
        path: path.to_owned(),
        number: 0,
        line: Vec::new(),
        is_over: false,
        record: PhantomData,
    })
}

impl<T: DeserializeOwned> Iterator for Journeys<T> {
    type Item = Result<T, ResultsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        self.line.clear();
        self.number += 1;
        match self.file.read_until(b'\n', &mut self.line) {
            Ok(_) if self.line.last() == Some(&b'\n') => Some(serde_json::from_slice(&self.line).map_err(|error| {
                ResultsError::Malformed { path: self.path.clone(), line: self.number, why: error.to_string() }
            })),
            Ok(_) => {
                self.is_over = true;
                None
            }
            Err(source) => {
                self.is_over = true;
                Some(Err(ResultsError::io("read", &self.path)(source)))
            }
        }
    }
}

/// Counts over journeys.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JourneyCounts {
    /// How many.
    pub n: u64,
    /// By outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// By scenario.
    pub scenarios: BTreeMap<String, u64>,
    /// With an accepted submission.
    pub accepted: u64,
    /// Submissions sent, repeats included.
    pub submits: u64,
    /// Polls sent.
    pub polls: u64,
    /// Attempts of the channel that were shown.
    pub attempts: u64,
    /// Manual retries accepted.
    pub manual_retries: u64,
    /// Replies that were no plain success.
    pub problems: u64,
    /// Broken promises, by kind.
    pub violations: BTreeMap<String, u64>,
}

/// Counts over all journeys, and over those that began in the steady phase.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JourneyTotals {
    /// Of every phase, warm-up included.
    pub all: JourneyCounts,
    /// That began in the steady phase: what reports tell.
    pub steady: JourneyCounts,
}

/// What counting needs of a record.
#[derive(Deserialize)]
struct Facts {
    #[serde(default)]
    scenario: String,
    started_us: Option<u64>,
    task_id: Option<String>,
    outcome: Kind,
    #[serde(default)]
    submits: u64,
    #[serde(default)]
    polls: u64,
    #[serde(default)]
    attempts: u64,
    #[serde(default)]
    manual_retries: u64,
    #[serde(default)]
    problems: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    violations: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

impl JourneyCounts {
    fn count(&mut self, facts: &Facts) {
        self.n += 1;
        *self.outcomes.entry(facts.outcome.kind.clone()).or_default() += 1;
        *self.scenarios.entry(facts.scenario.clone()).or_default() += 1;
        self.accepted += u64::from(facts.task_id.is_some());
        self.submits += facts.submits;
        self.polls += facts.polls;
        self.attempts += facts.attempts;
        self.manual_retries += facts.manual_retries;
        self.problems += facts.problems.len() as u64;
        for violation in &facts.violations {
            *self.violations.entry(violation.kind.clone()).or_default() += 1;
        }
    }
}

impl JourneyTotals {
    pub(crate) fn of(path: &Path, steady: SpanUs) -> Result<Self, ResultsError> {
        let mut totals = Self::default();
        for facts in read_journeys::<Facts>(path)? {
            let facts = facts?;
            totals.all.count(&facts);
            if facts.started_us.is_some_and(|at_us| steady.contains(at_us)) {
                totals.steady.count(&facts);
            }
        }
        Ok(totals)
    }
}
