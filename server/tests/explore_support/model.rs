//! The promises as a pure model: what the documents and the channel's ledger must say, given what clients were told.

use std::{collections::BTreeMap, sync::Arc};

use payrig_api::ShipMode;
use payrig_channel::LedgerRow;
use payrig_server::model::{Document, End, OutcomeState, RoundId, Shipment, TaskId};

use super::{books::Books, ops::MERCHANT};

/// What somebody was told, and may rely on from then on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Told {
    /// 202: this round will have an outcome; the submission came with this key and body, if with any.
    Accepted { round: RoundId, key: Option<(&'static str, u8)> },
    /// The submission for which this task was built was refused, or was the repeat of another: it is nowhere.
    Nowhere { task: TaskId },
    /// 200 for a cancellation of this task: it will not be paid.
    Cancelled { task: TaskId },
    /// The cashier took the money.
    TookMoney { payment_no: RoundId },
    /// 200 for a notification that it took the money.
    Noticed { payment_no: RoundId },
    /// 200 or 201 for an order over this amount.
    OrderCreated { order_no: &'static str, amount_minor: u64 },
    /// 200 for a shipment, with parcels over these amounts.
    Shipped { order_no: &'static str, mode: ShipMode, amounts: Vec<u64> },
}

/// How far things have come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Moment {
    /// In the middle of it, or right after a crash.
    Anytime,
    /// After a restart and a visit: what is open waits for a payer or a retry.
    AtRest,
    /// After the pay window: nothing waits any more.
    AtTheEnd,
}

/// Everything that is wrong, in words.
pub(crate) fn violations(books: &Books, told: &[Told], moment: Moment) -> Vec<String> {
    let mut wrong = Vec::new();
    check_slots(books, &mut wrong);
    check_payments(books, &mut wrong);
    check_rounds(books, &mut wrong);
    check_orders(books, moment, &mut wrong);
    check_told(books, told, moment, &mut wrong);
    check_keys(books, told, &mut wrong);
    if moment >= Moment::AtRest {
        check_rest(books, &mut wrong);
    }
    if moment == Moment::AtTheEnd {
        check_end(books, told, &mut wrong);
    }
    wrong
}

fn ended_unpaid(books: &Books, round: RoundId) -> bool {
    match books.outcome(round) {
        None => false,
        Some(OutcomeState::Succeeded) => matches!(books.ends.get(&round), Some(End::Closed { .. })),
        Some(_) => true,
    }
}

/// An order's slots follow each other without a gap, each taken after the one before ended unpaid.
fn check_slots(books: &Books, wrong: &mut Vec<String>) {
    for (order, holders) in &books.slots {
        for (at, (generation, holder)) in holders.iter().enumerate() {
            if usize::try_from(*generation) != Ok(at) {
                wrong.push(format!("order {order}: generation {at} is missing"));
            }
            if at > 0 && !ended_unpaid(books, holders[at - 1].1) {
                wrong
                    .push(format!("order {order}: {holder:?} took the slot of {:?}, which goes on", holders[at - 1].1));
            }
        }
    }
}

/// At most one payment of an order is open; ends agree with the channel; one payment settles an order.
fn check_payments(books: &Books, wrong: &mut Vec<String>) {
    let mut open: BTreeMap<String, RoundId> = BTreeMap::new();
    for (round, outcome) in &books.outcomes {
        if outcome.state != OutcomeState::Succeeded {
            continue;
        }
        if !books.payments.contains_key(round) {
            wrong.push(format!("{round:?} succeeded without a payment"));
        }
        if !books.ends.contains_key(round)
            && let Some(other) = open.insert(outcome.task.order().document_id(), *round)
        {
            wrong.push(format!("{other:?} and {round:?} of the same order are open at the same time"));
        }
    }
    for (round, end) in &books.ends {
        let row = books.ledger.get(round);
        match end {
            End::Paid { transaction_id, amount_minor, .. } => {
                let taken = row.and_then(|row| row.paid.as_ref());
                if taken.is_none_or(|taken| {
                    taken.amount_minor != *amount_minor || taken.transaction_id != transaction_id.as_ref()
                }) {
                    wrong.push(format!("{round:?} is paid here and {taken:?} at the channel"));
                }
            }
            End::Closed { reason } if reason != super::CHANNEL_LIED => {
                if row.is_none_or(|row| row.closed_at_us.is_none()) {
                    wrong.push(format!("{round:?} is closed here and {row:?} at the channel"));
                }
            }
            End::Closed { .. } => {}
        }
    }
    for (order, payment_no) in &books.settlements {
        if !matches!(books.ends.get(payment_no), Some(End::Paid { .. })) {
            wrong.push(format!("order {order} is settled by {payment_no:?}, which is not paid"));
        }
    }
    check_refunds(books, wrong);
}

fn check_refunds(books: &Books, wrong: &mut Vec<String>) {
    for payment_no in books.refunds.keys() {
        if books.settlements.values().any(|settling| settling == payment_no) {
            wrong.push(format!("{payment_no:?} settles its order and goes back"));
        }
    }
    for payment_no in books.refunded.keys() {
        if !books.refunds.contains_key(payment_no) {
            wrong.push(format!("{payment_no:?} was given back and is not on the list"));
        }
    }
    for (payment_no, row) in &books.ledger {
        if row.refunded.is_some() && !books.refunds.contains_key(payment_no) {
            wrong.push(format!("the channel gave {payment_no:?} back, of which the list knows nothing"));
        }
    }
}

/// A round follows only a failed one; histories go forward; the budget of attempts is kept.
fn check_rounds(books: &Books, wrong: &mut Vec<String>) {
    let opened = books.opens.keys().chain(books.outcomes.keys());
    for round in opened.filter(|round| round.round > 1) {
        let before = (1..round.round).rev().map(|number| books.outcome(round.task.round(number)));
        let last = before.into_iter().find(|state| *state != Some(OutcomeState::Refused)).flatten();
        if last != Some(OutcomeState::Failed) {
            wrong.push(format!("{round:?} follows a round that is {last:?}"));
        }
    }
    let mut attempts: BTreeMap<TaskId, u8> = BTreeMap::new();
    for (round, outcome) in &books.outcomes {
        let bound = payrig_api::RETRY_CAP + 1;
        if outcome.attempt > bound {
            wrong.push(format!("{round:?} made attempt {} of {bound}", outcome.attempt));
        }
        if outcome.state != OutcomeState::Refused {
            let before = attempts.insert(round.task, outcome.attempt).unwrap_or(0);
            let made_one = matches!(outcome.state, OutcomeState::Succeeded | OutcomeState::Failed);
            if outcome.attempt < before || (made_one && outcome.attempt == before && outcome.started_at_us.is_some()) {
                wrong.push(format!("{round:?} made attempt {} after attempt {before}", outcome.attempt));
            }
        }
        let times: Vec<u64> = outcome.history.iter().map(|entry| entry.at_us).collect();
        if !times.is_sorted() || !outcome.history.iter().map(|entry| entry.attempt).is_sorted() {
            wrong.push(format!("the history of {round:?} goes back: {:?}", outcome.history));
        }
    }
}

/// An order is paid once, by what settles it; at rest every settlement has had its two effects, and nothing else has.
fn check_orders(books: &Books, moment: Moment, wrong: &mut Vec<String>) {
    let settling: BTreeMap<RoundId, &String> = books.settlements.iter().map(|(order, by)| (*by, order)).collect();
    for (payment_no, paid) in &books.orders_paid {
        let key = format!("{}:{}", paid.merchant, paid.order_no);
        let end = books.ends.get(payment_no);
        let agrees = matches!(end, Some(End::Paid { transaction_id, paid_at_us, amount_minor })
            if (transaction_id, paid_at_us, amount_minor) == (&paid.transaction_id, &paid.paid_at_us, &paid.amount_minor));
        if settling.get(payment_no) != Some(&&key) || !agrees {
            wrong.push(format!("order {key} is marked paid by {payment_no:?} as {paid:?}; its end is {end:?}"));
        }
    }
    for (payment_no, total) in &books.daily_totals {
        let agrees = matches!(books.ends.get(payment_no), Some(End::Paid { paid_at_us, amount_minor, .. })
            if total.paid_day == paid_at_us / 86_400_000_000 && *amount_minor == total.amount_minor);
        if !settling.contains_key(payment_no) || !agrees {
            wrong.push(format!("{payment_no:?} counts in the totals as {total:?}"));
        }
    }
    if moment >= Moment::AtRest {
        for (payment_no, order) in &settling {
            if !books.orders_paid.contains_key(payment_no) || !books.daily_totals.contains_key(payment_no) {
                wrong.push(format!("{payment_no:?} settled order {order} and not every subscriber has had its effect"));
            }
        }
    }
    for (order, shipment) in &books.shipments {
        let paid = books.orders_paid.get(&shipment.payment_no).map(|paid| paid.amount_minor);
        let sum: u64 = shipment.children.iter().map(|child| child.amount_minor).sum();
        if paid != Some(sum) || books.settlements.get(order) != Some(&shipment.payment_no) {
            wrong.push(format!("order {order} was shipped as {shipment:?} and paid {paid:?}"));
        }
    }
    let tasks = books.opens.values().map(|open| (open.round_id(), &open.task));
    let ended = books.outcomes.values().map(|outcome| (outcome.round_id(), &outcome.task));
    for (round, task) in tasks.chain(ended).filter(|(_, task)| task.items.is_some()) {
        let order = books.orders.get(&task.order().document_id());
        if books.holds_a_slot(round) && order.is_none_or(|order| order.amount_minor != task.amount_minor) {
            wrong.push(format!("{round:?} came with items and may pay its order, which is {order:?}"));
        }
    }
}

/// Who was told something finds it so.
fn check_told(books: &Books, told: &[Told], moment: Moment, wrong: &mut Vec<String>) {
    for told in told {
        match told {
            Told::Accepted { round, .. } => match books.outcome(*round) {
                None if !books.opens.contains_key(round) => wrong.push(format!("{round:?} was accepted and is lost")),
                None if !books.holds_a_slot(*round) => wrong.push(format!("{round:?} was accepted and has no slot")),
                Some(OutcomeState::Refused) => wrong.push(format!("{round:?} was accepted and then refused")),
                _ => {}
            },
            Told::Nowhere { task } => {
                let known = |round: &&RoundId| round.task == *task;
                let real = books
                    .outcomes
                    .iter()
                    .any(|(round, outcome)| round.task == *task && outcome.state != OutcomeState::Refused);
                let open = moment >= Moment::AtRest && books.opens.keys().any(|round| round.task == *task);
                if real || open || books.payments.keys().find(known).is_some() {
                    wrong.push(format!("{task} was refused and lives on"));
                }
            }
            Told::Cancelled { task } => {
                let last = books
                    .outcomes
                    .iter()
                    .rfind(|(round, outcome)| round.task == *task && outcome.state != OutcomeState::Refused);
                let ended = last.is_some_and(|(round, outcome)| {
                    outcome.state == OutcomeState::Cancelled || ended_unpaid(books, *round)
                });
                if !ended {
                    wrong.push(format!("{task} was cancelled and goes on"));
                }
            }
            Told::Noticed { payment_no } => {
                let paid = matches!(books.ends.get(payment_no), Some(End::Paid { .. }));
                if !paid && !books.notices.contains(payment_no) && !books.refunded.contains_key(payment_no) {
                    wrong.push(format!("the notice of {payment_no:?} was answered and is lost"));
                }
            }
            Told::OrderCreated { order_no, amount_minor } => {
                let order = books.orders.get(&format!("{MERCHANT}:{order_no}"));
                if order.is_none_or(|order| order.amount_minor != *amount_minor) {
                    wrong.push(format!("order {order_no} was created over {amount_minor} and is {order:?}"));
                }
            }
            Told::Shipped { order_no, mode, amounts } => {
                let shipment = books.shipments.get(&format!("{MERCHANT}:{order_no}"));
                let same = |shipment: &Arc<Shipment>| {
                    let stored = shipment.children.iter().map(|child| child.amount_minor);
                    shipment.mode == *mode && stored.eq(amounts.iter().copied())
                };
                if !shipment.is_some_and(same) {
                    wrong.push(format!("order {order_no} was shipped {mode:?} as {amounts:?} and is {shipment:?}"));
                }
            }
            Told::TookMoney { payment_no } => {
                if books.ledger.get(payment_no).is_none_or(|row| row.paid.is_none()) {
                    wrong.push(format!("the cashier forgot that it took money for {payment_no:?}"));
                }
            }
        }
    }
}

/// One key, one body, one task.
fn check_keys(books: &Books, told: &[Told], wrong: &mut Vec<String>) {
    let mut tasks: BTreeMap<&str, (TaskId, u8)> = BTreeMap::new();
    for told in told {
        if let Told::Accepted { round, key: Some((key, body)) } = told {
            let (task, first_body) = *tasks.entry(key).or_insert((round.task, *body));
            if task != round.task || first_body != *body {
                wrong.push(format!("key {key} made {task} and {}", round.task));
            }
        }
    }
    for (key, (task, _)) in tasks {
        if books.keys.get(key).is_some_and(|holder| *holder != task) {
            wrong.push(format!("key {key} made {task} and stands for {}", books.keys[key]));
        }
    }
}

/// After a visit nothing is half done.
fn check_rest(books: &Books, wrong: &mut Vec<String>) {
    for round in books.opens.keys() {
        let waits = match books.outcome(*round) {
            None => books.holds_a_slot(*round),
            Some(OutcomeState::Succeeded) => !books.ends.contains_key(round),
            Some(_) => false,
        };
        if !waits {
            wrong.push(format!("{round:?} is still open with outcome {:?}", books.outcome(*round)));
        }
    }
    for (round, outcome) in &books.outcomes {
        let awaits = outcome.state == OutcomeState::Succeeded && !books.ends.contains_key(round);
        if awaits && !books.opens.contains_key(round) {
            wrong.push(format!("{round:?} waits for its payer and nobody looks after it"));
        }
    }
    for payment_no in &books.closings {
        let how_far = if books.ends.contains_key(payment_no) { "remembered after its end" } else { "left half-way" };
        wrong.push(format!("the closing of {payment_no:?} was {how_far}"));
    }
    for payment_no in &books.notices {
        wrong.push(format!("the notice of {payment_no:?} was left half-way"));
    }
    for (payment_no, amount_minor) in &books.refunds {
        if books.refunded.get(payment_no) != Some(amount_minor) {
            wrong.push(format!("{payment_no:?} was not given back"));
        }
    }
    check_money(books, wrong);
}

/// What the channel took is what is paid here; what it holds in the end is one payment an order.
fn check_money(books: &Books, wrong: &mut Vec<String>) {
    let mut held: BTreeMap<String, Vec<RoundId>> = BTreeMap::new();
    let paid = books.ledger.iter().filter(|(_, row)| row.paid.is_some());
    for (payment_no, row) in paid {
        let here = books.ends.get(payment_no);
        let lied = matches!(here, Some(End::Closed { reason }) if reason == super::CHANNEL_LIED);
        if !lied && !matches!(here, Some(End::Paid { .. })) {
            wrong.push(format!("the channel took money for {payment_no:?}, which is {here:?} here"));
        }
        if row.refunded.is_some() != books.refunded.contains_key(payment_no) {
            wrong.push(format!("the refund of {payment_no:?} stands on one side only"));
        }
        // Of a closed payment only a notification says otherwise, and it may be lost.
        if row.net_minor() > 0 && !lied {
            held.entry(order_of(row)).or_default().push(*payment_no);
        }
    }
    for (order, payments) in held {
        if payments.len() > 1 || books.settlements.get(&order) != payments.first() {
            wrong.push(format!(
                "order {order} was paid by {payments:?}, settled by {:?}",
                books.settlements.get(&order)
            ));
        }
    }
}

fn order_of(row: &LedgerRow) -> String {
    format!("{}:{}", row.merchant.as_deref().unwrap_or_default(), row.order_no.as_deref().unwrap_or_default())
}

/// After the pay window everything is final and let go, and who was accepted has an outcome.
fn check_end(books: &Books, told: &[Told], wrong: &mut Vec<String>) {
    for round in books.opens.keys() {
        wrong.push(format!("{round:?} is open for ever"));
    }
    for told in told {
        if let Told::Accepted { round, .. } = told
            && books.outcome(*round).is_none()
        {
            wrong.push(format!("{round:?} was accepted and has no outcome"));
        }
    }
}

/// What a document says, without times: for telling states apart.
pub(crate) fn gist(document: &Document) -> (RoundId, u64) {
    let nobody = TaskId::floor(0).round(0);
    match document {
        Document::OpenTask(open) => (open.round_id(), u64::from(open.attempts_before)),
        Document::IdempotencyKey(key) => (key.task_id.round(0), u64::from(key.used.body_sha256[0])),
        Document::OrderSlot(slot) => (slot.holder, u64::from(slot.generation)),
        Document::PayTask(outcome) => (outcome.round_id(), outcome.state as u64 * 256 + u64::from(outcome.attempt)),
        Document::PaymentEnd(end) => (end.payment_no, u64::from(matches!(end.end, End::Paid { .. }))),
        Document::OrderSettlement(settlement) => (settlement.payment_no, 0),
        Document::OrderPaid(paid) => (paid.payment_no, paid.amount_minor),
        Document::DailyTotal(total) => (total.payment_no, total.amount_minor),
        Document::Order(order) => (nobody, order.amount_minor),
        Document::Shipment(shipment) => (shipment.payment_no, shipment.mode as u64),
        Document::Payment(_)
        | Document::Closing(_)
        | Document::Notice(_)
        | Document::Refund(_)
        | Document::Refunded(_) => (nobody, 0),
    }
}
