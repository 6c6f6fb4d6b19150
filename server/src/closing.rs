//! Closing a payment (cancelled, expired, or won and then lost), or the order that a round without success left at the
//! channel: never the end before the channel has said so.

use std::sync::Arc;

use payrig_api::ChannelStyle;

use crate::{
    channel::{CloseAnswer, PaidNotice, PaymentChannel as _, Trade},
    model::{Closing, Collection, Document, End, OpenTask, OutcomeState, PaymentEnd, RoundId},
    notice,
    parts::Parts,
    store::StoreError,
};

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// It can no longer be paid.
    Closed,
    /// It was paid before.
    Paid,
    /// The channel gave no answer; the sweeper goes on.
    GoingOn,
}

/// Writes down that the payment is to be closed, asks the channel, and writes down its end.
///
/// # Errors
/// Where the store does not answer; whoever meets the closing goes on with it.
pub async fn close(parts: &Parts, trade: Trade<'_>, reason: &str) -> Result<Closed, StoreError> {
    let closing = Closing { payment_no: trade.payment_no, reason: reason.to_owned(), at_us: parts.clock.now_us() };
    parts.store.insert_one(Document::Closing(closing)).await?;
    go_on(parts, trade, reason).await
}

/// Closes what the attempts of a round that ended without success left at the channel. Nobody was ever shown parameters
/// for it.
///
/// In `WeChat` style every attempt may have left an order there, also one whose answer was lost or that is still under
/// way: the channel's close holds for what it has not seen yet. In Alipay style there is something only where a success
/// lost to a cancellation.
///
/// A cancellation may let the open task go, before or after this, so it is put back around the call of the channel: where
/// that gives no answer the sweeper has to see the closing.
///
/// # Errors
/// Where the store does not answer.
pub async fn close_left(parts: &Parts, open: &Arc<OpenTask>) -> Result<(), StoreError> {
    let payment_no = open.round_id();
    if open.task.channel == ChannelStyle::Alipay && parts.store.payment(payment_no).await?.is_none() {
        return Ok(());
    }
    let reason = match parts.store.outcome(payment_no).await?.map(|outcome| outcome.state) {
        Some(OutcomeState::Cancelled) => "the round was cancelled",
        Some(OutcomeState::Failed) => "the round failed",
        // Shown and not yet stored (`--sync on-query`): whoever stores it comes back.
        None => return Ok(()),
        Some(OutcomeState::Succeeded | OutcomeState::Refused) => return Ok(()),
    };
    parts.store.insert_one(Document::OpenTask(Arc::clone(open))).await?;
    if close(parts, Trade::of(&open.task, payment_no), reason).await? == Closed::GoingOn {
        parts.store.insert_one(Document::OpenTask(Arc::clone(open))).await?;
    }
    Ok(())
}

/// Goes on with a closing that is written down.
///
/// # Errors
/// Where the store does not answer.
pub async fn go_on(parts: &Parts, trade: Trade<'_>, reason: &str) -> Result<Closed, StoreError> {
    let payment_no = trade.payment_no;
    match parts.channel.close(trade).await {
        Ok(CloseAnswer::Closed) => closed(parts, payment_no, reason).await,
        Ok(CloseAnswer::AlreadyPaid(paid)) => {
            // Of what is not believed there is no notice: somebody has to look at the channel's books.
            let believed = notice::take(parts, PaidNotice { payment_no, merchant: None, paid }).await?;
            Ok(if believed { Closed::Paid } else { Closed::GoingOn })
        }
        Err(error) => {
            tracing::debug!(payment_no = payment_no.payment_no(), %error, "the channel did not close the payment yet");
            Ok(Closed::GoingOn)
        }
    }
}

async fn closed(parts: &Parts, payment_no: RoundId, reason: &str) -> Result<Closed, StoreError> {
    if parts.store.payment(payment_no).await?.is_none() {
        return without_payment(parts, payment_no).await;
    }
    let end = End::Closed { reason: reason.to_owned() };
    let end = PaymentEnd { payment_no, end, at_us: parts.clock.now_us() };
    if parts.store.insert_one(Document::PaymentEnd(end.clone())).await? {
        parts.metrics.payments_ended.get_or_create(&crate::metrics::Named { name: "closed" }).inc();
    } else if let Some(PaymentEnd { end: End::Paid { .. }, .. }) = parts.store.payment_end(payment_no).await? {
        return Ok(Closed::Paid);
    }
    notice::show_end(parts, payment_no).await?;
    // A notice that contradicts the channel's word still has to be worked off, and the open task keeps it in sight.
    if parts.store.notice(payment_no).await?.is_none() {
        notice::let_go(parts, payment_no).await?;
    }
    forget(parts, payment_no).await?;
    Ok(Closed::Closed)
}

/// An order at the channel that never became a payment has no end to be written down; its round's outcome says it all.
async fn without_payment(parts: &Parts, payment_no: RoundId) -> Result<Closed, StoreError> {
    // The closing first: the open task keeps it in sight.
    forget(parts, payment_no).await?;
    if parts.store.notice(payment_no).await?.is_none() {
        notice::let_go(parts, payment_no).await?;
    }
    Ok(Closed::Closed)
}

/// Goes on with a closing that no open task keeps in sight any more: a cancellation let it go while an attempt was under
/// way, whose runner was lost in the middle of closing.
///
/// # Errors
/// Where the store does not answer.
pub async fn take_up(parts: &Parts, closing: &Closing) -> Result<(), StoreError> {
    let payment_no = closing.payment_no;
    if parts.store.payment_end(payment_no).await?.is_some() {
        return forget(parts, payment_no).await;
    }
    if parts.store.open_task(payment_no).await?.is_some() {
        return Ok(());
    }
    let Some(task) = parts.store.task(payment_no).await? else {
        tracing::error!(payment_no = payment_no.payment_no(), "a closing of a round that nobody knows");
        return Ok(());
    };
    go_on(parts, Trade::of(&task, payment_no), &closing.reason).await?;
    Ok(())
}

/// What was wanted has come to its end.
async fn forget(parts: &Parts, payment_no: RoundId) -> Result<(), StoreError> {
    parts.store.forget_one(Collection::Closings, payment_no.payment_no()).await
}
