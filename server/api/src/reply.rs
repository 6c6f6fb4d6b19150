//! What the server answers: a task, and the payment that it left. [`SeenReply`] is the same through the eyes of a client
//! that asks a foreign server for no more than the contract's minimum.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{ChannelStyle, Currency, Item, Simulate, TaskInfo};

/// Where a pay task stands in its round.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Accepted; no attempt has begun.
    Queued,
    /// An attempt is under way.
    Running,
    /// Waits for its next attempt.
    Retrying,
    /// The round's outcome: a payment exists.
    Succeeded,
    /// The round's outcome: every attempt failed; a manual retry may open the next round.
    Failed,
    /// The round's outcome: cancelled before it succeeded.
    Cancelled,
}

impl TaskState {
    /// Whether the round has its outcome.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The name that stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// The payer has the parameters.
    AwaitingPayer,
    /// The channel took the money.
    Paid,
    /// It can no longer be paid.
    Closed,
}

/// A pay task as it is answered. Members that are not known yet are absent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Time-ordered id, 26 characters.
    pub task_id: String,
    /// Where it stands.
    pub state: TaskState,
    /// The round, from 1; a manual retry opens the next.
    pub round: u8,
    /// The newest attempt of the task over all rounds, from 1; 0 before the first.
    pub attempt: u8,
    /// The order that it pays.
    pub order_no: String,
    /// In minor units.
    pub amount_minor: u64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// The channel style.
    pub channel: ChannelStyle,
    /// Retry settings in force.
    pub task_info: TaskInfo,
    /// What is bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item>>,
    /// What the simulated channel was asked to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulate: Option<Simulate>,
    /// Why the round failed or waits for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When this round was accepted, microseconds since the epoch.
    pub accepted_at: u64,
    /// When its first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// When it got its outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<u64>,
    /// Of a settled round: how long it waited in the queue, beyond intended delays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_wait_us: Option<u64>,
    /// Of a settled round: how long calls of the channel took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_us: Option<u64>,
    /// Of a settled round: the intended delays between attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_wait_us: Option<u64>,
    /// Of a settled round: all the rest, what the flow itself cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_us: Option<u64>,
}

/// A payment as it is answered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Payment {
    /// `{task_id}-{round}`; also the `out_trade_no` towards the channel.
    pub payment_no: String,
    /// Where it stands.
    pub state: PaymentState,
    /// What the payer posts to the cashier: a JSON object with `cashier_url` among its members.
    #[schema(value_type = Object)]
    pub pay_params: Box<RawValue>,
    /// When the channel took the money, microseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<u64>,
    /// The channel's transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
}

/// What every call about a task answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskReply {
    /// The task.
    pub task: Task,
    /// The payment that it left, once it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
}

/// What the simulated channel's cashier gives to a payer who has paid; a repeat gets the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Transaction {
    /// The channel's number of the transaction.
    pub transaction_id: String,
    /// The payment's number.
    pub out_trade_no: String,
    /// In minor units.
    pub amount_minor: u64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// When, by the channel's clock, microseconds since the epoch.
    pub paid_at_us: u64,
}

/// What `/healthz` and `/readyz` answer when all is well.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`; `ready`, or `degraded` where a server is ready and does without its result cache.
    pub status: String,
    /// Of a ready server whose payment channel is a program of its own: `closed` (it answers), `half-open` (it is tried
    /// again) or `open` (it does not answer, and attempts wait for it). A server is ready all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_breaker: Option<String>,
    /// Of a ready server whose result cache is not in its own process: `up`, or `down` (queries are answered from the
    /// document store). A server is ready all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
}

/// A [`Task`] of which only id and state are asked for.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct SeenTask {
    /// See [`Task::task_id`].
    pub task_id: String,
    /// See [`Task::state`].
    pub state: TaskState,
    /// See [`Task::round`].
    pub round: Option<u8>,
    /// See [`Task::attempt`].
    pub attempt: Option<u8>,
    /// See [`Task::accepted_at`].
    pub accepted_at: Option<u64>,
    /// See [`Task::started_at`].
    pub started_at: Option<u64>,
    /// See [`Task::settled_at`].
    pub settled_at: Option<u64>,
    /// See [`Task::queue_wait_us`].
    pub queue_wait_us: Option<u64>,
    /// See [`Task::channel_us`].
    pub channel_us: Option<u64>,
    /// See [`Task::retry_wait_us`].
    pub retry_wait_us: Option<u64>,
    /// See [`Task::own_us`].
    pub own_us: Option<u64>,
}

/// A [`Payment`] of which only the state is asked for.
#[derive(Clone, Debug, Deserialize)]
pub struct SeenPayment {
    /// See [`Payment::payment_no`].
    pub payment_no: Option<String>,
    /// See [`Payment::state`].
    pub state: PaymentState,
    /// See [`Payment::pay_params`].
    pub pay_params: Option<Box<RawValue>>,
    /// See [`Payment::paid_at`].
    pub paid_at: Option<u64>,
    /// See [`Payment::transaction_id`].
    pub transaction_id: Option<String>,
}

impl SeenPayment {
    /// Where the payer pays, if this server says so.
    #[must_use]
    pub fn cashier_url(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Cashier {
            cashier_url: Option<String>,
        }
        serde_json::from_str::<Cashier>(self.pay_params.as_ref()?.get()).ok()?.cashier_url
    }
}

/// A [`TaskReply`] as a lenient client reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct SeenReply {
    /// The task.
    pub task: SeenTask,
    /// The payment, once there is one.
    pub payment: Option<SeenPayment>,
}
