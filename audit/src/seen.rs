//! What a client was told and shown: its own log, to be held against the books.

use payrig_api::{PaymentState, TaskState};
use serde::{Deserialize, Serialize};

/// A client's whole log.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Whose orders these are (`default` without merchants' keys).
    pub merchant: String,
    /// Whether every submission that the server ever got is in here, so that a task of nobody's is wrong.
    pub is_complete: bool,
    /// Each intent to pay, however often it was sent.
    pub submissions: Vec<Submitted>,
}

/// One intent to pay: the same body, with the same key if it has one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Submitted {
    /// The order that it pays.
    pub order_no: String,
    /// In minor units.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: String,
    /// Its idempotency key.
    pub key: Option<String>,
    /// Sendings whose answer never came: each may have made a task (with a key: all of them one).
    pub unanswered: u32,
    /// The id from each 202, in order.
    pub accepted: Vec<String>,
    /// Each answer about the task, in the order in which they came to a client that asks one thing at a time.
    pub shown: Vec<Shown>,
    /// Each time the cashier took the money.
    pub cashier: Vec<Cashier>,
}

/// An answer about a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Shown {
    /// It was said not to exist.
    NotFound {
        /// The id asked for.
        task_id: String,
    },
    /// It was shown.
    Task {
        /// Its id.
        task_id: String,
        /// The round, where the server says it.
        round: Option<u8>,
        /// Where it stood.
        state: TaskState,
        /// The payment's number, once there is one.
        payment_no: Option<String>,
        /// Where the payment stood.
        payment: Option<PaymentState>,
        /// The channel's transaction.
        transaction_id: Option<String>,
    },
}

/// The cashier's word that it took the money.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cashier {
    /// For which payment.
    pub payment_no: String,
    /// The channel's transaction.
    pub transaction_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
}
