//! Orders and what follows a payment that paid one: documents, and the success message that brings them about.

use std::sync::Arc;

use payrig_api::{Currency, Item, NewOrder, ShipMode};
use serde::{Deserialize, Serialize};

use super::{
    id::{OrderKey, RoundId},
    task::{MerchantId, PayTask, as_json},
};

/// A merchant's order, as it was created.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Whose order.
    pub merchant: MerchantId,
    /// Its number.
    pub order_no: Arc<str>,
    /// What is to be paid, in minor units.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: Currency,
    /// What is bought; may sum to something else (discounts, fees).
    #[serde(with = "as_json")]
    pub items: Option<Vec<Item>>,
    /// When, microseconds since the epoch.
    pub created_at_us: u64,
}

impl Order {
    /// The order that a checked request asks for.
    #[must_use]
    pub fn from_request(merchant: MerchantId, new: NewOrder, created_at_us: u64) -> Self {
        let NewOrder { order_no, amount_minor, currency, items } = new;
        Self { merchant, order_no: order_no.into(), amount_minor, currency, items, created_at_us }
    }

    /// The order that a submission with items brings with it.
    #[must_use]
    pub fn of_task(task: &PayTask, created_at_us: u64) -> Option<Self> {
        task.items.is_some().then(|| Self {
            merchant: Arc::clone(&task.merchant),
            order_no: Arc::clone(&task.order_no),
            amount_minor: task.amount_minor,
            currency: task.currency,
            items: task.items.clone(),
            created_at_us,
        })
    }

    /// The first field in which it is not over the same: these amounts, this currency, these items if there are any.
    #[must_use]
    pub fn other_than(&self, amount_minor: u64, currency: Currency, items: Option<&[Item]>) -> Option<&'static str> {
        if self.amount_minor != amount_minor {
            return Some("amount_minor");
        }
        if self.currency != currency {
            return Some("currency");
        }
        let same_items = items.is_none_or(|items| self.items.as_deref() == Some(items));
        if same_items { None } else { Some("items") }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> OrderKey {
        OrderKey { merchant: Arc::clone(&self.merchant), order_no: Arc::clone(&self.order_no) }
    }
}

/// The message that a payment has paid its order; its id is the payment's number.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Success {
    /// What paid.
    pub payment_no: RoundId,
    /// Whose order.
    pub merchant: MerchantId,
    /// Its number.
    pub order_no: Arc<str>,
    /// The channel's transaction.
    pub transaction_id: Arc<str>,
    /// When the channel took the money, microseconds since the epoch.
    pub paid_at_us: u64,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: Currency,
}

/// The order is paid: what the order subscriber writes, once a payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderPaid {
    /// What paid it.
    pub payment_no: RoundId,
    /// Whose order.
    pub merchant: MerchantId,
    /// Its number.
    pub order_no: Arc<str>,
    /// The channel's transaction.
    pub transaction_id: Arc<str>,
    /// When the channel took the money, microseconds since the epoch.
    pub paid_at_us: u64,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// When this was written down, microseconds since the epoch.
    pub at_us: u64,
}

/// One payment's part of a merchant's total of a day: what the second subscriber writes, once a payment. A total is the
/// sum over the documents of its merchant, day and currency.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DailyTotal {
    /// What was paid.
    pub payment_no: RoundId,
    /// Whose total.
    pub merchant: MerchantId,
    /// The day on which the channel took the money: whole days since the epoch, UTC.
    pub paid_day: u64,
    /// In minor units.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: Currency,
}

/// An order split into parcels, once and for all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shipment {
    /// Whose order.
    pub merchant: MerchantId,
    /// Its number.
    pub order_no: Arc<str>,
    /// What paid it.
    pub payment_no: RoundId,
    /// By what it is split.
    pub mode: ShipMode,
    /// The parcels; their amounts sum to what was paid.
    pub children: Vec<Parcel>,
    /// When, microseconds since the epoch.
    pub at_us: u64,
}

/// One parcel of an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Parcel {
    /// Its share of what was paid, in minor units.
    pub amount_minor: u64,
    /// Which of the order's items are in it, from 0, in their order.
    pub items: Vec<usize>,
}
