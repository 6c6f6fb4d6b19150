//! What follows a payment that settled its order: the order is marked paid, it counts in the daily totals, and its parcels
//! sum to it. Each once, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::{Index, Moment};
use crate::{
    books::{End, OrderBooks},
    finding::Finding,
    ids::{OrderId, Round},
};

/// A payment that settled its order.
struct Settled<'a> {
    order: &'a OrderId,
    transaction_id: &'a str,
    amount_minor: u64,
}

pub(super) fn check(index: &Index<'_>, moment: Moment, findings: &mut Vec<Finding>) {
    let Some(books) = &index.books.orders else { return };
    let mut settled = BTreeMap::new();
    for (order, payment_no) in &index.settlements {
        // A settlement by a payment that is not paid is another finding.
        if let Some(End::Paid { transaction_id, amount_minor }) = index.end(payment_no) {
            settled.insert(*payment_no, Settled { order, transaction_id, amount_minor: *amount_minor });
        }
    }
    // What a drained server has not announced yet stands in the notices, and the next start goes on with it.
    let may_lack = |payment_no: &Round| moment == Moment::Drained && index.notices.contains(payment_no);
    marked(books, &settled, may_lack, findings);
    totals(index, books, &settled, may_lack, findings);
    parcels(books, &settled, findings);
}

/// The settled orders are marked paid, alike and once, and no others.
fn marked(
    books: &OrderBooks,
    settled: &BTreeMap<&Round, Settled<'_>>,
    may_lack: impl Fn(&Round) -> bool,
    findings: &mut Vec<Finding>,
) {
    let mut seen = BTreeSet::new();
    for paid in &books.paid {
        let (payment_no, order) = (&paid.payment_no, order(&paid.merchant, &paid.order_no));
        let truth = match settled.get(payment_no) {
            None => "settled no order".to_owned(),
            Some(truth) if *truth.order != order => format!("settled order {}", truth.order),
            Some(truth) if (truth.transaction_id, truth.amount_minor) != (&*paid.transaction_id, paid.amount_minor) => {
                format!("is {} over {}", truth.transaction_id, truth.amount_minor)
            }
            Some(_) if !seen.insert(payment_no) => "is marked before".to_owned(),
            Some(_) => continue,
        };
        let marked = format!("{} over {}", paid.transaction_id, paid.amount_minor);
        findings.push(Finding::OrderMarkedWrongly { order, payment_no: payment_no.clone(), marked, truth });
    }
    let marked: BTreeSet<&Round> = books.paid.iter().map(|paid| &paid.payment_no).collect();
    for (payment_no, truth) in settled {
        if !marked.contains(*payment_no) && !may_lack(payment_no) {
            findings.push(Finding::OrderNotMarked {
                order: truth.order.clone(),
                payment_no: (*payment_no).clone(),
                amount_minor: truth.amount_minor,
            });
        }
    }
}

/// The totals count each payment that settled an order once, over its amount, and nothing else.
fn totals(
    index: &Index<'_>,
    books: &OrderBooks,
    settled: &BTreeMap<&Round, Settled<'_>>,
    may_lack: impl Fn(&Round) -> bool,
    findings: &mut Vec<Finding>,
) {
    let words = |amount_minor: u64, currency: &str, merchant: &str| format!("{amount_minor} {currency} of {merchant}");
    let mut counted: BTreeMap<&Round, Vec<String>> = BTreeMap::new();
    for total in &books.daily_totals {
        let part = words(total.amount_minor, &total.currency, &total.merchant);
        counted.entry(&total.payment_no).or_default().push(part);
    }
    let all: BTreeSet<&Round> = counted.keys().chain(settled.keys()).copied().collect();
    for payment_no in all {
        let counted = counted.remove(payment_no).unwrap_or_default();
        let expected = settled.get(payment_no).map(|truth| {
            let currency = index.payments.get(payment_no).map_or("", |payment| payment.currency.as_str());
            words(truth.amount_minor, currency, &truth.order.merchant)
        });
        let agrees = counted.iter().eq(&expected) || (counted.is_empty() && may_lack(payment_no));
        if !agrees {
            findings.push(Finding::TotalsDiffer { payment_no: payment_no.clone(), counted, expected });
        }
    }
}

/// The parcels of each order sum to what was paid for it.
fn parcels(books: &OrderBooks, settled: &BTreeMap<&Round, Settled<'_>>, findings: &mut Vec<Finding>) {
    for shipment in &books.shipments {
        let order = order(&shipment.merchant, &shipment.order_no);
        let truth = settled.get(&shipment.payment_no).filter(|truth| *truth.order == order);
        let paid_minor = truth.map(|truth| truth.amount_minor);
        let children_minor = shipment.children.iter().map(|child| u128::from(child.amount_minor)).sum();
        if paid_minor.map(u128::from) != Some(children_minor) {
            let payment_no = shipment.payment_no.clone();
            findings.push(Finding::ShipmentDiffers { order, payment_no, children_minor, paid_minor });
        }
    }
}

fn order(merchant: &str, order_no: &str) -> OrderId {
    OrderId { merchant: merchant.to_owned(), order_no: order_no.to_owned() }
}
