//! The stub's orders: paid as soon as their payment is, split into two parcels.

use std::collections::HashMap;

use serde_json::{Value, json};

/// Orders by number.
#[derive(Default)]
pub(super) struct Orders(HashMap<String, Order>);

#[derive(Default)]
struct Order {
    amount_minor: u64,
    is_paid: bool,
    is_shipped: bool,
}

impl Orders {
    /// The order of this number is paid.
    pub(super) fn paid(&mut self, order_no: &str) {
        if let Some(order) = self.0.get_mut(order_no) {
            order.is_paid = true;
        }
    }

    /// What calls under `/v1/orders` are answered, but with a wrong sum where parcels lose a cent.
    pub(super) fn answer(&mut self, method: &str, path: &[&str], body: &Value, loses_cents: bool) -> (u16, Value) {
        match (method, path) {
            ("POST", []) => {
                let order_no = body["order_no"].as_str().unwrap_or_default();
                let amount_minor = body["amount_minor"].as_u64().unwrap_or_default();
                let order = Order { amount_minor, ..Order::default() };
                (201, self.0.entry(order_no.to_owned()).or_insert(order).shown(order_no, loses_cents))
            }
            (_, [order_no, action @ ..]) => match (self.0.get_mut(*order_no), method, action) {
                (Some(order), "GET", []) => (200, order.shown(order_no, loses_cents)),
                (Some(order), "POST", ["ship"]) if order.is_paid => {
                    order.is_shipped = true;
                    (200, order.shown(order_no, loses_cents))
                }
                (Some(_), "POST", ["ship"]) => (409, json!({"type": "urn:payrig:problem:wrong-state"})),
                _ => super::not_found(),
            },
            _ => super::not_found(),
        }
    }
}

impl Order {
    fn shown(&self, order_no: &str, loses_cents: bool) -> Value {
        let state = match (self.is_paid, self.is_shipped) {
            (false, _) => "unpaid",
            (true, false) => "paid",
            (true, true) => "shipped",
        };
        let mut shown = json!({"order_no": order_no, "amount_minor": self.amount_minor, "state": state});
        if self.is_shipped {
            let first = self.amount_minor / 3;
            let rest = self.amount_minor - first - u64::from(loses_cents);
            shown["paid_amount_minor"] = json!(self.amount_minor);
            shown["children"] = json!([{"amount_minor": first}, {"amount_minor": rest}]);
        }
        shown
    }
}
