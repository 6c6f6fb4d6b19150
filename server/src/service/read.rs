//! Reading a task: the cache where it may be believed, else the store.

use std::{sync::Arc, time::Duration};

use payrig_api::TaskState;

use crate::{
    cache::{Entry, ResultCache as _},
    model::{OpenTask, Outcome, OutcomeState, TaskId, TaskView},
    parts::{Parts, micros},
    service::accept,
    store::StoreError,
};

/// How long an entry that something may follow is believed, from the time at which it was true.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// The newest that the store knows of a task.
#[derive(Clone, Debug)]
pub enum Latest {
    /// The last round is open.
    Open(Arc<OpenTask>),
    /// The last round has this outcome.
    Settled(Arc<Outcome>),
}

/// The task as it is shown now; nothing for an id that was never accepted.
///
/// # Errors
/// Where the store does not answer.
pub async fn view(parts: &Parts, task: TaskId) -> Result<Option<Arc<TaskView>>, StoreError> {
    let cached = parts.cache.get(task).await.ok().flatten();
    let now_us = parts.clock.now_us();
    if let Some(entry @ Entry { view, .. }) = &cached
        && is_believed(parts, entry, now_us)
    {
        parts.metrics.cache_hits.inc();
        return Ok(Some(Arc::clone(view)));
    }
    parts.metrics.cache_misses.inc();
    if let Some(Entry { view, .. }) = &cached
        && view.state == TaskState::Succeeded
    {
        return refreshed(parts, view, now_us).await.map(Some);
    }
    let Some(stored) = stored_view(parts, task).await? else {
        // Shown before it is stored (`--sync on-query`, `--accept early`), or never accepted.
        return Ok(cached.map(|entry| entry.view));
    };
    let view = match cached {
        // The store knows no more than that the round is open: what the cache saw of it stands.
        Some(entry) if entry.view.version() >= stored.version() => entry.view,
        _ => Arc::new(stored),
    };
    let _ = parts.cache.put(Entry { view: Arc::clone(&view), fact_at_us: now_us }).await;
    Ok(Some(view))
}

/// Whether an entry answers alone. A failed round may be followed by a retry that this entry's writer could not see, and
/// a cache that was away meanwhile may hold less than what was shown from the store in its stead.
fn is_believed(parts: &Parts, entry: &Entry, now_us: u64) -> bool {
    let is_young = now_us.saturating_sub(entry.fact_at_us) < micros(BELIEVED_FOR);
    entry.view.is_over() || (is_young && entry.fact_at_us >= parts.cache.trusted_since_us())
}

/// A success that awaited its payer when it was cached: no round follows it, so only its payment's end can be news.
async fn refreshed(parts: &Parts, view: &Arc<TaskView>, now_us: u64) -> Result<Arc<TaskView>, StoreError> {
    let view = match parts.store.payment_end(view.round_id()).await? {
        Some(end) => Arc::new(view.ended(&end)),
        None => Arc::clone(view),
    };
    let _ = parts.cache.put(Entry { view: Arc::clone(&view), fact_at_us: now_us }).await;
    Ok(view)
}

async fn stored_view(parts: &Parts, task: TaskId) -> Result<Option<TaskView>, StoreError> {
    match latest(parts, task).await? {
        None => Ok(None),
        Some(Latest::Open(open)) => Ok(Some(TaskView::queued(&open))),
        Some(Latest::Settled(outcome)) if outcome.state == OutcomeState::Succeeded => {
            let round = outcome.round_id();
            let payment = parts.store.payment(round).await?;
            let end = parts.store.payment_end(round).await?;
            Ok(TaskView::settled(&outcome, payment.as_deref(), end.as_ref()))
        }
        Some(Latest::Settled(outcome)) => Ok(TaskView::settled(&outcome, None, None)),
    }
}

/// The newest round of a task: open and accepted, or with its outcome.
///
/// # Errors
/// Where the store does not answer.
pub async fn latest(parts: &Parts, task: TaskId) -> Result<Option<Latest>, StoreError> {
    let mut last = None;
    let mut number = 1;
    loop {
        let round = task.round(number);
        let mut outcome = parts.store.outcome(round).await?;
        if outcome.is_none() {
            if let Some(open) = parts.store.open_task(round).await?
                // A retry that is only half accepted may still be refused: until then the failed round is shown.
                && (number == 1 || accept::has_own_slot(parts, &open).await?)
            {
                return Ok(Some(Latest::Open(open)));
            }
            // An open task, and its slot's being the newest, go only after its outcome is there: look once more.
            outcome = parts.store.outcome(round).await?;
        }
        match outcome {
            None => return Ok(last),
            Some(outcome) if outcome.state == OutcomeState::Refused => {
                if number == 1 {
                    return Ok(None);
                }
            }
            Some(outcome) => {
                let may_go_on = outcome.state == OutcomeState::Failed;
                last = Some(Latest::Settled(outcome));
                if !may_go_on {
                    return Ok(last);
                }
            }
        }
        number = match number.checked_add(1) {
            Some(next) => next,
            None => return Ok(last),
        };
    }
}
