//! Holds thresholds against the whole steady phase.

use hdrhistogram::Histogram;
use payrig_results::ThresholdResult;
use payrig_scenarios::Step;

use super::threshold::{Quantity, Statistic, Subject, Threshold};

/// What thresholds are judged on: sums over the whole steady phase.
pub trait Sums {
    /// Response times of done requests, microseconds, of one step or of all.
    fn response(&self, step: Option<Step>) -> Histogram<u64>;
    /// How many requests failed, of one step or of all.
    fn failed(&self, step: Option<Step>) -> u64;
    /// The spans that a threshold on whole journeys looks at, microseconds.
    fn journeys(&self, subject: Subject) -> Histogram<u64>;
    /// How long the steady phase lasted, in seconds.
    fn steady_s(&self) -> f64;
}

/// How a threshold stood. Where nothing was seen that it speaks about, it is not kept.
#[must_use]
pub fn judge(threshold: &Threshold, sums: &impl Sums) -> ThresholdResult {
    let observed = observe(threshold, sums);
    ThresholdResult {
        text: threshold.text.clone(),
        observed,
        limit: threshold.limit,
        unit: threshold.quantity.unit().to_owned(),
        is_kept: observed.is_some_and(|figure| threshold.comparison.holds(figure, threshold.limit)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
fn observe(threshold: &Threshold, sums: &impl Sums) -> Option<f64> {
    let step = threshold.step;
    match threshold.quantity {
        Quantity::Time(Subject::Response, statistic) => statistic.of(&sums.response(step)),
        Quantity::Time(subject, statistic) => statistic.of(&sums.journeys(subject)),
        Quantity::ErrorRate => {
            let (done, failed) = (sums.response(step).len(), sums.failed(step));
            (done + failed > 0).then(|| failed as f64 / (done + failed) as f64)
        }
        Quantity::Rate => {
            let done = sums.response(step).len();
            (done + sums.failed(step) > 0).then(|| done as f64 / sums.steady_s())
        }
    }
}

impl Statistic {
    /// Of a histogram; none where it is empty.
    #[expect(clippy::cast_precision_loss, reason = "at most an hour in microseconds")]
    fn of(self, histogram: &Histogram<u64>) -> Option<f64> {
        (!histogram.is_empty()).then(|| match self {
            Self::Quantile(quantile) => histogram.value_at_quantile(quantile) as f64,
            Self::Min => histogram.min() as f64,
            Self::Max => histogram.max() as f64,
            Self::Mean => histogram.mean(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::threshold::parse;
    use super::*;
    use crate::recorder::histogram;

    /// 100 submissions of 1..100 ms, of which 4 more failed; queries do not exist.
    struct Fixed;

    impl Sums for Fixed {
        fn response(&self, step: Option<Step>) -> Histogram<u64> {
            let mut times = histogram();
            if matches!(step, None | Some(Step::Submit)) {
                (1..=100).for_each(|ms| times.saturating_record(ms * 1000));
            }
            times
        }
        fn failed(&self, step: Option<Step>) -> u64 {
            if matches!(step, None | Some(Step::Submit)) { 4 } else { 0 }
        }
        fn journeys(&self, subject: Subject) -> Histogram<u64> {
            let mut times = histogram();
            if subject == Subject::Settle {
                times.saturating_record(2_000_000);
            }
            times
        }
        fn steady_s(&self) -> f64 {
            10.0
        }
    }

    fn is_kept(text: &str) -> bool {
        judge(&parse(text).unwrap(), &Fixed).is_kept
    }

    #[test]
    fn thresholds_are_held_against_the_sums() {
        for text in [
            "p99<100",
            "p(50)<=50.1",
            "max<101ms",
            "avg>50ms",
            "min<2ms",
            "p99<100ms for submit",
            "error-rate<4%",
            "error-rate<0.04 for submit",
            "rate>=10",
            "rate>=10 for submit",
            "settle p95<4s",
        ] {
            assert!(is_kept(text), "{text}");
        }
        for text in ["p99<90", "max<100ms", "error-rate<3%", "rate>10", "settle p95<1s"] {
            assert!(!is_kept(text), "{text}");
        }
    }

    #[test]
    fn what_was_never_seen_keeps_no_promise() {
        for text in
            ["p99<1h for query", "p99>0 for query", "error-rate<1% for query", "rate>=0 for query", "own p50<1h"]
        {
            let result = judge(&parse(text).unwrap(), &Fixed);
            assert!(!result.is_kept && result.observed.is_none(), "{text}");
        }
    }
}
