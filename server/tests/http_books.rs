//! What the server says of itself: metrics, probes and the read-only books.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::TcpStream;

use serde_json::json;
use support::{
    Connection, Server, Shared, escaped,
    openmetrics::Metrics,
    payer::{fresh_order, pay, simulated, submission, task_id},
};

static SHARED: Shared = Shared::new();

fn metrics(server: &Server) -> Metrics {
    let reply = server.get("/metrics");
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    Metrics::read(&reply.text())
}

#[test]
fn metrics_move_with_a_payment() {
    // A server of its own: nobody else moves its counters.
    let server = Server::start(&[]);
    let before = metrics(&server);
    assert_eq!(before.get("payrig_accepted_total"), 0.0);
    let body = submission("wechat");
    let succeeded = server.succeeded(&body);
    let id = task_id(&succeeded);
    pay(&succeeded["payment"]["pay_params"]).ok(200);
    server.wait_for_payment(&id, "paid");
    let failed = server.accepted(&simulated("wechat", &json!({"permanent": true})));
    server.wait_for(&failed, "failed");
    server.submit(&json!({}), None).problem(422, "invalid-field");
    server.get("/v1/pay-tasks/x").problem(404, "not-found");

    let after = metrics(&server);
    let exact = [
        ("payrig_accepted_total", 2.0),
        ("payrig_attempts_total", 2.0),
        ("payrig_settled_total{name=\"succeeded\"}", 1.0),
        ("payrig_settled_total{name=\"failed\"}", 1.0),
        ("payrig_payments_ended_total{name=\"paid\"}", 1.0),
        ("payrig_requests_total{route=\"submit\",status=\"Success\"}", 2.0),
        ("payrig_requests_total{route=\"submit\",status=\"ClientError\"}", 1.0),
        ("payrig_requests_total{route=\"query\",status=\"ClientError\"}", 1.0),
        ("payrig_requests_total{route=\"cashier\",status=\"Success\"}", 1.0),
        ("payrig_request_latency_seconds_count{name=\"submit\"}", 3.0),
        ("payrig_stage_own_seconds_count", 2.0),
        ("payrig_refunds_total", 0.0),
        ("payrig_attempts_in_flight", 0.0),
        ("payrig_queue_waiting", 0.0),
    ];
    for (series, value) in exact {
        assert!(after.has(series), "{series}");
        assert_eq!(after.get(series), value, "{series}");
    }
    let moved = ["payrig_store_commits_total", "payrig_store_documents_total", "payrig_cache_hits_total"];
    assert!(moved.into_iter().all(|series| after.get(series) > before.get(series)));
    assert!(after.get("payrig_connections") >= 1.0, "this one, at least");
    // Reading does not change what is read, but for the reading itself.
    let route = "payrig_requests_total{route=\"metrics\",status=\"Success\"}";
    assert_eq!(metrics(&server).get(route), after.get(route) + 1.0);
}

#[test]
fn probes_answer() {
    let server = SHARED.get();
    assert_eq!(server.get("/healthz").ok(200), json!({"status": "ok"}));
    assert_eq!(server.get("/readyz").ok(200), json!({"status": "ready"}));
}

#[test]
fn a_book_is_read_page_by_page() {
    let server = SHARED.get();
    // An order number with everything that needs an escape.
    let mut body = submission("alipay");
    body["order_no"] = json!(format!("a&b=c%41+d#e?{}", fresh_order()));
    let key = format!("k%3a&={}", fresh_order());
    let id = task_id(&server.submit(&body, Some(&key)).ok(202));
    for _ in 0..7 {
        server.succeeded(&submission("alipay"));
    }
    server.wait_for(&id, "succeeded");
    for book in ["order_slots", "pay_tasks", "idempotency_keys", "payments"] {
        let path = format!("/admin/books/{book}");
        let mut paged = Vec::new();
        let mut after = String::new();
        loop {
            let page = server.admin(&format!("{path}?limit=3{after}")).ok(200);
            let items = page["items"].as_array().unwrap().clone();
            assert!(items.len() <= 3);
            paged.extend(items.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => {
                    assert_eq!((items.len(), Some(&next.to_owned())), (3, paged.last()));
                    after = format!("&after={}", escaped(next));
                }
                None => break,
            }
        }
        assert!(paged.is_sorted_by(|one, other| one < other), "{book}: {paged:?}");
        let order = body["order_no"].as_str().unwrap();
        let mine = match book {
            "order_slots" => format!("default:{order}:0000000000"),
            "idempotency_keys" => format!("default:{key}"),
            "payments" => format!("{id}-1"),
            _ => format!("{id}:1"),
        };
        assert_eq!(paged.iter().filter(|found| **found == mine).count(), 1, "{book}: {paged:?}");
        // Another test may have added to it since; nothing goes.
        let whole = server.admin(&format!("{path}?limit=10000")).ok(200);
        let whole: Vec<&str> =
            whole["items"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert!(paged.iter().all(|id| whole.contains(&id.as_str())));
        let rest = server.admin(&format!("{path}?after={}&limit=10000", escaped(&mine))).ok(200);
        assert!(rest["items"].as_array().unwrap().iter().all(|row| row["id"].as_str().unwrap() > mine.as_str()));
    }
}

#[test]
fn the_books_are_listed_and_the_ledger_is_one() {
    let server = SHARED.get();
    let succeeded = server.succeeded(&submission("wechat"));
    let transaction = pay(&succeeded["payment"]["pay_params"]).ok(200);
    let books = server.admin("/admin/books").ok(200);
    for book in books["collections"].as_array().unwrap() {
        server.admin(&format!("/admin/books/{}", book.as_str().unwrap())).ok(200);
    }
    assert!(books["now_us"].is_u64() && books["queue_waiting"].is_u64());
    let ledger = server.book("/admin/ledger");
    let row = ledger.iter().find(|row| row["out_trade_no"] == succeeded["payment"]["payment_no"]).unwrap();
    assert!(row.to_string().contains(transaction["transaction_id"].as_str().unwrap()), "{row}");
}

#[test]
fn bad_parameters_of_a_page_are_named() {
    let server = SHARED.get();
    let limit = json!("1 to 10000");
    let table = [
        ("limit=0", "limit", limit.clone()),
        ("limit=10001", "limit", limit.clone()),
        ("limit=-1", "limit", limit.clone()),
        ("limit=", "limit", limit.clone()),
        ("limit=ten", "limit", limit.clone()),
        ("limit=99999999999999999999999", "limit", limit),
        ("colour=red", "colour=red", json!("after or limit")),
        ("after", "after", json!("after or limit")),
        ("after=%ff", "after", json!("an id")),
        ("after=x", "after", json!("an id of this collection")),
    ];
    for (query, field, expected) in table {
        let problem = server.admin(&format!("/admin/books/pay_tasks?{query}")).problem(400, "bad-parameter");
        assert_eq!((&problem["field"], &problem["expected"]), (&json!(field), &expected), "{query}");
    }
    for path in
        ["/admin/books/nothing", "/admin/books/", "/admin", "/", "/healthz", "/v1/pay-tasks", "/admin/books/a/b"]
    {
        server.admin(path).problem(404, "not-found");
    }
    let post = Connection::open(server.admin).request("POST", "/admin/books", &[], b"");
    assert_eq!(post.header("allow"), Some("GET, HEAD"));
    post.problem(405, "method-not-allowed");
}

#[test]
fn the_books_have_a_door_of_their_own() {
    let server = SHARED.get();
    for path in ["/admin/books", "/admin/ledger", "/admin/books/pay_tasks"] {
        server.get(path).problem(404, "not-found");
    }
    assert!(server.admin.ip().is_loopback());
    assert!(TcpStream::connect(("127.0.0.2", server.admin.port())).is_err(), "bound to its own address only");
}
