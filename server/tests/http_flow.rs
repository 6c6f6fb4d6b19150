//! The flow over HTTP, as a client and a payer see it: the real binary, its cashier and every state.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{sync::Arc, thread};

use serde_json::{Value, json};
use support::{
    Server, Shared,
    payer::{fresh_order, pay, pay_with, simulated, submission, task_id},
};

static SHARED: Shared = Shared::new();

fn journey(style: &str) {
    let server = SHARED.get();
    let body = submission(style);
    let accepted = server.submit(&body, None);
    let reply = accepted.ok(202);
    let id = task_id(&reply);
    assert_eq!(accepted.header("location"), Some(format!("/v1/pay-tasks/{id}").as_str()));
    assert_eq!(accepted.header("retry-after"), Some("2"));
    let task = &reply["task"];
    assert_eq!((&task["state"], &task["round"], &task["attempt"]), (&json!("queued"), &json!(1), &json!(0)));
    for field in ["order_no", "amount_minor", "currency", "channel"] {
        assert_eq!(task[field], body[field], "{field}");
    }
    assert_eq!(task["task_info"], json!({"need_retry": true, "retry_times": 3}));
    assert!(reply["payment"].is_null());

    let settled = server.wait_for(&id, "succeeded");
    let stages: u64 = ["queue_wait_us", "channel_us", "retry_wait_us", "own_us"]
        .iter()
        .map(|stage| settled["task"][stage].as_u64().unwrap())
        .sum();
    let (accepted_at, settled_at) =
        (settled["task"]["accepted_at"].as_u64().unwrap(), settled["task"]["settled_at"].as_u64().unwrap());
    assert_eq!(stages, settled_at - accepted_at, "the stages are the whole life");
    assert_eq!(settled["payment"]["state"], "awaiting_payer");
    let payment_no = settled["payment"]["payment_no"].as_str().unwrap();
    assert_eq!(payment_no, format!("{id}-1"));
    let shown = server.get(&format!("/v1/payments/{payment_no}")).ok(200);
    assert_eq!(shown["pay_params"], settled["payment"]["pay_params"]);

    let params = &settled["payment"]["pay_params"];
    let transaction = pay(params).ok(200);
    assert_eq!(transaction["amount_minor"], body["amount_minor"]);
    assert_eq!(pay(params).ok(200), transaction, "paying twice takes the money once");
    let paid = server.wait_for_payment(&id, "paid");
    assert_eq!(paid["payment"]["transaction_id"], transaction["transaction_id"]);
    assert_eq!(paid["payment"]["paid_at"], transaction["paid_at_us"]);
    assert_eq!(pay(params).ok(200), transaction);
    let reply = server.get(&format!("/v1/pay-tasks/{id}"));
    assert_eq!(reply.header("retry-after"), None, "there is nothing more to wait for");
    let shown = server.get(&format!("/v1/payments/{payment_no}")).ok(200);
    assert_eq!((&shown["state"], &shown["paid_at"]), (&json!("paid"), &paid["payment"]["paid_at"]));

    let mut again = submission(style);
    again["order_no"] = body["order_no"].clone();
    let problem = server.submit(&again, None).problem(409, "order-in-use");
    assert_eq!((&problem["task_id"], &problem["payment_no"]), (&json!(id), &json!(payment_no)));
    let problem = server.post_to(&id, "cancel").problem(409, "wrong-state");
    assert_eq!(problem["payment_no"], payment_no);
    server.post_to(&id, "retry").problem(409, "wrong-state");
}

#[test]
fn alipay_style_from_submission_to_paid() {
    journey("alipay");
}

#[test]
fn wechat_style_from_submission_to_paid() {
    journey("wechat");
}

#[test]
fn a_query_before_the_end_is_no_error() {
    let server = SHARED.get();
    let id = server.accepted(&simulated("wechat", &json!({"latency_ms": 4_000})));
    let reply = server.get(&format!("/v1/pay-tasks/{id}"));
    assert_eq!((reply.status, reply.header("retry-after")), (200, Some("2")));
    let running = server.wait_for(&id, "running");
    assert_eq!(running["task"]["attempt"], 1);
    assert!(running["task"]["started_at"].is_u64() && running["task"]["settled_at"].is_null());
    server.post_to(&id, "retry").problem(409, "wrong-state");
    let settled = server.wait_for(&id, "succeeded");
    assert!(settled["task"]["channel_us"].as_u64().unwrap() >= 4_000_000);
}

#[test]
fn the_same_key_and_body_are_the_same_task() {
    let server = SHARED.get();
    let (body, key) = (submission("alipay"), fresh_order());
    let id = task_id(&server.submit(&body, Some(&key)).ok(202));
    server.wait_for(&id, "succeeded");
    let repeat = server.submit(&body, Some(&key)).ok(202);
    assert_eq!(task_id(&repeat), id);
    assert_eq!(repeat["task"]["state"], "succeeded", "a repeat shows the task as it is now");

    let problem = server.submit(&submission("alipay"), Some(&key)).problem(422, "key-reused");
    assert_eq!(problem["field"], "Idempotency-Key");
    // Without the key, or with another, the same body is another intent, and the order is taken.
    assert_eq!(server.submit(&body, None).problem(409, "order-in-use")["task_id"], id);
    let problem = server.submit(&body, Some(&fresh_order())).problem(409, "order-in-use");
    assert_eq!(problem["task_id"], id);
}

#[test]
fn a_refused_key_says_so_once_the_order_is_free_again() {
    let server = SHARED.get();
    let (body, key) = (submission("alipay"), fresh_order());
    let id = server.accepted(&body);
    assert_eq!(server.submit(&body, Some(&key)).problem(409, "order-in-use")["task_id"], id);
    server.wait_for(&id, "succeeded");
    server.post_to(&id, "cancel").ok(200);
    let problem = server.submit(&body, Some(&key)).problem(409, "order-in-use");
    assert_eq!((&problem["field"], &problem["task_id"]), (&json!("Idempotency-Key"), &json!(null)), "{problem}");
    server.submit(&body, Some(&fresh_order())).ok(202);
}

#[test]
fn a_refusal_is_repeated_by_key_and_a_bad_body_is_not_remembered() {
    let server = SHARED.get();
    let body = submission("alipay");
    let id = server.accepted(&body);
    let key = fresh_order();
    for _ in 0..2 {
        assert_eq!(server.submit(&body, Some(&key)).problem(409, "order-in-use")["task_id"], id);
    }
    let (mut bad, key) = (submission("alipay"), fresh_order());
    bad["amount_minor"] = json!(0);
    server.submit(&bad, Some(&key)).problem(422, "invalid-field");
    server.submit(&submission("alipay"), Some(&key)).ok(202);
}

#[test]
fn one_key_on_many_connections_at_once_makes_one_task() {
    let server = SHARED.get();
    let (body, key) = (submission("alipay"), fresh_order());
    let other = submission("alipay");
    let same: Vec<_> = (0..16)
        .map(|_| {
            let (server, body, key) = (Arc::clone(&server), body.clone(), key.clone());
            thread::spawn(move || task_id(&server.submit(&body, Some(&key)).ok(202)))
        })
        .collect();
    let ids: Vec<String> = same.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    server.submit(&other, Some(&key)).problem(422, "key-reused");
    let order = format!("default:{}", body["order_no"].as_str().unwrap());
    let slots = server.book("/admin/books/order_slots");
    let of_order = slots.iter().filter(|row| row["id"].as_str().unwrap().starts_with(&order)).count();
    assert_eq!(of_order, 1);
}

#[test]
fn of_many_submissions_for_one_order_one_is_accepted() {
    let server = SHARED.get();
    let body = submission("wechat");
    let threads: Vec<_> = (0..12)
        .map(|_| {
            let (server, body) = (Arc::clone(&server), body.clone());
            thread::spawn(move || server.submit(&body, None))
        })
        .collect();
    let replies: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let accepted: Vec<String> =
        replies.iter().filter(|reply| reply.status == 202).map(|reply| task_id(&reply.json())).collect();
    assert_eq!(accepted.len(), 1, "{replies:?}");
    for refused in replies.iter().filter(|reply| reply.status != 202) {
        assert_eq!(refused.problem(409, "order-in-use")["task_id"], accepted[0]);
    }
}

#[test]
fn a_running_and_a_retrying_task_are_cancelled() {
    let server = SHARED.get();
    let cases = [("running", json!({"latency_ms": 20_000})), ("retrying", json!({"fail_first": 5}))];
    for (state, wishes) in cases {
        let body = simulated("wechat", &wishes);
        let id = server.accepted(&body);
        server.wait_for(&id, state);
        let cancelled = server.post_to(&id, "cancel").ok(200);
        assert_eq!(cancelled["task"]["state"], "cancelled", "{state}");
        assert_eq!(server.task(&id)["task"], cancelled["task"]);
        server.post_to(&id, "cancel").problem(409, "wrong-state");
        server.post_to(&id, "retry").problem(409, "wrong-state");
        // The order is free again.
        let mut again = submission("alipay");
        again["order_no"] = body["order_no"].clone();
        server.succeeded(&again);
    }
}

#[test]
fn a_payment_that_waits_is_closed_and_can_no_longer_be_paid() {
    let server = SHARED.get();
    for style in ["alipay", "wechat"] {
        let body = submission(style);
        let succeeded = server.succeeded(&body);
        let id = task_id(&succeeded);
        let closed = server.post_to(&id, "cancel").ok(200);
        assert_eq!((&closed["task"]["state"], &closed["payment"]["state"]), (&json!("succeeded"), &json!("closed")));
        pay(&succeeded["payment"]["pay_params"]).problem(409, "wrong-state");
        assert_eq!(server.post_to(&id, "cancel").ok(200)["payment"]["state"], "closed", "closing twice is closed");
        let shown = server.get(&format!("/v1/payments/{id}-1")).ok(200);
        assert_eq!(shown["state"], "closed");
        let mut again = submission(style);
        again["order_no"] = body["order_no"].clone();
        server.succeeded(&again);
    }
}

#[test]
fn a_failed_task_is_retried_by_hand_until_the_cap() {
    let server = SHARED.get();
    let body = simulated("wechat", &json!({"permanent": true}));
    let id = server.accepted(&body);
    for round in 1..=6 {
        let failed = server.wait_for(&id, "failed");
        assert_eq!((&failed["task"]["round"], &failed["task"]["attempt"]), (&json!(round), &json!(round)));
        assert!(failed["task"]["reason"].is_string());
        server.post_to(&id, "cancel").problem(409, "wrong-state");
        let retry = server.post_to(&id, "retry");
        if round == 6 {
            retry.problem(409, "retries-used-up");
            break;
        }
        assert_eq!(retry.header("location"), Some(format!("/v1/pay-tasks/{id}").as_str()));
        assert_eq!(retry.header("retry-after"), Some("2"));
        assert_eq!(retry.ok(202)["task"]["round"], round + 1);
    }
    assert_eq!(server.task(&id)["task"]["state"], "failed");
}

#[test]
fn automatic_and_manual_retries_follow_each_other() {
    let server = SHARED.get();
    let mut body = simulated("wechat", &json!({"fail_first": 2}));
    body["task_info"] = json!({"retry_times": 1});
    let id = server.accepted(&body);
    let failed = server.wait_for(&id, "failed");
    assert_eq!((&failed["task"]["attempt"], &failed["task"]["retry_wait_us"]), (&json!(2), &json!(1_000_000)));
    let (accepted_at, settled_at) =
        (failed["task"]["accepted_at"].as_u64().unwrap(), failed["task"]["settled_at"].as_u64().unwrap());
    assert!(settled_at - accepted_at >= 1_000_000, "retry 1 waits one second");
    server.post_to(&id, "retry").ok(202);
    let succeeded = server.wait_for(&id, "succeeded");
    assert_eq!((&succeeded["task"]["round"], &succeeded["task"]["attempt"]), (&json!(2), &json!(3)));
    assert_eq!(succeeded["payment"]["payment_no"], format!("{id}-2"));
    assert_eq!(server.get(&format!("/v1/payments/{id}-1")).status, 404, "the failed round left no payment");
}

#[test]
fn absent_and_ill_formed_ids_get_the_same_answer() {
    let server = SHARED.get();
    let absent = "01JZ0000000000000000000000";
    let long = "A".repeat(300);
    let expected = server.get(&format!("/v1/pay-tasks/{absent}"));
    expected.problem(404, "not-found");
    for id in [absent, "01jz0000000000000000000000", "x", "", "81JZ0000000000000000000000", "%00", "%ff", "..", &long] {
        let mut paths = vec![("GET", format!("/v1/pay-tasks/{id}"))];
        paths.extend(["retry", "cancel"].map(|action| ("POST", format!("/v1/pay-tasks/{id}/{action}"))));
        paths.extend(["-1", "-0", "-01", "-7", "-256", "-", ""].map(|end| ("GET", format!("/v1/payments/{id}{end}"))));
        for (method, path) in paths {
            let reply = server.connect().request(method, &path, &[], b"");
            assert_eq!((reply.status, &reply.body), (404, &expected.body), "{method} {path}");
            assert_eq!(reply.header("content-type"), expected.header("content-type"));
        }
    }
    let elsewhere = server.get("/v2/nothing");
    assert_eq!(elsewhere.body, expected.body);
}

#[test]
fn the_cashier_takes_only_what_was_signed() {
    let server = SHARED.get();
    for style in ["alipay", "wechat"] {
        let succeeded = server.succeeded(&submission(style));
        let params = &succeeded["payment"]["pay_params"];
        let changed = |name: &str, value: Value| {
            let mut changed = params.clone();
            changed[name] = value;
            changed
        };
        for tampered in
            [changed("amount_minor", json!(1)), changed("order_no", json!("x")), changed("extra", json!("x"))]
        {
            pay(&tampered).problem(401, "unauthorized");
        }
        for malformed in ["", "{", "[]", "7", "{}", r#"{"sign":"x"}"#, "\u{0}"] {
            pay_with(params, malformed.as_bytes()).problem(400, "malformed-body");
        }
        pay_with(params, &[0xff, 0xfe]).problem(400, "malformed-body");
        pay_with(params, "x".repeat(100_000).as_bytes()).problem(413, "body-too-large");
        assert_eq!(server.task(&task_id(&succeeded))["payment"]["state"], "awaiting_payer", "nothing was taken");
        pay(params).ok(200);
    }
}

#[test]
fn many_payers_at_once_make_one_transaction() {
    let server = SHARED.get();
    let succeeded = server.succeeded(&submission("alipay"));
    let params = &succeeded["payment"]["pay_params"];
    let threads: Vec<_> = (0..12)
        .map(|_| {
            let params = params.clone();
            thread::spawn(move || pay(&params).ok(200))
        })
        .collect();
    let transactions: Vec<Value> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(transactions.iter().all(|one| *one == transactions[0]), "{transactions:?}");
    server.wait_for_payment(&task_id(&succeeded), "paid");
}

#[test]
fn a_client_that_goes_away_tears_no_acceptance() {
    let server = SHARED.get();
    let orders: Vec<(Value, String)> = (0..60).map(|_| (submission("alipay"), fresh_order())).collect();
    for (body, key) in &orders {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key.as_str())];
        let bytes = support::client::request("POST", "/v1/pay-tasks", &headers, body.to_string().as_bytes());
        server.connect().send(&bytes);
    }
    // Whatever became of each, a repeat finds out, and there is one task for it, whole.
    for (body, key) in &orders {
        let id = task_id(&server.submit(body, Some(key)).ok(202));
        server.wait_for(&id, "succeeded");
    }
    let slots = server.book("/admin/books/order_slots");
    let tasks = server.book("/admin/books/pay_tasks");
    for (body, _) in &orders {
        let order = body["order_no"].as_str().unwrap();
        let id = format!("default:{order}:0000000000");
        assert_eq!(slots.iter().filter(|row| row["id"] == id.as_str()).count(), 1);
        let settled: Vec<_> = tasks.iter().filter(|row| row["doc"]["task"]["order_no"] == order).collect();
        assert_eq!(settled.iter().filter(|row| row["doc"]["state"] != "refused").count(), 1, "{settled:?}");
    }
}

#[test]
fn a_queued_task_is_shown_and_cancelled() {
    let server = Server::start(&["--workers", "0"]);
    let body = submission("wechat");
    let id = server.accepted(&body);
    let reply = server.get(&format!("/v1/pay-tasks/{id}"));
    assert_eq!((reply.ok(200)["task"]["state"].clone(), reply.header("retry-after")), (json!("queued"), Some("2")));
    assert_eq!(server.submit(&body, None).problem(409, "order-in-use")["task_id"], id);
    assert_eq!(server.post_to(&id, "cancel").ok(200)["task"]["state"], "cancelled");
    assert_eq!(server.task(&id)["task"]["state"], "cancelled");
    server.submit(&body, None).ok(202);
}

#[test]
fn a_closing_that_the_channel_does_not_answer_goes_on() {
    let channel = "simulated:latency=0ms,transient=0%,permanent=0%,lost-answer=0%,notify=1ms,outage=0s..1h,seed=7";
    let server = Server::start(&["--channel", channel]);
    let succeeded = server.succeeded(&submission("alipay"));
    let id = task_id(&succeeded);
    let going_on = server.post_to(&id, "cancel");
    assert_eq!(going_on.header("retry-after"), Some("2"));
    assert_eq!(going_on.header("location"), Some(format!("/v1/pay-tasks/{id}").as_str()));
    assert_eq!(going_on.ok(202)["payment"]["state"], "awaiting_payer");
    pay(&succeeded["payment"]["pay_params"]).problem(503, "overloaded");
}

#[test]
fn a_server_that_restarts_shows_what_it_showed() {
    let mut server = Server::start(&[]);
    let body = submission("alipay");
    let (paid, failed) = (server.succeeded(&body), server.accepted(&simulated("wechat", &json!({"permanent": true}))));
    let id = task_id(&paid);
    pay(&paid["payment"]["pay_params"]).ok(200);
    let before = (server.wait_for_payment(&id, "paid"), server.wait_for(&failed, "failed"));
    server.terminate();
    assert_eq!(server.wait(), Some(0), "{}", server.stderr());
    let server = Server::start_in(server.folder(), &[]);
    let same = |was: &Value, is: &Value| {
        assert_eq!(is["task"], was["task"]);
        for field in ["payment_no", "state", "paid_at", "transaction_id"] {
            assert_eq!(is["payment"][field], was["payment"][field]);
        }
    };
    same(&before.0, &server.task(&id));
    same(&before.1, &server.task(&failed));
    assert_eq!(server.submit(&body, None).problem(409, "order-in-use")["payment_no"], format!("{id}-1"));
}
