//! A manual retry: the next round of a task whose last round failed, one attempt at once, on the same budget.

use std::sync::Arc;

use payrig_api::{RETRY_CAP, TaskState};

use super::{
    NotAccepted, PayService, Taken, accept,
    read::{self, Latest},
};
use crate::{
    model::{OpenTask, Outcome, OutcomeState, TaskId, TaskView, retry::manual_retry_left},
    store::StoreError,
};

/// Why a task was not retried.
#[derive(Debug, thiserror::Error)]
pub enum NotRetried {
    /// No such task, or not this merchant's.
    #[error("no such task")]
    NotFound,
    /// Only a failed task can be retried.
    #[error("the task is {}; only a failed one can be retried", .0.name())]
    WrongState(TaskState),
    /// The cap is reached.
    #[error("the task has had its {RETRY_CAP} retries")]
    UsedUp,
    /// It was not accepted.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
}

impl From<StoreError> for NotRetried {
    fn from(error: StoreError) -> Self {
        Self::NotAccepted(NotAccepted::Store(error))
    }
}

impl PayService {
    /// Opens the next round of a failed task.
    ///
    /// # Errors
    /// See [`NotRetried`].
    pub async fn retry(&self, merchant: &str, task: TaskId) -> Result<Arc<TaskView>, NotRetried> {
        let (outcome, round) = loop {
            let outcome = self.last_failed(merchant, task).await?;
            self.order_is_free(&outcome.task.order()).await?;
            if let Some(round) = self.next_round(&outcome).await? {
                break (outcome, round);
            }
        };
        let open = OpenTask {
            task: Arc::clone(&outcome.task),
            round,
            accepted_at_us: self.parts.clock.now_us(),
            attempts_before: outcome.attempt,
            key: None,
        };
        let open = Arc::new(open);
        match self.backlog.accept(open).await? {
            Taken::New(view) => Ok(view),
            // Another retry was faster, and its round is over.
            Taken::Repeat(round) => Ok(self.as_it_is_now(round).await?),
        }
    }

    /// The outcome of the last round, if it may be retried.
    async fn last_failed(&self, merchant: &str, task: TaskId) -> Result<Arc<Outcome>, NotRetried> {
        let outcome = match read::latest(&self.parts, task).await? {
            None => return Err(NotRetried::NotFound),
            Some(Latest::Open(open)) if open.task.merchant.as_ref() == merchant => {
                return Err(NotRetried::WrongState(TaskState::Queued));
            }
            Some(Latest::Settled(outcome)) if outcome.task.merchant.as_ref() == merchant => outcome,
            Some(_) => return Err(NotRetried::NotFound),
        };
        match outcome.state {
            OutcomeState::Failed if manual_retry_left(outcome.attempt) => Ok(outcome),
            OutcomeState::Failed => Err(NotRetried::UsedUp),
            OutcomeState::Succeeded => Err(NotRetried::WrongState(TaskState::Succeeded)),
            OutcomeState::Cancelled | OutcomeState::Refused => Err(NotRetried::WrongState(TaskState::Cancelled)),
        }
    }

    /// A refused retry uses up a round number, so the ordinary refusal writes nothing.
    async fn order_is_free(&self, order: &crate::model::OrderKey) -> Result<(), NotRetried> {
        if let Some((last, _)) = accept::last_slot(&self.parts, order).await?
            && let Some(refusal) = accept::still_holds(&self.parts, last.holder).await?
        {
            return Err(NotAccepted::from(refusal).into());
        }
        Ok(())
    }

    /// The number of the round after this one, beyond those that were refused. Nothing if another retry has had its round
    /// meanwhile: how many attempts are left is then another question.
    async fn next_round(&self, last: &Outcome) -> Result<Option<u8>, NotRetried> {
        let mut number = last.round;
        loop {
            number = number.checked_add(1).ok_or(NotRetried::UsedUp)?;
            match self.parts.store.outcome(last.task.task_id.round(number)).await? {
                None => return Ok(Some(number)),
                Some(outcome) if outcome.state == OutcomeState::Refused => {}
                Some(_) => return Ok(None),
            }
        }
    }
}
