//! Counts and times of this process, for `/metrics`. A leaf: nothing here knows the flow.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The label of a state or kind that has a fixed name.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct Named {
    /// The name.
    pub name: &'static str,
}

/// The label of a request.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's name.
    pub route: &'static str,
    /// The class of the status.
    pub status: StatusClass,
}

/// The class of an HTTP status.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelValue)]
pub enum StatusClass {
    /// 2xx.
    Success,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
}

/// 50 us to 26 s in powers of two.
fn times() -> Histogram {
    Histogram::new((0..20_i32).map(|power| 50e-6 * f64::powi(2.0, power)))
}

/// 1 to 4,096 in powers of two.
fn sizes() -> Histogram {
    Histogram::new((0..13_i32).map(|power| f64::powi(2.0, power)))
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $make:expr, $help:literal $(, $unit:ident)?;)*) => {
        /// All metrics of the process.
        pub struct Metrics {
            registry: Registry,
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Metrics {
            /// Metrics that stand at nothing.
            #[must_use]
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("payrig");
                $(
                    let $name: $type = $make;
                    metrics!(@register registry, $name, $help $(, $unit)?);
                )*
                Self { registry, $($name,)* }
            }
        }
    };
    (@register $registry:ident, $name:ident, $help:literal, $unit:ident) => {
        $registry.register_with_unit(stringify!($name), $help, Unit::$unit, $name.clone());
    };
    (@register $registry:ident, $name:ident, $help:literal) => {
        $registry.register(stringify!($name), $help, $name.clone());
    };
}

type Count = Counter<u64, AtomicU64>;

metrics! {
    /// Rounds accepted.
    accepted: Count = Count::default(), "Rounds accepted";
    /// Submissions refused for want of room, nothing written.
    refused_overload: Count = Count::default(), "Submissions refused for want of room";
    /// Rounds settled, by outcome.
    settled: Family<Named, Count> = Family::default(), "Rounds settled by outcome";
    /// Payments ended, by how.
    payments_ended: Family<Named, Count> = Family::default(), "Payments ended, by how";
    /// Attempts made.
    attempts: Count = Count::default(), "Attempts made";
    /// Automatic retries scheduled.
    retries: Count = Count::default(), "Automatic retries scheduled";
    /// Attempts under way.
    attempts_in_flight: Gauge = Gauge::default(), "Attempts under way";
    /// Attempts that were put off because the channel was known not to answer.
    put_off: Count = Count::default(), "Attempts that were put off because the channel was known not to answer";
    /// Calls of the channel over HTTP, by how they went.
    channel_calls: Family<Named, Count> = Family::default(), "Calls of the channel over HTTP, by how they went";
    /// Refunds given.
    refunds: Count = Count::default(), "Refunds given";
    /// Refunds that are owed and not given.
    refunds_open: Gauge = Gauge::default(), "Refunds that are owed and not given, as far as this process knows";
    /// Calls of the channel for refunds, by what came of them.
    refund_tries: Family<Named, Count> = Family::default(), "Calls of the channel for refunds";
    /// Queries answered from the cache.
    cache_hits: Count = Count::default(), "Queries answered from the result cache";
    /// Queries answered from the store.
    cache_misses: Count = Count::default(), "Queries that went to the document store";
    /// Calls of the result cache that failed: timeout, lost (the connection), refused (by the server), busy (too many
    /// under way), down (told at once, as it is known not to answer).
    cache_errors: Family<Named, Count> = Family::default(), "Calls of the result cache that failed, by how";
    /// Calls of a result cache that is not in this process, by call.
    cache_latency: Family<Named, Histogram> = Family::new_with_constructor(times), "Calls of a result cache that is not in this process", Seconds;
    /// Connections to the result cache that were lost or given up.
    cache_connections_lost: Count = Count::default(), "Connections to the result cache that were lost or given up";
    /// Entries of the result cache that this program cannot read.
    cache_unreadable: Count = Count::default(), "Entries of the result cache in a format of another version";
    /// Open tasks looked at by the sweeper.
    swept: Count = Count::default(), "Open tasks looked at by the sweeper";
    /// Rounds that the sweeper sent to the queue again.
    swept_requeued: Count = Count::default(), "Rounds that the sweeper sent to the queue again";
    /// Queue wait of a settled round.
    stage_queue_wait: Histogram = times(), "Queue wait of a settled round", Seconds;
    /// Channel time of a settled round.
    stage_channel: Histogram = times(), "Channel time of a settled round", Seconds;
    /// Intended retry delays of a settled round.
    stage_retry_wait: Histogram = times(), "Intended retry delays of a settled round", Seconds;
    /// All the rest of a settled round.
    stage_own: Histogram = times(), "What the flow itself cost a settled round", Seconds;
    /// Commands of the MongoDB-compatible store, and how long their answers took.
    mongodb_command_time: Family<Named, Histogram> = Family::new_with_constructor(times), "From a command of the MongoDB-compatible store to its answer", Seconds;
    /// Commands of the MongoDB-compatible store without an answer.
    mongodb_failed: Family<Named, Count> = Family::default(), "Commands of the MongoDB-compatible store without an answer";
    /// Commands of the MongoDB-compatible store that were tried again.
    mongodb_retried: Count = Count::default(), "Writes of the MongoDB-compatible store that were tried again";
    /// Documents that a repeated write found there and that were its own.
    mongodb_adopted: Count = Count::default(), "Documents that a repeated write found there and that were its own";
    /// Documents in one insert.
    mongodb_batch: Histogram = sizes(), "Documents in one insert of the MongoDB-compatible store";
    /// Whether nobody answers.
    mongodb_down: Gauge = Gauge::default(), "Whether the MongoDB-compatible store does not answer";
    /// How many submissions share a store call.
    publish_batch: Histogram = sizes(), "Submissions in one call of the store";
    /// How many outcomes share a store call.
    sync_batch: Histogram = sizes(), "Outcomes in one call of the store";
    /// HTTP requests by route and status class.
    requests: Family<RequestLabels, Count> = Family::default(), "HTTP requests";
    /// HTTP request latency by route.
    request_latency: Family<Named, Histogram> = Family::new_with_constructor(times), "From parsed headers to the answer", Seconds;
    /// Open connections.
    connections: Gauge = Gauge::default(), "Open connections";
    /// Connections closed by a deadline.
    connection_timeouts: Family<Named, Count> = Family::default(), "Connections closed by a deadline";
    /// Calls without a merchant's key, where one is needed: missing or unknown.
    unauthorized: Family<Named, Count> = Family::default(), "Calls without a merchant's key, where one is needed";
    /// How often the merchants' file was read again: done, or refused as it was not as expected.
    merchants_reloads: Family<Named, Count> = Family::default(), "Merchants read again";
    /// Success messages that were published.
    success_published: Count = Count::default(), "Success messages published to the subscribers";
    /// Success messages that the sweeper published again to a subscriber.
    success_republished: Count = Count::default(), "Success messages that the sweeper published again to a subscriber";
    /// Success messages for which a queue had no room, by queue; their subscribers read them from the store.
    success_left: Family<Named, Count> = Family::default(), "Success messages left to the notices for want of room";
    /// Effects of subscribers, by subscriber.
    success_effects: Family<Named, Count> = Family::default(), "Effects that subscribers wrote";
    /// Age of the oldest notice at the sweeper's last look.
    oldest_notice_age_seconds: Gauge = Gauge::default(), "Age of the oldest notice when the sweeper looked last";
    /// RabbitMQ: messages that were sent, by what became of them. One may be sent several times.
    rabbitmq_published: Family<Named, Count> = Family::default(), "Messages sent to RabbitMQ, by what became of them";
    /// RabbitMQ: deliveries that were not just read: come again, of a later version, parked, or acknowledged too late.
    rabbitmq_deliveries: Family<Named, Count> = Family::default(), "Deliveries of RabbitMQ that were not just read, by what they were";
    /// RabbitMQ: connections that were lost, found again, blocked and unblocked.
    rabbitmq_links: Family<Named, Count> = Family::default(), "Connections to RabbitMQ that were lost, found again, blocked or unblocked";
    /// Notifications that were believed and stored; repeats count too.
    notices_taken: Count = Count::default(), "Notifications that were believed and stored";
    /// Notifications and other news of money that were not believed, by why.
    notices_rejected: Family<Named, Count> = Family::default(), "News of money that were not believed, by why";
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The Prometheus (`OpenMetrics`) text of everything registered here, without the closing EOF line, so that gauges
    /// read elsewhere can follow.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode_registry(&mut text, &self.registry);
        text
    }

    /// Records the stages of a settled round, in microseconds.
    pub fn record_stages(&self, queue_wait_us: u64, channel_us: u64, retry_wait_us: u64, own_us: u64) {
        let seconds = |us| Duration::from_micros(us).as_secs_f64();
        self.stage_queue_wait.observe(seconds(queue_wait_us));
        self.stage_channel.observe(seconds(channel_us));
        self.stage_retry_wait.observe(seconds(retry_wait_us));
        self.stage_own.observe(seconds(own_us));
    }
}
