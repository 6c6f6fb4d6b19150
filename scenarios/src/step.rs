//! What passes between a journey and the engine that drives it: steps, requests, events and actions.

use std::time::Duration;

/// What a request is for; latencies are recorded under its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// Creates the order.
    CreateOrder,
    /// Hands in a payment.
    Submit,
    /// Asks whether the round is settled.
    Query,
    /// Pays at the channel's cashier.
    Pay,
    /// Asks whether the payment is paid (or closed).
    QueryPaid,
    /// Asks for the order: whether it is paid, and its parcels.
    Order,
    /// Splits the paid order into parcels.
    Ship,
    /// Triggers a manual retry.
    Retry,
    /// Cancels.
    Cancel,
}

impl Step {
    /// Every step, in the order in which they are reported.
    pub const ALL: [Self; 9] = [
        Self::CreateOrder,
        Self::Submit,
        Self::Query,
        Self::Pay,
        Self::QueryPaid,
        Self::Order,
        Self::Ship,
        Self::Retry,
        Self::Cancel,
    ];

    /// The stable name in results and thresholds.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateOrder => "create_order",
            Self::Order => "order",
            Self::Ship => "ship",
            Self::Submit => "submit",
            Self::Query => "query",
            Self::Pay => "pay",
            Self::QueryPaid => "query_paid",
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    /// The step of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// Its place in [`Step::ALL`], for tables by step.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The HTTP methods that journeys use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Reads.
    Get,
    /// Asks for something to happen.
    Post,
}

/// Where a request goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A path on the server under test, from its first slash.
    Path(String),
    /// An absolute URL: the channel's cashier.
    Url(String),
}

/// One HTTP request to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What it is for.
    pub step: Step,
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub target: Target,
    /// The value of the `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// A JSON body, to be sent as `application/json`.
    pub body: Option<Vec<u8>>,
}

/// What the engine tells a journey.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// The journey begins; its instant is the one at which the submission is *scheduled*.
    Start,
    /// The wait that was asked for is over.
    Waited,
    /// A reply was read to its last byte.
    Reply {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header, in seconds.
        retry_after_s: Option<u64>,
        /// The whole body.
        body: &'a [u8],
    },
    /// No reply: the connection could not be made, broke, or timed out. Whether the request had an effect is unknown.
    Lost,
}

/// What the engine does next: exactly one thing for each event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send this and come back with [`Event::Reply`] or [`Event::Lost`].
    Send(Request),
    /// Wait this long (a think time, a poll's gap, a retry after a refusal) and come back with [`Event::Waited`].
    Wait(Duration),
    /// The journey is over; its record is complete.
    Done,
}
