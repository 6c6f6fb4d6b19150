//! The order subscriber: marks the order paid.

use std::sync::Arc;

use super::Subscriber;
use crate::model::{Collection, Document, OrderPaid, Success};

/// Writes one document a payment; that an order is paid by one payment only is its settlement's doing.
pub(super) const SUBSCRIBER: Subscriber = Subscriber { name: "order", collection: Collection::OrderPaid, effect };

fn effect(success: &Success, at_us: u64) -> Document {
    Document::OrderPaid(OrderPaid {
        payment_no: success.payment_no,
        merchant: Arc::clone(&success.merchant),
        order_no: Arc::clone(&success.order_no),
        transaction_id: Arc::clone(&success.transaction_id),
        paid_at_us: success.paid_at_us,
        amount_minor: success.amount_minor,
        at_us,
    })
}
