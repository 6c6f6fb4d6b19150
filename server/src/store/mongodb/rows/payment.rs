//! The rows of payments, their ends, keys and orders.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use mongodb::bson::{self, Bson};
use payrig_api::{ChannelStyle, Currency, Item};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::model::{End, IdempotencyKey, KeyUse, MerchantId, Order, Payment, PaymentEnd, RoundId, TaskId};

#[derive(Serialize, Deserialize)]
pub(super) struct PaymentRow {
    payment_no: RoundId,
    merchant: MerchantId,
    order_no: Arc<str>,
    amount_minor: u64,
    currency: Currency,
    channel: ChannelStyle,
    pay_params: Bson,
    created_at_us: u64,
}

impl From<&Payment> for PaymentRow {
    fn from(payment: &Payment) -> Self {
        // What is not kept as BSON numbers does not keep the order of fields either.
        let in_order =
            [payment.amount_minor, payment.created_at_us].iter().all(|number| i64::try_from(*number).is_ok());
        let fields = if in_order { fields_of(&payment.pay_params) } else { None };
        Self {
            payment_no: payment.payment_no,
            merchant: Arc::clone(&payment.merchant),
            order_no: Arc::clone(&payment.order_no),
            amount_minor: payment.amount_minor,
            currency: payment.currency,
            channel: payment.channel,
            pay_params: fields.map_or_else(|| Bson::String(payment.pay_params.to_string()), Bson::Document),
            created_at_us: payment.created_at_us,
        }
    }
}

impl PaymentRow {
    pub(super) fn into_model(self) -> Result<Payment, String> {
        let pay_params = match self.pay_params {
            Bson::String(text) => text,
            Bson::Document(fields) => serde_json::to_string(&fields).map_err(|error| error.to_string())?,
            other => return Err(format!("pay_params is {:?}", other.element_type())),
        };
        Ok(Payment {
            payment_no: self.payment_no,
            merchant: self.merchant,
            order_no: self.order_no,
            amount_minor: self.amount_minor,
            currency: self.currency,
            channel: self.channel,
            pay_params: pay_params.into(),
            created_at_us: self.created_at_us,
        })
    }
}

/// Signed parameters as fields, where the very same text can be made of them again; else they are kept as text.
fn fields_of(pay_params: &str) -> Option<bson::Document> {
    let fields: bson::Document = serde_json::from_str(pay_params).ok()?;
    let is_same = has_plain_names(&fields) && serde_json::to_string(&fields).is_ok_and(|text| text == pay_params);
    is_same.then_some(fields)
}

/// Some servers refuse names that look like paths or operators.
fn has_plain_names(fields: &bson::Document) -> bool {
    fields.iter().all(|(name, value)| {
        let is_plain = !name.is_empty() && !name.contains(['$', '.', '\0']);
        is_plain
            && match value {
                Bson::Document(inner) => has_plain_names(inner),
                Bson::String(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::Boolean(_) => true,
                _ => false,
            }
    })
}

/// How a payment ended: `paid` or `closed`.
#[derive(Serialize, Deserialize)]
pub(super) struct EndRow {
    payment_no: RoundId,
    #[serde(flatten)]
    end: HowRow,
    at_us: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum HowRow {
    Paid { transaction_id: Arc<str>, paid_at_us: u64, amount_minor: u64 },
    Closed { reason: String },
}

impl From<&PaymentEnd> for EndRow {
    fn from(end: &PaymentEnd) -> Self {
        let how = match end.end.clone() {
            End::Paid { transaction_id, paid_at_us, amount_minor } => {
                HowRow::Paid { transaction_id, paid_at_us, amount_minor }
            }
            End::Closed { reason } => HowRow::Closed { reason },
        };
        Self { payment_no: end.payment_no, end: how, at_us: end.at_us }
    }
}

impl From<EndRow> for PaymentEnd {
    fn from(row: EndRow) -> Self {
        let end = match row.end {
            HowRow::Paid { transaction_id, paid_at_us, amount_minor } => {
                End::Paid { transaction_id, paid_at_us, amount_minor }
            }
            HowRow::Closed { reason } => End::Closed { reason },
        };
        Self { payment_no: row.payment_no, end, at_us: row.at_us }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeyRow {
    merchant: MerchantId,
    idempotency_key: Arc<str>,
    body_sha256: Sha256,
    task_id: TaskId,
    expires_at_us: u64,
}

impl From<&IdempotencyKey> for KeyRow {
    fn from(key: &IdempotencyKey) -> Self {
        Self {
            merchant: Arc::clone(&key.merchant),
            idempotency_key: Arc::clone(&key.used.key),
            body_sha256: Sha256(key.used.body_sha256),
            task_id: key.task_id,
            expires_at_us: key.expires_at_us,
        }
    }
}

impl From<KeyRow> for IdempotencyKey {
    fn from(row: KeyRow) -> Self {
        Self {
            merchant: row.merchant,
            used: KeyUse { key: row.idempotency_key, body_sha256: row.body_sha256.0 },
            task_id: row.task_id,
            expires_at_us: row.expires_at_us,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct OrderRow {
    merchant: MerchantId,
    order_no: Arc<str>,
    amount_minor: u64,
    currency: Currency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Item>>,
    created_at_us: u64,
}

impl From<&Order> for OrderRow {
    fn from(order: &Order) -> Self {
        Self {
            merchant: Arc::clone(&order.merchant),
            order_no: Arc::clone(&order.order_no),
            amount_minor: order.amount_minor,
            currency: order.currency,
            items: order.items.clone(),
            created_at_us: order.created_at_us,
        }
    }
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        let OrderRow { merchant, order_no, amount_minor, currency, items, created_at_us } = row;
        Self { merchant, order_no, amount_minor, currency, items, created_at_us }
    }
}

/// A hash in hexadecimal text.
#[derive(Clone, Copy)]
pub(super) struct Sha256(pub(super) [u8; 32]);

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(de::Error::custom)?;
        bytes.try_into().map(Self).map_err(|_| de::Error::custom("not 32 bytes"))
    }
}
