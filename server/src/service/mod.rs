//! `PayService`: build, submit, query, cancel, retry. What the HTTP contract promises, without HTTP.

use std::sync::Arc;

use payrig_api::Submission;

use crate::{
    cache::{Entry, ResultCache as _},
    model::{KeyUse, MerchantId, OpenTask, PayTask, RoundId, TaskId, TaskView},
    parts::{AcceptMode, Parts},
    store::StoreError,
    sync::Synchroniser,
};

pub mod accept;
mod cancel;
mod publisher;
pub mod read;
mod retry;

pub use accept::{Accepted, Refusal};
pub use cancel::{Cancelled, NotCancelled};
pub use publisher::{Backlog, Publisher, Taken};
pub use retry::NotRetried;

/// Why a submission was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// There is no room; nothing was written.
    #[error("no room for another submission")]
    Overloaded,
    /// The server is stopping; nothing was written.
    #[error("the server is stopping")]
    Stopping,
    /// Another task stands in the way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The calls of the flow. One a runtime; they share their [`Parts`].
#[derive(Clone)]
pub struct PayService {
    parts: Arc<Parts>,
    backlog: Backlog,
    sync: Synchroniser,
}

impl PayService {
    /// A service that hands acceptances to this backlog.
    #[must_use]
    pub const fn new(parts: Arc<Parts>, backlog: Backlog, sync: Synchroniser) -> Self {
        Self { parts, backlog, sync }
    }

    /// The parts that it works with.
    #[must_use]
    pub const fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Makes a task of a checked submission; nothing is written.
    #[must_use]
    pub fn build(&self, merchant: MerchantId, submission: Submission, key: Option<KeyUse>) -> Arc<OpenTask> {
        let now_us = self.parts.clock.now_us();
        let task = PayTask::from_submission(TaskId::fresh(now_us), merchant, submission);
        Arc::new(OpenTask { task: Arc::new(task), round: 1, accepted_at_us: now_us, attempts_before: 0, key })
    }

    /// Accepts a task: stored when this returns, and about to be sent to the queue. A repeat by key returns the task that the
    /// key made before, as it is now.
    ///
    /// # Errors
    /// See [`NotAccepted`]. After [`StoreError::Unknown`] a repeat with the same key finds out.
    pub async fn submit(&self, open: Arc<OpenTask>) -> Result<Arc<TaskView>, NotAccepted> {
        if let Some(known) = self.known_key(&open).await? {
            return Ok(known);
        }
        if let Some(refusal) = accept::order_forbids(&self.parts, &open.task).await? {
            return Err(refusal.into());
        }
        if self.parts.settings.accept == AcceptMode::Early {
            return self.submit_early(open).await;
        }
        match self.backlog.accept(open).await? {
            Taken::New(view) => Ok(view),
            Taken::Repeat(round) => self.as_it_is_now(round).await,
        }
    }

    /// A repeat is common enough to be answered without writing anything first.
    async fn known_key(&self, open: &OpenTask) -> Result<Option<Arc<TaskView>>, NotAccepted> {
        let Some(used) = &open.key else { return Ok(None) };
        let Some(known) = self.parts.store.idempotency_key(&open.task.merchant, &used.key).await? else {
            return Ok(None);
        };
        if known.expires_at_us <= self.parts.clock.now_us() {
            return Ok(None);
        }
        let round = accept::repeat(&self.parts, &known, used).await?;
        self.as_it_is_now(round).await.map(Some)
    }

    async fn as_it_is_now(&self, round: RoundId) -> Result<Arc<TaskView>, NotAccepted> {
        let view = self.view(round.task).await?;
        view.ok_or_else(|| StoreError::Unknown(format!("task {} is and is not there", round.task)).into())
    }

    async fn submit_early(&self, open: Arc<OpenTask>) -> Result<Arc<TaskView>, NotAccepted> {
        self.backlog.hand_in(Arc::clone(&open), None)?;
        let view = Arc::new(TaskView::queued(&open));
        let _ = self.parts.cache.put(Entry { view: Arc::clone(&view), fact_at_us: open.accepted_at_us }).await;
        Ok(view)
    }

    /// The task as it is now, if it is this merchant's.
    ///
    /// # Errors
    /// Where neither the cache nor the store answers.
    pub async fn query(&self, merchant: &str, task: TaskId) -> Result<Option<Arc<TaskView>>, StoreError> {
        let view = self.view(task).await?.filter(|view| view.task.merchant.as_ref() == merchant);
        if let Some(view) = &view
            && view.state.is_settled()
        {
            self.sync.shown(view);
            if view.is_final() {
                let _ = self.parts.cache.shown_final(task).await;
            }
        }
        Ok(view)
    }

    async fn view(&self, task: TaskId) -> Result<Option<Arc<TaskView>>, StoreError> {
        read::view(&self.parts, task).await
    }
}
