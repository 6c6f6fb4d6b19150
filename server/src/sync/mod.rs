//! The synchroniser: outcomes of rounds, with the payments that they leave, to the store and into the cache.
//!
//! The outcome document decides between everybody who wants to end a round; a payment is inserted before the outcome
//! that names it and is seen by nobody until then.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{
    cache::{Entry, ResultCache as _},
    metrics::Named,
    model::{Collection, Document, Outcome, OutcomeState, Payment, TaskView},
    parts::{Parts, SyncMode},
    store::{DocumentStore as _, Key, StoreError},
};

mod batch;
mod on_query;

pub use batch::Batches;
pub use on_query::{Unsynced, Work as UnsyncedWork};

/// An attempt's end that wants to become the outcome of its round.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The outcome.
    pub outcome: Arc<Outcome>,
    /// The payment, where it succeeded.
    pub payment: Option<Arc<Payment>>,
}

/// Whether it became the outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It did.
    Won,
    /// Another was first.
    Lost(Arc<Outcome>),
}

/// How results find their way to the store.
#[derive(Clone)]
pub enum Synchroniser {
    /// Each by itself.
    Direct(Arc<Parts>),
    /// Many at once.
    Batched(Batches),
    /// Shown first and stored after the first query.
    OnQuery(Arc<Unsynced>),
}

impl Synchroniser {
    /// Stores (or, with `--sync on-query`, shows) what an attempt ended with.
    ///
    /// # Errors
    /// Where the store does not answer: the round stays open.
    pub async fn settle(&self, finished: Finished) -> Result<Verdict, StoreError> {
        match self {
            Self::Direct(parts) => store_one(parts, finished).await,
            Self::Batched(batches) => batches.settle(finished).await,
            Self::OnQuery(unsynced) => unsynced.settle(finished).await,
        }
    }

    /// A query has shown the task's result.
    pub fn shown(&self, view: &TaskView) {
        if let Self::OnQuery(unsynced) = self {
            unsynced.shown(view.round_id());
        }
    }
}

/// Stores one outcome.
///
/// # Errors
/// See [`store`].
pub async fn store_one(parts: &Parts, finished: Finished) -> Result<Verdict, StoreError> {
    let mut verdicts = store(parts, vec![finished]).await?;
    verdicts.pop().ok_or_else(|| StoreError::Unknown("the store gave no answer for an outcome".to_owned()))
}

/// Stores outcomes with their payments in one call, and shows those that won.
///
/// # Errors
/// Where the store does not answer; each may have been stored or not.
pub async fn store(parts: &Parts, finished: Vec<Finished>) -> Result<Vec<Verdict>, StoreError> {
    parts.metrics.sync_batch.observe(f64::from(u32::try_from(finished.len()).unwrap_or(u32::MAX)));
    let fact_at_us = parts.clock.now_us();
    let groups = finished.iter().map(documents).collect();
    let inserted = parts.store.insert(groups).await?;
    let mut verdicts = Vec::with_capacity(finished.len());
    let (mut done, mut shown) = (Vec::new(), Vec::new());
    for (finished, inserted) in finished.into_iter().zip(inserted) {
        let (verdict, finished) = decide(parts, finished, inserted).await?;
        if verdict == Verdict::Won {
            // What its attempts left at the channel is closed first; the open task keeps that in sight.
            if finished.outcome.state != OutcomeState::Succeeded && !finished.outcome.leaves_an_order() {
                done.push(Key::new(Collection::OpenTasks, finished.outcome.round_id().document_id()));
            }
            count(parts, &finished.outcome);
            shown.extend(entry(&finished, fact_at_us));
        }
        verdicts.push(verdict);
    }
    let forgotten = async { if done.is_empty() { Ok(()) } else { parts.store.forget(done).await } };
    // A cache that cannot be had costs the next queries a read of the store each, nothing else.
    let (_, forgotten) = futures_util::join!(parts.cache.put_all(shown), forgotten);
    if let Err(error) = forgotten {
        // They are final; the sweeper finds and deletes them.
        tracing::warn!(%error, "open tasks of ended rounds were not deleted yet");
    }
    Ok(verdicts)
}

fn documents(finished: &Finished) -> Vec<Document> {
    let outcome = Document::PayTask(Arc::clone(&finished.outcome));
    match &finished.payment {
        Some(payment) => vec![Document::Payment(Arc::clone(payment)), outcome],
        None => vec![outcome],
    }
}

/// Reads from how many documents went in who won; adopts the parameters of a payment that was there before.
async fn decide(parts: &Parts, mut finished: Finished, inserted: usize) -> Result<(Verdict, Finished), StoreError> {
    let round = finished.outcome.round_id();
    let whole = 1 + usize::from(finished.payment.is_some());
    let mut won = inserted == whole;
    if inserted == 0 && finished.payment.is_some() {
        finished.payment = parts.store.payment(round).await?;
        won = parts.store.insert_one(Document::PayTask(Arc::clone(&finished.outcome))).await?;
    }
    if won {
        return Ok((Verdict::Won, finished));
    }
    let first = parts.store.outcome(round).await?;
    let first =
        first.ok_or_else(|| StoreError::Unknown(format!("outcome {} is and is not there", round.document_id())))?;
    // An earlier try of the same writer, whose answer was lost, is a win.
    let verdict = if first == finished.outcome { Verdict::Won } else { Verdict::Lost(first) };
    Ok((verdict, finished))
}

/// An outcome as the cache shows it.
fn entry(finished: &Finished, fact_at_us: u64) -> Option<Entry> {
    let view = TaskView::settled(&finished.outcome, finished.payment.as_deref(), None)?;
    Some(Entry { view: Arc::new(view), fact_at_us })
}

/// Counts an outcome that is stored.
fn count(parts: &Parts, outcome: &Outcome) {
    let Some(state) = outcome.state.task_state() else { return };
    parts.metrics.settled.get_or_create(&Named { name: state.name() }).inc();
    let stages = outcome.stages;
    let own_us = stages.own_us(outcome.accepted_at_us, outcome.settled_at_us);
    parts.metrics.record_stages(stages.queue_wait_us, stages.channel_us, stages.retry_wait_us, own_us);
}

/// The synchroniser that the settings ask for, with its work to run in the background.
#[must_use]
pub fn start(parts: &Arc<Parts>, unsynced: &Arc<Unsynced>) -> (Synchroniser, Option<batch::Work>) {
    match parts.settings.sync {
        SyncMode::OnComplete => {
            let (batches, work) = Batches::new(Arc::clone(parts));
            (Synchroniser::Batched(batches), Some(work))
        }
        SyncMode::OnQuery => (Synchroniser::OnQuery(Arc::clone(unsynced)), None),
    }
}

/// Somebody who waits for a verdict.
type Waiting = oneshot::Sender<Result<Verdict, StoreError>>;
