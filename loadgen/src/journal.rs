//! Writes what is recorded into the results folder, second by second, under the names that the format gives it.

use std::path::Path;

use hdrhistogram::Histogram;
use payrig_results::{ResultsError, RunWriter, Series};
use payrig_scenarios::{JourneyRecord, Step};

use crate::recorder::{Cells, STEPS, Span};
use crate::tally::{JourneySpan, Tally};

/// A results folder in the making, with the names of everything that goes there.
#[derive(Debug)]
pub struct Journal {
    writer: RunWriter,
    requests: [[Series; Span::ALL.len()]; STEPS],
    journeys: [Series; JourneySpan::ALL.len()],
}

impl Journal {
    /// Makes a folder for a run of this scenario.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn create(root: &Path, scenario: &str, started_us: u64) -> Result<Self, ResultsError> {
        Ok(Self {
            writer: RunWriter::create(root, scenario, started_us)?,
            requests: Step::ALL.map(|step| Span::ALL.map(|span| request_series(step, span))),
            journeys: JourneySpan::ALL.map(journey_series),
        })
    }

    /// Appends what was recorded between two instants, microseconds since the epoch.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn interval(&mut self, from_us: u64, to_us: u64, cells: &Cells, tally: &Tally) -> Result<(), ResultsError> {
        let requests = Step::ALL.into_iter().flat_map(|step| {
            let names = &self.requests[step.index()];
            Span::ALL.into_iter().map(move |span| (&names[span as usize], cells.span(step, span)))
        });
        let journeys = JourneySpan::ALL.into_iter().map(|span| (&self.journeys[span as usize], tally.span(span)));
        self.writer.interval(from_us, to_us.saturating_sub(from_us), requests.chain(journeys))
    }

    /// Appends one journey.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn journey(&mut self, record: &JourneyRecord) -> Result<(), ResultsError> {
        self.writer.journey(record)
    }

    /// The folder while the run goes on, for other files.
    #[must_use]
    pub fn partial_dir(&self) -> &Path {
        self.writer.partial_dir()
    }

    /// The writer, to judge what is in it and to finish it.
    #[must_use]
    pub fn into_writer(self) -> RunWriter {
        self.writer
    }

    /// Everything of a request's span so far; of one step, or of all together. Empty where there was nothing.
    #[must_use]
    pub fn requests(&self, step: Option<Step>, span: Span) -> Histogram<u64> {
        let steps = Step::ALL.into_iter().filter(|of| step.is_none_or(|step| step == *of));
        self.sum(steps.map(|step| &self.requests[step.index()][span as usize]))
    }

    /// Everything of a journey's span so far.
    #[must_use]
    pub fn journeys(&self, span: JourneySpan) -> Histogram<u64> {
        self.sum([&self.journeys[span as usize]])
    }

    fn sum<'a>(&self, series: impl IntoIterator<Item = &'a Series>) -> Histogram<u64> {
        let mut sum = crate::recorder::histogram();
        for total in series.into_iter().filter_map(|series| self.writer.total(series)) {
            sum.add(total).expect("all histograms of the recorder have the same bounds");
        }
        sum
    }
}

fn request_series(step: Step, span: Span) -> Series {
    Series::all(step.name(), span.name()).expect("steps and spans have plain names")
}

fn journey_series(span: JourneySpan) -> Series {
    let (subject, clock) = span.names();
    Series::all(subject, clock).expect("spans have plain names")
}
