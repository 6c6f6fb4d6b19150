//! A task as it is shown: live state, outcome and payment in one, and which of two views is newer.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use payrig_api::{PaymentState, TaskState, reply};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    documents::{End, OpenTask, Outcome, Payment, PaymentEnd, Stages},
    id::RoundId,
    task::PayTask,
};

/// Which of two views of a task is newer: by round, then whether it is settled and its attempt, then rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    round: u8,
    /// The attempt; the largest number once settled, because a cancellation may come before the first attempt.
    attempt: u8,
    rank: u8,
}

impl Version {
    /// The version of a settled round whose payment, if there is one, awaits its payer.
    #[must_use]
    pub const fn settled(round: u8) -> Self {
        Self { round, attempt: u8::MAX, rank: SETTLED }
    }

    /// Three bytes in the same order as the versions.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 3] {
        [self.round, self.attempt, self.rank]
    }
}

/// The rank of a round with an outcome.
const SETTLED: u8 = 3;

/// The largest rendered reply that is kept with its view: long lists of items are rendered again, so that the cache's
/// memory is not theirs.
const KEPT_BODY_MAX: usize = 4_096;

/// A payment as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentView {
    /// Its number.
    pub payment_no: RoundId,
    /// Where it stands.
    pub state: PaymentState,
    /// The payer's parameters, JSON.
    pub pay_params: Arc<str>,
    /// When the channel took the money.
    pub paid_at_us: Option<u64>,
    /// The channel's transaction.
    pub transaction_id: Option<Arc<str>>,
}

/// A task as it is shown. Immutable: a change is a new view.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskView {
    /// The task.
    pub task: Arc<PayTask>,
    /// The round shown.
    pub round: u8,
    /// Where it stands.
    pub state: TaskState,
    /// The newest attempt, over all rounds.
    pub attempt: u8,
    /// Why it failed or waits.
    pub reason: Option<Arc<str>>,
    /// When the round was accepted.
    pub accepted_at_us: u64,
    /// When its first attempt began.
    pub started_at_us: Option<u64>,
    /// When it got its outcome.
    pub settled_at_us: Option<u64>,
    /// Where the time of a settled round went.
    pub stages: Stages,
    /// The payment, once it succeeded.
    pub payment: Option<PaymentView>,
    #[serde(skip)]
    body: OnceLock<Bytes>,
}

impl TaskView {
    /// An accepted round of which nothing more is known: it reads as queued.
    #[must_use]
    pub fn queued(open: &OpenTask) -> Self {
        Self {
            task: Arc::clone(&open.task),
            round: open.round,
            state: TaskState::Queued,
            attempt: open.attempts_before,
            reason: None,
            accepted_at_us: open.accepted_at_us,
            started_at_us: None,
            settled_at_us: None,
            stages: Stages::default(),
            payment: None,
            body: OnceLock::new(),
        }
    }

    /// The same round while it is being worked on.
    #[must_use]
    pub fn working(
        open: &OpenTask,
        state: TaskState,
        attempt: u8,
        started_at_us: u64,
        reason: Option<Arc<str>>,
    ) -> Self {
        Self { state, attempt, reason, started_at_us: Some(started_at_us), ..Self::queued(open) }
    }

    /// A settled round; nothing for one that was refused, which was never a task.
    #[must_use]
    pub fn settled(outcome: &Outcome, payment: Option<&Payment>, end: Option<&PaymentEnd>) -> Option<Self> {
        let state = outcome.state.task_state()?;
        // Parameters of a round that lost its success to another outcome are never shown.
        let payment = payment.filter(|_| state == TaskState::Succeeded);
        Some(Self {
            task: Arc::clone(&outcome.task),
            round: outcome.round,
            state,
            attempt: outcome.attempt,
            reason: outcome.reason.as_deref().map(Arc::from),
            accepted_at_us: outcome.accepted_at_us,
            started_at_us: outcome.started_at_us,
            settled_at_us: Some(outcome.settled_at_us),
            stages: outcome.stages,
            payment: payment.map(|payment| PaymentView::new(payment, end)),
            body: OnceLock::new(),
        })
    }

    /// The same success with the end that its payment came to.
    #[must_use]
    pub fn ended(&self, end: &PaymentEnd) -> Self {
        let payment = self.payment.as_ref().map(|payment| payment.ended(end));
        Self { payment, body: OnceLock::new(), ..self.clone() }
    }

    /// Which round is shown.
    #[must_use]
    pub fn round_id(&self) -> RoundId {
        self.task.task_id.round(self.round)
    }

    /// How new it is.
    #[must_use]
    pub fn version(&self) -> Version {
        let rank = match self.state {
            TaskState::Queued => 0,
            TaskState::Running => 1,
            TaskState::Retrying => 2,
            _ if self.payment.as_ref().is_some_and(|payment| payment.state != PaymentState::AwaitingPayer) => {
                SETTLED + 1
            }
            _ => SETTLED,
        };
        Version { round: self.round, attempt: if self.state.is_settled() { u8::MAX } else { self.attempt }, rank }
    }

    /// Whether nothing will change it any more but a manual retry, which makes a newer round.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.state {
            TaskState::Failed | TaskState::Cancelled => true,
            TaskState::Succeeded => {
                self.payment.as_ref().is_some_and(|payment| payment.state != PaymentState::AwaitingPayer)
            }
            _ => false,
        }
    }

    /// Whether nothing at all will change it any more: a failed round may still be followed by another.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_final() && self.state != TaskState::Failed
    }

    /// The reply's JSON; rendered at most once, unless it is large.
    #[must_use]
    pub fn body(&self) -> Bytes {
        if let Some(kept) = self.body.get() {
            return kept.clone();
        }
        let body = serde_json::to_vec(&self.reply()).map_or_else(|_| Bytes::from_static(b"{}"), Bytes::from);
        if body.len() <= KEPT_BODY_MAX {
            let _ = self.body.set(body.clone());
        }
        body
    }

    /// The reply that shows it.
    #[must_use]
    pub fn reply(&self) -> reply::TaskReply {
        let stages = self
            .settled_at_us
            .map(|settled_at_us| (self.stages, self.stages.own_us(self.accepted_at_us, settled_at_us)));
        let task = reply::Task {
            task_id: self.task.task_id.to_string(),
            state: self.state,
            round: self.round,
            attempt: self.attempt,
            order_no: self.task.order_no.as_ref().to_owned(),
            amount_minor: self.task.amount_minor,
            currency: self.task.currency,
            channel: self.task.channel,
            task_info: self.task.task_info,
            items: self.task.items.clone(),
            simulate: self.task.simulate,
            reason: self.reason.as_deref().map(str::to_owned),
            accepted_at: self.accepted_at_us,
            started_at: self.started_at_us,
            settled_at: self.settled_at_us,
            queue_wait_us: stages.map(|(stages, _)| stages.queue_wait_us),
            channel_us: stages.map(|(stages, _)| stages.channel_us),
            retry_wait_us: stages.map(|(stages, _)| stages.retry_wait_us),
            own_us: stages.map(|(_, own_us)| own_us),
        };
        reply::TaskReply { task, payment: self.payment.as_ref().map(PaymentView::reply) }
    }
}

impl PaymentView {
    /// The payment as it is shown with this end, if it has one.
    #[must_use]
    pub fn new(payment: &Payment, end: Option<&PaymentEnd>) -> Self {
        let awaiting = Self {
            payment_no: payment.payment_no,
            state: PaymentState::AwaitingPayer,
            pay_params: Arc::clone(&payment.pay_params),
            paid_at_us: None,
            transaction_id: None,
        };
        match end {
            Some(end) => awaiting.ended(end),
            None => awaiting,
        }
    }

    fn ended(&self, end: &PaymentEnd) -> Self {
        match &end.end {
            End::Closed { .. } => Self { state: PaymentState::Closed, ..self.clone() },
            End::Paid { transaction_id, paid_at_us, .. } => Self {
                state: PaymentState::Paid,
                paid_at_us: Some(*paid_at_us),
                transaction_id: Some(Arc::clone(transaction_id)),
                ..self.clone()
            },
        }
    }

    /// The reply that shows it.
    #[must_use]
    pub fn reply(&self) -> reply::Payment {
        let params = RawValue::from_string(self.pay_params.as_ref().to_owned());
        reply::Payment {
            payment_no: self.payment_no.payment_no(),
            state: self.state,
            // The parameters are our own channel's JSON; were they ever broken, the payer sees none rather than a broken reply.
            pay_params: params.unwrap_or_else(|_| RawValue::NULL.to_owned()),
            paid_at: self.paid_at_us,
            transaction_id: self.transaction_id.as_deref().map(str::to_owned),
        }
    }
}
