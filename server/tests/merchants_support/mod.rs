//! A server with a file of merchants, and clients with their keys.

use std::{fs, path::PathBuf, sync::Arc};

use payrig_api::IDEMPOTENCY_KEY;
use serde_json::{Value, json};

use crate::support::{
    Reply, Server, command,
    openmetrics::Metrics,
    payer::{fresh_order, pay, simulated, submission, task_id},
    run, until,
};

/// An id that nobody ever got, and a payment's number that goes with it.
pub(crate) const ABSENT: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// What `make-merchant` prints: the entry and the key.
pub(crate) fn made(id: &str) -> (String, String) {
    let ran = run(command(&["make-merchant", id]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let key = ran.stderr.trim_end().rsplit_once(' ').unwrap().1.to_owned();
    assert!(key.starts_with("payrig_") && !ran.stdout.contains(&key));
    (ran.stdout, key)
}

/// A server with a file of merchants.
pub(crate) struct Shop {
    pub(crate) server: Server,
    file: PathBuf,
}

impl Shop {
    /// With these entries.
    pub(crate) fn open(entries: &str) -> Self {
        Self::open_with(entries, &[])
    }

    /// With these entries and further flags.
    pub(crate) fn open_with(entries: &str, more: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let file = folder.path().join("merchants.toml");
        fs::write(&file, entries).unwrap();
        let server = Server::start_in(folder, &[&["--merchants", file.to_str().unwrap()], more].concat());
        Self { server, file }
    }

    /// A call without a key.
    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.server.connect().request(method, path, headers, body.as_bytes())
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::read(&self.server.get("/metrics").text())
    }

    /// Has the file read again, and waits until it was.
    pub(crate) fn reload(&self, entries: &str, outcome: &str) {
        let series = format!("payrig_merchants_reloads_total{{name=\"{outcome}\"}}");
        let count = || self.metrics().get(&series);
        let before = count();
        fs::write(&self.file, entries).unwrap();
        self.server.signal(rustix::process::Signal::HUP);
        until("the file to be read again", || (count() > before).then_some(()));
    }

    /// Whether a merchant has this key.
    pub(crate) fn knows(&self, key: &str) -> bool {
        let reply = Client { shop: self, key: key.to_owned() }.get(&format!("/v1/pay-tasks/{ABSENT}"));
        match reply.status {
            401 => false,
            404 => true,
            status => panic!("{status}"),
        }
    }
}

/// Somebody with a key.
pub(crate) struct Client<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) key: String,
}

impl Client<'_> {
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let authorization = format!("Bearer {}", self.key);
        let headers: Vec<_> = headers.iter().copied().chain([("Authorization", authorization.as_str())]).collect();
        self.shop.call(method, path, &headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.request("POST", path, &[("Content-Type", "application/json")], &body.to_string())
    }

    pub(crate) fn order(&self, order_no: &str) -> Value {
        self.get(&format!("/v1/orders/{order_no}")).ok(200)
    }

    pub(crate) fn submit(&self, body: &Value, key: &str) -> Reply {
        let headers = [("Content-Type", "application/json"), (IDEMPOTENCY_KEY, key)];
        self.request("POST", "/v1/pay-tasks", &headers, &body.to_string())
    }

    pub(crate) fn task(&self, id: &str) -> Value {
        self.get(&format!("/v1/pay-tasks/{id}")).ok(200)
    }

    /// Submits and polls until what the pointer shows in the reply is this.
    pub(crate) fn brought_to(&self, body: &Value, pointer: &str, state: &str) -> Value {
        let id = task_id(&self.submit(body, &fresh_order()).ok(202));
        until(state, || Some(self.task(&id)).filter(|reply| reply.pointer(pointer).is_some_and(|shown| shown == state)))
    }

    /// Tasks in every state in which they stay for a while, for orders that are created with them.
    pub(crate) fn tasks(&self) -> Vec<Value> {
        let submission = |style: &str| of_an_order(submission(style));
        let simulated = |style: &str, wishes: &Value| of_an_order(simulated(style, wishes));
        let state = "/task/state";
        let cancelled = self.brought_to(&submission("alipay"), state, "succeeded");
        let path = format!("/v1/pay-tasks/{}/cancel", task_id(&cancelled));
        let closed = self.request("POST", &path, &[], "").ok(200);
        assert_eq!(closed["payment"]["state"], "closed");
        let paid = self.brought_to(&submission("wechat"), state, "succeeded");
        pay(&paid["payment"]["pay_params"]).ok(200);
        let id = task_id(&paid);
        let paid = until("paid", || Some(self.task(&id)).filter(|reply| reply["payment"]["state"] == "paid"));
        vec![
            closed,
            paid,
            self.brought_to(&submission("alipay"), "/payment/state", "awaiting_payer"),
            self.brought_to(&simulated("wechat", &json!({"permanent": true})), state, "failed"),
            self.brought_to(&simulated("wechat", &json!({"latency_ms": 60_000})), state, "running"),
        ]
    }
}

/// With what is bought, so that there is an order.
fn of_an_order(mut submission: Value) -> Value {
    let price = submission["amount_minor"].clone();
    submission["items"] = json!([{"sku": "s", "quantity": 1, "unit_price_minor": price}]);
    submission
}
