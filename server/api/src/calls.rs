//! The calls of the contract that this version has, in one list: the router, its metrics and the `OpenAPI` document are
//! made from it.

use http::Method;

use crate::ProblemType as P;

/// The methods that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Reads.
    Get,
    /// Changes.
    Post,
}

impl Verb {
    /// As HTTP's type.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
        }
    }
}

/// What a call answers when it goes well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// A [`TaskReply`](crate::TaskReply).
    Task,
    /// A [`Payment`](crate::Payment).
    Payment,
    /// A [`Transaction`](crate::Transaction).
    Transaction,
    /// An [`Order`](crate::Order).
    Order,
    /// A [`Health`](crate::reply::Health).
    Health,
    /// Metrics in `OpenMetrics` text.
    Metrics,
    /// The `OpenAPI` document.
    OpenApi,
    /// What the channel's style demands as an answer.
    Taken,
}

/// A header of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// Where the task or order is.
    Location,
    /// Seconds after which to ask again.
    RetryAfter,
    /// How to say whose call it is.
    WwwAuthenticate,
}

/// An answer that is no problem.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Success {
    /// The HTTP status.
    pub status: u16,
    /// What it means.
    pub meaning: &'static str,
    /// The body.
    pub body: Body,
    /// Headers that may come with it.
    pub headers: &'static [Header],
}

/// What a call takes in its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A [`Submission`](crate::Submission), with an optional idempotency key.
    Submission,
    /// A [`NewOrder`](crate::NewOrder).
    NewOrder,
    /// A [`Ship`](crate::Ship).
    Ship,
    /// The parameters of a payment.
    PayParams,
    /// A signed notification of a channel.
    Notification,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its name, in metrics too.
    pub name: &'static str,
    /// The method, without its doubles (`HEAD`).
    pub verb: Verb,
    /// The path; what stands in braces is a parameter.
    pub path: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// How it goes well.
    pub answers: &'static [Success],
    /// How it goes wrong.
    pub problems: &'static [P],
}

impl Call {
    /// Whether the call is a merchant's own, made with its API key where the server has merchants. All calls under `/v1`
    /// are, also those to come, but for the channels' notifications, which are signed.
    #[must_use]
    pub fn is_a_merchants(&self) -> bool {
        self.path.starts_with("/v1/") && !self.path.starts_with("/v1/notify/")
    }
}

const SHOWN: Success = Success {
    status: 200,
    meaning: "The task as it is now; with Retry-After while it is not final",
    body: Body::Task,
    headers: &[Header::RetryAfter],
};
const ACCEPTED: Success = Success {
    status: 202,
    meaning: "The task is accepted: a promise, whatever happens to the server",
    body: Body::Task,
    headers: &[Header::Location, Header::RetryAfter],
};

const fn ok(meaning: &'static str, body: Body) -> Success {
    Success { status: 200, meaning, body, headers: &[] }
}

const fn get(name: &'static str, path: &'static str, summary: &'static str) -> Call {
    Call { name, verb: Verb::Get, path, summary, takes: Takes::Nothing, answers: &[], problems: &[] }
}

/// Every call.
pub static CALLS: [Call; 14] = [
    Call {
        name: "submit",
        verb: Verb::Post,
        path: "/v1/pay-tasks",
        summary: "Submit a payment; a repeat with the same key and body answers with the same task",
        takes: Takes::Submission,
        answers: &[ACCEPTED],
        problems: &[
            P::MalformedBody,
            P::BadHeader,
            P::BodyTimeout,
            P::OrderInUse,
            P::OrderDiffers,
            P::BodyTooLarge,
            P::UnsupportedMediaType,
            P::InvalidField,
            P::KeyReused,
            P::Internal,
            P::Overloaded,
            P::FateUnknown,
            P::Stopping,
        ],
    },
    Call {
        answers: &[SHOWN],
        problems: &[P::NotFound, P::Internal, P::Overloaded, P::FateUnknown],
        ..get("query", "/v1/pay-tasks/{task_id}", "The task as it is now, with the payment that it left")
    },
    Call {
        name: "retry",
        verb: Verb::Post,
        path: "/v1/pay-tasks/{task_id}/retry",
        summary: "One more attempt of a failed task, at once",
        takes: Takes::Nothing,
        answers: &[ACCEPTED],
        problems: &[
            P::NotFound,
            P::WrongState,
            P::RetriesUsedUp,
            P::OrderInUse,
            P::Internal,
            P::Overloaded,
            P::FateUnknown,
            P::Stopping,
        ],
    },
    Call {
        name: "cancel",
        verb: Verb::Post,
        path: "/v1/pay-tasks/{task_id}/cancel",
        summary: "Cancel the task's round, or close the payment that it left",
        takes: Takes::Nothing,
        answers: &[
            Success { meaning: "Cancelled, or its payment closed", ..SHOWN },
            Success { meaning: "The channel gave no answer yet; the closing goes on", ..ACCEPTED },
        ],
        problems: &[P::NotFound, P::WrongState, P::Internal, P::Overloaded, P::FateUnknown],
    },
    Call {
        answers: &[ok("The payment", Body::Payment)],
        problems: &[P::NotFound, P::Internal, P::Overloaded, P::FateUnknown],
        ..get("payment", "/v1/payments/{payment_no}", "A payment by its number")
    },
    Call {
        name: "cashier",
        verb: Verb::Post,
        path: "/simulated/cashier",
        summary: "The simulated channel's cashier: pay with the parameters of a payment",
        takes: Takes::PayParams,
        answers: &[ok("Paid; a repeat gets the same transaction", Body::Transaction)],
        problems: &[
            P::MalformedBody,
            P::Unauthorized,
            P::BodyTimeout,
            P::WrongState,
            P::BodyTooLarge,
            P::Internal,
            P::Overloaded,
            P::FateUnknown,
        ],
    },
    Call {
        answers: &[ok("It does", Body::Health)],
        problems: &[P::Overloaded],
        ..get("healthz", "/healthz", "Whether the process answers and needs no restart")
    },
    Call {
        answers: &[ok("It does", Body::Health)],
        problems: &[P::Overloaded],
        ..get("readyz", "/readyz", "Whether the document store answers; tells of the channel too")
    },
    Call {
        answers: &[ok("Everything counted and timed", Body::Metrics)],
        ..get("metrics", "/metrics", "Metrics for Prometheus")
    },
    Call { answers: &[ok("OpenAPI 3.1", Body::OpenApi)], ..get("openapi", "/openapi.json", "This document") },
    Call {
        name: "create_order",
        verb: Verb::Post,
        path: "/v1/orders",
        summary: "Create an order; a repeat with the same content answers with the same order",
        takes: Takes::NewOrder,
        answers: &[
            Success { status: 201, headers: &[Header::Location], ..ok("The order is created", Body::Order) },
            ok("It existed with the same content", Body::Order),
        ],
        problems: &[
            P::MalformedBody,
            P::BodyTimeout,
            P::OrderDiffers,
            P::BodyTooLarge,
            P::UnsupportedMediaType,
            P::InvalidField,
            P::Internal,
            P::Overloaded,
            P::FateUnknown,
        ],
    },
    Call {
        answers: &[ok("The order", Body::Order)],
        problems: &[P::NotFound, P::Internal, P::Overloaded, P::FateUnknown],
        ..get("order", "/v1/orders/{order_no}", "An order by its number: whether it is paid, and its parcels")
    },
    Call {
        name: "ship_order",
        verb: Verb::Post,
        path: "/v1/orders/{order_no}/ship",
        summary: "Split a paid order into parcels, whose amounts sum exactly to what was paid; a repeat gets the same",
        takes: Takes::Ship,
        answers: &[ok("The order with its parcels", Body::Order)],
        problems: &[
            P::MalformedBody,
            P::NotFound,
            P::BodyTimeout,
            P::WrongState,
            P::BodyTooLarge,
            P::UnsupportedMediaType,
            P::InvalidField,
            P::Internal,
            P::Overloaded,
            P::FateUnknown,
        ],
    },
    Call {
        name: "notify",
        verb: Verb::Post,
        path: "/v1/notify/{channel}",
        summary: "A payment channel (alipay or wechat) says, signed, that it took money",
        takes: Takes::Notification,
        answers: &[ok("Stored, now or before", Body::Taken)],
        problems: &[
            P::MalformedBody,
            P::Unauthorized,
            P::NotFound,
            P::BodyTimeout,
            P::BodyTooLarge,
            P::Internal,
            P::Overloaded,
            P::FateUnknown,
        ],
    },
];
