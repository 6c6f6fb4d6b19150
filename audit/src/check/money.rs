//! Payments, their ends, and the channel's ledger: the same sets of (id, amount), net of refunds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Agreed, Index, Moment};
use crate::{
    books::{End, OutcomeState},
    finding::Finding,
    ids::{OrderId, Round},
};

pub(super) fn check(index: &Index<'_>, moment: Moment, findings: &mut Vec<Finding>) {
    payments(index, findings);
    paid(index, moment, findings);
    as_agreed(index, findings);
    refunds(index, findings);
    unpaid(index, findings);
    paid_twice(index, findings);
}

/// Succeeded rounds are payments, over the same amount. Of a round that ended otherwise there may be one that nobody was
/// ever shown: its success came too late.
fn payments(index: &Index<'_>, findings: &mut Vec<Finding>) {
    for outcome in index.books.pay_tasks.iter().filter(|outcome| outcome.state == OutcomeState::Succeeded) {
        let round = outcome.round_id();
        match index.payments.get(&round) {
            None => findings.push(Finding::PaymentMissing { round }),
            Some(payment) => {
                if payment.amount_minor != outcome.task.amount_minor || payment.currency != outcome.task.currency {
                    findings.push(Finding::PaymentDiffers {
                        payment_no: round,
                        payment_minor: payment.amount_minor,
                        task_minor: outcome.task.amount_minor,
                    });
                }
            }
        }
    }
    for payment in &index.books.payments {
        let round = &payment.payment_no;
        if !index.outcomes.contains_key(round) && !index.open.contains_key(round) {
            findings.push(Finding::PaymentOfNobody { payment_no: round.clone() });
        }
    }
    let mut counts: HashMap<&Round, usize> = HashMap::new();
    for end in &index.books.payment_ends {
        *counts.entry(&end.payment_no).or_default() += 1;
        // Money for a round without success ends as paid too, before it goes back; of such a round no payment is left.
        // Closed ends only what was a payment.
        let outcome = index.outcomes.get(&end.payment_no);
        let is_without_success = outcome.is_some_and(|outcome| outcome.state != OutcomeState::Succeeded);
        let may_lack_payment = is_without_success && matches!(end.end, End::Paid { .. });
        if !index.payments.contains_key(&end.payment_no) && !may_lack_payment {
            findings.push(Finding::PaymentOfNobody { payment_no: end.payment_no.clone() });
        }
    }
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    findings.extend(twice.map(|(round, count)| Finding::EndTwice { payment_no: round.clone(), count }));
}

/// What is paid in one of the two books is paid in the other, alike.
fn paid(index: &Index<'_>, moment: Moment, findings: &mut Vec<Finding>) {
    let mut ours = BTreeSet::new();
    for end in &index.books.payment_ends {
        let End::Paid { transaction_id, amount_minor } = &end.end else { continue };
        let payment_no = end.payment_no.clone();
        ours.insert(payment_no.to_string());
        match index.row(&payment_no).and_then(|row| row.paid.as_ref()) {
            None => findings.push(Finding::PaidNotTaken { payment_no, amount_minor: *amount_minor }),
            Some(taken) if (&taken.transaction_id, taken.amount_minor) != (transaction_id, *amount_minor) => {
                let ours = format!("{transaction_id} over {amount_minor}");
                let theirs = format!("{} over {}", taken.transaction_id, taken.amount_minor);
                findings.push(Finding::PaidDiffers { payment_no, ours, theirs });
            }
            Some(_) => {}
        }
    }
    for row in &index.books.ledger {
        let Some(taken) = &row.paid else { continue };
        // A drained server may not have heard of it yet; the next start asks the channel. Money that was taken for a
        // payment that is not even ours is wrong at any time.
        let is_awaited = moment == Moment::Drained && awaits_payer(index, &row.out_trade_no);
        let given_back = row.net_minor() == 0;
        if !ours.contains(&row.out_trade_no) && !is_awaited && !given_back {
            let (out_trade_no, amount_minor) = (row.out_trade_no.clone(), taken.amount_minor);
            findings.push(Finding::TakenNotPaid { out_trade_no, amount_minor });
        }
    }
}

/// What was paid is what was to be paid, even where both books agree on something else.
fn as_agreed(index: &Index<'_>, findings: &mut Vec<Finding>) {
    for end in &index.books.payment_ends {
        let End::Paid { amount_minor, .. } = &end.end else { continue };
        let Some(agreed) = index.agreed(&end.payment_no) else { continue };
        let paid = Agreed { amount_minor: *amount_minor, ..agreed };
        compare(&end.payment_no, agreed, "in the books", paid, findings);
    }
    for row in &index.books.ledger {
        let (Some(taken), Ok(payment_no)) = (&row.paid, row.out_trade_no.parse::<Round>()) else { continue };
        let Some(agreed) = index.agreed(&payment_no) else { continue };
        let paid = Agreed {
            amount_minor: taken.amount_minor,
            currency: row.currency.as_deref().unwrap_or(agreed.currency),
            merchant: row.merchant.as_deref().unwrap_or(agreed.merchant),
            order_no: row.order_no.as_deref().unwrap_or(agreed.order_no),
        };
        compare(&payment_no, agreed, "at the channel", paid, findings);
    }
}

fn compare(payment_no: &Round, agreed: Agreed<'_>, whose: &'static str, paid: Agreed<'_>, findings: &mut Vec<Finding>) {
    if paid != agreed {
        let (payment_no, agreed, paid) = (payment_no.clone(), agreed.to_string(), format!("{paid} {whose}"));
        findings.push(Finding::PaidOther { payment_no, agreed, paid });
    }
}

fn awaits_payer(index: &Index<'_>, out_trade_no: &str) -> bool {
    let Ok(round) = out_trade_no.parse::<Round>() else { return false };
    index.open.contains_key(&round) && index.payments.contains_key(&round) && index.end(&round).is_none()
}

/// What was given back, to the same amount in both books.
fn refunds(index: &Index<'_>, findings: &mut Vec<Finding>) {
    let ours: BTreeMap<String, u64> = index.refunded.iter().map(|(round, minor)| (round.to_string(), *minor)).collect();
    let theirs: BTreeMap<String, u64> = index
        .books
        .ledger
        .iter()
        .filter_map(|row| Some((row.out_trade_no.clone(), row.refunded.as_ref()?.amount_minor)))
        .collect();
    let ids: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    // Given back and not yet written down so: it stands on the refund list.
    let listed: BTreeSet<String> = index.refunds.iter().map(ToString::to_string).collect();
    for id in ids {
        let (our, their) = (ours.get(id).copied(), theirs.get(id).copied());
        if our != their && !(our.is_none() && listed.contains(id)) {
            findings.push(Finding::RefundDiffers {
                payment_no: id.clone(),
                ours_minor: our.unwrap_or(0),
                theirs_minor: their.unwrap_or(0),
            });
        }
    }
}

/// Failed, cancelled and closed took nothing in the end; closed is closed at the channel, and the other way round.
fn unpaid(index: &Index<'_>, findings: &mut Vec<Finding>) {
    for outcome in index.books.pay_tasks.iter().filter(|outcome| outcome.state != OutcomeState::Succeeded) {
        let payment_no = outcome.round_id();
        let net_minor = index.net_minor(&payment_no);
        if net_minor > 0 && index.end(&payment_no) != Some(&End::Closed {}) {
            let ended = match outcome.state {
                OutcomeState::Failed => "as failed",
                OutcomeState::Cancelled => "as cancelled",
                _ => "as refused",
            };
            findings.push(Finding::UnpaidHoldsMoney { payment_no, ended, net_minor });
        }
    }
    for end in index.books.payment_ends.iter().filter(|end| end.end == (End::Closed {})) {
        let payment_no = end.payment_no.clone();
        let net_minor = index.net_minor(&payment_no);
        if net_minor > 0 {
            findings.push(Finding::UnpaidHoldsMoney { payment_no, ended: "as closed", net_minor });
        } else if index.row(&payment_no).is_none_or(|row| row.closed_at_us.is_none() && row.paid.is_none()) {
            findings.push(Finding::ClosedNotAtChannel { payment_no });
        }
    }
    for row in index.books.ledger.iter().filter(|row| row.closed_at_us.is_some()) {
        let Ok(payment_no) = row.out_trade_no.parse::<Round>() else { continue };
        let is_closing = index.closings.contains(&payment_no);
        if index.payments.contains_key(&payment_no) && index.end(&payment_no).is_none() && !is_closing {
            findings.push(Finding::ClosedOnlyAtChannel { payment_no });
        }
    }
}

/// At most one payment of an order holds money in the end, by the channel's own word.
fn paid_twice(index: &Index<'_>, findings: &mut Vec<Finding>) {
    let mut by_order: BTreeMap<OrderId, Vec<(String, u64)>> = BTreeMap::new();
    for row in index.books.ledger.iter().filter(|row| row.net_minor() > 0) {
        let (Some(merchant), Some(order_no)) = (row.merchant.clone(), row.order_no.clone()) else { continue };
        let payments = by_order.entry(OrderId { merchant, order_no }).or_default();
        payments.push((row.out_trade_no.clone(), row.net_minor()));
    }
    let twice = by_order.into_iter().filter(|(_, payments)| payments.len() > 1);
    findings.extend(twice.map(|(order, payments)| Finding::OrderPaidTwice { order, payments }));
}
