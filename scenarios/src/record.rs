//! What one journey did and saw: the facts behind the report, and what a later audit compares with the server's books.

use payrig_api::{PaymentState, ShipMode, TaskState};
use serde::{Deserialize, Serialize};

use crate::Step;

/// How a journey ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// It has not ended: the engine stopped it half-way.
    #[default]
    Unfinished,
    /// The payment was seen as paid.
    Paid,
    /// The order was seen as paid, and split into parcels.
    Shipped,
    /// It settled, and the payer never paid, on purpose.
    Abandoned,
    /// The last round failed, and the payer asked for no further retry.
    Failed,
    /// The payer cancelled.
    Cancelled,
    /// The payment was closed without the payer's asking (its window was over).
    Closed,
    /// It succeeded, and this server gives no cashier where it could be paid.
    SettledOnly,
    /// The submission was refused.
    Refused {
        /// The last status.
        status: u16,
        /// The problem's `type`, where given.
        problem: Option<String>,
    },
    /// A bound was reached: too many polls or repeats.
    GaveUp {
        /// Which one.
        reason: String,
    },
    /// A reply that the contract does not know.
    Error {
        /// What was wrong with it.
        reason: String,
    },
}

impl Outcome {
    /// Every name that [`Outcome::name`] gives, in the order in which they are reported.
    pub const NAMES: [&'static str; 11] = [
        "paid",
        "shipped",
        "abandoned",
        "cancelled",
        "failed",
        "closed",
        "settled_only",
        "refused",
        "gave_up",
        "error",
        "unfinished",
    ];

    /// The stable name that outcomes are counted under.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Abandoned => "abandoned",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
            Self::SettledOnly => "settled_only",
            Self::Refused { .. } => "refused",
            Self::GaveUp { .. } => "gave_up",
            Self::Error { .. } => "error",
        }
    }
}

/// One view of the task that the client was shown; equal views in a row are one entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// When it was first read, microseconds, engine's clock.
    pub first_us: u64,
    /// When it was last read.
    pub last_us: u64,
    /// The task's state.
    pub state: TaskState,
    /// The round, where the server says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u8>,
    /// The attempt, where the server says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u8>,
    /// The payment's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_no: Option<String>,
    /// The payment's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_state: Option<PaymentState>,
    /// The channel's transaction that the payment names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
}

/// The server's own figures in a settled reply; absent where a foreign server gives none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StagesSeen {
    /// When the round was accepted, microseconds since the epoch, server's clock.
    pub accepted_at: Option<u64>,
    /// When it got its outcome, server's clock.
    pub settled_at: Option<u64>,
    /// Microseconds in the queue, beyond intended delays.
    pub queue_wait_us: Option<u64>,
    /// Microseconds in calls of the channel.
    pub channel_us: Option<u64>,
    /// Microseconds of intended delay between attempts.
    pub retry_wait_us: Option<u64>,
    /// Microseconds of all the rest: what the flow itself cost.
    pub own_us: Option<u64>,
}

/// One round as the client saw it. It settled somewhere from `last_unsettled_us` to `first_settled_us`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoundSeen {
    /// The round, from 1 (counted by the client where the server does not say).
    pub round: u8,
    /// When it was asked for: the scheduled submit, or the sending of the manual retry.
    pub asked_us: u64,
    /// When the last request that was still answered as unsettled had been sent (at first: `asked_us`).
    pub last_unsettled_us: u64,
    /// When the first settled reply was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_settled_us: Option<u64>,
    /// Its outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TaskState>,
    /// The server's own figures.
    #[serde(default)]
    pub stages: StagesSeen,
}

/// One request to the cashier.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaySeen {
    /// When it was sent.
    pub sent_us: u64,
    /// When its reply was read; absent where none came (then it may have taken effect).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_us: Option<u64>,
    /// The reply's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The channel's transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
}

/// A reply that was not a plain success, or none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProblemSeen {
    /// When.
    pub at_us: u64,
    /// The name of the step.
    pub step: String,
    /// The status; absent where no reply came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The problem's `type`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The promises that a client can see broken by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViolationKind {
    /// The same submission with the same key gave another task, or was refused.
    KeyNotHonoured,
    /// Paying again with the same parameters gave another transaction.
    OtherTransaction,
    /// A reply was about another task than asked for.
    OtherTask,
    /// An accepted task was answered as unknown.
    AcceptedUnknown,
    /// Something settled, paid or closed was later shown otherwise, or a round went back.
    TakenBack,
    /// Shown as paid although the payer never paid.
    PaidWithoutPayer,
    /// The cashier took the money, and the payment was then shown as closed (right only if it is refunded).
    ClosedAfterPaying,
    /// A reply was about another order than asked for.
    OtherOrder,
    /// The payment was shown as paid, and its order stayed unpaid or was not shipped.
    OrderNotPaid,
    /// The order says that another payment or amount paid it than the payer saw.
    OrderDiffers,
    /// The parcels of an order do not sum to what was paid.
    PartsDoNotSum,
}

/// One broken promise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// Which promise.
    pub kind: ViolationKind,
    /// When it was seen.
    pub at_us: u64,
    /// What was seen.
    pub detail: String,
}

/// The order of a journey that creates one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OrderSeen {
    /// How it is to be split.
    pub mode: String,
    /// When its creation was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_us: Option<u64>,
    /// How often it was asked for.
    pub reads: u32,
    /// When it was first read as paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_paid_us: Option<u64>,
    /// When it was read to be split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped_us: Option<u64>,
    /// The parcels' amounts, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children_minor: Option<Vec<u64>>,
}

impl OrderSeen {
    pub(crate) fn of(mode: ShipMode) -> Self {
        Self { mode: mode.name().to_owned(), ..Self::default() }
    }
}

/// Everything that one journey did and saw. All `*_us` instants are by the engine's clock, as handed to `Journey::next`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JourneyRecord {
    /// The scenario's name.
    pub scenario: String,
    /// The user that made the journey.
    pub user: u64,
    /// The journey's place in the user's sequence, from 0.
    pub journey: u64,
    /// The order that it pays.
    pub order_no: String,
    /// The idempotency key of its submission.
    pub idempotency_key: String,
    /// The amount, in minor units.
    pub amount_minor: u64,
    /// The ISO 4217 code.
    pub currency: String,
    /// The channel style asked for.
    pub channel: String,
    /// The id that the server gave; absent if no acceptance was seen (then there may be one all the same).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// When the journey was scheduled to begin; absent before it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_us: Option<u64>,
    /// When the acceptance was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_us: Option<u64>,
    /// What was shown, in order.
    pub shown: Vec<Shown>,
    /// The rounds, in order.
    pub rounds: Vec<RoundSeen>,
    /// Each paying at the cashier.
    pub pays: Vec<PaySeen>,
    /// When the last request that was answered as not yet paid had been sent, after paying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_unpaid_us: Option<u64>,
    /// When the payment was first read as paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_paid_us: Option<u64>,
    /// When the server says that it was paid, microseconds since the epoch, server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<u64>,
    /// The order, where the journey creates one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderSeen>,
    /// Submissions sent, repeats included.
    pub submits: u32,
    /// Polls sent.
    pub polls: u32,
    /// The newest attempt that was shown.
    pub attempts: u8,
    /// Manual retries that were accepted.
    pub manual_retries: u8,
    /// Cancellations sent.
    pub cancels: u32,
    /// Replies that were no plain success.
    pub problems: Vec<ProblemSeen>,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
}

impl JourneyRecord {
    pub(crate) fn problem(&mut self, at_us: u64, step: Step, status: Option<u16>, kind: Option<String>) {
        self.problems.push(ProblemSeen { at_us, step: step.name().to_owned(), status, kind });
    }

    pub(crate) fn violation(&mut self, kind: ViolationKind, at_us: u64, detail: String) {
        self.violations.push(Violation { kind, at_us, detail });
    }

    /// Whether the cashier said that it took the money.
    #[must_use]
    pub fn cashier_took_money(&self) -> bool {
        self.pays.iter().any(|pay| pay.status.is_some_and(|status| (200..300).contains(&status)))
    }
}
