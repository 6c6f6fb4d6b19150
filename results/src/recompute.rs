//! Computes the figures of a results folder again, from its log and its journeys alone.

use std::path::Path;

use hdrhistogram::Histogram;

use crate::figures::{Totals, add};
use crate::{FigureTable, JOURNEYS_FILE, JourneyTotals, LOG_FILE, LogReader, ResultsError, Series, SpanUs};

/// The merged histogram of each series in a folder's log, in the order of their tags.
///
/// # Errors
/// The log cannot be read, or a line is damaged.
pub fn merge(dir: &Path) -> Result<Vec<(Series, Histogram<u64>)>, ResultsError> {
    Ok(totals(dir)?.into_iter().collect())
}

fn totals(dir: &Path) -> Result<Totals, ResultsError> {
    let log = LogReader::open(&dir.join(LOG_FILE))?;
    let mut totals = Totals::new();
    for line in log.lines() {
        let line = line?;
        add(&mut totals, &line.series, &line.histogram()?)?;
    }
    Ok(totals)
}

/// Every figure of `run.json` again, from `latency.hlog`; `steady` is the span that rates are by.
///
/// # Errors
/// The log cannot be read, or a line is damaged.
pub fn recompute(dir: &Path, steady: SpanUs) -> Result<FigureTable, ResultsError> {
    FigureTable::of(&totals(dir)?, steady)
}

/// Every count of `run.json` again, from `journeys.jsonl`; `steady` is the span that a journey must begin in.
///
/// # Errors
/// The file cannot be read, or a line is damaged.
pub fn recount(dir: &Path, steady: SpanUs) -> Result<JourneyTotals, ResultsError> {
    JourneyTotals::of(&dir.join(JOURNEYS_FILE), steady)
}
