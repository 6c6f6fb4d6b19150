//! Numbers of documents, as a reader of the database finds them.

use std::sync::Arc;

use mongodb::bson::{Bson, Document as Fields};
use payrig_server::model::{Document, End, Outcome};

/// Every number, by its name: whole, and the name says the unit. It is written with 64 bits; nx-27017 gives it back in as
/// few as hold it.
pub(crate) fn check_numbers(fields: &Fields, seen: &mut usize) {
    for (name, value) in fields {
        match value {
            Bson::Int64(_) | Bson::Int32(_) if name.ends_with("_us") || name.ends_with("_minor") => *seen += 1,
            Bson::Document(inner) => check_numbers(inner, seen),
            Bson::Array(values) => {
                values.iter().filter_map(Bson::as_document).for_each(|inner| check_numbers(inner, seen));
            }
            other => {
                let is_measure = name.ends_with("_us") || name.ends_with("_minor");
                assert!(!is_measure, "{name} is {other:?}");
                assert!(!matches!(other, Bson::Binary(_) | Bson::Double(_) | Bson::Null), "{name} is {other:?}");
            }
        }
    }
}

/// A whole number in however many bits.
pub(crate) fn whole(fields: &Fields, name: &str) -> Option<i64> {
    match fields.get(name)? {
        Bson::Int64(number) => Some(*number),
        Bson::Int32(number) => Some(i64::from(*number)),
        _ => None,
    }
}

/// The same document with numbers that are amounts and instants, not extremes.
pub(crate) fn within_63_bits(document: Document) -> Document {
    match document {
        Document::PayTask(outcome) => {
            let mut outcome = Outcome::clone(&outcome);
            outcome.started_at_us = Some(2);
            outcome.settled_at_us = 3;
            outcome.stages.queue_wait_us = 4;
            let mut task = (*outcome.task).clone();
            small_items(&mut task.items);
            outcome.task = Arc::new(task);
            outcome.history.iter_mut().for_each(|entry| entry.at_us = 5);
            Document::PayTask(Arc::new(outcome))
        }
        Document::OpenTask(open) => {
            let mut open = (*open).clone();
            open.accepted_at_us = 6;
            let mut task = (*open.task).clone();
            small_items(&mut task.items);
            open.task = Arc::new(task);
            Document::OpenTask(Arc::new(open))
        }
        Document::PaymentEnd(mut end) => {
            if let End::Paid { paid_at_us, amount_minor, .. } = &mut end.end {
                (*paid_at_us, *amount_minor) = (7, 8);
            }
            Document::PaymentEnd(end)
        }
        Document::IdempotencyKey(mut key) => {
            key.expires_at_us = 9;
            Document::IdempotencyKey(key)
        }
        Document::Refund(mut refund) => {
            refund.amount_minor = 10;
            Document::Refund(refund)
        }
        Document::Refunded(mut refunded) => {
            refunded.amount_minor = 10;
            Document::Refunded(refunded)
        }
        Document::Order(order) => {
            let mut order = (*order).clone();
            order.amount_minor = 11;
            small_items(&mut order.items);
            Document::Order(Arc::new(order))
        }
        Document::Shipment(shipment) => {
            let mut shipment = (*shipment).clone();
            shipment.children.iter_mut().for_each(|child| child.amount_minor = 12);
            Document::Shipment(Arc::new(shipment))
        }
        Document::OrderPaid(mut paid) => {
            paid.paid_at_us = 13;
            Document::OrderPaid(paid)
        }
        Document::DailyTotal(mut total) => {
            total.amount_minor = 14;
            Document::DailyTotal(total)
        }
        other => other,
    }
}

fn small_items(items: &mut Option<Vec<payrig_api::Item>>) {
    items.iter_mut().flatten().for_each(|item| item.unit_price_minor = 15);
}
