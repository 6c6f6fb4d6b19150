//! Counts of the program, for `/metrics`.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::simulated::SimulatedChannel;

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelValue)]
pub(crate) enum Call {
    Prepay,
    Query,
    Close,
    Refund,
    Gateway,
    Cashier,
    Books,
    Ledger,
    Profile,
    SetProfile,
    Metrics,
    Health,
}

/// How it was answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelValue)]
pub(crate) enum Outcome {
    Success,
    ClientError,
    ServerError,
    /// Not at all: the profile or the caller asked for it.
    Lost,
}

/// What became of one sending of a notification.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelValue)]
pub(crate) enum Sent {
    Acknowledged,
    /// Answered, but not as the style demands.
    NotAcknowledged,
    /// No answer in time, or no connection.
    Unanswered,
    /// By the profile.
    Lost,
    /// The schedule is over.
    GivenUp,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct CallLabels {
    call: Call,
    outcome: Outcome,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct SentLabels {
    outcome: Sent,
}

type Count = Counter<u64, AtomicU64>;

/// All counts of the program.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Count>,
    sent: Family<SentLabels, Count>,
    /// Calls whose signature was not believed.
    pub(crate) refused_calls: Count,
    pending: Gauge,
    repeating: Gauge,
    dropped: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("payrig_channel");
        let (calls, sent) = (Family::default(), Family::default());
        let (refused_calls, pending, dropped) = (Count::default(), Gauge::default(), Gauge::default());
        let repeating = Gauge::default();
        registry.register("calls", "Requests by call and outcome", calls.clone());
        registry.register("notification_sendings", "Sendings of notifications by what became of them", sent.clone());
        registry.register("refused_calls", "Calls whose signature was not believed", refused_calls.clone());
        registry.register("notifications_pending", "Notifications due, under way or never sent yet", pending.clone());
        registry.register("notifications_repeating", "Notifications that wait for a repeat", repeating.clone());
        registry.register("notifications_dropped", "Notifications dropped for want of room", dropped.clone());
        Self { registry, calls, sent, refused_calls, pending, repeating, dropped }
    }

    pub(crate) fn answered(&self, call: Call, outcome: Outcome) {
        self.calls.get_or_create(&CallLabels { call, outcome }).inc();
    }

    pub(crate) fn sent(&self, outcome: Sent) {
        self.sent.get_or_create(&SentLabels { outcome }).inc();
    }

    /// The `OpenMetrics` text.
    pub(crate) fn text(&self, channel: &SimulatedChannel) -> Result<String, std::fmt::Error> {
        self.pending.set(i64::try_from(channel.notifications_pending()).unwrap_or(i64::MAX));
        self.repeating.set(i64::try_from(channel.notifications_repeating()).unwrap_or(i64::MAX));
        self.dropped.set(i64::try_from(channel.notifications_dropped()).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}
