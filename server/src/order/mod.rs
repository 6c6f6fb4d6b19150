//! Orders: create, read, ship. What marks one paid is a subscriber of success messages (`dispatch/order.rs`); an order is
//! never changed, what is known of it stands in documents of its own.

use std::sync::Arc;

use payrig_api::{ChildOrder, NewOrder, OrderState, ShipMode, is_order_no};

use crate::{
    model::{Document, Order, OrderKey, OrderPaid, Parcel, Shipment},
    parts::Parts,
    service::accept,
    store::StoreError,
};

pub mod split;

/// An order that was asked for and is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Created {
    /// It is new.
    New(payrig_api::Order),
    /// It was there with the same content.
    Same(payrig_api::Order),
}

/// Why an order was not created.
#[derive(Debug, thiserror::Error)]
pub enum NotCreated {
    /// It exists, or is being paid, with another value in this field.
    #[error("the order exists with another {0}")]
    Differs(&'static str),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an order was not shipped.
#[derive(Debug, thiserror::Error)]
pub enum NotShipped {
    /// No such order, or not this merchant's.
    #[error("no such order")]
    NotFound,
    /// Nobody has paid it, or that is not known yet.
    #[error("the order is not paid")]
    NotPaid,
    /// It was split otherwise before.
    #[error("the order was shipped {} before", .0.name())]
    Otherwise(ShipMode),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Creates a merchant's order. A number that a task pays without an order of its own is created only with that task's
/// amount and currency.
///
/// # Errors
/// See [`NotCreated`].
pub async fn create(parts: &Parts, merchant: &str, new: NewOrder) -> Result<Created, NotCreated> {
    let order = Arc::new(Order::from_request(Arc::from(merchant), new, parts.clock.now_us()));
    if let Some(known) = parts.store.order(&order.key()).await? {
        return same(parts, known, &order).await;
    }
    if let Some(field) = accept::paid_otherwise(parts, &order).await? {
        return Err(NotCreated::Differs(field));
    }
    if parts.store.insert_one(Document::Order(Arc::clone(&order))).await? {
        return Ok(Created::New(view(parts, &order).await.map_err(StoreError::after_a_write)?));
    }
    let known = parts.store.order(&order.key()).await?;
    let known = known.ok_or_else(|| StoreError::Unknown(format!("order {} is and is not there", order.order_no)))?;
    same(parts, known, &order).await
}

async fn same(parts: &Parts, known: Arc<Order>, asked: &Order) -> Result<Created, NotCreated> {
    let other_items = (known.items != asked.items).then_some("items");
    match known.other_than(asked.amount_minor, asked.currency, None).or(other_items) {
        Some(field) => Err(NotCreated::Differs(field)),
        None => Ok(Created::Same(view(parts, &known).await?)),
    }
}

/// The merchant's order as it is now.
///
/// # Errors
/// Where the store does not answer.
pub async fn read(parts: &Parts, merchant: &str, order_no: &str) -> Result<Option<payrig_api::Order>, StoreError> {
    match find(parts, merchant, order_no).await? {
        Some(order) => view(parts, &order).await.map(Some),
        None => Ok(None),
    }
}

/// Splits a paid order into parcels, once and for all: a repeat finds the same ones.
///
/// # Errors
/// See [`NotShipped`].
pub async fn ship(
    parts: &Parts,
    merchant: &str,
    order_no: &str,
    mode: ShipMode,
) -> Result<payrig_api::Order, NotShipped> {
    let order = find(parts, merchant, order_no).await?.ok_or(NotShipped::NotFound)?;
    let paid = paid(parts, &order.key()).await?.ok_or(NotShipped::NotPaid)?;
    let shipment = Arc::new(Shipment {
        merchant: Arc::clone(&order.merchant),
        order_no: Arc::clone(&order.order_no),
        payment_no: paid.payment_no,
        mode,
        children: split::split(order.items.as_deref().unwrap_or_default(), mode, paid.amount_minor),
        at_us: parts.clock.now_us(),
    });
    if parts.store.insert_one(Document::Shipment(Arc::clone(&shipment))).await? {
        return Ok(shown(&order, Some(&paid), Some(&shipment)));
    }
    let first = parts.store.shipment(&order.key()).await?;
    let first = first.ok_or_else(|| StoreError::Unknown(format!("the shipment of {order_no} is and is not there")))?;
    if first.mode == mode {
        Ok(shown(&order, Some(&paid), Some(&first)))
    } else {
        Err(NotShipped::Otherwise(first.mode))
    }
}

/// The order; nothing for a number that no order can have, whose document's id might be another merchant's.
async fn find(parts: &Parts, merchant: &str, order_no: &str) -> Result<Option<Arc<Order>>, StoreError> {
    if !is_order_no(order_no) {
        return Ok(None);
    }
    parts.store.order(&OrderKey { merchant: merchant.into(), order_no: order_no.into() }).await
}

/// What the order subscriber wrote of this order.
async fn paid(parts: &Parts, order: &OrderKey) -> Result<Option<OrderPaid>, StoreError> {
    match parts.store.order_settlement(order).await? {
        Some(settlement) => parts.store.order_paid(settlement.payment_no).await,
        None => Ok(None),
    }
}

async fn view(parts: &Parts, order: &Order) -> Result<payrig_api::Order, StoreError> {
    let key = order.key();
    let paid = paid(parts, &key).await?;
    // Only a paid order is ever shipped.
    let shipment = if paid.is_some() { parts.store.shipment(&key).await? } else { None };
    Ok(shown(order, paid.as_ref(), shipment.as_deref()))
}

fn shown(order: &Order, paid: Option<&OrderPaid>, shipment: Option<&Shipment>) -> payrig_api::Order {
    let state = match (paid, shipment) {
        (_, Some(_)) => OrderState::Shipped,
        (Some(_), None) => OrderState::Paid,
        (None, None) => OrderState::Unpaid,
    };
    payrig_api::Order {
        order_no: order.order_no.to_string(),
        state,
        amount_minor: order.amount_minor,
        currency: order.currency,
        items: order.items.clone(),
        created_at: order.created_at_us,
        paid_at: paid.map(|paid| paid.paid_at_us),
        paid_amount_minor: paid.map(|paid| paid.amount_minor),
        payment_no: paid.map(|paid| paid.payment_no.payment_no()),
        transaction_id: paid.map(|paid| paid.transaction_id.to_string()),
        shipped_at: shipment.map(|shipment| shipment.at_us),
        ship_mode: shipment.map(|shipment| shipment.mode),
        children: shipment.map(|shipment| children(order, shipment)),
    }
}

fn children(order: &Order, shipment: &Shipment) -> Vec<ChildOrder> {
    shipment
        .children
        .iter()
        .zip(1_usize..)
        .map(|(parcel, number)| child(order, shipment.mode, parcel, number))
        .collect()
}

fn child(order: &Order, mode: ShipMode, parcel: &Parcel, number: usize) -> ChildOrder {
    let all = order.items.as_deref().unwrap_or_default();
    let items: Vec<payrig_api::Item> = parcel.items.iter().filter_map(|at| all.get(*at)).cloned().collect();
    let label = items.first().and_then(|first| split::label(first, mode)).map(str::to_owned);
    let (seller, warehouse) = match mode {
        ShipMode::None => (None, None),
        ShipMode::ByMerchant => (label, None),
        ShipMode::ByWarehouse => (None, label),
    };
    let child_no = format!("{}-{number}", order.order_no);
    ChildOrder { child_no, amount_minor: parcel.amount_minor, seller, warehouse, items }
}
