//! Reads an interval log, one line at a time, so that a long one needs no more memory than its text.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};

use crate::{ResultsError, Series};

/// A log in memory, as text.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    text: Vec<u8>,
    is_cut: bool,
}

/// One interval of one series.
#[derive(Debug)]
pub struct Line<'a> {
    path: &'a Path,
    number: usize,
    /// Which series.
    pub series: Series,
    /// When the interval began, microseconds since the epoch, to the millisecond.
    pub start_us: u64,
    /// How long it was, microseconds, to the millisecond.
    pub length_us: u64,
    encoded: &'a str,
}

impl LogReader {
    /// Reads a log. A last line without its end, as a killed run may leave it, is left out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: &Path) -> Result<Self, ResultsError> {
        let mut text = std::fs::read(path).map_err(ResultsError::io("read", path))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let is_cut = whole < text.len();
        text.truncate(whole);
        Ok(Self { path: path.to_owned(), text, is_cut })
    }

    /// Whether the last line had no end and was left out.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The lines in their order; an error names the line and is the last item.
    pub fn lines(&self) -> impl Iterator<Item = Result<Line<'_>, ResultsError>> {
        let mut start_time_us = 0;
        let mut counted = (0, 1);
        IntervalLogIterator::new(&self.text).filter_map(move |entry| match entry {
            Ok(LogEntry::StartTime(start)) => {
                start_time_us = micros(start);
                None
            }
            Ok(LogEntry::BaseTime(_)) => Some(Err(self.malformed(1, "a BaseTime, which payrig never writes"))),
            Ok(LogEntry::Interval(interval)) => {
                let at = interval.encoded_histogram().as_ptr() as usize - self.text.as_ptr() as usize;
                let newlines = self.text[counted.0..at].iter().filter(|byte| **byte == b'\n').count();
                counted = (at, counted.1 + newlines);
                Some(self.line(&interval, counted.1, start_time_us))
            }
            Err(hdrhistogram::serialization::interval_log::LogIteratorError::ParseError { offset }) => {
                let newlines = self.text[..offset].iter().filter(|byte| **byte == b'\n').count();
                Some(Err(self.malformed(newlines + 1, "neither a comment nor an interval")))
            }
        })
    }

    fn malformed(&self, line: usize, why: impl Into<String>) -> ResultsError {
        ResultsError::Malformed { path: self.path.clone(), line, why: why.into() }
    }

    fn line<'a>(
        &'a self,
        interval: &IntervalLogHistogram<'a>,
        number: usize,
        start_time_us: u64,
    ) -> Result<Line<'a>, ResultsError> {
        const YEAR_US: u64 = 365 * 86_400_000_000;
        let tag = interval.tag().map_or("", |tag| tag.as_str());
        let Some(series) = Series::from_tag(tag) else {
            return Err(self.malformed(number, format!("the tag {tag:?} is not step.clock.class")));
        };
        let stamp_us = micros(interval.start_timestamp());
        // As the other readers guess: a stamp far before the start time counts from it.
        let is_offset = stamp_us < start_time_us.saturating_sub(YEAR_US);
        Ok(Line {
            path: &self.path,
            number,
            series,
            start_us: if is_offset { start_time_us + stamp_us } else { stamp_us },
            length_us: micros(interval.duration()),
            encoded: interval.encoded_histogram(),
        })
    }
}

impl Line<'_> {
    /// The interval's histogram.
    ///
    /// # Errors
    /// The encoded text is damaged.
    pub fn histogram(&self) -> Result<Histogram<u64>, ResultsError> {
        let malformed = |why: String| ResultsError::Malformed { path: self.path.to_owned(), line: self.number, why };
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(self.encoded)
            .map_err(|error| malformed(format!("the histogram is no base64: {error}")))?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| malformed(format!("the histogram cannot be read: {error}")))
    }
}

fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
