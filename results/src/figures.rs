//! The figures of `run.json`: what is told of each series, all from its histogram.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{ResultsError, Series, SpanUs};

/// A distribution in figures, in microseconds, to the histogram's three significant digits.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// How many values.
    pub n: u64,
    /// The smallest.
    pub min_us: u64,
    /// The mean.
    pub mean_us: f64,
    /// The median.
    pub p50_us: u64,
    /// 90 % are not above it.
    pub p90_us: u64,
    /// 95 % are not above it.
    pub p95_us: u64,
    /// 99 % are not above it.
    pub p99_us: u64,
    /// 99.9 % are not above it.
    pub p99_9_us: u64,
    /// 99.99 % are not above it.
    pub p99_99_us: u64,
    /// The largest.
    pub max_us: u64,
}

impl Figures {
    /// The figures of a histogram; all 0 where it is empty.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            n: histogram.len(),
            min_us: histogram.min(),
            mean_us: histogram.mean(),
            p50_us: histogram.value_at_quantile(0.50),
            p90_us: histogram.value_at_quantile(0.90),
            p95_us: histogram.value_at_quantile(0.95),
            p99_us: histogram.value_at_quantile(0.99),
            p99_9_us: histogram.value_at_quantile(0.999),
            p99_99_us: histogram.value_at_quantile(0.9999),
            max_us: histogram.max(),
        }
    }
}

/// Figures by class of time: `all`, later also `undisturbed`.
pub type ByClass = BTreeMap<String, Figures>;

/// What is told of one step.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StepFigures {
    /// Requests that were done, errors not among them.
    pub n: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Requests done a second of the steady phase.
    pub rate_per_s: f64,
    /// Failed requests as a share of all (0 to 1).
    pub error_rate: f64,
    /// By clock (`response_time`, `service_time`, `send_lag`), then by class. `failed` is how long failed ones took.
    pub clocks: BTreeMap<String, ByClass>,
}

/// Everything that is told of a run's latencies.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct FigureTable {
    /// By step.
    pub steps: BTreeMap<String, StepFigures>,
    /// All steps together.
    pub all_steps: StepFigures,
    /// The server's own stages, by name.
    pub stages: BTreeMap<String, ByClass>,
    /// A journey's own spans (`settle_server`, ...), by name.
    pub journey: BTreeMap<String, ByClass>,
}

/// The merged histogram of each series.
pub(crate) type Totals = BTreeMap<Series, Histogram<u64>>;

/// Adds a histogram to its series.
pub(crate) fn add(totals: &mut Totals, series: &Series, histogram: &Histogram<u64>) -> Result<(), ResultsError> {
    match totals.get_mut(series) {
        None => {
            totals.insert(series.clone(), histogram.clone());
            Ok(())
        }
        Some(total) => total
            .add(histogram)
            .map_err(|error| ResultsError::Unlike { tag: series.tag().to_owned(), why: error.to_string() }),
    }
}

impl FigureTable {
    /// The figures of these series; rates are by the length of the steady phase.
    pub(crate) fn of(totals: &Totals, steady: SpanUs) -> Result<Self, ResultsError> {
        let mut table = Self::default();
        let mut all_steps = Totals::new();
        for (series, histogram) in totals {
            let clocks = match series.subject() {
                Series::STAGE => &mut table.stages,
                Series::JOURNEY => &mut table.journey,
                step => {
                    add(&mut all_steps, &Series::new("all", series.clock(), series.class())?, histogram)?;
                    &mut table.steps.entry(step.to_owned()).or_default().clocks
                }
            };
            clocks
                .entry(series.clock().to_owned())
                .or_default()
                .insert(series.class().to_owned(), Figures::of(histogram));
        }
        for (series, histogram) in &all_steps {
            let clock = table.all_steps.clocks.entry(series.clock().to_owned()).or_default();
            clock.insert(series.class().to_owned(), Figures::of(histogram));
        }
        for step in table.steps.values_mut().chain([&mut table.all_steps]) {
            step.count(steady);
        }
        Ok(table)
    }
}

impl StepFigures {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests and microseconds")]
    fn count(&mut self, steady: SpanUs) {
        let of = |clock: &str| self.clocks.get(clock).and_then(|by_class| by_class.get(Series::ALL)).map_or(0, |f| f.n);
        (self.n, self.errors) = (of(Series::RESPONSE), of(Series::FAILED));
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        self.rate_per_s = share(self.n as f64, steady.length_us() as f64 / 1e6);
        self.error_rate = share(self.errors as f64, (self.n + self.errors) as f64);
    }
}
