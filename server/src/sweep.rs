//! The sweeper: one mechanism for everything slow. It looks at open work by age and does the next thing: lost messages,
//! lost notifications, half-done acceptances, crashes and restarts all end here.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use payrig_api::TaskState;
use tokio::time::MissedTickBehavior;

use crate::{
    cache::ResultCache as _,
    channel::{PaidNotice, PaymentChannel as _, TradeState},
    closing,
    model::{Collection, Document, End, IdempotencyKey, OpenTask, Outcome, OutcomeState, PaymentEnd, TaskId},
    notice,
    parts::{Parts, micros},
    queue::{Message, Progress, TaskQueue as _},
    runner,
    service::accept,
    store::{DocumentStore as _, StoreError},
    sync::{self, Finished},
};

/// The ages at which open work is looked at.
const AGES: [Duration; 5] = [
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(10),
];
/// How often there is a window to look at.
const TICK: Duration = Duration::from_secs(10);
/// How often everything older than the pay window is looked at.
const FULL: Duration = Duration::from_mins(1);
/// How often expired idempotency keys are looked for.
const KEYS: Duration = Duration::from_mins(10);
/// A message is sent again if its task is older by this than what the queue now delivers.
const BEHIND: Duration = Duration::from_secs(30);
/// Documents read at a time.
const PAGE: usize = 128;
/// A page takes at least this long (20,000 visits a second), so that a sweep never keeps requests waiting.
const PAGE_TAKES: Duration = Duration::from_micros(6_400);
/// Open tasks under way at a time: what waits for the channel is mostly idle.
const UNDER_WAY: usize = PAGE;

/// Looks at everything that was open before the start, then at what grows old, for as long as it is polled.
pub async fn run(parts: Arc<Parts>) {
    let started_us = parts.clock.now_us();
    recover(&parts, started_us).await;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cursors = AGES.map(|age| started_us.saturating_sub(micros(age)));
    let (mut full_at_us, mut keys_at_us) = (started_us, started_us);
    loop {
        tick.tick().await;
        let now_us = parts.clock.now_us();
        for (number, age) in AGES.iter().enumerate() {
            let until_us = now_us.saturating_sub(micros(*age));
            // Where sweeping cannot keep up, the next age looks at what this one leaves out.
            let next_age = AGES.get(number + 1).copied().unwrap_or(parts.settings.pay_window);
            let from_us = cursors[number].max(now_us.saturating_sub(micros(next_age)));
            visit_all(&parts, Some(from_us), Some(until_us), 0).await;
            cursors[number] = until_us;
        }
        notices(&parts, now_us.saturating_sub(micros(AGES[0]))).await;
        if now_us.saturating_sub(full_at_us) >= micros(FULL) {
            full_at_us = now_us;
            visit_all(&parts, None, Some(now_us.saturating_sub(micros(parts.settings.pay_window))), 0).await;
        }
        if now_us.saturating_sub(keys_at_us) >= micros(KEYS) {
            keys_at_us = now_us;
            if let Err(error) = expire_keys(&parts, now_us).await {
                tracing::warn!(%error, "expired idempotency keys stay until the next round");
            }
        }
    }
}

/// Looks at everything that was open before this instant.
pub async fn recover(parts: &Arc<Parts>, before_us: u64) {
    // What was sent by an earlier start is gone with it, however busy the queue is with what has come since.
    let lost_before_us = if parts.queue.dies_with_the_process() { before_us } else { 0 };
    let seen = visit_all(parts, None, Some(before_us), lost_before_us).await;
    notices(parts, before_us).await;
    if seen > 0 {
        tracing::info!(open_tasks = seen, "open work of an earlier start was taken up");
    }
}

/// Visits open tasks made between these instants; returns how many. The messages of rounds that were accepted before
/// `lost_before_us` are surely lost.
async fn visit_all(parts: &Arc<Parts>, from_us: Option<u64>, before_us: Option<u64>, lost_before_us: u64) -> usize {
    let mut after = from_us.map(|us| TaskId::floor(us).to_string());
    let before = before_us.map(|us| TaskId::floor(us).to_string());
    let mut seen = 0;
    loop {
        let page = parts.store.range(Collection::OpenTasks, after.as_deref(), before.as_deref(), PAGE).await;
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "the sweeper cannot read the open tasks; it tries again later");
                return seen;
            }
        };
        let Some(last) = page.last() else { return seen };
        after = Some(last.id());
        seen += page.len();
        let (visits, breath) = (stream::iter(page), tokio::time::sleep(PAGE_TAKES));
        visits.for_each_concurrent(UNDER_WAY, |document| visit_document(parts, document, lost_before_us)).await;
        breath.await;
    }
}

async fn visit_document(parts: &Arc<Parts>, document: Document, lost_before_us: u64) {
    let Document::OpenTask(open) = document else { return };
    parts.metrics.swept.inc();
    if let Err(error) = look_at(parts, &open, lost_before_us).await {
        tracing::warn!(round = open.round_id().document_id(), %error, "the sweeper got no further with a task");
    }
}

/// Looks at the facts about an open round and does the next thing.
///
/// # Errors
/// Where the store does not answer; a later visit goes on.
pub async fn visit(parts: &Arc<Parts>, open: &Arc<OpenTask>) -> Result<(), StoreError> {
    look_at(parts, open, 0).await
}

async fn look_at(parts: &Arc<Parts>, open: &Arc<OpenTask>, lost_before_us: u64) -> Result<(), StoreError> {
    let round = open.round_id();
    if let Some(notice) = parts.store.notice(round).await? {
        return notice::work_off(parts, &notice).await;
    }
    match parts.store.outcome(round).await? {
        None => visit_unsettled(parts, open, open.accepted_at_us < lost_before_us).await,
        Some(outcome) => match outcome.state {
            OutcomeState::Succeeded => visit_payment(parts, &outcome).await,
            OutcomeState::Cancelled if parts.store.payment(round).await?.is_some() => {
                closing::close_lost(parts, open).await
            }
            OutcomeState::Cancelled => {
                notice::let_go(parts, round).await?;
                // Its attempt may have ended between the look and the letting go.
                closing::close_lost(parts, open).await
            }
            _ => notice::let_go(parts, round).await,
        },
    }
}

async fn visit_unsettled(parts: &Arc<Parts>, open: &Arc<OpenTask>, is_lost: bool) -> Result<(), StoreError> {
    if !accept::has_own_slot(parts, open).await? {
        // Finishing it sends it to the queue, or finds that it lost.
        let _ = accept::finish(parts, open).await?;
        return Ok(());
    }
    let now_us = parts.clock.now_us();
    if now_us.saturating_sub(open.accepted_at_us) > micros(parts.settings.pay_window) {
        return fail_poison(parts, open, now_us).await;
    }
    // Somebody has worked on it lately: it is not lost, or a later age will find that it is.
    let seen = parts.cache.get(open.task.task_id).await.ok().flatten();
    if seen.is_some_and(|entry| entry.view.round == open.round && entry.view.state != TaskState::Queued) {
        return Ok(());
    }
    let stats = parts.queue.stats();
    let idle = stats.waiting == 0 && stats.unacknowledged == 0;
    if is_lost || idle || open.accepted_at_us + micros(BEHIND) < stats.delivering_since_us {
        parts.metrics.swept_requeued.inc();
        let message = Message::first(Arc::clone(open), now_us);
        if let Err(error) = parts.queue.offer(vec![message]).await {
            tracing::debug!(%error, "an open task was not sent again yet");
        }
    }
    Ok(())
}

/// A round that has gone a whole pay window without an outcome never gets one by itself.
async fn fail_poison(parts: &Arc<Parts>, open: &OpenTask, now_us: u64) -> Result<(), StoreError> {
    let reason = Some("no outcome within the pay window".to_owned());
    let outcome =
        runner::outcome(open, OutcomeState::Failed, open.attempts_before, reason, now_us, Progress::default());
    sync::store_one(parts, Finished { outcome: Arc::new(outcome), payment: None }).await?;
    Ok(())
}

async fn visit_payment(parts: &Arc<Parts>, outcome: &Outcome) -> Result<(), StoreError> {
    let payment_no = outcome.round_id();
    match parts.store.payment_end(payment_no).await?.map(|end: PaymentEnd| end.end) {
        // Its notice is gone, so it is worked off; or the channel has said that it is closed.
        Some(End::Paid { .. } | End::Closed { .. }) => return notice::let_go(parts, payment_no).await,
        None => {}
    }
    if let Some(closing) = parts.store.closing(payment_no).await? {
        closing::go_on(parts, payment_no, &closing.reason).await?;
        return Ok(());
    }
    let waited_us = parts.clock.now_us().saturating_sub(outcome.settled_at_us);
    if waited_us > micros(parts.settings.pay_window) {
        closing::close(parts, payment_no, "not paid within the pay window").await?;
        return Ok(());
    }
    match parts.channel.query(payment_no).await {
        Ok(TradeState::Paid(paid)) => notice::take(parts, PaidNotice { payment_no, paid }).await,
        Ok(TradeState::Closed) => closing::close(parts, payment_no, "closed at the channel").await.map(|_| ()),
        Ok(TradeState::Unpaid) => Ok(()),
        Err(error) => {
            tracing::debug!(payment_no = payment_no.payment_no(), %error, "the channel did not say how a payment stands");
            Ok(())
        }
    }
}

/// Works off notices that have waited since before this instant.
async fn notices(parts: &Arc<Parts>, before_us: u64) {
    let mut after: Option<String> = None;
    loop {
        let page = match parts.store.range(Collection::Notices, after.as_deref(), None, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "the sweeper cannot read the notices; it tries again later");
                return;
            }
        };
        let Some(last) = page.last() else { return };
        after = Some(last.id());
        for document in page {
            let Document::Notice(found) = document else { continue };
            if found.at_us > before_us {
                continue;
            }
            if let Err(error) = notice::work_off(parts, &found).await {
                tracing::warn!(payment_no = found.payment_no.payment_no(), %error, "a notice stays");
            }
        }
    }
}

/// Forgets idempotency keys that are past their time.
async fn expire_keys(parts: &Arc<Parts>, now_us: u64) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let page = parts.store.range(Collection::IdempotencyKeys, after.as_deref(), None, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id());
        let expired = |key: &IdempotencyKey| key.expires_at_us <= now_us;
        for document in page {
            if let Document::IdempotencyKey(key) = document
                && expired(&key)
            {
                accept::forget_expired_key(parts, &key).await?;
            }
        }
        // A look at every key must not keep requests waiting.
        tokio::task::yield_now().await;
    }
}
