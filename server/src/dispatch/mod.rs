//! Success messages: from the notice of a payment that is really paid to every subscriber's effect, and then the end of
//! the notice.
//!
//! A message is published once the payment has settled its order. Each subscriber has a queue of its own and writes its
//! effect once, by the payment's number; the one that then finds the effects of all the others deletes the notice and
//! after it the open task. Queues may lose everything: the notice is the outbox. What a queue has no room for its
//! subscriber reads from the notices, oldest first, when it is done with what it has; what a crash took the sweeper
//! publishes again.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    metrics::Named,
    model::{Collection, Document, End, PayTask, RoundId, Success},
    parts::Parts,
    queue::success::{Announced, Polled, SubscriberQueue, SuccessQueue as _, Successes, memory::MemorySuccesses},
    store::{DocumentStore as _, Key, StoreError},
};

mod daily_totals;
mod order;
mod publish;

pub use publish::Publisher;

/// Who does something with a payment that was made.
pub struct Subscriber {
    /// Its name, in metrics.
    pub name: &'static str,
    /// Where its effects are.
    pub collection: Collection,
    /// What it writes, at this instant (microseconds since the epoch); its id is the payment's number.
    pub effect: fn(&Success, u64) -> Document,
}

/// All subscribers. A new one is a file of its own and a line here.
pub const SUBSCRIBERS: [Subscriber; 2] = [order::SUBSCRIBER, daily_totals::SUBSCRIBER];

/// Messages that one call of the store takes.
const BATCH: usize = 256;
/// Notices read at a time.
const PAGE: usize = 256;
/// Before the store is asked again after it gave no answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A queue for each subscriber, for so many messages each, and a backlog of as many.
#[must_use]
pub fn in_process(capacity: usize) -> (Successes, Announced) {
    let queues = SUBSCRIBERS.iter().map(|_| SubscriberQueue::Memory(MemorySuccesses::new(capacity)));
    Successes::new(queues.collect(), capacity)
}

/// The message of a task's payment that ended like this; nothing where it was not paid.
#[must_use]
pub fn success(task: &PayTask, payment_no: RoundId, end: &End) -> Option<Success> {
    match end {
        End::Closed { .. } => None,
        End::Paid { transaction_id, paid_at_us, amount_minor } => Some(Success {
            payment_no,
            merchant: Arc::clone(&task.merchant),
            order_no: Arc::clone(&task.order_no),
            transaction_id: Arc::clone(transaction_id),
            paid_at_us: *paid_at_us,
            amount_minor: *amount_minor,
            currency: task.currency,
        }),
    }
}

/// Announces a success. It is in the store: what finds no room here is found there.
pub fn announce(parts: &Parts, success: Success) {
    if !parts.successes.announce(Arc::new(success)) {
        parts.metrics.success_left.get_or_create(&Named { name: "backlog" }).inc();
    }
}

/// The message of a payment whose notice was worked off up to here before; nothing where it has not settled its order.
///
/// # Errors
/// Where the store does not answer.
pub async fn settled(parts: &Parts, payment_no: RoundId) -> Result<Option<Success>, StoreError> {
    let Some(end) = parts.store.payment_end(payment_no).await? else { return Ok(None) };
    let Some(outcome) = parts.store.outcome(payment_no).await? else { return Ok(None) };
    let settlement = parts.store.order_settlement(&outcome.task.order()).await?;
    let is_ours = settlement.is_some_and(|settlement| settlement.payment_no == payment_no);
    Ok(if is_ours { success(&outcome.task, payment_no, &end.end) } else { None })
}

/// Publishes a success again to the subscribers whose effects are missing; if none is, its notice goes.
///
/// # Errors
/// Where the store does not answer.
pub async fn announce_again(parts: &Parts, success: Success) -> Result<(), StoreError> {
    let payment_no = success.payment_no;
    let success = [Arc::new(success)];
    let mut missing = false;
    for (subscriber, queue) in SUBSCRIBERS.iter().zip(parts.successes.queues()) {
        if has_effect(parts, subscriber, payment_no).await? {
            continue;
        }
        missing = true;
        parts.metrics.success_republished.inc();
        publish::offer(parts, subscriber, queue, &success).await;
    }
    if missing { Ok(()) } else { let_go(parts, &[payment_no]).await }
}

async fn has_effect(parts: &Parts, subscriber: &Subscriber, payment_no: RoundId) -> Result<bool, StoreError> {
    Ok(parts.store.get(subscriber.collection, &payment_no.payment_no()).await?.is_some())
}

/// All effects are there: the notices go, and after them the open tasks.
async fn let_go(parts: &Parts, done: &[RoundId]) -> Result<(), StoreError> {
    if done.is_empty() {
        return Ok(());
    }
    let notices = done.iter().map(|done| Key::new(Collection::Notices, done.payment_no()));
    let opens = done.iter().map(|done| Key::new(Collection::OpenTasks, done.document_id()));
    parts.store.forget(notices.chain(opens).collect()).await
}

/// Publishes and serves every subscriber until told to stop; then all that is in the queues is worked off.
pub async fn run(parts: Arc<Parts>, announced: Announced, stop: oneshot::Receiver<()>) {
    let mut subscribers = JoinSet::new();
    for which in 0..SUBSCRIBERS.len() {
        let parts = Arc::clone(&parts);
        subscribers.spawn(async move { while serve_next(&parts, which).await {} });
    }
    Publisher::new(Arc::clone(&parts), announced).run(stop).await;
    parts.successes.close();
    while subscribers.join_next().await.is_some() {}
}

/// Waits for what the subscriber with this number has to do next, and does it. False at the end.
pub async fn serve_next(parts: &Parts, which: usize) -> bool {
    let (Some(subscriber), Some(queue)) = (SUBSCRIBERS.get(which), parts.successes.queues().get(which)) else {
        return false;
    };
    let served = match queue.poll(BATCH).await {
        Polled::Closed => return false,
        Polled::Behind => catch_up(parts, which).await,
        Polled::Messages(messages) => {
            let served = serve(parts, which, &messages).await;
            let payment_nos: Vec<RoundId> = messages.iter().map(|success| success.payment_no).collect();
            queue.ack(&payment_nos).await;
            served
        }
    };
    if let Err(error) = served {
        tracing::warn!(subscriber = subscriber.name, %error, "a subscriber got no further; it looks at the notices again");
        queue.fall_behind();
        tokio::select! {
            () = tokio::time::sleep(RETRY_AFTER) => {}
            () = queue.closed() => {}
        }
    }
    true
}

/// Writes the subscriber's effects, and lets go what all the others have had too.
async fn serve(parts: &Parts, which: usize, messages: &[Arc<Success>]) -> Result<(), StoreError> {
    let subscriber = &SUBSCRIBERS[which];
    let now_us = parts.clock.now_us();
    let effects = messages.iter().map(|success| vec![(subscriber.effect)(success, now_us)]).collect();
    let inserted: usize = parts.store.insert(effects).await?.into_iter().sum();
    let effects = parts.metrics.success_effects.get_or_create(&Named { name: subscriber.name }).clone();
    effects.inc_by(u64::try_from(inserted).unwrap_or(u64::MAX));
    let mut done = Vec::with_capacity(messages.len());
    for success in messages {
        if others_are_done(parts, which, success.payment_no).await? {
            done.push(success.payment_no);
        }
    }
    let_go(parts, &done).await
}

async fn others_are_done(parts: &Parts, which: usize, payment_no: RoundId) -> Result<bool, StoreError> {
    for (number, other) in SUBSCRIBERS.iter().enumerate() {
        if number != which && !has_effect(parts, other, payment_no).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Does what the queue had no room for: all notices that lack this subscriber's effect, oldest first. What is published
/// meanwhile waits in the queue again.
async fn catch_up(parts: &Parts, which: usize) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let page = parts.store.range(Collection::Notices, after.as_deref(), None, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id());
        let mut lacking = Vec::with_capacity(page.len());
        for document in page {
            let Document::Notice(notice) = document else { continue };
            if has_effect(parts, &SUBSCRIBERS[which], notice.payment_no).await? {
                continue;
            }
            if let Some(success) = settled(parts, notice.payment_no).await? {
                lacking.push(Arc::new(success));
            }
        }
        if !lacking.is_empty() {
            serve(parts, which, &lacking).await?;
        }
    }
}
