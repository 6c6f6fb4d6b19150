//! A paid notice, from its arrival to the end of the payment. However it was learnt that the channel took money, it is
//! written down first and worked off from there, as often as it takes.

use std::sync::Arc;

use crate::{
    cache::{Entry, ResultCache as _},
    channel::{PaidNotice, PaymentChannel as _},
    metrics::Named,
    model::{
        Collection, Document, End, Notice, OrderSettlement, Outcome, OutcomeState, PaymentEnd, Refund, Refunded,
        RoundId, TaskView,
    },
    parts::Parts,
    store::{DocumentStore as _, Key, StoreError},
};

/// Writes the notice down. After this the channel may be answered.
///
/// Returns the notice where there is something to work off, nothing where it concerns no payment of ours.
///
/// # Errors
/// Where the store does not answer: the notice is then not taken.
pub async fn learn(parts: &Parts, learnt: PaidNotice) -> Result<Option<Notice>, StoreError> {
    let PaidNotice { payment_no, paid } = learnt;
    let Some(payment) = parts.store.payment(payment_no).await? else {
        parts.metrics.notices_rejected.inc();
        tracing::warn!(payment_no = payment_no.payment_no(), "a notice for a payment that is not ours");
        return Ok(None);
    };
    if payment.amount_minor != paid.amount_minor {
        parts.metrics.notices_rejected.inc();
        tracing::error!(
            payment_no = payment_no.payment_no(),
            ours = payment.amount_minor,
            theirs = paid.amount_minor,
            "the channel took another amount than the payment's"
        );
        return Ok(None);
    }
    let notice = Notice {
        payment_no,
        transaction_id: paid.transaction_id,
        paid_at_us: paid.paid_at_us,
        amount_minor: paid.amount_minor,
        at_us: parts.clock.now_us(),
    };
    parts.store.insert_one(Document::Notice(notice.clone())).await?;
    Ok(Some(notice))
}

/// Writes the notice down and works it off.
///
/// # Errors
/// Where the store does not answer; the sweeper goes on with what is written down.
pub async fn take(parts: &Parts, learnt: PaidNotice) -> Result<(), StoreError> {
    match learn(parts, learnt).await? {
        Some(notice) => work_off(parts, &notice).await,
        None => Ok(()),
    }
}

/// Ends the payment that was paid: its end, the order's settlement, or the money back; then the notice goes.
///
/// # Errors
/// Where the store does not answer; the notice stays.
pub async fn work_off(parts: &Parts, notice: &Notice) -> Result<(), StoreError> {
    let payment_no = notice.payment_no;
    let Some(outcome) = parts.store.outcome(payment_no).await? else {
        // The round has no outcome yet; whoever writes it, or the sweeper, comes back.
        return Ok(());
    };
    let excess = settle(parts, notice, &outcome).await?;
    if let Some(reason) = excess
        && !refund(parts, notice, reason).await?
    {
        return Ok(());
    }
    show_end(parts, payment_no).await?;
    parts.store.delete_one(Collection::Notices, payment_no.payment_no()).await?;
    let_go(parts, payment_no).await
}

/// Writes the payment's end and the order's settlement. Returns why the money has to go back, if it has to.
async fn settle(parts: &Parts, notice: &Notice, outcome: &Outcome) -> Result<Option<&'static str>, StoreError> {
    let payment_no = notice.payment_no;
    let at_us = parts.clock.now_us();
    let end = End::Paid {
        transaction_id: Arc::clone(&notice.transaction_id),
        paid_at_us: notice.paid_at_us,
        amount_minor: notice.amount_minor,
    };
    let end = Document::PaymentEnd(PaymentEnd { payment_no, end, at_us });
    let settlement = Document::OrderSettlement(OrderSettlement {
        merchant: Arc::clone(&outcome.task.merchant),
        order_no: Arc::clone(&outcome.task.order_no),
        payment_no,
        at_us,
    });
    let succeeded = outcome.state == OutcomeState::Succeeded;
    let group = if succeeded { vec![end, settlement.clone()] } else { vec![end] };
    let whole = group.len();
    let inserted = parts.store.insert(vec![group]).await?.first().copied().unwrap_or(0);
    if inserted > 0 {
        parts.metrics.payments_ended.get_or_create(&Named { name: "paid" }).inc();
    }
    if !succeeded {
        return Ok(Some("the round did not succeed"));
    }
    if inserted == whole {
        return Ok(None);
    }
    if inserted == 0 {
        if let Some(PaymentEnd { end: End::Closed { .. }, .. }) = parts.store.payment_end(payment_no).await? {
            return Ok(Some("the payment was closed before"));
        }
        if parts.store.insert_one(settlement).await? {
            return Ok(None);
        }
    }
    let settled_by = parts.store.order_settlement(&outcome.task.order()).await?;
    let ours = settled_by.is_some_and(|settlement| settlement.payment_no == payment_no);
    Ok(if ours { None } else { Some("the order was paid by another payment") })
}

/// Gives the money back; whether that is done.
async fn refund(parts: &Parts, notice: &Notice, reason: &str) -> Result<bool, StoreError> {
    let (payment_no, amount_minor) = (notice.payment_no, notice.amount_minor);
    let refund = Refund { payment_no, amount_minor, reason: reason.to_owned(), at_us: parts.clock.now_us() };
    parts.store.insert_one(Document::Refund(refund)).await?;
    if let Err(error) = parts.channel.refund(payment_no, amount_minor).await {
        tracing::warn!(payment_no = payment_no.payment_no(), %error, "the refund was not taken yet");
        return Ok(false);
    }
    let refunded = Refunded { payment_no, amount_minor, at_us: parts.clock.now_us() };
    if parts.store.insert_one(Document::Refunded(refunded)).await? {
        parts.metrics.refunds.inc();
    }
    Ok(true)
}

/// Shows the end of a payment in the cache.
///
/// # Errors
/// Where the store does not answer.
pub async fn show_end(parts: &Parts, payment_no: RoundId) -> Result<(), StoreError> {
    let fact_at_us = parts.clock.now_us();
    let outcome = parts.store.outcome(payment_no).await?;
    let payment = parts.store.payment(payment_no).await?;
    let end = parts.store.payment_end(payment_no).await?;
    let view = outcome.and_then(|outcome| TaskView::settled(&outcome, payment.as_deref(), end.as_ref()));
    if let Some(view) = view {
        // A cache that cannot be had costs the next query a read of the store, nothing else.
        let _ = parts.cache.put(Entry { view: Arc::new(view), fact_at_us }).await;
    }
    Ok(())
}

/// The round is final and announced: its open task goes.
///
/// # Errors
/// Where the store does not answer.
pub async fn let_go(parts: &Parts, round: RoundId) -> Result<(), StoreError> {
    parts.store.delete(vec![Key::new(Collection::OpenTasks, round.document_id())]).await?;
    Ok(())
}
