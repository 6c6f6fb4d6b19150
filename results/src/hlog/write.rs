//! Writes the interval log while a run goes on.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::{ResultsError, Series, utc_time};

/// Appends intervals to a log, each with one `write` to the file, so that a killed run keeps every whole interval.
#[derive(Debug)]
pub struct LogWriter {
    file: File,
    path: PathBuf,
    last_start_us: u64,
    interval: Vec<u8>,
    serializer: Serializer,
}

struct Serializer(V2DeflateSerializer);

impl std::fmt::Debug for Serializer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("V2DeflateSerializer")
    }
}

impl LogWriter {
    /// Starts a log. `started_us` is the wall clock, microseconds since the epoch.
    ///
    /// # Errors
    /// The file exists already, or the file system refuses.
    pub fn create(path: &Path, started_us: u64) -> Result<Self, ResultsError> {
        let mut file = File::create_new(path).map_err(ResultsError::io("create", path))?;
        let head = format!(
            "#[Histogram log format version 1.3]\n\
             #[Values are microseconds; Tag is step.clock.class]\n\
             #[StartTime: {}.{:03} (seconds since epoch), {}]\n\
             \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
            started_us / 1_000_000,
            started_us / 1_000 % 1_000,
            utc_time(started_us),
        );
        file.write_all(head.as_bytes()).map_err(ResultsError::io("write", path))?;
        let serializer = Serializer(V2DeflateSerializer::new());
        Ok(Self { file, path: path.to_owned(), last_start_us: 0, interval: Vec::new(), serializer })
    }

    /// Appends one interval: a line for each series that is not empty. `start_us` is microseconds since the epoch; the
    /// log keeps whole milliseconds of it and of the length.
    ///
    /// # Errors
    /// The interval starts before the last one, or the file system refuses.
    pub fn interval<'a>(
        &mut self,
        start_us: u64,
        length_us: u64,
        series: impl IntoIterator<Item = (&'a Series, &'a Histogram<u64>)>,
    ) -> Result<(), ResultsError> {
        if start_us < self.last_start_us {
            return Err(ResultsError::OutOfOrder { start_us, last_us: self.last_start_us });
        }
        self.last_start_us = start_us;
        self.interval.clear();
        let encode = |why: String| ResultsError::Encode { what: self.path.display().to_string(), why };
        // A writer without a head of its own: ours has the format's version, which the library leaves out.
        let mut lines = IntervalLogWriterBuilder::new()
            .begin_log_with(&mut self.interval, &mut self.serializer.0)
            .map_err(|error| encode(error.to_string()))?;
        for (name, histogram) in series.into_iter().filter(|(_, histogram)| !histogram.is_empty()) {
            let (start, length) = (Duration::from_micros(start_us), Duration::from_micros(length_us));
            // Series has refused what a tag may not hold.
            let tag = Tag::new(name.tag());
            lines.write_histogram(histogram, start, length, tag).map_err(|error| encode(error.to_string()))?;
        }
        self.file.write_all(&self.interval).map_err(ResultsError::io("write", &self.path))
    }

    /// Sees to it that the log is on the disk.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn sync(&mut self) -> Result<(), ResultsError> {
        self.file.sync_all().map_err(ResultsError::io("write", &self.path))
    }
}
