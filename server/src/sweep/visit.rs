//! One visit: the facts about an open round, and the next thing to do.

use std::{sync::Arc, time::Duration};

use payrig_api::TaskState;

use crate::{
    cache::ResultCache as _,
    channel::{PaidNotice, PaymentChannel as _, Trade, TradeState},
    closing,
    model::{End, OpenTask, Outcome, OutcomeState, PaymentEnd},
    notice,
    parts::{Parts, micros},
    queue::{Message, TaskQueue as _},
    runner,
    service::accept,
    store::StoreError,
    sync::{self, Finished},
};

/// A message is sent again if its task is older by this than what the queue now delivers.
const BEHIND: Duration = Duration::from_secs(30);

/// Looks at the facts about an open round and does the next thing.
///
/// # Errors
/// Where the store does not answer; a later visit goes on.
pub async fn visit(parts: &Arc<Parts>, open: &Arc<OpenTask>) -> Result<(), StoreError> {
    look_at(parts, open, 0, false).await
}

pub(super) async fn look_at(
    parts: &Arc<Parts>,
    open: &Arc<OpenTask>,
    lost_before_us: u64,
    unsettled_only: bool,
) -> Result<(), StoreError> {
    let round = open.round_id();
    let outcome = match parts.store.outcome(round).await? {
        None => return visit_unsettled(parts, open, open.accepted_at_us < lost_before_us).await,
        Some(_) if unsettled_only => return Ok(()),
        Some(outcome) => outcome,
    };
    if let Some(notice) = parts.store.notice(round).await? {
        return notice::go_on(parts, &notice).await;
    }
    match outcome.state {
        OutcomeState::Succeeded => visit_payment(parts, &outcome).await,
        OutcomeState::Failed | OutcomeState::Cancelled if outcome.leaves_an_order() => {
            closing::close_left(parts, open).await
        }
        OutcomeState::Cancelled if parts.store.payment(round).await?.is_some() => {
            closing::close_left(parts, open).await
        }
        OutcomeState::Cancelled => {
            notice::let_go(parts, round).await?;
            // Its attempt may have ended between the look and the letting go.
            closing::close_left(parts, open).await
        }
        _ => notice::let_go(parts, round).await,
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
        return fail_poison(parts, open).await;
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
async fn fail_poison(parts: &Arc<Parts>, open: &Arc<OpenTask>) -> Result<(), StoreError> {
    let outcome =
        runner::ended_from_outside(parts, open, OutcomeState::Failed, "no outcome within the pay window").await;
    sync::store_one(parts, Finished { outcome: Arc::new(outcome), payment: None }).await?;
    // Whatever its attempts did: nothing of it may stay open at the channel.
    closing::close_left(parts, open).await
}

async fn visit_payment(parts: &Arc<Parts>, outcome: &Outcome) -> Result<(), StoreError> {
    let payment_no = outcome.round_id();
    match parts.store.payment_end(payment_no).await?.map(|end: PaymentEnd| end.end) {
        // Its notice is gone, so it is worked off; or the channel has said that it is closed.
        Some(End::Paid { .. } | End::Closed { .. }) => return notice::let_go(parts, payment_no).await,
        None => {}
    }
    let trade = Trade::of(&outcome.task, payment_no);
    if let Some(closing) = parts.store.closing(payment_no).await? {
        closing::go_on(parts, trade, &closing.reason).await?;
        return Ok(());
    }
    let waited_us = parts.clock.now_us().saturating_sub(outcome.settled_at_us);
    if waited_us > micros(parts.settings.pay_window) {
        closing::close(parts, trade, "not paid within the pay window").await?;
        return Ok(());
    }
    match parts.channel.query(trade).await {
        Ok(TradeState::Paid(paid)) => notice::take(parts, PaidNotice { payment_no, merchant: None, paid }).await,
        Ok(TradeState::Closed) => closing::close(parts, trade, "closed at the channel").await.map(|_| ()),
        Ok(TradeState::Unpaid) => Ok(()),
        Err(error) => {
            tracing::debug!(payment_no = payment_no.payment_no(), %error, "the channel did not say how a payment stands");
            Ok(())
        }
    }
}
