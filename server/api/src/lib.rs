//! The HTTP contract of the payment flow, version 1: requests, replies, problems and the `OpenAPI` document made from
//! them. No I/O.
//!
//! Amounts are integers in the currency's minor unit (`amount_minor`), instants are microseconds since the Unix epoch by
//! the server's clock (`*_at`), spans are microseconds (`*_us`).

pub mod calls;
pub mod currency;
pub mod openapi;
pub mod order;
pub mod problem;
mod read;
pub mod reply;
pub mod request;
mod strict;

pub use currency::Currency;
pub use order::{ChildOrder, NewOrder, Order, OrderState, Ship, ShipMode};
pub use problem::{Problem, ProblemType};
pub use reply::{Payment, PaymentState, SeenPayment, SeenReply, SeenTask, Task, TaskReply, TaskState, Transaction};
pub use request::{
    ChannelStyle, Invalid, Item, MAX_AMOUNT_MINOR, RETRY_CAP, Simulate, Submission, TaskInfo, is_order_no,
};

/// The header by which a client names one intent, so that a repeat is the same submission.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest idempotency key, in characters.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;
