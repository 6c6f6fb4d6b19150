//! One visit: the facts about an open round, and the next thing to do.

use std::{sync::Arc, time::Duration};

use payrig_api::{ChannelStyle, TaskState};

use super::{Look, Only, facts::Facts};

use crate::{
    cache::ResultCache as _,
    channel::{PaidNotice, PaymentChannel as _, Trade, TradeState},
    closing,
    model::{OpenTask, Outcome, OutcomeState},
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
/// How long a message that was put off for the last time may still wait.
const PUT_OFF_ENDS: Duration = Duration::from_secs(10);

/// Looks at the facts about an open round and does the next thing.
///
/// # Errors
/// Where the store does not answer; a later visit goes on.
pub async fn visit(parts: &Arc<Parts>, open: &Arc<OpenTask>) -> Result<(), StoreError> {
    look_at(parts, open, &Facts::none(), Look::at_everything(0, u64::MAX)).await
}

pub(super) async fn look_at(
    parts: &Arc<Parts>,
    open: &Arc<OpenTask>,
    facts: &Facts,
    look: Look,
) -> Result<(), StoreError> {
    let round = open.round_id();
    let outcome = match (facts.outcome(parts, round).await?, look.only) {
        (None, Only::Settled) | (Some(_), Only::Unsettled) => return Ok(()),
        (None, _) => return visit_unsettled(parts, open, open.accepted_at_us < look.lost_before_us).await,
        (Some(outcome), _) => outcome,
    };
    // The end before the notice: where there is an end and then no notice, the notice is worked off.
    let end = facts.end(parts, round).await?;
    if let Some(notice) = facts.notice(parts, round).await? {
        return notice::go_on(parts, &notice).await;
    }
    if end.is_some() {
        // Its notice is gone, so it is worked off; or the channel has said that it is closed.
        return notice::let_go(parts, round).await;
    }
    match outcome.state {
        OutcomeState::Succeeded => visit_payment(parts, &outcome, facts).await,
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
    if !is_lost && may_be_put_off(parts, open, now_us, stats.delayed) {
        return Ok(());
    }
    // What others have in their hands is not seen from here: by and by it is in the cache, or lost with them.
    let is_with_others = !parts.queue.dies_with_the_process() && now_us < open.accepted_at_us + micros(BEHIND);
    let idle = stats.waiting == 0 && stats.unacknowledged == 0 && !is_with_others;
    if is_lost || idle || open.accepted_at_us + micros(BEHIND) < stats.delivering_since_us {
        parts.metrics.swept_requeued.inc();
        let message = Message::first(Arc::clone(open), now_us);
        if let Err(error) = parts.queue.offer(vec![message]).await {
            tracing::debug!(%error, "an open task was not sent again yet");
        }
    }
    Ok(())
}

/// Whether the round's first attempt may be waiting for a channel that does not answer: nobody shows that, and its message
/// has been sent anew each time.
fn may_be_put_off(parts: &Parts, open: &OpenTask, now_us: u64, delayed: usize) -> bool {
    let age_us = now_us.saturating_sub(open.accepted_at_us);
    let young = age_us < micros(parts.settings.put_off.saturating_add(PUT_OFF_ENDS));
    open.task.channel == ChannelStyle::Wechat && young && (delayed > 0 || parts.channel.rests_for().is_some())
}

/// A round that has gone a whole pay window without an outcome never gets one by itself.
async fn fail_poison(parts: &Arc<Parts>, open: &Arc<OpenTask>) -> Result<(), StoreError> {
    let outcome =
        runner::ended_from_outside(parts, open, OutcomeState::Failed, "no outcome within the pay window").await;
    sync::store_one(parts, Finished { outcome: Arc::new(outcome), payment: None }).await?;
    // Whatever its attempts did: nothing of it may stay open at the channel.
    closing::close_left(parts, open).await
}

/// A payment without an end.
async fn visit_payment(parts: &Arc<Parts>, outcome: &Outcome, facts: &Facts) -> Result<(), StoreError> {
    let payment_no = outcome.round_id();
    let trade = Trade::of(&outcome.task, payment_no);
    if let Some(closing) = facts.closing(parts, payment_no).await? {
        closing::go_on(parts, trade, &closing.reason).await?;
        return Ok(());
    }
    let waited_us = parts.clock.now_us().saturating_sub(outcome.settled_at_us);
    if waited_us > micros(parts.settings.pay_window) {
        closing::close(parts, trade, "not paid within the pay window").await?;
        return Ok(());
    }
    match parts.channel.query(trade).await {
        Ok(TradeState::Paid(paid)) => {
            notice::take(parts, PaidNotice { payment_no, merchant: None, paid }).await.map(|_| ())
        }
        Ok(TradeState::Closed) => closing::close(parts, trade, "closed at the channel").await.map(|_| ()),
        Ok(TradeState::Unpaid) => Ok(()),
        Err(error) => {
            tracing::debug!(payment_no = payment_no.payment_no(), %error, "the channel did not say how a payment stands");
            Ok(())
        }
    }
}
