//! Orders over HTTP: create, pay, see them paid once, ship; and everything that is refused on the way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::{
    Reply, Server, Shared, escaped,
    openmetrics::Metrics,
    payer::{fresh_order, pay, submission, task_id},
    until,
};

static SHARED: Shared = Shared::new();

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn item(sku: &str, price: u64, seller: Option<&str>, warehouse: Option<&str>) -> Value {
    let mut item = json!({"sku": sku, "quantity": 1, "unit_price_minor": price});
    for (name, value) in [("seller", seller), ("warehouse", warehouse)] {
        if let Some(value) = value {
            item[name] = json!(value);
        }
    }
    item
}

/// An order of 1,000 over things that cost 1,200: somebody gets a discount.
fn new_order() -> Value {
    let items = [
        item("a", 500, Some("x"), Some("north")),
        item("b", 400, Some("y"), Some("north")),
        item("c", 300, Some("x"), None),
    ];
    json!({"order_no": fresh_order(), "amount_minor": 1_000, "currency": "CNY", "items": items})
}

impl Server {
    fn create(&self, body: &Value) -> Reply {
        self.connect().request("POST", "/v1/orders", &JSON, body.to_string().as_bytes())
    }

    fn order(&self, order_no: &str) -> Reply {
        self.get(&format!("/v1/orders/{}", escaped(order_no)))
    }

    fn ship(&self, order_no: &str, body: &Value) -> Reply {
        let path = format!("/v1/orders/{}/ship", escaped(order_no));
        self.connect().request("POST", &path, &JSON, body.to_string().as_bytes())
    }

    /// Pays the order; the task's last reply.
    fn pay_order(&self, body: &Value) -> Value {
        let succeeded = self.succeeded(body);
        pay(&succeeded["payment"]["pay_params"]).ok(200);
        self.wait_for_payment(&task_id(&succeeded), "paid")
    }

    fn wait_for_paid_order(&self, order_no: &str) -> Value {
        until(&format!("order {order_no} to be paid"), || {
            Some(self.order(order_no).ok(200)).filter(|order| order["state"] != "unpaid")
        })
    }
}

fn name(order: &Value) -> &str {
    order["order_no"].as_str().unwrap()
}

fn submission_of(order: &Value) -> Value {
    let mut body = submission("alipay");
    for field in ["order_no", "amount_minor", "currency"] {
        body[field] = order[field].clone();
    }
    body
}

#[test]
fn an_order_is_created_once() {
    let server = SHARED.get();
    let new = new_order();
    let created = server.create(&new);
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), Some(format!("/v1/orders/{}", name(&new)).as_str()));
    let order = created.json();
    for field in ["order_no", "amount_minor", "currency", "items"] {
        assert_eq!(order[field], new[field], "{field}");
    }
    assert_eq!(order["state"], "unpaid");
    let later = ["paid_at", "paid_amount_minor", "payment_no", "transaction_id", "shipped_at", "children"];
    assert!(later.iter().all(|field| order.get(field).is_none()), "{order}");
    assert_eq!(server.create(&new).ok(200), order, "the same content is the same order");
    assert_eq!(server.order(name(&new)).ok(200), order);
    for (field, value) in [("amount_minor", json!(1_001)), ("currency", json!("EUR")), ("items", Value::Null)] {
        let mut other = new.clone();
        other[field] = value;
        assert_eq!(server.create(&other).problem(409, "order-differs")["field"], field);
    }
    let mut fewer = new.clone();
    fewer["items"].as_array_mut().unwrap().pop();
    assert_eq!(server.create(&fewer).problem(409, "order-differs")["field"], "items");
    assert_eq!(server.order(name(&new)).ok(200), order, "nothing has changed it");
}

#[test]
fn an_order_may_have_any_number_that_a_path_may_not() {
    let server = SHARED.get();
    let mut new = new_order();
    new["order_no"] = json!(format!("a?b#c%41&d=\"e\"{{f}}{}", fresh_order()));
    let created = server.create(&new);
    assert_eq!(created.status, 201, "{}", created.text());
    let location = created.header("location").unwrap().to_owned();
    assert_eq!(server.get(&location).ok(200)["order_no"], new["order_no"], "{location}");
    assert_eq!(server.order(name(&new)).ok(200)["order_no"], new["order_no"]);
}

#[test]
fn what_is_no_order_is_refused() {
    let server = SHARED.get();
    let bad = |change: fn(&mut Value)| {
        let mut body = new_order();
        change(&mut body);
        server.create(&body).problem(422, "invalid-field")["field"].clone()
    };
    assert_eq!(bad(|body| body["order_no"] = json!("a/b")), "order_no");
    assert_eq!(bad(|body| body["order_no"] = json!("a:b")), "order_no");
    assert_eq!(bad(|body| body["amount_minor"] = json!(0)), "amount_minor");
    assert_eq!(bad(|body| body["currency"] = json!("XXX")), "currency");
    assert_eq!(bad(|body| body["items"] = json!([])), "items");
    assert_eq!(bad(|body| body["items"][1]["quantity"] = json!(0)), "items[1].quantity");
    assert_eq!(bad(|body| body["channel"] = json!("alipay")), "channel");
    server.connect().request("POST", "/v1/orders", &JSON, b"{").problem(400, "malformed-body");
    server.connect().request("POST", "/v1/orders", &[], b"{}").problem(415, "unsupported-media-type");
    assert_eq!(server.get("/v1/orders").problem(405, "method-not-allowed")["status"], 405);
    for absent in ["nobody", "a:b", "%FF", "%00"] {
        server.get(&format!("/v1/orders/{absent}")).problem(404, "not-found");
        let body = json!({"mode": "none"}).to_string();
        let path = format!("/v1/orders/{absent}/ship");
        server.connect().request("POST", &path, &JSON, body.as_bytes()).problem(404, "not-found");
    }
}

#[test]
fn an_order_is_paid_once_and_shipped_in_parcels_that_sum_to_it() {
    let server = SHARED.get();
    let new = new_order();
    let order_no = name(&new);
    server.create(&new);
    let early = server.ship(order_no, &json!({"mode": "none"})).problem(409, "wrong-state");
    assert_eq!(early["detail"], "the order is not paid");
    let paid_task = server.pay_order(&submission_of(&new));
    let order = server.wait_for_paid_order(order_no);
    assert_eq!((&order["state"], &order["paid_amount_minor"]), (&json!("paid"), &json!(1_000)));
    for field in ["payment_no", "transaction_id", "paid_at"] {
        assert_eq!(order[field], paid_task["payment"][field], "{field}");
    }
    server.submit(&submission_of(&new), None).problem(409, "order-in-use");
    assert_eq!(server.order(order_no).ok(200), order, "paid once");
    assert_eq!(server.create(&new).ok(200), order, "a repeat shows it as it is now");

    assert_eq!(server.ship(order_no, &json!({"mode": "by_colour"})).problem(422, "invalid-field")["field"], "mode");
    let shipped = server.ship(order_no, &json!({"mode": "by_merchant"})).ok(200);
    assert_eq!((&shipped["state"], &shipped["ship_mode"]), (&json!("shipped"), &json!("by_merchant")));
    // 500, 400 and 300 of 1,200 are 416.6, 333.3 and 250 of 1,000.
    let items = &new["items"];
    let children = json!([
        {"child_no": format!("{order_no}-1"), "amount_minor": 667, "seller": "x", "items": [items[0], items[2]]},
        {"child_no": format!("{order_no}-2"), "amount_minor": 333, "seller": "y", "items": [items[1]]},
    ]);
    assert_eq!(shipped["children"], children);
    assert_eq!(server.ship(order_no, &json!({"mode": "by_merchant"})).ok(200), shipped, "a repeat gets the same");
    assert_eq!(server.order(order_no).ok(200), shipped);
    let other = server.ship(order_no, &json!({"mode": "none"})).problem(409, "wrong-state");
    assert_eq!((&other["field"], &other["expected"]), (&json!("mode"), &json!("\"by_merchant\"")));
    assert_eq!(server.order(order_no).ok(200), shipped);
}

#[test]
fn the_other_modes() {
    let server = SHARED.get();
    for (mode, expected) in [
        ("none", json!([[Value::Null, 1_000, 3]])),
        ("by_warehouse", json!([["north", 750, 2], [Value::Null, 250, 1]])),
    ] {
        let new = new_order();
        server.create(&new);
        server.pay_order(&submission_of(&new));
        server.wait_for_paid_order(name(&new));
        let shipped = server.ship(name(&new), &json!({"mode": mode})).ok(200);
        let children = shipped["children"].as_array().unwrap();
        assert!(children.iter().all(|child| child.get("seller").is_none()));
        let seen = children
            .iter()
            .map(|child| json!([child["warehouse"], child["amount_minor"], child["items"].as_array().unwrap().len()]));
        assert_eq!(seen.collect::<Value>(), expected, "{mode}");
    }
}

#[test]
fn a_submission_with_items_brings_its_order() {
    let server = SHARED.get();
    let mut body = submission("wechat");
    body["items"] = json!([item("a", 1_999, Some("x"), None)]);
    let order_no = name(&body).to_owned();
    server.order(&order_no).problem(404, "not-found");
    let id = server.accepted(&body);
    let order = server.order(&order_no).ok(200);
    assert_eq!((&order["state"], &order["items"]), (&json!("unpaid"), &body["items"]));
    // The order is there, and can be paid again only once this round has ended unpaid.
    server.submit(&body, None).problem(409, "order-in-use");
    server.wait_for(&id, "succeeded");
    server.post_to(&id, "cancel").ok(200);
    server.pay_order(&body);
    let paid = server.wait_for_paid_order(&order_no);
    assert_eq!(paid["paid_amount_minor"], 1_999);
}

#[test]
fn a_submission_is_for_what_its_order_is() {
    let server = SHARED.get();
    let new = new_order();
    server.create(&new);
    for (field, value) in [("amount_minor", json!(999)), ("currency", json!("USD"))] {
        let mut body = submission_of(&new);
        body[field] = value;
        assert_eq!(server.submit(&body, None).problem(409, "order-differs")["field"], field);
    }
    let mut body = submission_of(&new);
    body["items"] = json!([item("z", 1_000, None, None)]);
    assert_eq!(server.submit(&body, Some(&fresh_order())).problem(409, "order-differs")["field"], "items");
    server.accepted(&submission_of(&new));
    assert_eq!(server.order(name(&new)).ok(200)["items"], new["items"]);
}

#[test]
fn a_number_that_is_paid_without_an_order_gets_one_over_the_same_only() {
    let server = SHARED.get();
    let body = submission("alipay");
    let order_no = name(&body).to_owned();
    server.pay_order(&body);
    server.order(&order_no).problem(404, "not-found");
    let mut new = json!({"order_no": order_no, "amount_minor": 1_998, "currency": "CNY"});
    assert_eq!(server.create(&new).problem(409, "order-differs")["field"], "amount_minor");
    let mut with_items = body;
    with_items["items"] = json!([item("a", 1_999, None, None)]);
    server.submit(&with_items, None).problem(409, "order-in-use");
    server.order(&order_no).problem(404, "not-found");
    new["amount_minor"] = json!(1_999);
    assert_eq!(server.create(&new).status, 201);
    let order = server.wait_for_paid_order(&order_no);
    assert_eq!(order["state"], "paid");
    let shipped = server.ship(&order_no, &json!({"mode": "by_merchant"})).ok(200);
    let children = json!([{"child_no": format!("{order_no}-1"), "amount_minor": 1_999, "items": []}]);
    assert_eq!(shipped["children"], children, "nothing is known of what was bought");
}

#[test]
fn the_books_and_the_metrics_tell_of_it() {
    let server = Server::start(&[]);
    let new = new_order();
    server.create(&new);
    server.pay_order(&submission_of(&new));
    let order = server.wait_for_paid_order(name(&new));
    server.ship(name(&new), &json!({"mode": "by_warehouse"})).ok(200);
    until("every subscriber to be done", || server.book("/admin/books/notices").is_empty().then_some(()));
    until("the open task to go", || server.book("/admin/books/open_tasks").is_empty().then_some(()));
    let paid = &server.book("/admin/books/order_paid")[0];
    assert_eq!((&paid["id"], &paid["doc"]["amount_minor"]), (&order["payment_no"], &json!(1_000)));
    let total = &server.book("/admin/books/daily_totals")[0]["doc"];
    let paid_at = order["paid_at"].as_u64().unwrap();
    assert_eq!((total["paid_day"].as_u64(), &total["merchant"]), (Some(paid_at / 86_400_000_000), &json!("default")));
    assert_eq!(server.book("/admin/books/orders")[0]["id"], format!("default:{}", name(&new)));
    let children = server.book("/admin/books/shipments")[0]["doc"]["children"].clone();
    assert_eq!(children, json!([{"amount_minor": 750, "items": [0, 1]}, {"amount_minor": 250, "items": [2]}]));
    let metrics = Metrics::read(&server.get("/metrics").text());
    for (series, value) in [
        ("payrig_success_published_total", 1.0),
        ("payrig_success_republished_total", 0.0),
        ("payrig_success_effects_total{name=\"order\"}", 1.0),
        ("payrig_success_effects_total{name=\"daily_totals\"}", 1.0),
        ("payrig_success_waiting{name=\"order\"}", 0.0),
        ("payrig_success_waiting{name=\"daily_totals\"}", 0.0),
        ("payrig_oldest_notice_age_seconds", 0.0),
        ("payrig_requests_total{route=\"create_order\",status=\"Success\"}", 1.0),
        ("payrig_requests_total{route=\"ship_order\",status=\"Success\"}", 1.0),
    ] {
        assert!(metrics.has(series), "{series}");
        assert_eq!(metrics.get(series), value, "{series}");
    }
}
