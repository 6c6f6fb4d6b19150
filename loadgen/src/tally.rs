//! Journeys' own figures, added up from their records: settle and paid time, stages, outcomes.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use payrig_results::Series;
use payrig_scenarios::{JourneyRecord, Outcome, RoundSeen, ViolationKind};

use crate::recorder::histogram;

/// How many different reasons of one kind are kept; a server that words each one differently fills no memory.
const REASONS_MAX: usize = 20;

/// A span of a journey, or a stage of one of its rounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JourneySpan {
    /// From accepted to settled by the server's clock, each round.
    SettleServer,
    /// From asked for to settled, each round: the least that it can have been by the client's clock.
    SettleClientFrom,
    /// The most that it can have been by the client's clock.
    SettleClientTo,
    /// From the payer's paying to shown as paid: the least by the client's clock.
    PaidClientFrom,
    /// The most by the client's clock.
    PaidClientTo,
    /// Waiting in the queue, by the server's clock.
    QueueWait,
    /// Calls of the channel, by the server's clock.
    Channel,
    /// Intended delays between attempts, by the server's clock.
    RetryWait,
    /// All the rest, by the server's clock: what the flow itself cost.
    Own,
}

impl JourneySpan {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::SettleServer,
        Self::SettleClientFrom,
        Self::SettleClientTo,
        Self::PaidClientFrom,
        Self::PaidClientTo,
        Self::QueueWait,
        Self::Channel,
        Self::RetryWait,
        Self::Own,
    ];

    /// The names in results: the subject, and its clock.
    #[must_use]
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::SettleServer => (Series::JOURNEY, "settle_server"),
            Self::SettleClientFrom => (Series::JOURNEY, "settle_client_from"),
            Self::SettleClientTo => (Series::JOURNEY, "settle_client_to"),
            Self::PaidClientFrom => (Series::JOURNEY, "paid_client_from"),
            Self::PaidClientTo => (Series::JOURNEY, "paid_client_to"),
            Self::QueueWait => (Series::STAGE, "queue_wait"),
            Self::Channel => (Series::STAGE, "channel"),
            Self::RetryWait => (Series::STAGE, "retry_wait"),
            Self::Own => (Series::STAGE, "own"),
        }
    }
}

/// What journeys tell beyond the counts that the results folder makes itself. Spans are of journeys that began in the
/// steady phase, whenever they ended, so that slow ones are not left out.
#[derive(Debug)]
pub struct Tally {
    /// Since they were last cleared.
    spans: [Histogram<u64>; JourneySpan::ALL.len()],
    /// Broken promises that clients saw in any phase: how many of each kind, and the first in words.
    pub violations: BTreeMap<String, (u64, String)>,
    /// How many values each span has had, in the order of [`JourneySpan::ALL`].
    pub counts: [u64; JourneySpan::ALL.len()],
    /// Journeys of the steady phase that ended when they were settled, because there was no cashier to pay at.
    pub without_cashier: u64,
    /// Why journeys of the steady phase ended badly.
    pub reasons: BTreeMap<String, u64>,
    /// Rounds seen to settle within the steady phase, of journeys whenever they began.
    pub settled_in_steady: u64,
    /// Payments seen to be paid within the steady phase, of journeys whenever they began.
    pub paid_in_steady: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            spans: std::array::from_fn(|_| histogram()),
            counts: [0; JourneySpan::ALL.len()],
            without_cashier: 0,
            violations: BTreeMap::new(),
            reasons: BTreeMap::new(),
            settled_in_steady: 0,
            paid_in_steady: 0,
        }
    }
}

impl Tally {
    /// Adds one journey that ended or was stopped.
    pub fn add(&mut self, record: &JourneyRecord, is_steady: impl Fn(u64) -> bool) {
        let in_steady = |us: Option<u64>| us.is_some_and(&is_steady);
        self.settled_in_steady += record.rounds.iter().filter(|round| in_steady(round.first_settled_us)).count() as u64;
        self.paid_in_steady += u64::from(in_steady(record.first_paid_us));
        // A broken promise is news whenever it happened.
        for violation in &record.violations {
            let entry = self.violations.entry(violation_name(violation.kind)).or_default();
            entry.0 += 1;
            if entry.0 == 1 {
                entry.1 = format!("order {}: {}", record.order_no, violation.detail);
            }
        }
        if !in_steady(record.started_us) {
            return;
        }
        self.reason(record);
        self.without_cashier += u64::from(record.outcome == Outcome::SettledOnly);
        for round in &record.rounds {
            self.round(round);
        }
        self.paid(record);
    }

    /// A span's values since the last [`Tally::clear_spans`].
    #[must_use]
    pub fn span(&self, span: JourneySpan) -> &Histogram<u64> {
        &self.spans[span as usize]
    }

    /// Empties the spans, once they are in the log.
    pub fn clear_spans(&mut self) {
        self.spans.iter_mut().filter(|span| !span.is_empty()).for_each(Histogram::reset);
    }

    fn record(&mut self, span: JourneySpan, us: u64) {
        self.spans[span as usize].saturating_record(us);
        self.counts[span as usize] += 1;
    }

    fn reason(&mut self, record: &JourneyRecord) {
        let text = match &record.outcome {
            Outcome::Refused { status, problem } => {
                format!("refused: {status} {}", problem.as_deref().unwrap_or_default()).trim_end().to_owned()
            }
            Outcome::GaveUp { reason } => format!("gave up: {reason}"),
            Outcome::Error { reason } => format!("error: {reason}"),
            Outcome::Unfinished => format!("unfinished: {}", where_it_stood(record)),
            _ => return,
        };
        if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&text) {
            *self.reasons.entry(text).or_default() += 1;
        } else {
            *self.reasons.entry("other reasons".to_owned()).or_default() += 1;
        }
    }

    fn round(&mut self, round: &RoundSeen) {
        let Some(first_settled_us) = round.first_settled_us else { return };
        let seen = &round.stages;
        if let (Some(accepted), Some(settled)) = (seen.accepted_at, seen.settled_at) {
            self.record(JourneySpan::SettleServer, settled.saturating_sub(accepted));
        }
        self.record(JourneySpan::SettleClientFrom, round.last_unsettled_us.saturating_sub(round.asked_us));
        self.record(JourneySpan::SettleClientTo, first_settled_us.saturating_sub(round.asked_us));
        for (span, us) in [
            (JourneySpan::QueueWait, seen.queue_wait_us),
            (JourneySpan::Channel, seen.channel_us),
            (JourneySpan::RetryWait, seen.retry_wait_us),
            (JourneySpan::Own, seen.own_us),
        ] {
            if let Some(us) = us {
                self.record(span, us);
            }
        }
    }

    fn paid(&mut self, record: &JourneyRecord) {
        let (Some(pay), Some(first_paid_us)) = (record.pays.first(), record.first_paid_us) else { return };
        let last_unpaid_us = record.last_unpaid_us.unwrap_or(pay.sent_us);
        self.record(JourneySpan::PaidClientFrom, last_unpaid_us.saturating_sub(pay.sent_us));
        self.record(JourneySpan::PaidClientTo, first_paid_us.saturating_sub(pay.sent_us));
    }
}

/// What a journey that was stopped had been waiting for.
fn where_it_stood(record: &JourneyRecord) -> &'static str {
    if let Some(order) = &record.order {
        match (order.created_us, record.first_paid_us, order.first_paid_us) {
            (None, ..) => return "its order was not created yet",
            (Some(_), Some(_), None) => return "paid, and its order not shown as paid yet",
            (Some(_), Some(_), Some(_)) => return "its order paid, and not seen as shipped yet",
            (Some(_), None, _) => {}
        }
    }
    let is_settled = record.rounds.last().is_some_and(|round| round.first_settled_us.is_some());
    match (record.task_id.is_some(), is_settled, record.cashier_took_money()) {
        (false, ..) => "its submission was not accepted yet",
        (true, false, _) => "its round was not settled yet",
        (true, true, false) => "settled, and its payer had not paid yet",
        (true, true, true) => "paid at the cashier, and not shown as paid yet",
    }
}

/// The kind's name as in the records.
fn violation_name(kind: ViolationKind) -> String {
    serde_json::to_value(kind).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use payrig_scenarios::{PaySeen, StagesSeen, Violation};

    fn paid_journey(started_us: u64) -> JourneyRecord {
        JourneyRecord {
            scenario: "checkout".to_owned(),
            task_id: Some("t".to_owned()),
            started_us: Some(started_us),
            rounds: vec![RoundSeen {
                round: 1,
                asked_us: started_us,
                last_unsettled_us: started_us + 2_000,
                first_settled_us: Some(started_us + 4_000),
                state: None,
                stages: StagesSeen {
                    accepted_at: Some(10),
                    settled_at: Some(3_010),
                    own_us: Some(70),
                    ..StagesSeen::default()
                },
            }],
            pays: vec![PaySeen { sent_us: started_us + 5_000, answered_us: None, status: None, transaction_id: None }],
            first_paid_us: Some(started_us + 9_000),
            polls: 3,
            attempts: 1,
            outcome: Outcome::Paid,
            ..JourneyRecord::default()
        }
    }

    #[test]
    fn a_journey_counts_where_it_began_and_its_events_where_they_were() {
        let mut tally = Tally::default();
        let is_steady = |us| (1_000_000..2_000_000).contains(&us);
        tally.add(&paid_journey(1_000_000), is_steady);
        tally.add(&paid_journey(1_996_000), is_steady);
        tally.add(&paid_journey(996_500), is_steady);
        assert_eq!((tally.settled_in_steady, tally.paid_in_steady), (2, 2));
        let near = |span, us: u64| tally.span(span).len() == 2 && tally.span(span).max().abs_diff(us) <= us / 500;
        assert!(near(JourneySpan::SettleServer, 3_000) && near(JourneySpan::Own, 70));
        assert!(near(JourneySpan::SettleClientFrom, 2_000) && near(JourneySpan::SettleClientTo, 4_000));
        assert!(near(JourneySpan::PaidClientFrom, 0) && near(JourneySpan::PaidClientTo, 4_000));
        assert!(tally.span(JourneySpan::Channel).is_empty());
        tally.clear_spans();
        assert!(tally.span(JourneySpan::Own).is_empty());
    }

    #[test]
    fn broken_promises_count_even_outside_the_steady_phase() {
        let mut tally = Tally::default();
        let mut record = paid_journey(0);
        record.violations =
            vec![Violation { kind: ViolationKind::TakenBack, at_us: 1, detail: "paid, then closed".to_owned() }];
        tally.add(&record, |_| false);
        tally.add(&record, |_| false);
        assert_eq!(tally.violations["taken_back"].0, 2);
        assert!(tally.violations["taken_back"].1.contains("paid, then closed"));
    }

    #[test]
    fn reasons_are_bounded() {
        let mut tally = Tally::default();
        for n in 0..100 {
            let outcome = Outcome::Error { reason: format!("reason {n}") };
            tally.add(&JourneyRecord { started_us: Some(1), outcome, ..JourneyRecord::default() }, |_| true);
        }
        assert_eq!(tally.reasons.len(), REASONS_MAX + 1);
        assert_eq!(tally.reasons.values().sum::<u64>(), 100);
    }
}
