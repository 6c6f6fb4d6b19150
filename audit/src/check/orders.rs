//! Orders: who may pay them, and what paid them.

use std::collections::BTreeMap;

use super::Index;
use crate::{
    books::{End, OrderSlot},
    finding::Finding,
    ids::OrderId,
};

pub(super) fn check(index: &Index<'_>, findings: &mut Vec<Finding>) {
    slots(index, findings);
    settlements(index, findings);
}

/// Generations without gaps, and a new one only after the holder before had ended unpaid.
fn slots(index: &Index<'_>, findings: &mut Vec<Finding>) {
    let mut by_order: BTreeMap<OrderId, Vec<&OrderSlot>> = BTreeMap::new();
    for slot in &index.books.order_slots {
        let order = OrderId { merchant: slot.merchant.clone(), order_no: slot.order_no.clone() };
        by_order.entry(order).or_default().push(slot);
    }
    for (order, mut slots) in by_order {
        slots.sort_by_key(|slot| slot.generation);
        let mut broken = |what| findings.push(Finding::SlotsBroken { order: order.clone(), what });
        for (expected, slot) in (0..).zip(&slots) {
            if slot.generation != expected {
                broken(format!("generation {} where {expected} should be", slot.generation));
                break;
            }
        }
        for pair in slots.windows(2) {
            if !index.ended_unpaid(&pair[0].holder) {
                broken(format!("{} took it while {} might still be paid", pair[1].holder, pair[0].holder));
            }
        }
    }
}

/// Each settlement names a payment that paid that order, and each payment that holds money is named by one.
fn settlements(index: &Index<'_>, findings: &mut Vec<Finding>) {
    for (order, payment_no) in &index.settlements {
        let why = match (index.end(payment_no), index.payments.get(payment_no)) {
            (_, None) => Some("does not exist"),
            (_, Some(payment)) if payment.order_no != order.order_no || payment.merchant != order.merchant => {
                Some("pays another order")
            }
            (Some(End::Paid { .. }), _) if index.refunded.contains_key(payment_no) => Some("was given back"),
            (Some(End::Paid { .. }), _) => None,
            (Some(End::Closed {}), _) => Some("is closed"),
            (None, _) => Some("has no end"),
        };
        if let Some(why) = why {
            let (order, payment_no) = (order.clone(), (*payment_no).clone());
            findings.push(Finding::SettledByUnpaid { order, payment_no, why });
        }
    }
    for end in &index.books.payment_ends {
        let Some(payment) = index.payments.get(&end.payment_no) else { continue };
        let net_minor = index.net_minor(&end.payment_no);
        let order = OrderId { merchant: payment.merchant.clone(), order_no: payment.order_no.clone() };
        // What is on its way back settles nothing.
        let goes_back = index.refunds.contains(&end.payment_no);
        let is_worked_off = !index.notices.contains(&end.payment_no);
        let is_named = index.settlements.get(&order).is_some_and(|named| **named == end.payment_no);
        if matches!(end.end, End::Paid { .. }) && net_minor > 0 && is_worked_off && !goes_back && !is_named {
            findings.push(Finding::PaidNotSettled { payment_no: end.payment_no.clone(), order, net_minor });
        }
    }
}
