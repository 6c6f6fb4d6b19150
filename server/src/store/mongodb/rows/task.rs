//! The rows of a task's rounds: while open, and as outcomes.

use std::sync::Arc;

use payrig_api::{ChannelStyle, Currency, Item, Simulate, TaskInfo, TaskState};
use serde::{Deserialize, Serialize};

use super::payment::Sha256;
use crate::model::{HistoryEntry, KeyUse, MerchantId, OpenTask, Outcome, OutcomeState, PayTask, Stages, TaskId};

/// The fields of a task in each document of its rounds.
#[derive(Serialize, Deserialize)]
struct TaskRow {
    task_id: TaskId,
    merchant: MerchantId,
    order_no: Arc<str>,
    amount_minor: u64,
    currency: Currency,
    channel: ChannelStyle,
    task_info: TaskInfo,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Item>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    simulate: Option<Simulate>,
}

impl From<&PayTask> for TaskRow {
    fn from(task: &PayTask) -> Self {
        Self {
            task_id: task.task_id,
            merchant: Arc::clone(&task.merchant),
            order_no: Arc::clone(&task.order_no),
            amount_minor: task.amount_minor,
            currency: task.currency,
            channel: task.channel,
            task_info: task.task_info,
            items: task.items.clone(),
            simulate: task.simulate,
        }
    }
}

impl From<TaskRow> for PayTask {
    fn from(row: TaskRow) -> Self {
        let TaskRow { task_id, merchant, order_no, amount_minor, currency, channel, task_info, items, simulate } = row;
        Self { task_id, merchant, order_no, amount_minor, currency, channel, task_info, items, simulate }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct OpenTaskRow {
    #[serde(flatten)]
    task: TaskRow,
    round: u8,
    accepted_at_us: u64,
    attempts_before: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_sha256: Option<Sha256>,
}

impl From<&OpenTask> for OpenTaskRow {
    fn from(open: &OpenTask) -> Self {
        Self {
            task: TaskRow::from(&*open.task),
            round: open.round,
            accepted_at_us: open.accepted_at_us,
            attempts_before: open.attempts_before,
            idempotency_key: open.key.as_ref().map(|used| used.key.to_string()),
            body_sha256: open.key.as_ref().map(|used| Sha256(used.body_sha256)),
        }
    }
}

impl From<OpenTaskRow> for OpenTask {
    fn from(row: OpenTaskRow) -> Self {
        let key = row.idempotency_key.zip(row.body_sha256);
        Self {
            task: Arc::new(row.task.into()),
            round: row.round,
            accepted_at_us: row.accepted_at_us,
            attempts_before: row.attempts_before,
            key: key.map(|(key, Sha256(body_sha256))| KeyUse { key: key.into(), body_sha256 }),
        }
    }
}

/// The PayTask with its history.
#[derive(Serialize, Deserialize)]
pub(super) struct OutcomeRow {
    #[serde(flatten)]
    task: TaskRow,
    round: u8,
    state: OutcomeState,
    attempt: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    accepted_at_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at_us: Option<u64>,
    settled_at_us: u64,
    stages: Stages,
    history: Vec<StepRow>,
}

#[derive(Serialize, Deserialize)]
struct StepRow {
    state: TaskState,
    attempt: u8,
    at_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<&Outcome> for OutcomeRow {
    fn from(outcome: &Outcome) -> Self {
        let step = |entry: &HistoryEntry| {
            let HistoryEntry { state, attempt, at_us, reason } = entry.clone();
            StepRow { state, attempt, at_us, reason }
        };
        Self {
            task: TaskRow::from(&*outcome.task),
            round: outcome.round,
            state: outcome.state,
            attempt: outcome.attempt,
            reason: outcome.reason.clone(),
            accepted_at_us: outcome.accepted_at_us,
            started_at_us: outcome.started_at_us,
            settled_at_us: outcome.settled_at_us,
            stages: outcome.stages,
            history: outcome.history.iter().map(step).collect(),
        }
    }
}

impl From<OutcomeRow> for Outcome {
    fn from(row: OutcomeRow) -> Self {
        let entry = |StepRow { state, attempt, at_us, reason }: StepRow| HistoryEntry { state, attempt, at_us, reason };
        Self {
            task: Arc::new(row.task.into()),
            round: row.round,
            state: row.state,
            attempt: row.attempt,
            reason: row.reason,
            accepted_at_us: row.accepted_at_us,
            started_at_us: row.started_at_us,
            settled_at_us: row.settled_at_us,
            stages: row.stages,
            history: row.history.into_iter().map(entry).collect(),
        }
    }
}
