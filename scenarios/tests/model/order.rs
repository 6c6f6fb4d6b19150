//! The order's part of the model.

use payrig_api::{NewOrder, Ship};
use payrig_scenarios::{Method, Request, Step, Target};
use serde_json::{Value, json};

use super::{Fault, Model, NOTICE_US};

/// From shown as paid to the order's being paid.
const MARKED_US: u64 = 2_500_000;

/// The order as the server has it.
#[derive(Default)]
pub(crate) struct Order {
    new: Option<NewOrder>,
    children_minor: Option<Vec<u64>>,
    shown_paid: u32,
}

impl Model {
    pub(super) fn order(&mut self, request: &Request) -> (u16, Value) {
        let own = |new: &NewOrder, rest: &str| Target::Path(format!("/v1/orders/{}{rest}", new.order_no));
        let body = || request.body.as_deref().expect("a body");
        match request.step {
            Step::CreateOrder => {
                assert_eq!(request.target, Target::Path("/v1/orders".to_owned()));
                let new: NewOrder = serde_json::from_slice(body()).expect("an order");
                new.validate().expect("valid");
                let is_new = self.order.new.is_none();
                assert_eq!(*self.order.new.get_or_insert_with(|| new.clone()), new, "the same order again");
                (if is_new { 201 } else { 200 }, self.shown_order())
            }
            Step::Order => {
                let new = self.order.new.as_ref().expect("created first");
                assert_eq!((request.method, &request.target), (Method::Get, &own(new, "")));
                (200, self.shown_order())
            }
            _ => {
                let new = self.order.new.as_ref().expect("created first");
                assert_eq!((request.method, &request.target), (Method::Post, &own(new, "/ship")));
                let _: Ship = serde_json::from_slice(body()).expect("a mode");
                self.ship()
            }
        }
    }

    fn ship(&mut self) -> (u16, Value) {
        if !self.is_order_paid() || self.fault == Fault::RefusesToShip {
            return (409, json!({"type": "urn:payrig:problem:wrong-state"}));
        }
        let paid = self.order.new.as_ref().map_or(0, |new| new.amount_minor);
        let lost = u64::from(self.fault == Fault::LosesACent);
        self.order.children_minor = Some(vec![paid / 3, paid - paid / 3 - lost]);
        (200, self.shown_order())
    }

    fn is_order_paid(&self) -> bool {
        let marked_us = self.paid_us.map(|paid_us| paid_us + NOTICE_US + MARKED_US);
        self.fault != Fault::ForgetsOrder && marked_us.is_some_and(|marked_us| self.now_us >= marked_us)
    }

    fn shown_order(&mut self) -> Value {
        let new = self.order.new.as_ref().expect("created first");
        let mut shown = json!({"order_no": new.order_no, "amount_minor": new.amount_minor, "state": "unpaid"});
        if self.fault == Fault::OtherOrder {
            shown["order_no"] = json!("other");
        }
        if !self.is_order_paid() {
            return shown;
        }
        self.order.shown_paid += 1;
        if self.fault == Fault::TakesOrderBack && self.order.shown_paid > 2 {
            return shown;
        }
        let payment = if self.fault == Fault::PaidByAnother { "task1-9" } else { "task1-1" };
        shown["payment_no"] = json!(payment);
        shown["paid_amount_minor"] = json!(new.amount_minor);
        shown["state"] = json!("paid");
        if let Some(children) = &self.order.children_minor {
            shown["state"] = json!("shipped");
            shown["children"] = children.iter().map(|minor| json!({"amount_minor": minor})).collect();
        }
        shown
    }
}
