//! Cancelling: whoever inserts the round's outcome first decides; a payment that was there first is closed.

use std::sync::Arc;

use payrig_api::TaskState;

use super::{
    PayService,
    read::{self, Latest},
};
use crate::{
    channel::Trade,
    closing::{self, Closed},
    model::{End, OpenTask, Outcome, OutcomeState, RoundId, TaskId, TaskView},
    notice, runner,
    store::StoreError,
    sync::{self, Finished, Verdict},
};

/// How a cancellation went well.
#[derive(Clone, Debug)]
pub enum Cancelled {
    /// Cancelled, or its payment closed.
    Done(Arc<TaskView>),
    /// The channel gave no answer; the closing goes on.
    GoingOn(Arc<TaskView>),
}

/// Why a task was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum NotCancelled {
    /// No such task, or not this merchant's.
    #[error("no such task")]
    NotFound,
    /// It ended before.
    #[error("the task is {} already", .0.name())]
    Ended(TaskState),
    /// The payer was faster.
    #[error("the payment is paid")]
    Paid(RoundId),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const REASON: &str = "cancelled by the client";

impl PayService {
    /// Cancels the task's round, or closes its payment.
    ///
    /// # Errors
    /// See [`NotCancelled`].
    pub async fn cancel(&self, merchant: &str, task: TaskId) -> Result<Cancelled, NotCancelled> {
        let outcome = match read::latest(&self.parts, task).await? {
            Some(Latest::Open(open)) if open.task.merchant.as_ref() == merchant => {
                match self.cancel_open(&open).await.map_err(StoreError::after_a_write)? {
                    Verdict::Won => {
                        // An attempt may be under way, or have ended at the same moment and its runner not have seen the
                        // open task go.
                        closing::close_left(&self.parts, &open).await.map_err(StoreError::after_a_write)?;
                        return Ok(Cancelled::Done(self.shown(task).await?));
                    }
                    Verdict::Lost(first) => first,
                }
            }
            Some(Latest::Settled(outcome)) if outcome.task.merchant.as_ref() == merchant => outcome,
            _ => return Err(NotCancelled::NotFound),
        };
        match outcome.state {
            OutcomeState::Succeeded => self.close(&outcome).await,
            OutcomeState::Failed => Err(NotCancelled::Ended(TaskState::Failed)),
            OutcomeState::Cancelled => Err(NotCancelled::Ended(TaskState::Cancelled)),
            OutcomeState::Refused => Err(NotCancelled::NotFound),
        }
    }

    async fn cancel_open(&self, open: &OpenTask) -> Result<Verdict, StoreError> {
        let outcome = runner::ended_from_outside(&self.parts, open, OutcomeState::Cancelled, REASON).await;
        sync::store_one(&self.parts, Finished { outcome: Arc::new(outcome), payment: None }).await
    }

    async fn close(&self, outcome: &Outcome) -> Result<Cancelled, NotCancelled> {
        let payment_no = outcome.round_id();
        match self.parts.store.payment_end(payment_no).await?.map(|end| end.end) {
            Some(End::Paid { .. }) => return Err(NotCancelled::Paid(payment_no)),
            Some(End::Closed { .. }) => {
                // Whoever wrote the end may not have shown it yet.
                notice::show_end(&self.parts, payment_no).await?;
                return Ok(Cancelled::Done(self.shown(payment_no.task).await?));
            }
            None => {}
        }
        match closing::close(&self.parts, Trade::of(&outcome.task, payment_no), REASON)
            .await
            .map_err(StoreError::after_a_write)?
        {
            Closed::Closed => Ok(Cancelled::Done(self.shown(payment_no.task).await?)),
            Closed::GoingOn => Ok(Cancelled::GoingOn(self.shown(payment_no.task).await?)),
            Closed::Paid => Err(NotCancelled::Paid(payment_no)),
        }
    }

    async fn shown(&self, task: TaskId) -> Result<Arc<TaskView>, StoreError> {
        let view = self.view(task).await?;
        view.ok_or_else(|| StoreError::Unknown(format!("task {task} is and is not there")))
    }
}

impl PayService {
    /// The payment of this number with its task, if it is this merchant's and was shown to anybody.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn payment(&self, merchant: &str, payment_no: RoundId) -> Result<Option<Arc<TaskView>>, StoreError> {
        if let Some(view) = self.query(merchant, payment_no.task).await?
            && view.payment.as_ref().is_some_and(|payment| payment.payment_no == payment_no)
        {
            return Ok(Some(view));
        }
        Ok(None)
    }
}
