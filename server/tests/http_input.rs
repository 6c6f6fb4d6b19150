//! Bad input gets the right problem, which names what is wrong, and the server goes on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::{
    Connection, Reply, Server, Shared,
    client::{chunked, request},
    payer::{fresh_order, pay, simulated, submission, task_id},
};

static SHARED: Shared = Shared::new();

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn post(server: &Server, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    server.connect().request("POST", "/v1/pay-tasks", headers, body)
}

/// The good body with another value for a field, which may be a path of two.
fn with(field: &str, value: Value) -> Value {
    let mut body = submission("alipay");
    match field.split_once('.') {
        Some((outer, inner)) => body[outer] = json!({ inner: value }),
        None => body[field] = value,
    }
    body
}

#[test]
fn values_that_cannot_be_are_named() {
    let server = SHARED.get();
    let item = |quantity: Value, price: Value| json!([{"sku": "s", "quantity": quantity, "unit_price_minor": price}]);
    let table = [
        ("amount_minor", json!(0), "amount_minor", "an integer from 1 to 9007199254740991"),
        ("amount_minor", json!(-5), "amount_minor", "an integer from 1"),
        ("amount_minor", json!(19.99), "amount_minor", "an integer from 1"),
        ("amount_minor", json!(1e300), "amount_minor", "an integer from 1"),
        ("amount_minor", json!("1999"), "amount_minor", "an integer from 1"),
        ("amount_minor", json!(9_007_199_254_740_992_u64), "amount_minor", "9007199254740991"),
        ("amount_minor", json!(u64::MAX), "amount_minor", "9007199254740991"),
        ("amount_minor", Value::Null, "amount_minor", "an integer from 1"),
        ("amount_minor", json!([1]), "amount_minor", "an integer from 1"),
        ("currency", json!("XXX"), "currency", "CNY"),
        ("currency", json!("cny"), "currency", "CNY"),
        ("currency", json!(156), "currency", "CNY"),
        ("channel", json!("paypal"), "channel", "\"alipay\" or \"wechat\""),
        ("order_no", json!(""), "order_no", "1 to 64"),
        ("order_no", json!("a".repeat(65)), "order_no", "1 to 64"),
        ("order_no", json!("a b"), "order_no", "visible ASCII"),
        ("order_no", json!("a:b"), "order_no", "without ':' and '/'"),
        ("order_no", json!("a\u{0}b"), "order_no", "visible ASCII"),
        ("order_no", json!("订单"), "order_no", "visible ASCII"),
        ("order_no", json!({"n": 1}), "order_no", "1 to 64"),
        ("task_info.retry_times", json!(6), "task_info.retry_times", "5, the built-in cap"),
        ("task_info.retry_times", json!(1_000), "task_info.retry_times", "5, the built-in cap"),
        ("task_info.retry_times", json!(-1), "task_info.retry_times", "5, the built-in cap"),
        ("task_info.need_retry", json!("yes"), "task_info.need_retry", "true or false"),
        ("task_info.attempts", json!(1), "task_info.attempts", "no such field"),
        ("task_info", json!(3), "task_info", "a JSON object"),
        ("items", json!([]), "items", "1 to 200"),
        ("items", item(json!(1), json!(1_998)), "items", "1999"),
        ("items", item(json!(0), json!(1_999)), "items[0].quantity", "from 1"),
        ("items", item(json!(-1), json!(1_999)), "items[0].quantity", "from 1"),
        ("items", item(json!(u32::MAX), json!(u64::MAX)), "items", "sum to amount_minor"),
        ("items", json!([{"sku": "s"}]), "items[0].quantity", "an integer"),
        ("items", json!(["s"]), "items[0]", "a JSON object"),
        ("simulate.latency_ms", json!(60_001), "simulate.latency_ms", "60000"),
        ("simulate.fail_first", json!(256), "simulate.fail_first", "255"),
        ("simulate.fail_first", json!("two"), "simulate.fail_first", "255"),
        ("simulate.explode", json!(true), "simulate.explode", "no such field"),
        ("colour", json!("red"), "colour", "no such field"),
    ];
    for (at, value, field, expected) in table {
        let body = with(at, value);
        let problem = server.submit(&body, None).problem(422, "invalid-field");
        assert_eq!(problem["field"], field, "{body}");
        assert!(problem["expected"].as_str().unwrap().contains(expected), "{body}: {problem}");
    }
    for missing in ["order_no", "amount_minor", "currency", "channel"] {
        let mut body = submission("alipay");
        body.as_object_mut().unwrap().remove(missing);
        let problem = server.submit(&body, None).problem(422, "invalid-field");
        assert_eq!(problem["field"], missing);
        assert!(problem["detail"].as_str().unwrap().contains("missing"));
    }
    let huge = submission("alipay").to_string().replace("1999", "1e400");
    let problem = post(&server, &[JSON], huge.as_bytes()).problem(422, "invalid-field");
    assert_eq!(problem["field"], "amount_minor");
    server.still_serves();
}

#[test]
fn wishes_to_the_simulated_channel_are_taken_within_their_limits() {
    let server = SHARED.get();
    let wishes =
        json!({"fail_first": 0, "permanent": false, "latency_ms": 0, "lose_answer": 0, "drop_notification": true});
    let reply = server.succeeded(&simulated("wechat", &wishes));
    assert_eq!(reply["task"]["simulate"], json!({"latency_ms": 0, "drop_notification": true}), "defaults are left out");
    let whole = json!([{"sku": "a", "quantity": 2, "unit_price_minor": 900, "seller": "s", "warehouse": "w"},
        {"sku": "b", "quantity": 1, "unit_price_minor": 199}]);
    let id = server.accepted(&with("items", whole.clone()));
    assert_eq!(server.task(&id)["task"]["items"], whole);
}

#[test]
fn bodies_that_are_no_json_are_malformed() {
    let server = SHARED.get();
    let good = submission("alipay").to_string();
    let deep = format!("{}1{}", r#"{"order_no":"#.repeat(5_000), "}".repeat(5_000));
    let mut latin = good.clone().into_bytes();
    latin[15] = 0xff;
    let table: [(&str, Vec<u8>); 9] = [
        ("nothing", Vec::new()),
        ("a brace", b"{".to_vec()),
        ("a word", b"hello".to_vec()),
        ("half of it", good.as_bytes()[..good.len() / 2].to_vec()),
        ("twice", format!("{good}{good}").into_bytes()),
        ("a trailing comma", good.replace('}', ",}").into_bytes()),
        ("NUL", vec![0; 32]),
        ("a raw NUL in a text", good.replace("order-", "order\0").into_bytes()),
        ("not UTF-8", latin),
    ];
    for (what, body) in table {
        let problem = post(&server, &[JSON], &body).problem(400, "malformed-body");
        assert!(problem["detail"].as_str().unwrap().contains("line"), "{what}: {problem}");
    }
    for body in ["[]", "null", "7", "\"text\"", "[\"o\",1,\"CNY\",\"alipay\"]"] {
        let problem = post(&server, &[JSON], body.as_bytes()).problem(422, "invalid-field");
        assert_eq!((&problem["field"], &problem["expected"]), (&json!("body"), &json!("a JSON object")));
    }
    let problem = post(&server, &[JSON], deep.as_bytes()).problem(422, "invalid-field");
    assert_eq!(problem["field"], "order_no");
    let deep = good.replace('{', &format!("{{\"items\":{}{},", "[".repeat(10_000), "]".repeat(10_000)));
    post(&server, &[JSON], deep.as_bytes()).problem(422, "invalid-field");
    server.still_serves();
}

#[test]
fn the_content_type_must_be_json() {
    let server = SHARED.get();
    let body = submission("alipay").to_string();
    let bad = ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/problem+json"];
    for media in bad {
        let problem = post(&server, &[("Content-Type", media)], body.as_bytes()).problem(415, "unsupported-media-type");
        assert_eq!((&problem["field"], &problem["expected"]), (&json!("Content-Type"), &json!("application/json")));
    }
    post(&server, &[], body.as_bytes()).problem(415, "unsupported-media-type");
    for media in ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;x=y"] {
        post(&server, &[("Content-Type", media)], submission("alipay").to_string().as_bytes()).ok(202);
    }
}

#[test]
fn a_key_is_one_word_of_visible_characters() {
    let server = SHARED.get();
    let body = submission("alipay").to_string();
    let long = "k".repeat(256);
    let table: [&[&str]; 7] =
        [&[""], &["a b"], &["ключ"], &[&"k".repeat(300)], &[&long], &["one", "two"], &["same", "same"]];
    for keys in table {
        let mut headers = vec![JSON];
        headers.extend(keys.iter().map(|key| ("Idempotency-Key", *key)));
        let problem = post(&server, &headers, body.as_bytes()).problem(400, "bad-header");
        assert_eq!(problem["field"], "Idempotency-Key", "{keys:?}");
        assert!(problem["expected"].as_str().unwrap().contains("1 to 255"));
    }
    let longest = format!("{:k<255}", fresh_order());
    let reply = post(&server, &[JSON, ("IDEMPOTENCY-KEY", &longest)], body.as_bytes()).ok(202);
    let again = post(&server, &[JSON, ("idempotency-key", &longest)], body.as_bytes()).ok(202);
    assert_eq!(task_id(&reply), task_id(&again));
}

#[test]
fn large_bodies_are_refused_and_the_client_hears_it() {
    let server = SHARED.get();
    let large = format!("{{\"order_no\":\"{}\"}}", "a".repeat(1_000_000));
    // With a length, which is refused at once; the client sends everything all the same and still reads the answer.
    let problem = post(&server, &[JSON], large.as_bytes()).problem(413, "body-too-large");
    assert_eq!((&problem["field"], &problem["expected"]), (&json!("body"), &json!("at most 65536 bytes")));
    // The answer is there while the client still sends: it is not cut off in the middle of a word.
    let mut connection = server.connect();
    let bytes = request("POST", "/v1/pay-tasks", &[JSON], large.as_bytes());
    let (first, rest) = bytes.split_at(200_000);
    connection.send(first);
    connection.answer_begins();
    rest.chunks(1_000).for_each(|piece| connection.send(piece));
    connection.reply().problem(413, "body-too-large");
    connection.is_closed_by_server();
    // Without a length.
    for size in [1_000, 100_000] {
        let mut connection = server.connect();
        connection.send(&chunked(large.as_bytes(), size));
        connection.reply().problem(413, "body-too-large");
        connection.is_closed_by_server();
    }
    // With a length only, and a client that waits to be told to go on.
    let mut connection = server.connect();
    let head = "POST /v1/pay-tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n";
    connection.send(format!("{head}Content-Length: 1000000000000\r\n\r\n").as_bytes());
    connection.reply().problem(413, "body-too-large");
    // A large one that is none too large.
    let spaces = format!("{}{}", " ".repeat(60_000), submission("alipay"));
    post(&server, &[JSON], spaces.as_bytes()).ok(202);
    let mut connection = server.connect();
    connection.send(&chunked(submission("alipay").to_string().as_bytes(), 1));
    connection.reply().ok(202);
    // The connection is kept.
    assert_eq!(connection.request("GET", "/healthz", &[], b"").status, 200);
    server.still_serves();
}

#[test]
fn a_body_that_breaks_off_is_malformed() {
    let server = SHARED.get();
    let body = submission("alipay").to_string();
    let whole = request("POST", "/v1/pay-tasks", &[JSON], body.as_bytes());
    let mut connection = server.connect();
    connection.send(&whole[..whole.len() - 10]);
    connection.close_own_side();
    connection.reply().problem(400, "malformed-body");
    connection.is_closed_by_server();
    // The same in chunks, and with chunks that are none.
    let mut connection = server.connect();
    let chunks = chunked(body.as_bytes(), 20);
    connection.send(&chunks[..chunks.len() - 20]);
    connection.close_own_side();
    connection.reply().problem(400, "malformed-body");
    let mut connection = server.connect();
    let text = String::from_utf8(chunks).unwrap();
    connection.send(text.replacen("\r\n14\r\n", "\r\nzz\r\n", 1).as_bytes());
    connection.reply().problem(400, "malformed-body");
    // Gone altogether.
    drop({
        let mut connection = server.connect();
        connection.send(&whole[..whole.len() - 10]);
        connection
    });
    server.still_serves();
}

#[test]
fn other_methods_are_refused_with_those_that_there_are() {
    let server = SHARED.get();
    let table = [
        ("/v1/pay-tasks", "POST"),
        ("/v1/pay-tasks/x", "GET, HEAD"),
        ("/v1/pay-tasks/x/retry", "POST"),
        ("/v1/pay-tasks/x/cancel", "POST"),
        ("/v1/payments/x-1", "GET, HEAD"),
        ("/simulated/cashier", "POST"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ];
    for (path, allowed) in table {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            if allowed.contains(method) {
                continue;
            }
            let reply = server.connect().request(method, path, &[], b"");
            assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
            reply.problem(405, "method-not-allowed");
        }
    }
    let head = server.connect().request("HEAD", "/healthz", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    server.connect().request("PUT", "/nowhere", &[], b"").problem(404, "not-found");
}

#[test]
fn what_is_no_http_is_refused_and_closed() {
    let server = SHARED.get();
    let table: [(&[u8], u16); 6] = [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /he\0althz HTTP/1.1\r\n\r\n", 400),
        (b"POST /v1/pay-tasks HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /v1/pay-tasks HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    ];
    for (bytes, status) in table {
        let mut connection = server.connect();
        connection.send(bytes);
        assert_eq!(connection.reply().status, status, "{:?}", String::from_utf8_lossy(bytes));
        connection.is_closed_by_server();
    }
    server.still_serves();
}

#[test]
fn a_client_that_has_said_everything_may_close_its_side() {
    let server = SHARED.get();
    let mut connection = server.connect();
    connection.send(&request("POST", "/v1/pay-tasks", &[JSON], submission("alipay").to_string().as_bytes()));
    connection.close_own_side();
    connection.reply().ok(202);
    connection.is_closed_by_server();
}

#[test]
fn requests_in_a_row_are_answered_in_their_order() {
    let server = SHARED.get();
    let mut connection = server.connect();
    let mut bytes = Vec::new();
    for number in 0..50 {
        match number % 3 {
            0 => bytes.extend(request("POST", "/v1/pay-tasks", &[JSON], submission("alipay").to_string().as_bytes())),
            1 => bytes.extend(request("GET", "/v1/pay-tasks/x", &[], b"")),
            _ => bytes.extend(request("GET", "/healthz", &[], b"")),
        }
    }
    connection.send(&bytes);
    for number in 0..50 {
        let status = [202, 404, 200][number % 3];
        assert_eq!(connection.reply().status, status, "answer {number}");
    }
    // Old clients and those that want to leave are let go.
    connection.send(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(
        Connection::open(server.address).request("GET", "/healthz", &[("Connection", "close")], b"").status,
        200
    );
}

#[test]
fn what_the_server_says_is_what_its_description_says() {
    let server = SHARED.get();
    let document = server.get("/openapi.json").ok(200);
    assert_eq!(document, serde_json::from_str::<Value>(&payrig_api::openapi::document()).unwrap());
    let is_valid = |name: &str, value: &Value| {
        let reference = format!("#/components/schemas/{name}");
        let schema = json!({"$ref": reference, "components": document["components"]});
        let errors: Vec<String> = jsonschema::draft202012::new(&schema)
            .unwrap()
            .iter_errors(value)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?} in {value}");
    };
    let body = submission("wechat");
    is_valid("Submission", &body);
    let accepted = server.submit(&body, None).ok(202);
    is_valid("TaskReply", &accepted);
    let id = task_id(&accepted);
    let succeeded = server.wait_for(&id, "succeeded");
    is_valid("TaskReply", &succeeded);
    is_valid("Payment", &server.get(&format!("/v1/payments/{id}-1")).ok(200));
    is_valid("Transaction", &pay(&succeeded["payment"]["pay_params"]).ok(200));
    is_valid("TaskReply", &server.wait_for_payment(&id, "paid"));
    let failed = server.accepted(&simulated("wechat", &json!({"permanent": true})));
    is_valid("TaskReply", &server.wait_for(&failed, "failed"));
    is_valid("Health", &server.get("/healthz").ok(200));
    is_valid("Health", &server.get("/readyz").ok(200));
    for problem in
        [server.submit(&body, None), server.submit(&json!({}), None), server.get("/nowhere"), server.post("/healthz")]
    {
        is_valid("Problem", &problem.json());
    }
}
