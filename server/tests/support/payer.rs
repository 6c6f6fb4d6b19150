//! What a payer does: submissions with order numbers of their own, waiting for a state, paying at the cashier.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{Connection, Reply, Server, until};

/// An order number that no other test uses.
pub(crate) fn fresh_order() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("order-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A good submission for an order of its own.
pub(crate) fn submission(style: &str) -> Value {
    json!({"order_no": fresh_order(), "amount_minor": 1_999, "currency": "CNY", "channel": style})
}

/// The same with wishes to the simulated channel.
pub(crate) fn simulated(style: &str, wishes: &Value) -> Value {
    let mut body = submission(style);
    body["simulate"] = wishes.clone();
    body
}

/// The id of the task in a reply.
pub(crate) fn task_id(reply: &Value) -> String {
    reply["task"]["task_id"].as_str().unwrap().to_owned()
}

impl Server {
    /// Submits, which must go well; the task's id.
    pub(crate) fn accepted(&self, body: &Value) -> String {
        task_id(&self.submit(body, None).ok(202))
    }

    /// The task as it is now.
    pub(crate) fn task(&self, id: &str) -> Value {
        self.get(&format!("/v1/pay-tasks/{id}")).ok(200)
    }

    /// Polls until the task is in this state.
    pub(crate) fn wait_for(&self, id: &str, state: &str) -> Value {
        until(&format!("task {id} to be {state}"), || {
            Some(self.task(id)).filter(|reply| reply["task"]["state"] == state)
        })
    }

    /// Submits and waits until there is a payment to be paid.
    pub(crate) fn succeeded(&self, body: &Value) -> Value {
        let id = self.accepted(body);
        self.wait_for(&id, "succeeded")
    }

    /// Polls until the task's payment is in this state.
    pub(crate) fn wait_for_payment(&self, id: &str, state: &str) -> Value {
        let what = format!("the payment of {id} to be {state}");
        until(&what, || Some(self.task(id)).filter(|reply| reply["payment"]["state"] == state))
    }

    /// Calls the task's sub-resource.
    pub(crate) fn post_to(&self, id: &str, action: &str) -> Reply {
        self.post(&format!("/v1/pay-tasks/{id}/{action}"))
    }
}

/// Pays with these parameters at the cashier that they name.
pub(crate) fn pay(params: &Value) -> Reply {
    pay_with(params, params.to_string().as_bytes())
}

/// Hands this body in at the cashier of these parameters.
pub(crate) fn pay_with(params: &Value, body: &[u8]) -> Reply {
    let url = params["cashier_url"].as_str().unwrap().strip_prefix("http://").unwrap();
    let (address, path) = url.split_once('/').unwrap();
    let headers = [("Content-Type", "application/json")];
    Connection::open(address.parse().unwrap()).request("POST", &format!("/{path}"), &headers, body)
}
