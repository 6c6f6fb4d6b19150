//! What the grammar takes and refuses.

use super::*;
use proptest::prelude::*;

fn time(text: &str) -> (Subject, Statistic, Comparison, f64, Option<Step>) {
    let threshold = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let Quantity::Time(subject, statistic) = threshold.quantity else { panic!("{text} is no time") };
    (subject, statistic, threshold.comparison, threshold.limit, threshold.step)
}

#[test]
fn times_are_read_as_documented() {
    use Comparison::{AtMost, Less};
    use Statistic::{Max, Mean, Quantile};
    assert_eq!(time("p99<250ms for submit"), (Subject::Response, Quantile(0.99), Less, 250_000.0, Some(Step::Submit)));
    assert_eq!(time("p(95)<500"), (Subject::Response, Quantile(0.95), Less, 500_000.0, None));
    assert_eq!(time("settle p95<4s"), (Subject::Settle, Quantile(0.95), Less, 4e6, None));
    assert_eq!(time(" max <= 1.5 s for query_paid"), (Subject::Response, Max, AtMost, 1.5e6, Some(Step::QueryPaid)));
    assert_eq!(time("avg<800us"), (Subject::Response, Mean, Less, 800.0, None));
    assert_eq!(time("p(99.9)<10 for query"), (Subject::Response, Quantile(0.999), Less, 10_000.0, Some(Step::Query)));
    assert_eq!(time("queue-wait med<5").0, Subject::QueueWait);
}

#[test]
fn rates_are_read_as_documented() {
    let threshold = parse("error-rate<1%").unwrap();
    assert_eq!((threshold.quantity, threshold.limit), (Quantity::ErrorRate, 0.01));
    let threshold = parse("rate>=2000/1s for submit").unwrap();
    assert_eq!((threshold.quantity, threshold.comparison), (Quantity::Rate, Comparison::AtLeast));
    assert_eq!((threshold.limit, threshold.step), (2000.0, Some(Step::Submit)));
    assert_eq!(parse("rate>600/m").unwrap().limit, 10.0);
}

#[test]
fn an_error_names_the_place_and_what_is_accepted() {
    for (text, at, expected) in [
        ("", 0, "a statistic"),
        ("p99", 3, "one of <"),
        ("p99=5", 3, "one of <"),
        ("p99<", 4, "a number"),
        ("p99<fast", 4, "a number"),
        ("p99<5min", 5, "a unit of time"),
        ("p101<5", 0, "a statistic"),
        ("p0<5", 0, "a statistic"),
        ("settle<4s", 6, "after `settle`"),
        ("p99<5ms for checkout", 12, "a step: create_order, submit"),
        ("settle p95<4s for submit", 14, "whole journeys"),
        ("error-rate<1", 11, "1%"),
        ("error-rate<150%", 11, "percentage"),
        ("rate>5ms", 6, "a rate such as"),
        ("p99<5ms window=10s", 8, "not in this version"),
        ("p99<5 window=10s", 6, "not in this version"),
        ("p99<5ms twice", 8, "nothing more"),
        ("rate>=5 often", 8, "nothing more"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.expected.contains(expected), "{text}: {error}");
        assert_eq!(error.at, at, "{error}");
        assert!(error.to_string().contains("examples"));
    }
}

proptest! {
    #[test]
    fn every_well_formed_threshold_is_read(
        percent in 1_u32..1000, limit in 1_u32..100_000, step in 0..Step::ALL.len(), spaces in " {0,2}",
    ) {
        let step = Step::ALL[step];
        let percent = f64::from(percent) / 10.0;
        let text = format!("{spaces}p({percent}){spaces}<={spaces}{limit}{spaces}ms for {}", step.name());
        let threshold = parse(&text).unwrap();
        prop_assert_eq!(threshold.quantity, Quantity::Time(Subject::Response, Statistic::Quantile((percent * 10.0).round() / 1e3)));
        prop_assert_eq!(threshold.limit, f64::from(limit) * 1e3);
        prop_assert_eq!(threshold.step, Some(step));
    }

    #[test]
    fn no_text_panics_and_every_error_points_into_it(text in "\\PC{0,24}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.at <= text.len());
            let _ = error.to_string();
        }
    }

    #[test]
    fn nearly_right_text_does_not_panic(text in "(p9|settle|p\\(|rate|error-rate|max)[<>=]{0,2}[0-9.]{0,4}(ms|%|/s)?( for )?[a-z]{0,6}") {
        let _ = parse(&text).map_err(|error| error.to_string());
    }
}
