//! What happens beyond the explorer's operations: any notification, also one that contradicts, a whole sweep, and a
//! channel that says closed and takes money all the same.

use std::{rc::Rc, sync::Arc};

use payrig_api::{Currency, NewOrder, ShipMode};
use payrig_server::{
    channel::{Channel, PaidNotice},
    model::{Document, End, OutcomeState, PaymentEnd, RoundId},
    notice,
    order::{self, NotCreated, NotShipped},
    parts::Parts,
    store::StoreError,
    sweep,
};

use crate::explore_support::{
    CHANNEL_LIED,
    actor::Actor,
    life::Life,
    model::Told,
    ops::{Ears, MERCHANT, Op, actor, items, task},
};

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    Op(Op),
    /// One of all the notifications there ever were comes, for the first time or again.
    Notification(usize, Amiss),
    /// The sweeper looks at everything, as at a start.
    Sweep,
    /// A client creates the order with this number, over this amount.
    Create(&'static str, u64),
    /// A client ships it.
    Ship(&'static str, ShipMode),
    /// The end of this task's and round's payment is written down as closed, and the channel has not closed it.
    Lie(u64, u8),
}

/// What a notification says other than the truth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Amiss {
    Nothing,
    /// Another amount.
    Amount,
    /// Another transaction, of a payment whose end is known.
    Transaction,
}

/// The deed, ready to be done step by step.
pub(crate) fn begin(deed: Deed, life: &Rc<Life>, ears: &Ears) -> Actor {
    let (parts, held, ears) = (Arc::clone(&life.stepped), Rc::clone(life), Rc::clone(ears));
    match deed {
        Deed::Op(op) => actor(op, life, &ears),
        Deed::Notification(which, amiss) => {
            Actor::new(Box::pin(async move { notify(&held, which, amiss, &ears).await }), None)
        }
        Deed::Sweep => {
            let sweep = async move { sweep::recover(&parts, parts.clock.now_us() + 1_000_000).await };
            Actor::new(Box::pin(sweep), None)
        }
        Deed::Create(order_no, amount_minor) => {
            Actor::new(Box::pin(async move { create(&parts, order_no, amount_minor, &ears).await }), None)
        }
        Deed::Ship(order_no, mode) => {
            Actor::new(Box::pin(async move { ship(&parts, order_no, mode, &ears).await }), None)
        }
        Deed::Lie(number, round) => {
            let lie = async move {
                if let Err(error) = lie(&parts, task(number).round(round)).await {
                    ears.borrow_mut().absurd.push(format!("a lie: {error}"));
                }
            };
            Actor::new(Box::pin(lie), None)
        }
    }
}

async fn notify(life: &Life, which: usize, amiss: Amiss, ears: &Ears) {
    let notification = life.inbox.any(which).await;
    let Channel::Simulated(channel) = &life.stepped.channel else { unreachable!("it is in process") };
    let mut learnt = match channel.verify(&notification) {
        Ok(learnt) => learnt,
        Err(error) => return ears.borrow_mut().absurd.push(format!("a notification is not believed: {error}")),
    };
    let PaidNotice { payment_no, paid, .. } = &mut learnt;
    let payment_no = *payment_no;
    match amiss {
        Amiss::Nothing => {}
        Amiss::Amount => paid.amount_minor += 1,
        Amiss::Transaction => {
            let end = life.stepped.store.payment_end(payment_no).await.ok().flatten();
            if matches!(end, Some(PaymentEnd { end: End::Paid { .. }, .. })) {
                paid.transaction_id = format!("{}-other", paid.transaction_id).into();
            }
        }
    }
    let taken = notice::take(&life.stepped, learnt).await;
    let mut heard = ears.borrow_mut();
    match taken {
        Ok(believed) if amiss == Amiss::Amount => assert!(!believed, "another amount than the payment's is believed"),
        Ok(_) => heard.told.push(Told::Noticed { payment_no }),
        Err(error) => heard.absurd.push(format!("a notification: {error}")),
    }
}

async fn create(parts: &Parts, order_no: &'static str, amount_minor: u64, ears: &Ears) {
    let items = Some(items(amount_minor));
    let new = NewOrder { order_no: order_no.to_owned(), amount_minor, currency: Currency::CNY, items };
    let answer = order::create(parts, MERCHANT, new).await;
    let mut heard = ears.borrow_mut();
    match answer {
        Ok(_) => heard.told.push(Told::OrderCreated { order_no, amount_minor }),
        Err(NotCreated::Differs(_)) => {}
        Err(error) => heard.absurd.push(format!("order {order_no}: {error}")),
    }
}

async fn ship(parts: &Parts, order_no: &'static str, mode: ShipMode, ears: &Ears) {
    let answer = order::ship(parts, MERCHANT, order_no, mode).await;
    let mut heard = ears.borrow_mut();
    match answer {
        Ok(order) => {
            let children = order.children.unwrap_or_default();
            let amounts = children.iter().map(|child| child.amount_minor).collect();
            heard.told.push(Told::Shipped { order_no, mode, amounts });
        }
        Err(NotShipped::NotFound | NotShipped::NotPaid | NotShipped::Otherwise(_)) => {}
        Err(NotShipped::Store(error)) => heard.absurd.push(format!("shipment of {order_no}: {error}")),
    }
}

/// Only of a payment that a client may have seen does the channel ever say so.
async fn lie(parts: &Parts, payment_no: RoundId) -> Result<(), StoreError> {
    let outcome = parts.store.outcome(payment_no).await?;
    if outcome.is_some_and(|outcome| outcome.state == OutcomeState::Succeeded) {
        let end = End::Closed { reason: CHANNEL_LIED.to_owned() };
        let end = PaymentEnd { payment_no, end, at_us: parts.clock.now_us() };
        parts.store.insert_one(Document::PaymentEnd(end)).await?;
    }
    Ok(())
}
