//! Acceptance, the same for a submission and a manual retry: the open task, the key and the order's slot, in this order.
//! All of it is idempotent, so whoever meets a half-done acceptance finishes it.

use std::sync::Arc;

use crate::{
    model::{
        Collection, Document, End, IdempotencyKey, KeyUse, OpenTask, Order, OrderKey, OrderSlot, Outcome, OutcomeState,
        PayTask, PaymentEnd, RoundId,
    },
    parts::{Parts, micros},
    queue::{Message, Progress, TaskQueue as _},
    runner,
    store::{DocumentStore as _, Key, StoreError},
};

/// How an acceptance went well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// The round is accepted.
    New,
    /// It is the repeat of a task that was accepted before.
    Repeat(RoundId),
}

/// Why a round was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The idempotency key came with another body before.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// Another round may pay the order.
    #[error("the order is being paid by another task")]
    OrderInUse(RoundId),
    /// A payment has paid the order.
    #[error("the order is paid")]
    OrderPaid(RoundId),
    /// The order exists with another value in this field.
    #[error("the order exists with another {0}")]
    OrderDiffers(&'static str),
    /// Another task was paying the order when this key came first, and is not any more.
    #[error("the submission of this key was refused when another task was paying the order; a fresh key tries again")]
    RefusedBefore,
}

/// What an acceptance came to, or why the store does not say.
pub type Answer = Result<Result<Accepted, Refusal>, StoreError>;

/// Inserts the documents of rounds, many in one call of the store; tells for each whether it is accepted with that. The
/// others are to be [`decide`]d.
///
/// # Errors
/// Where the store does not answer: each may have been accepted or not.
pub async fn insert(parts: &Parts, opens: &[Arc<OpenTask>]) -> Result<Vec<bool>, StoreError> {
    let inserted = parts.store.insert(opens.iter().map(|open| documents(parts, open)).collect()).await?;
    // The first generation is only guessed for a first round; a later round has no guess and is never whole.
    let whole = |(open, inserted): (&Arc<OpenTask>, usize)| {
        inserted == 2 + usize::from(open.key.is_some()) + usize::from(open.task.items.is_some())
    };
    Ok(opens.iter().zip(inserted).map(whole).collect())
}

/// The documents of an acceptance that nothing stands in the way of. Later rounds find their slot step by step.
fn documents(parts: &Parts, open: &Arc<OpenTask>) -> Vec<Document> {
    let mut group = Vec::with_capacity(4);
    group.push(Document::OpenTask(Arc::clone(open)));
    group.extend(key_document(parts, open).map(Document::IdempotencyKey));
    if open.round == 1 {
        // Before the slot: a task that has its slot has its order.
        group.extend(order_document(open).map(Document::Order));
        group.push(Document::OrderSlot(slot(open, 0)));
    }
    group
}

fn key_document(parts: &Parts, open: &OpenTask) -> Option<IdempotencyKey> {
    open.key.as_ref().map(|used| IdempotencyKey {
        merchant: Arc::clone(&open.task.merchant),
        used: used.clone(),
        task_id: open.task.task_id,
        expires_at_us: open.accepted_at_us + micros(parts.settings.key_lifetime),
    })
}

/// The order that comes with a submission with items.
fn order_document(open: &OpenTask) -> Option<Arc<Order>> {
    Order::of_task(&open.task, open.accepted_at_us).map(Arc::new)
}

fn slot(open: &OpenTask, generation: u32) -> OrderSlot {
    OrderSlot {
        merchant: Arc::clone(&open.task.merchant),
        order_no: Arc::clone(&open.task.order_no),
        generation,
        holder: open.round_id(),
    }
}

/// Accepts or refuses a round that met a conflict when its documents were inserted.
///
/// # Errors
/// Where the store does not answer; something was written before.
pub async fn decide(parts: &Parts, open: &Arc<OpenTask>) -> Answer {
    match conclude(parts, open).await.map_err(StoreError::after_a_write)? {
        Conclusion::Accepted => Ok(Ok(Accepted::New)),
        Conclusion::Over => Ok(Ok(Accepted::Repeat(open.round_id()))),
        Conclusion::Refused(refusal) => Ok(Err(refusal)),
        Conclusion::KeyTaken(known, used) => match repeat(parts, &known, &used).await {
            Ok(round) => Ok(Ok(Accepted::Repeat(round))),
            Err(super::NotAccepted::Refused(refusal)) => Ok(Err(refusal)),
            Err(super::NotAccepted::Store(error)) => Err(error.after_a_write()),
            Err(_) => Ok(Err(Refusal::KeyReused)),
        },
    }
}

/// What became of a round that met a conflict.
enum Conclusion {
    /// It has its key and its slot.
    Accepted,
    /// It has an outcome already.
    Over,
    /// It never was.
    Refused(Refusal),
    /// It never was: its key, so used, is another task's.
    KeyTaken(IdempotencyKey, KeyUse),
}

/// Accepts or refuses a round, one at a time: who finishes an acceptance and who repeats it must come to the same end.
async fn conclude(parts: &Parts, open: &Arc<OpenTask>) -> Result<Conclusion, StoreError> {
    let _deciding = parts.locks.deciding(open.task.task_id).lock().await;
    if let Some(outcome) = parts.store.outcome(open.round_id()).await? {
        return match outcome.state {
            OutcomeState::Refused => refused_before(parts, &outcome).await.map(Conclusion::Refused),
            _ => Ok(Conclusion::Over),
        };
    }
    if let Some(used) = &open.key
        && let Some(known) = claim_key(parts, open).await?
    {
        refuse(parts, open, Refusal::KeyReused).await?;
        return Ok(Conclusion::KeyTaken(known, used.clone()));
    }
    if let Some(refusal) = claim_order(parts, open).await? {
        refuse(parts, open, refusal).await?;
        return Ok(Conclusion::Refused(refusal));
    }
    match claim_slot(parts, open).await? {
        Ok(_) => Ok(Conclusion::Accepted),
        Err(refusal) => {
            refuse(parts, open, refusal).await?;
            Ok(Conclusion::Refused(refusal))
        }
    }
}

/// Why a round that was refused before is refused still: its key is used up.
async fn refused_before(parts: &Parts, outcome: &Outcome) -> Result<Refusal, StoreError> {
    let order = outcome.task.order();
    if let Some(refusal) = order_differs(parts, &outcome.task).await? {
        return Ok(refusal);
    }
    if let Some(settled) = parts.store.order_settlement(&order).await? {
        return Ok(Refusal::OrderPaid(settled.payment_no));
    }
    match last_slot(parts, &order).await? {
        Some((slot, _)) => Ok(still_holds(parts, slot.holder).await?.unwrap_or(Refusal::RefusedBefore)),
        None => Ok(Refusal::RefusedBefore),
    }
}

/// The task that a key made before, for a repeat with this use of the key. Finishes its acceptance if need be.
///
/// # Errors
/// [`Refusal::KeyReused`] for another body; the refusal of that task; or a store that does not answer.
pub async fn repeat(parts: &Parts, known: &IdempotencyKey, used: &KeyUse) -> Result<RoundId, super::NotAccepted> {
    if known.used.body_sha256 != used.body_sha256 {
        return Err(Refusal::KeyReused.into());
    }
    let round = known.task_id.round(1);
    let mut outcome = parts.store.outcome(round).await?;
    if outcome.is_none() {
        if let Some(open) = parts.store.open_task(round).await? {
            finish(parts, &open).await.map_err(StoreError::after_a_write)??;
            return Ok(round);
        }
        // An open task goes only after its outcome is there: look once more.
        outcome = parts.store.outcome(round).await?;
    }
    match outcome {
        Some(outcome) if outcome.state == OutcomeState::Refused => Err(refused_before(parts, &outcome).await?.into()),
        Some(_) => Ok(round),
        None => Err(StoreError::Unknown(format!("task {} of a key is not there", known.task_id)).into()),
    }
}

/// Finishes the acceptance of a round that may be half done, and sends it to the queue if that made it whole.
///
/// # Errors
/// Where the store does not answer.
pub async fn finish(parts: &Parts, open: &Arc<OpenTask>) -> Result<Result<(), Refusal>, StoreError> {
    if has_own_slot(parts, open).await? {
        return Ok(Ok(()));
    }
    match conclude(parts, open).await? {
        Conclusion::Accepted => {}
        Conclusion::Over => return Ok(Ok(())),
        Conclusion::Refused(refusal) => return Ok(Err(refusal)),
        Conclusion::KeyTaken(..) => return Ok(Err(Refusal::KeyReused)),
    }
    let message = Message::first(Arc::clone(open), parts.clock.now_us());
    // A queue that takes nothing now is made up for by the sweeper.
    let _ = parts.queue.offer(vec![message]).await;
    Ok(Ok(()))
}

/// Whether this round holds the newest slot of its order. Without an outcome it cannot hold an older one.
///
/// # Errors
/// Where the store does not answer.
pub async fn has_own_slot(parts: &Parts, open: &OpenTask) -> Result<bool, StoreError> {
    let last = last_slot(parts, &open.task.order()).await?;
    Ok(last.is_some_and(|(slot, _)| slot.holder == open.round_id()))
}

/// Puts the key down for this task; returns what it stands for if it is another's. A key past its time is replaced.
async fn claim_key(parts: &Parts, open: &OpenTask) -> Result<Option<IdempotencyKey>, StoreError> {
    let Some(key) = key_document(parts, open) else { return Ok(None) };
    loop {
        if parts.store.insert_one(Document::IdempotencyKey(key.clone())).await? {
            return Ok(None);
        }
        let Some(known) = parts.store.idempotency_key(&key.merchant, &key.used.key).await? else { continue };
        if known.task_id == key.task_id {
            return Ok(None);
        }
        if known.expires_at_us > parts.clock.now_us() {
            return Ok(Some(known));
        }
        forget_expired_key(parts, &known).await?;
    }
}

/// Deletes a key that is past its time, and only that: under a lock, because a delete names an id and not a content.
async fn forget_expired_key(parts: &Parts, expired: &IdempotencyKey) -> Result<(), StoreError> {
    forget_expired_keys(parts, std::slice::from_ref(expired)).await
}

/// Deletes keys that are past their time, and only those.
///
/// # Errors
/// Where the store does not answer.
pub async fn forget_expired_keys(parts: &Parts, expired: &[IdempotencyKey]) -> Result<(), StoreError> {
    let _replacing = parts.locks.replacing_key.lock().await;
    let mut gone = Vec::with_capacity(expired.len());
    for key in expired {
        if parts.store.idempotency_key(&key.merchant, &key.used.key).await?.as_ref() == Some(key) {
            let id = IdempotencyKey::document_id(&key.merchant, &key.used.key);
            gone.push(Key::new(Collection::IdempotencyKeys, id));
        }
    }
    if !gone.is_empty() {
        parts.store.forget(gone).await?;
    }
    Ok(())
}

/// Why a submission cannot be accepted by what is known of its order, before anything is written: so that a refused one
/// leaves no order behind, and an order is never paid in another amount or currency.
///
/// # Errors
/// Where the store does not answer.
pub async fn order_forbids(parts: &Parts, task: &PayTask) -> Result<Option<Refusal>, StoreError> {
    let order = task.order();
    match parts.store.order(&order).await? {
        Some(known) => Ok(differs(&known, task)),
        None if task.items.is_none() => Ok(None),
        None => match last_slot(parts, &order).await? {
            Some((last, _)) => still_holds(parts, last.holder).await,
            None => Ok(None),
        },
    }
}

fn differs(known: &Order, task: &PayTask) -> Option<Refusal> {
    known.other_than(task.amount_minor, task.currency, task.items.as_deref()).map(Refusal::OrderDiffers)
}

async fn order_differs(parts: &Parts, task: &PayTask) -> Result<Option<Refusal>, StoreError> {
    Ok(parts.store.order(&task.order()).await?.and_then(|known| differs(&known, task)))
}

/// Puts the order of a first round down where it brings one; returns why it cannot be paid like this.
async fn claim_order(parts: &Parts, open: &OpenTask) -> Result<Option<Refusal>, StoreError> {
    if open.round > 1 {
        return Ok(None);
    }
    if let Some(order) = order_document(open)
        && parts.store.insert_one(Document::Order(order)).await?
    {
        return Ok(None);
    }
    order_differs(parts, &open.task).await
}

/// In which field an order that is not there yet is not what a task is paying, or has paid, under its number.
///
/// # Errors
/// Where the store does not answer.
pub async fn paid_otherwise(parts: &Parts, order: &Order) -> Result<Option<&'static str>, StoreError> {
    let Some((last, _)) = last_slot(parts, &order.key()).await? else { return Ok(None) };
    if still_holds(parts, last.holder).await?.is_none() {
        return Ok(None);
    }
    let task = match parts.store.outcome(last.holder).await? {
        Some(outcome) => Some(Arc::clone(&outcome.task)),
        None => parts.store.open_task(last.holder).await?.map(|open| Arc::clone(&open.task)),
    };
    Ok(task.and_then(|task| order.other_than(task.amount_minor, task.currency, None)))
}

/// Takes the order's next slot, if every round that held one ended unpaid. Returns its generation.
async fn claim_slot(parts: &Parts, open: &OpenTask) -> Result<Result<u32, Refusal>, StoreError> {
    let order = open.task.order();
    loop {
        let generation = match last_slot(parts, &order).await? {
            None => 0,
            Some((last, generation)) if last.holder == open.round_id() => return Ok(Ok(generation)),
            Some((last, generation)) => match still_holds(parts, last.holder).await? {
                Some(refusal) => return Ok(Err(refusal)),
                None => generation + 1,
            },
        };
        if parts.store.insert_one(Document::OrderSlot(slot(open, generation))).await? {
            return Ok(Ok(generation));
        }
    }
}

/// Why this round keeps others from the order; nothing once it ended unpaid.
///
/// # Errors
/// Where the store does not answer.
pub async fn still_holds(parts: &Parts, holder: RoundId) -> Result<Option<Refusal>, StoreError> {
    let Some(outcome) = parts.store.outcome(holder).await? else { return Ok(Some(Refusal::OrderInUse(holder))) };
    if outcome.state != OutcomeState::Succeeded {
        return Ok(None);
    }
    Ok(match parts.store.payment_end(holder).await? {
        None => Some(Refusal::OrderInUse(holder)),
        Some(PaymentEnd { end: End::Closed { .. }, .. }) => None,
        Some(PaymentEnd { end: End::Paid { .. }, .. }) => Some(Refusal::OrderPaid(holder)),
    })
}

/// The newest slot of an order and its generation. Generations have no gaps and are never deleted, so the last one is
/// found by doubling and halving.
///
/// # Errors
/// Where the store does not answer.
pub async fn last_slot(parts: &Parts, order: &OrderKey) -> Result<Option<(OrderSlot, u32)>, StoreError> {
    let Some(first) = parts.store.order_slot(order, 0).await? else { return Ok(None) };
    let (mut last, mut there, mut step) = (first, 0_u32, 1_u32);
    let mut missing = loop {
        let next = there.saturating_add(step);
        match parts.store.order_slot(order, next).await? {
            Some(slot) if next > there => (last, there, step) = (slot, next, step.saturating_mul(2)),
            _ => break next,
        }
    };
    while missing - there > 1 {
        let middle = there + (missing - there) / 2;
        match parts.store.order_slot(order, middle).await? {
            Some(slot) => (last, there) = (slot, middle),
            None => missing = middle,
        }
    }
    Ok(Some((last, there)))
}

/// Gives a round up that lost its key or slot: first its outcome, then its open task.
async fn refuse(parts: &Parts, open: &OpenTask, refusal: Refusal) -> Result<(), StoreError> {
    let reason = Some(refusal.to_string());
    let now_us = parts.clock.now_us();
    let outcome =
        runner::outcome(open, OutcomeState::Refused, open.attempts_before, reason, now_us, Progress::default());
    parts.store.insert_one(Document::PayTask(Arc::new(outcome))).await?;
    parts.store.forget_one(Collection::OpenTasks, open.round_id().document_id()).await
}
