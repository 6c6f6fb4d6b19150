//! Documents as bytes: one format byte, then postcard.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use super::StoreError;
use crate::model::{Collection, Document};

/// The format of everything written by this version. A later format takes another number and reads this one too.
const FORMAT: u8 = 1;

/// The bytes of a document.
///
/// # Errors
/// Where a value has no binary form, which none of the model's has.
pub(super) fn encode(document: &Document) -> Result<Vec<u8>, StoreError> {
    fn bytes<T: Serialize>(value: &T, capacity: usize) -> Result<Vec<u8>, postcard::Error> {
        let mut out = Vec::with_capacity(capacity);
        out.push(FORMAT);
        postcard::to_extend(value, out)
    }
    let encoded = match document {
        Document::OpenTask(open) => bytes(open, 128),
        Document::IdempotencyKey(key) => bytes(key, 128),
        Document::OrderSlot(slot) => bytes(slot, 64),
        Document::PayTask(outcome) => bytes(outcome, 192),
        Document::Payment(payment) => bytes(payment, 640),
        Document::Closing(closing) => bytes(closing, 64),
        Document::PaymentEnd(end) => bytes(end, 96),
        Document::Notice(notice) => bytes(notice, 96),
        Document::OrderSettlement(settlement) => bytes(settlement, 64),
        Document::Refund(refund) => bytes(refund, 64),
        Document::Refunded(refunded) => bytes(refunded, 64),
        Document::Order(order) => bytes(order, 128),
        Document::Shipment(shipment) => bytes(shipment, 128),
        Document::OrderPaid(paid) => bytes(paid, 128),
        Document::DailyTotal(total) => bytes(total, 64),
    };
    encoded.map_err(|error| unreadable(document.collection(), &error))
}

/// The document of these bytes.
///
/// # Errors
/// Where the format is not known or the bytes are broken.
pub(super) fn decode(collection: Collection, bytes: &[u8]) -> Result<Document, StoreError> {
    fn value<T: DeserializeOwned>(collection: Collection, bytes: &[u8]) -> Result<T, StoreError> {
        match bytes.split_first() {
            Some((&FORMAT, body)) => postcard::from_bytes(body).map_err(|error| unreadable(collection, &error)),
            Some((format, _)) => Err(unreadable(collection, &format!("format {format}, this version knows {FORMAT}"))),
            None => Err(unreadable(collection, &"it is empty")),
        }
    }
    Ok(match collection {
        Collection::OpenTasks => Document::OpenTask(Arc::new(value(collection, bytes)?)),
        Collection::IdempotencyKeys => Document::IdempotencyKey(value(collection, bytes)?),
        Collection::OrderSlots => Document::OrderSlot(value(collection, bytes)?),
        Collection::PayTasks => Document::PayTask(Arc::new(value(collection, bytes)?)),
        Collection::Payments => Document::Payment(Arc::new(value(collection, bytes)?)),
        Collection::Closings => Document::Closing(value(collection, bytes)?),
        Collection::PaymentEnds => Document::PaymentEnd(value(collection, bytes)?),
        Collection::Notices => Document::Notice(value(collection, bytes)?),
        Collection::OrderSettlements => Document::OrderSettlement(value(collection, bytes)?),
        Collection::Refunds => Document::Refund(value(collection, bytes)?),
        Collection::Refunded => Document::Refunded(value(collection, bytes)?),
        Collection::Orders => Document::Order(Arc::new(value(collection, bytes)?)),
        Collection::Shipments => Document::Shipment(Arc::new(value(collection, bytes)?)),
        Collection::OrderPaid => Document::OrderPaid(value(collection, bytes)?),
        Collection::DailyTotals => Document::DailyTotal(value(collection, bytes)?),
    })
}

fn unreadable(collection: Collection, reason: &impl ToString) -> StoreError {
    StoreError::Unreadable { collection: collection.name(), reason: reason.to_string() }
}
