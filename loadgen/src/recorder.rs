//! Per-thread histograms of every request, swapped out each second, so that recording waits for nobody and allocates
//! nothing.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use payrig_results::Series;
use payrig_scenarios::{JourneyRecord, Step};

/// How many steps there are.
pub const STEPS: usize = Step::ALL.len();
/// The longest span that is told apart: an hour, in microseconds.
const MAX_US: u64 = 3_600_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;
/// Room for the journeys that one thread ends in a second; more only costs an allocation, after a journey's end.
const JOURNEYS_A_SECOND: usize = 4096;

/// The spans of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// done - scheduled: what a payer feels.
    Response,
    /// done - sent: what the server did.
    Service,
    /// sent - scheduled: what the harness did.
    SendLag,
    /// done - scheduled of requests that failed, which stand in none of the others.
    Failed,
}

impl Span {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Response, Self::Service, Self::SendLag, Self::Failed];

    /// The name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Response => Series::RESPONSE,
            Self::Service => "service_time",
            Self::SendLag => "send_lag",
            Self::Failed => Series::FAILED,
        }
    }
}

/// An empty histogram of the house's resolution: 1 us to 1 h, three significant digits.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_US, SIGNIFICANT_DIGITS).expect("constant bounds are valid")
}

/// One request's three instants, in microseconds by the run's clock.
#[derive(Clone, Copy, Debug)]
pub struct Instants {
    /// When the plan says.
    pub scheduled_us: u64,
    /// When it was handed to the client.
    pub sent_us: u64,
    /// When the last byte of the reply was read, or it was given up.
    pub done_us: u64,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ending {
    /// With a reply that this step may get.
    Done,
    /// With a reply that is an error to the payer: its status.
    Status(u16),
    /// No connection could be made.
    NoConnection,
    /// The connection broke.
    Broken,
    /// No whole reply in time.
    TimedOut,
    /// The run was over and its patience too.
    CutOff,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::NoConnection => f.write_str("no connection"),
            Self::Broken => f.write_str("connection broken"),
            Self::TimedOut => f.write_str("timed out"),
            Self::CutOff => f.write_str("no reply by the end of the grace"),
        }
    }
}

/// What was recorded over some time.
#[derive(Debug)]
pub struct Cells {
    spans: [[Histogram<u64>; Span::ALL.len()]; STEPS],
    /// Requests of the steady phase that failed, by step and ending.
    pub failed: Vec<(Step, Ending, u64)>,
    /// Requests of the steady phase whose end nobody knows, because the run was cut short; they are in no figure.
    pub unknown: u64,
    /// Requests of every phase, for the progress line.
    pub requests: u64,
    /// Failed requests of every phase, for the progress line.
    pub errors: u64,
    /// Rounds seen to have settled, in every phase.
    pub settled: u64,
    /// Payments seen to be paid, in every phase.
    pub paid: u64,
    /// Journeys that ended.
    pub journeys: Vec<JourneyRecord>,
}

impl Cells {
    fn new(journeys: usize) -> Self {
        Self {
            spans: std::array::from_fn(|_| std::array::from_fn(|_| histogram())),
            failed: Vec::with_capacity(64),
            unknown: 0,
            requests: 0,
            errors: 0,
            settled: 0,
            paid: 0,
            journeys: Vec::with_capacity(journeys),
        }
    }

    /// The histogram of a step, of requests that were done in the steady phase.
    #[must_use]
    pub fn span(&self, step: Step, span: Span) -> &Histogram<u64> {
        &self.spans[step.index()][span as usize]
    }

    /// A span over all steps.
    #[must_use]
    pub fn all_steps(&self, span: Span) -> Histogram<u64> {
        let mut all = histogram();
        for step in Step::ALL {
            add(&mut all, self.span(step, span));
        }
        all
    }

    fn fail(&mut self, step: Step, ending: Ending, count: u64) {
        match self.failed.iter_mut().find(|(of, how, _)| (*of, *how) == (step, ending)) {
            Some((.., so_far)) => *so_far += count,
            None => self.failed.push((step, ending, count)),
        }
    }

    /// Adds what another holds, but for its journeys, which are moved.
    pub fn absorb(&mut self, other: &mut Self) {
        for (mine, theirs) in self.spans.iter_mut().flatten().zip(other.spans.iter().flatten()) {
            if !theirs.is_empty() {
                add(mine, theirs);
            }
        }
        for (step, ending, count) in &other.failed {
            self.fail(*step, *ending, *count);
        }
        self.unknown += other.unknown;
        self.requests += other.requests;
        self.errors += other.errors;
        self.settled += other.settled;
        self.paid += other.paid;
        self.journeys.append(&mut other.journeys);
    }

    fn clear(&mut self) {
        for histogram in self.spans.iter_mut().flatten() {
            if !histogram.is_empty() {
                histogram.reset();
            }
        }
        self.failed.clear();
        self.journeys.clear();
        (self.unknown, self.requests, self.errors, self.settled, self.paid) = (0, 0, 0, 0, 0);
    }
}

fn add(mine: &mut Histogram<u64>, theirs: &Histogram<u64>) {
    mine.add(theirs).expect("all histograms of the recorder have the same bounds");
}

/// Where all users record. Each engine thread has a shard of its own; only the swap, once a second, meets it there.
#[derive(Debug)]
pub struct Recorder {
    shards: Vec<Mutex<Box<Cells>>>,
}

thread_local! {
    static MY_SHARD: Cell<Option<usize>> = const { Cell::new(None) };
}
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

impl Recorder {
    /// A recorder for so many engine threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let shards = (0..threads.max(1)).map(|_| Mutex::new(Box::new(Cells::new(JOURNEYS_A_SECOND)))).collect();
        Self { shards }
    }

    fn mine(&self) -> MutexGuard<'_, Box<Cells>> {
        let at = MY_SHARD.get().unwrap_or_else(|| {
            let at = NEXT_SHARD.fetch_add(1, Ordering::Relaxed);
            MY_SHARD.set(Some(at));
            at
        });
        // Nothing inside panics half-way; a poisoned shard is as good as any.
        self.shards[at % self.shards.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request; only those scheduled in the steady phase enter its figures.
    ///
    /// A request that failed is kept apart: a quick refusal among the others would flatter the server.
    pub fn request(&self, step: Step, at: Instants, ending: Ending, is_steady: bool) {
        let mut cells = self.mine();
        cells.requests += 1;
        cells.errors += u64::from(ending != Ending::Done);
        if !is_steady {
            return;
        }
        let felt_us = at.done_us.saturating_sub(at.scheduled_us);
        if ending != Ending::Done {
            cells.fail(step, ending, 1);
            cells.spans[step.index()][Span::Failed as usize].saturating_record(felt_us);
            return;
        }
        let spans = &mut cells.spans[step.index()];
        spans[Span::Response as usize].saturating_record(felt_us);
        spans[Span::Service as usize].saturating_record(at.done_us.saturating_sub(at.sent_us));
        spans[Span::SendLag as usize].saturating_record(at.sent_us.saturating_sub(at.scheduled_us));
    }

    /// Counts a request of the steady phase whose end nobody knows.
    pub fn unknown(&self) {
        self.mine().unknown += 1;
    }

    /// Counts rounds just seen as settled, and payments just seen as paid, for the progress line.
    pub fn seen(&self, settled: u64, paid: u64) {
        let mut cells = self.mine();
        cells.settled += settled;
        cells.paid += paid;
    }

    /// Takes in a journey that ended, or was stopped.
    pub fn journey(&self, record: JourneyRecord) {
        self.mine().journeys.push(record);
    }
}

/// Empties a recorder without making its threads wait for more than a swap of two pointers.
#[derive(Debug)]
pub struct Drain {
    spare: Box<Cells>,
    interval: Box<Cells>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { spare: Box::new(Cells::new(JOURNEYS_A_SECOND)), interval: Box::new(Cells::new(0)) }
    }
}

impl Drain {
    /// What was recorded since the last call, of all threads together.
    pub fn take(&mut self, recorder: &Recorder) -> &mut Cells {
        self.interval.clear();
        for shard in &recorder.shards {
            self.spare.clear();
            std::mem::swap(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner), &mut self.spare);
            self.interval.absorb(&mut self.spare);
        }
        &mut self.interval
    }
}

/// An empty total, to absorb intervals into.
#[must_use]
pub fn empty_cells() -> Cells {
    Cells::new(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(scheduled_us: u64, sent_us: u64, done_us: u64) -> Instants {
        Instants { scheduled_us, sent_us, done_us }
    }

    #[test]
    fn the_three_spans_are_kept_apart() {
        let recorder = Recorder::new(1);
        recorder.request(Step::Submit, at(1000, 1400, 3400), Ending::Done, true);
        recorder.request(Step::Submit, at(1000, 1400, 9400), Ending::Done, false);
        let mut drain = Drain::default();
        let cells = drain.take(&recorder);
        let max = |span| cells.span(Step::Submit, span).max();
        let near = |span, us: u64| max(span).abs_diff(us) <= us / 500;
        assert!(near(Span::Response, 2400) && near(Span::Service, 2000) && near(Span::SendLag, 400));
        assert_eq!(cells.span(Step::Submit, Span::Response).len(), 1, "warm-up stays out");
        assert_eq!(cells.requests, 2, "progress counts it");
    }

    #[test]
    fn failures_are_kept_apart() {
        let recorder = Recorder::new(1);
        for ending in [Ending::Status(503), Ending::Status(503), Ending::TimedOut] {
            recorder.request(Step::Query, at(0, 0, 10), ending, true);
        }
        let mut drain = Drain::default();
        let cells = drain.take(&recorder);
        assert_eq!(cells.span(Step::Query, Span::Failed).len(), 3);
        assert_eq!(cells.span(Step::Pay, Span::Failed).len(), 0);
        assert!(cells.span(Step::Query, Span::Response).is_empty());
        assert!(cells.failed.contains(&(Step::Query, Ending::Status(503), 2)));
    }

    #[test]
    fn threads_lose_nothing_while_it_is_drained() {
        let recorder = Recorder::new(2);
        let mut drain = Drain::default();
        let mut total = empty_cells();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        for us in 0..20_000 {
                            recorder.request(Step::Pay, at(0, 0, us), Ending::Done, true);
                        }
                        recorder.journey(JourneyRecord::default());
                    })
                })
                .collect();
            while workers.iter().any(|worker| !worker.is_finished()) {
                total.absorb(drain.take(&recorder));
            }
        });
        total.absorb(drain.take(&recorder));
        assert_eq!(total.span(Step::Pay, Span::Service).len(), 60_000);
        assert_eq!(total.all_steps(Span::Service).len(), 60_000);
        assert_eq!(total.journeys.len(), 3);
    }

    #[test]
    fn longer_than_an_hour_is_kept_as_an_hour() {
        let recorder = Recorder::new(1);
        recorder.request(Step::Pay, at(0, 0, u64::MAX), Ending::Done, true);
        let mut drain = Drain::default();
        assert!(drain.take(&recorder).span(Step::Pay, Span::Response).max() >= MAX_US);
    }
}
