//! The order around the payment: created before it, seen as paid after it, split into parcels, and seen once more.

use payrig_api::OrderState;
use serde::Deserialize;

use super::{Answer, Journey, Move};
use crate::{Action, OrderSeen, Outcome, ViolationKind};

/// An order in a reply; a foreign server need only give its number and state.
#[derive(Deserialize)]
struct SeenOrder {
    order_no: String,
    state: OrderState,
    paid_amount_minor: Option<u64>,
    payment_no: Option<String>,
    transaction_id: Option<String>,
    children: Option<Vec<SeenChild>>,
}

#[derive(Deserialize)]
struct SeenChild {
    amount_minor: u64,
}

impl Journey {
    pub(super) fn on_created(&mut self, answer: Answer<'_>) -> Action {
        if answer.is_passing() {
            self.note_answer(Move::CreateOrder, &answer, true);
            return self.again(Move::CreateOrder, answer.retry_after_s, answer.now_us);
        }
        if (400..500).contains(&answer.status) {
            self.note_answer(Move::CreateOrder, &answer, true);
            return self.refused(&answer);
        }
        if !answer.is_success() {
            return self.unexpected(Move::CreateOrder, &answer);
        }
        match self.read_order(Move::CreateOrder, &answer) {
            Err(done) => done,
            Ok(()) => {
                self.order_seen(|order| order.created_us = Some(answer.now_us));
                self.think(Move::Submit)
            }
        }
    }

    /// The payment is paid: that is the end, or the order is looked at.
    pub(super) fn paid(&mut self, now_us: u64) -> Action {
        if self.plan.order.is_none() {
            return self.end(Outcome::Paid, now_us);
        }
        self.tries = 0;
        self.send(Move::Order, now_us)
    }

    pub(super) fn on_order(&mut self, answer: Answer<'_>) -> Action {
        if answer.is_success() {
            return match self.read_order(Move::Order, &answer) {
                Err(done) => done,
                Ok(()) if self.is_order_paid() => self.think(Move::Ship),
                Ok(()) => self.poll_order(None, answer.now_us),
            };
        }
        if answer.is_passing() {
            self.note_answer(Move::Order, &answer, true);
            return self.poll_order(answer.retry_after_s, answer.now_us);
        }
        self.order_unknown_if_404(&answer);
        self.unexpected(Move::Order, &answer)
    }

    /// Looks at the order once more. The news of a payment reaches its order within moments; one that stays unpaid for so
    /// many looks was forgotten.
    pub(super) fn poll_order(&mut self, retry_after_s: Option<u64>, now_us: u64) -> Action {
        let reads = self.record.order.as_ref().map_or(0, |order| order.reads);
        if reads >= self.settings.max_order_reads {
            let detail = format!("its payment was shown as paid, and after {reads} looks the order was not");
            self.record.violation(ViolationKind::OrderNotPaid, now_us, detail);
            let reason = format!("the order was not seen as paid after {reads} looks");
            return self.end(Outcome::GaveUp { reason }, now_us);
        }
        let gap_us = self.settings.poll_gap_ms.draw_us(&mut self.dice);
        let wait_us = retry_after_s.map_or(gap_us, |wait_s| gap_us.max(super::backoff_us(Some(wait_s))));
        self.wait_us(wait_us, Move::Order)
    }

    pub(super) fn on_shipped(&mut self, answer: Answer<'_>) -> Action {
        if answer.is_passing() {
            self.note_answer(Move::Ship, &answer, true);
            return self.again(Move::Ship, answer.retry_after_s, answer.now_us);
        }
        if answer.status == 409 {
            let detail = "an order that was shown as paid was not shipped, for its state".to_owned();
            self.record.violation(ViolationKind::OrderNotPaid, answer.now_us, detail);
        }
        if !answer.is_success() {
            self.order_unknown_if_404(&answer);
            return self.unexpected(Move::Ship, &answer);
        }
        match self.read_order(Move::Ship, &answer) {
            Err(done) => done,
            Ok(()) => {
                self.order_seen(|order| order.shipped_us = Some(answer.now_us));
                self.tries = 0;
                self.send(Move::OrderShipped, answer.now_us)
            }
        }
    }

    pub(super) fn on_order_shipped(&mut self, answer: Answer<'_>) -> Action {
        if answer.is_passing() {
            self.note_answer(Move::OrderShipped, &answer, true);
            return self.again(Move::OrderShipped, answer.retry_after_s, answer.now_us);
        }
        if !answer.is_success() {
            self.order_unknown_if_404(&answer);
            return self.unexpected(Move::OrderShipped, &answer);
        }
        match self.read_order(Move::OrderShipped, &answer) {
            Err(done) => done,
            Ok(()) => self.end(Outcome::Shipped, answer.now_us),
        }
    }

    /// Reads a successful reply about our order and writes down what it shows; anything else ends the journey.
    fn read_order(&mut self, sent: Move, answer: &Answer<'_>) -> Result<(), Action> {
        let seen: SeenOrder = match serde_json::from_slice(answer.body) {
            Ok(seen) => seen,
            Err(error) => return Err(self.unreadable(sent, answer, &error, "order")),
        };
        if seen.order_no != self.record.order_no {
            let detail = format!("{} about the order was answered with {}", sent.step().name(), seen.order_no);
            self.record.violation(ViolationKind::OtherOrder, answer.now_us, detail.clone());
            return Err(self.end(Outcome::Error { reason: detail }, answer.now_us));
        }
        self.tries = 0;
        self.note_order(sent, seen, answer.now_us);
        Ok(())
    }

    fn note_order(&mut self, sent: Move, seen: SeenOrder, now_us: u64) {
        let is_paid = seen.state != OrderState::Unpaid;
        if is_paid && self.record.pays.is_empty() {
            let detail = "the order was shown as paid before any paying".to_owned();
            self.record.violation(ViolationKind::PaidWithoutPayer, now_us, detail);
        }
        let is_shipped = seen.state == OrderState::Shipped;
        let (was_paid, was_shipped) = (self.is_order_paid(), sent == Move::OrderShipped);
        if (was_paid && !is_paid) || (was_shipped && !is_shipped) {
            let before = if was_shipped { "shipped" } else { "paid" };
            let detail = format!("the order was {before}, then {:?}", seen.state);
            self.record.violation(ViolationKind::TakenBack, now_us, detail);
        }
        if is_paid && !was_paid {
            let differs = self.order_differs(&seen);
            differs.into_iter().for_each(|detail| self.record.violation(ViolationKind::OrderDiffers, now_us, detail));
            self.order_seen(|order| order.first_paid_us = Some(now_us));
        }
        if let Some(children) = seen.children {
            let paid_minor = seen.paid_amount_minor.unwrap_or(self.record.amount_minor);
            self.note_children(children.iter().map(|child| child.amount_minor).collect(), paid_minor, now_us);
        }
    }

    fn note_children(&mut self, children_minor: Vec<u64>, paid_minor: u64, now_us: u64) {
        let sum: u128 = children_minor.iter().copied().map(u128::from).sum();
        if children_minor.is_empty() || sum != u128::from(paid_minor) {
            let detail = format!("{paid_minor} was paid, and the parcels {children_minor:?} sum to {sum}");
            self.record.violation(ViolationKind::PartsDoNotSum, now_us, detail);
        }
        let before = self.record.order.as_ref().and_then(|order| order.children_minor.as_ref());
        if let Some(before) = before.filter(|before| **before != children_minor) {
            let detail = format!("the order's parcels were {before:?}, then {children_minor:?}");
            self.record.violation(ViolationKind::TakenBack, now_us, detail);
        }
        self.order_seen(|order| order.children_minor = Some(children_minor));
    }

    /// In what the paid order differs from what the payer saw of the payment.
    fn order_differs(&self, seen: &SeenOrder) -> Vec<String> {
        let shown = self.record.shown.last();
        let mut differs = Vec::new();
        if let Some(paid_minor) = seen.paid_amount_minor.filter(|paid| *paid != self.record.amount_minor) {
            differs.push(format!("{} was paid, and the order says {paid_minor}", self.record.amount_minor));
        }
        for (what, ours, theirs) in [
            ("payment", shown.and_then(|shown| shown.payment_no.as_ref()), seen.payment_no.as_ref()),
            ("transaction", shown.and_then(|shown| shown.transaction_id.as_ref()), seen.transaction_id.as_ref()),
        ] {
            if let (Some(ours), Some(theirs)) = (ours, theirs)
                && ours != theirs
            {
                differs.push(format!("paid by the {what} {ours}, and the order says {theirs}"));
            }
        }
        differs
    }

    fn is_order_paid(&self) -> bool {
        self.record.order.as_ref().is_some_and(|order| order.first_paid_us.is_some())
    }

    pub(super) fn order_seen(&mut self, note: impl FnOnce(&mut OrderSeen)) {
        if let Some(order) = &mut self.record.order {
            note(order);
        }
    }

    fn order_unknown_if_404(&mut self, answer: &Answer<'_>) {
        if answer.status == 404 {
            let detail = "an order that was created was answered 404".to_owned();
            self.record.violation(ViolationKind::AcceptedUnknown, answer.now_us, detail);
        }
    }
}
