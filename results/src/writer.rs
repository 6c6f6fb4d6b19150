//! Writes a results folder while a run goes on.

use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::figures::{Totals, add};
use crate::journeys::JourneyWriter;
use crate::{
    FigureTable, JOURNEYS_FILE, LOG_FILE, LogWriter, ResultsError, Run, SCHEMA_VERSION, Series, SpanUs, folder_time,
    recount,
};

/// How many runs of one scenario may begin in the same second.
const SAME_SECOND_MAX: u32 = 1_000;

/// A results folder in the making. Until it is finished its name ends in `.partial`; a run that is killed leaves that
/// folder, with every whole interval and every flushed journey in it.
#[derive(Debug)]
pub struct RunWriter {
    partial: PathBuf,
    dir: PathBuf,
    log: LogWriter,
    journeys: JourneyWriter,
    totals: Totals,
}

impl RunWriter {
    /// Makes the folder `<root>/<UTC time>-<scenario>.partial/`. `started_us` is the wall clock, microseconds since the
    /// epoch.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn create(root: &Path, scenario: &str, started_us: u64) -> Result<Self, ResultsError> {
        std::fs::create_dir_all(root).map_err(ResultsError::io("create", root))?;
        let (partial, dir) = claim(root, &format!("{}-{scenario}", folder_time(started_us)))?;
        Ok(Self {
            log: LogWriter::create(&partial.join(LOG_FILE), started_us)?,
            journeys: JourneyWriter::create(&partial.join(JOURNEYS_FILE))?,
            partial,
            dir,
            totals: Totals::new(),
        })
    }

    /// The folder as it will be named when it is finished.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder while the run goes on, for other files.
    #[must_use]
    pub fn partial_dir(&self) -> &Path {
        &self.partial
    }

    /// Appends one interval (see [`LogWriter::interval`]), and hands the journeys so far to their file.
    ///
    /// # Errors
    /// The interval starts before the last one, a series changes its resolution, or the file system refuses.
    pub fn interval<'a>(
        &mut self,
        start_us: u64,
        length_us: u64,
        series: impl IntoIterator<Item = (&'a Series, &'a Histogram<u64>), IntoIter: Clone>,
    ) -> Result<(), ResultsError> {
        let series = series.into_iter();
        self.log.interval(start_us, length_us, series.clone())?;
        for (name, histogram) in series.filter(|(_, histogram)| !histogram.is_empty()) {
            add(&mut self.totals, name, histogram)?;
        }
        self.journeys.flush()
    }

    /// Appends one journey's record; any JSON object will do that has `outcome.kind` and, to be counted, the members of
    /// the scenarios' record.
    ///
    /// # Errors
    /// The record cannot be JSON, or the file system refuses.
    pub fn journey(&mut self, record: &impl Serialize) -> Result<(), ResultsError> {
        self.journeys.write(record)
    }

    /// The merged histogram of a series so far; none where it is empty.
    #[must_use]
    pub fn total(&self, series: &Series) -> Option<&Histogram<u64>> {
        self.totals.get(series)
    }

    /// The figures so far; rates are by the length of `steady`.
    ///
    /// # Errors
    /// Steps of unlike resolution cannot be put together.
    pub fn figures(&self, steady: SpanUs) -> Result<FigureTable, ResultsError> {
        FigureTable::of(&self.totals, steady)
    }

    /// Writes `run.json` and gives the folder its name. Schema version, figures and counts are filled in here, over
    /// `run.steady`; whatever stood there is replaced. Judgements can be added later by [`Run::write`].
    ///
    /// # Errors
    /// The file system refuses; the folder then keeps its `.partial` name.
    pub fn finish(mut self, run: Run) -> Result<(PathBuf, Run), ResultsError> {
        self.log.sync()?;
        self.journeys.sync()?;
        let run = Run {
            schema_version: SCHEMA_VERSION,
            figures: self.figures(run.steady)?,
            journeys: recount(&self.partial, run.steady)?,
            ..run
        };
        run.write(&self.partial)?;
        std::fs::rename(&self.partial, &self.dir).map_err(ResultsError::io("rename to", &self.dir))?;
        Ok((self.dir, run))
    }
}

/// Makes a folder that is neither there nor in the making, and gives its present and its later name.
fn claim(root: &Path, name: &str) -> Result<(PathBuf, PathBuf), ResultsError> {
    let mut suffix = 1;
    loop {
        let name = if suffix == 1 { name.to_owned() } else { format!("{name}-{suffix}") };
        let (partial, dir) = (root.join(format!("{name}.partial")), root.join(&name));
        match std::fs::create_dir(&partial) {
            Ok(()) if !dir.exists() => return Ok((partial, dir)),
            // Someone finished this name before.
            Ok(()) => std::fs::remove_dir(&partial).map_err(ResultsError::io("remove", &partial))?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && suffix < SAME_SECOND_MAX => {}
            Err(error) => return Err(ResultsError::io("create", &partial)(error)),
        }
        suffix += 1;
    }
}
