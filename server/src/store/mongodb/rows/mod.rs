//! Documents as BSON that a person or another program can read: a field a value, units in the names (`_us` microseconds
//! since the epoch or of a span, `_minor` minor units, both 64-bit integers), and what is absent left out.
//! docs/store-mongodb.md shows some.

use std::sync::Arc;

use mongodb::bson::{self, RawDocument, RawDocumentBuf, oid::ObjectId, rawdoc, serde_helpers::HumanReadable};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    model::{Collection, Document},
    store::StoreError,
};

mod payment;
mod task;

use payment::{EndRow, KeyRow, OrderRow, PaymentRow};
use task::{OpenTaskRow, OutcomeRow};

/// The field that tells the write that put a document down from every other: who retries a write of unknown fate
/// recognises his own document by it, whatever its content.
pub(super) const BY: &str = "_by";

/// A document as it is kept, put down by this write.
///
/// # Errors
/// Where a value has no BSON form, which none of the model's has.
pub(super) fn encode(document: &Document, by: ObjectId) -> Result<RawDocumentBuf, StoreError> {
    let body = match document {
        Document::OpenTask(open) => body(&OpenTaskRow::from(&**open)),
        Document::IdempotencyKey(key) => body(&KeyRow::from(key)),
        Document::OrderSlot(slot) => body(slot),
        Document::PayTask(outcome) => body(&OutcomeRow::from(&**outcome)),
        Document::Payment(payment) => body(&PaymentRow::from(&**payment)),
        Document::Closing(closing) => body(closing),
        Document::PaymentEnd(end) => body(&EndRow::from(end)),
        Document::Notice(notice) => body(notice),
        Document::OrderSettlement(settlement) => body(settlement),
        Document::Refund(refund) => body(refund),
        Document::Refunded(refunded) => body(refunded),
        Document::Order(order) => body(&OrderRow::from(&**order)),
        Document::Shipment(shipment) => body(shipment),
        Document::OrderPaid(paid) => body(paid),
        Document::DailyTotal(total) => body(total),
    };
    let framed = body.and_then(|body| joined(&[&rawdoc! { "_id": document.id() }, &body, &rawdoc! { "_by": by }]));
    framed.map_err(|reason| unreadable(document.collection(), reason))
}

/// The document that is kept like this.
///
/// # Errors
/// Where it is not as this version writes it.
pub(super) fn decode(collection: Collection, kept: &RawDocument) -> Result<Document, StoreError> {
    let document = match collection {
        Collection::OpenTasks => row(kept).map(|row: OpenTaskRow| Document::OpenTask(Arc::new(row.into()))),
        Collection::IdempotencyKeys => row(kept).map(|row: KeyRow| Document::IdempotencyKey(row.into())),
        Collection::OrderSlots => row(kept).map(Document::OrderSlot),
        Collection::PayTasks => row(kept).map(|row: OutcomeRow| Document::PayTask(Arc::new(row.into()))),
        Collection::Payments => {
            row(kept).and_then(|row: PaymentRow| row.into_model().map(|payment| Document::Payment(Arc::new(payment))))
        }
        Collection::Closings => row(kept).map(Document::Closing),
        Collection::PaymentEnds => row(kept).map(|row: EndRow| Document::PaymentEnd(row.into())),
        Collection::Notices => row(kept).map(Document::Notice),
        Collection::OrderSettlements => row(kept).map(Document::OrderSettlement),
        Collection::Refunds => row(kept).map(Document::Refund),
        Collection::Refunded => row(kept).map(Document::Refunded),
        Collection::Orders => row(kept).map(|row: OrderRow| Document::Order(Arc::new(row.into()))),
        Collection::Shipments => row(kept).map(|shipment| Document::Shipment(Arc::new(shipment))),
        Collection::OrderPaid => row(kept).map(Document::OrderPaid),
        Collection::DailyTotals => row(kept).map(Document::DailyTotal),
    };
    document.map_err(|reason| unreadable(collection, reason))
}

fn unreadable(collection: Collection, reason: String) -> StoreError {
    StoreError::Unreadable { collection: collection.name(), reason }
}

// === BSON ===

/// The fields of a row. Numbers beyond 63 bits, which no real amount or instant has, are kept as decimal text.
fn body<T: Serialize>(row: &T) -> Result<RawDocumentBuf, String> {
    bson::serialize_to_raw_document_buf(&HumanReadable(row)).or_else(|error| {
        let value = serde_json::to_value(row).map_err(|_| error.to_string())?;
        bson::serialize_to_raw_document_buf(&narrowed(value)).map_err(|error| error.to_string())
    })
}

fn row<T: DeserializeOwned>(kept: &RawDocument) -> Result<T, String> {
    let plain: Result<HumanReadable<T>, _> = bson::deserialize_from_slice(kept.as_bytes());
    plain.map(|row| row.0).or_else(|error| {
        let value = serde_json::to_value(kept).map_err(|_| error.to_string())?;
        serde_json::from_value(widened(value)).map_err(|_| error.to_string())
    })
}

fn narrowed(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) if number.is_u64() && !number.is_i64() => Value::String(number.to_string()),
        Value::Array(values) => Value::Array(values.into_iter().map(narrowed).collect()),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, narrowed(value))).collect(),
        other => other,
    }
}

/// Text is a number where the name says so by its unit.
fn widened(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    let field = |(name, value): (String, Value)| {
        let is_number = name.ends_with("_us") || name.ends_with("_minor");
        let number = value.as_str().filter(|_| is_number).and_then(|text| text.parse::<u64>().ok());
        let value = number.map_or_else(|| widened(value), Value::from);
        (name, value)
    };
    match value {
        Value::Array(values) => Value::Array(values.into_iter().map(widened).collect()),
        Value::Object(fields) => fields.into_iter().map(field).collect(),
        other => other,
    }
}

/// One document with the fields of several, in their order.
fn joined(parts: &[&RawDocument]) -> Result<RawDocumentBuf, String> {
    const LENGTH: usize = size_of::<i32>();
    let mut bytes = vec![0; LENGTH];
    for part in parts {
        let part = part.as_bytes();
        bytes.extend_from_slice(part.get(LENGTH..part.len() - 1).unwrap_or_default());
    }
    bytes.push(0);
    let length = i32::try_from(bytes.len()).map_err(|error| error.to_string())?;
    bytes[..LENGTH].copy_from_slice(&length.to_le_bytes());
    RawDocumentBuf::from_bytes(bytes).map_err(|error| error.to_string())
}
