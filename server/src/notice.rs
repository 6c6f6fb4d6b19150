//! A paid notice, from its arrival to the end of the payment. However it was learnt that the channel took money, it is
//! written down first and worked off from there, as often as it takes.

use std::sync::Arc;

use payrig_api::Currency;

use crate::{
    cache::{Entry, ResultCache as _},
    channel::{PaidNotice, Trade},
    dispatch,
    metrics::Named,
    model::{
        Collection, Document, End, Notice, OrderSettlement, Outcome, OutcomeState, PaymentEnd, RoundId, Success,
        TaskView,
    },
    parts::Parts,
    refund,
    store::{DocumentStore as _, StoreError},
};

/// Why the channel's word was not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unbelieved {
    /// The number is no round's that was ever accepted.
    #[error("it is about no payment of ours")]
    Unknown,
    /// Another amount than the payment's.
    #[error("it is about another amount than the payment's")]
    Amount,
    /// Another currency than the payment's.
    #[error("it is about another currency than the payment's")]
    Currency,
    /// Another merchant than the payment's.
    #[error("it is about another merchant's payment")]
    Merchant,
}

impl Unbelieved {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_payment",
            Self::Amount => "wrong_amount",
            Self::Currency => "wrong_currency",
            Self::Merchant => "wrong_merchant",
        }
    }
}

/// Writes the notice down. After this the channel may be answered. The inner error says why there is nothing to write.
///
/// What is compared is the accepted task where there is no payment yet or will never be one: a success that is shown
/// before it is stored, or a round that was cancelled or failed while its answer was on the way. The notice waits for the
/// round's outcome then, and money for a round without success goes back.
/// Nothing where it was worked off before.
///
/// # Errors
/// Where the store does not answer: the notice is then not taken.
pub async fn learn(parts: &Parts, learnt: PaidNotice) -> Result<Result<Option<Notice>, Unbelieved>, StoreError> {
    let PaidNotice { payment_no, merchant, paid } = learnt;
    let told = Told { merchant: merchant.as_deref(), amount_minor: paid.amount_minor, currency: paid.currency };
    let differs = match parts.store.payment(payment_no).await? {
        Some(ours) => told.differs(&ours.merchant, ours.amount_minor, ours.currency),
        None => match parts.store.task(payment_no).await? {
            Some(ours) => told.differs(&ours.merchant, ours.amount_minor, ours.currency),
            None => Some(Unbelieved::Unknown),
        },
    };
    if let Some(why) = differs {
        parts.metrics.notices_rejected.get_or_create(&Named { name: why.name() }).inc();
        tracing::error!(payment_no = payment_no.payment_no(), ?told, %why, "the channel's word is not believed");
        return Ok(Err(why));
    }
    if is_worked_off(parts, payment_no).await? {
        return Ok(Ok(None));
    }
    let notice = Notice {
        payment_no,
        transaction_id: paid.transaction_id,
        paid_at_us: paid.paid_at_us,
        amount_minor: paid.amount_minor,
        at_us: parts.clock.now_us(),
    };
    parts.store.insert_one(Document::Notice(notice.clone())).await?;
    Ok(Ok(Some(notice)))
}

/// What the channel says that it took.
#[derive(Debug)]
struct Told<'a> {
    merchant: Option<&'a str>,
    amount_minor: u64,
    currency: Currency,
}

impl Told<'_> {
    fn differs(&self, merchant: &str, amount_minor: u64, currency: Currency) -> Option<Unbelieved> {
        if self.merchant.is_some_and(|theirs| theirs != merchant) {
            Some(Unbelieved::Merchant)
        } else if self.currency != currency {
            Some(Unbelieved::Currency)
        } else if self.amount_minor != amount_minor {
            Some(Unbelieved::Amount)
        } else {
            None
        }
    }
}

/// Whether this is the repeat of a notice that has gone: the end was written after it, and is there without it.
async fn is_worked_off(parts: &Parts, payment_no: RoundId) -> Result<bool, StoreError> {
    let end = parts.store.payment_end(payment_no).await?;
    let is_paid = end.is_some_and(|end| matches!(end.end, End::Paid { .. }));
    Ok(is_paid && parts.store.notice(payment_no).await?.is_none())
}

/// Writes the notice down and works it off; tells whether it is believed.
///
/// # Errors
/// Where the store does not answer; the sweeper goes on with what is written down.
pub async fn take(parts: &Parts, learnt: PaidNotice) -> Result<bool, StoreError> {
    match learn(parts, learnt).await? {
        Ok(Some(notice)) => work_off(parts, &notice).await.map(|()| true),
        Ok(None) => Ok(true),
        Err(_) => Ok(false),
    }
}

/// Ends the payment that was paid: its end and the order's settlement, then the message to every subscriber; or the money
/// back, and the notice goes.
///
/// # Errors
/// Where the store does not answer; the notice stays.
pub async fn work_off(parts: &Parts, notice: &Notice) -> Result<(), StoreError> {
    let payment_no = notice.payment_no;
    let Some(outcome) = parts.store.outcome(payment_no).await? else {
        // The round has no outcome yet; whoever writes it, or the sweeper, comes back.
        return Ok(());
    };
    let reason = match settle(parts, notice, &outcome).await? {
        Ok(success) => {
            show_end(parts, payment_no).await?;
            // The notice goes when every subscriber has had its effect.
            dispatch::announce(parts, success);
            return Ok(());
        }
        Err(excess) => excess,
    };
    if !refund::owe(parts, Trade::of(&outcome.task, payment_no), notice.amount_minor, reason).await? {
        return Ok(());
    }
    show_end(parts, payment_no).await?;
    parts.store.forget_one(Collection::Notices, payment_no.payment_no()).await?;
    let_go(parts, payment_no).await
}

/// Goes on with a notice that somebody may have worked off in part: where its payment has settled the order, only its
/// message is published again.
///
/// # Errors
/// As [`work_off`].
pub async fn go_on(parts: &Parts, notice: &Notice) -> Result<(), StoreError> {
    match dispatch::settled(parts, notice.payment_no).await? {
        Some(success) => dispatch::announce_again(parts, success).await,
        None => work_off(parts, notice).await,
    }
}

/// Writes the payment's end and the order's settlement. Returns what to tell the subscribers, or why the money has to go
/// back.
async fn settle(
    parts: &Parts,
    notice: &Notice,
    outcome: &Outcome,
) -> Result<Result<Success, &'static str>, StoreError> {
    let payment_no = notice.payment_no;
    let at_us = parts.clock.now_us();
    let end = End::Paid {
        transaction_id: Arc::clone(&notice.transaction_id),
        paid_at_us: notice.paid_at_us,
        amount_minor: notice.amount_minor,
    };
    let settlement = Document::OrderSettlement(OrderSettlement {
        merchant: Arc::clone(&outcome.task.merchant),
        order_no: Arc::clone(&outcome.task.order_no),
        payment_no,
        at_us,
    });
    let succeeded = outcome.state == OutcomeState::Succeeded;
    let mut group = vec![Document::PaymentEnd(PaymentEnd { payment_no, end: end.clone(), at_us })];
    group.extend(succeeded.then(|| settlement.clone()));
    let whole = group.len();
    let inserted = parts.store.insert(vec![group]).await?.first().copied().unwrap_or(0);
    if inserted > 0 {
        parts.metrics.payments_ended.get_or_create(&Named { name: "paid" }).inc();
    }
    if !succeeded {
        return Ok(Err("the round did not succeed"));
    }
    let success = |end: &End| dispatch::success(&outcome.task, payment_no, end).ok_or("the payment was closed before");
    if inserted == whole {
        return Ok(success(&end));
    }
    // The end that was there first is what holds, whatever this notice says.
    let first = if inserted == 0 { parts.store.payment_end(payment_no).await? } else { None };
    let success = success(&first.map_or(end, |first| first.end));
    if inserted == 0 && (success.is_err() || parts.store.insert_one(settlement).await?) {
        return Ok(success);
    }
    let settled_by = parts.store.order_settlement(&outcome.task.order()).await?;
    let ours = settled_by.is_some_and(|settlement| settlement.payment_no == payment_no);
    Ok(if ours { success } else { Err("the order was paid by another payment") })
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
    parts.store.forget_one(Collection::OpenTasks, round.document_id()).await
}
