//! Clients that are slow, silent, greedy or many: each is held to its limit, and nobody else notices.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    Server,
    client::request,
    openmetrics::Metrics,
    payer::{simulated, submission, task_id},
    until,
};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A server that waits two seconds for everything but the next request.
fn hasty() -> Server {
    Server::start(&["--header-timeout", "2s", "--body-timeout", "2s", "--answer-timeout", "2s"])
}

fn closed_by(server: &Server, deadline: &str) -> f64 {
    let series = format!("payrig_connection_timeouts_total{{name=\"{deadline}\"}}");
    Metrics::read(&server.get("/metrics").text()).get(&series)
}

#[test]
fn a_silent_connection_is_closed() {
    let server = hasty();
    let began = Instant::now();
    let mut silent = server.connect();
    silent.is_closed_by_server();
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(closed_by(&server, "headers"), 1.0);
}

#[test]
fn a_slow_sender_of_headers_is_closed() {
    let server = hasty();
    let mut slow = server.connect();
    let began = Instant::now();
    slow.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n");
    // A byte now and then does not buy it more time.
    while slow.try_send(b"X-Slow: 1\r\n") {
        assert!(began.elapsed() < support::PATIENCE, "never closed");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(closed_by(&server, "headers"), 1.0);
    server.still_serves();
}

#[test]
fn a_slow_second_request_is_closed_too_and_rest_is_not() {
    let server = hasty();
    let mut connection = server.connect();
    assert_eq!(connection.request("GET", "/healthz", &[], b"").status, 200);
    // Rest may last much longer than headers.
    thread::sleep(Duration::from_millis(2_600));
    assert_eq!(connection.request("GET", "/healthz", &[], b"").status, 200);
    let began = Instant::now();
    connection.send(b"G");
    connection.is_closed_by_server();
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[test]
fn a_connection_at_rest_is_closed_in_the_end() {
    let server = Server::start(&["--idle-timeout", "2s"]);
    let mut connection = server.connect();
    assert_eq!(connection.request("GET", "/healthz", &[], b"").status, 200);
    let began = Instant::now();
    connection.is_closed_by_server();
    assert!(began.elapsed() >= Duration::from_millis(1_900));
    assert_eq!(closed_by(&server, "idle"), 1.0);
}

#[test]
fn a_slow_sender_of_a_body_is_told_so() {
    let server = hasty();
    let body = submission("alipay").to_string();
    let whole = request("POST", "/v1/pay-tasks", &[JSON], body.as_bytes());
    // One that stops, and one that trickles.
    let mut stopped = server.connect();
    let began = Instant::now();
    stopped.send(&whole[..whole.len() - 20]);
    let problem = stopped.reply().problem(408, "body-timeout");
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(problem["detail"], "a body has 2s to arrive");
    stopped.is_closed_by_server();
    let mut trickling = server.connect();
    let began = Instant::now();
    trickling.send(b"POST /v1/pay-tasks HTTP/1.1\r\nHost: x\r\n");
    trickling.send(b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    while began.elapsed() < Duration::from_millis(2_500) && trickling.try_send(b"1\r\n \r\n") {
        thread::sleep(Duration::from_millis(50));
    }
    trickling.reply().problem(408, "body-timeout");
    server.still_serves();
}

#[test]
fn a_client_that_never_reads_is_cut() {
    let server = hasty();
    let mut greedy = server.connect();
    greedy.wait_at_most(Duration::from_millis(300));
    let requests = request("GET", "/openapi.json", &[], b"").repeat(100);
    // Until neither side takes any more, or the server has had enough.
    while greedy.try_send(&requests) {}
    until("the greedy client to be cut", || (closed_by(&server, "answer") >= 1.0).then_some(()));
    server.still_serves();
}

#[test]
fn a_client_that_reads_slowly_gets_everything() {
    let server = Server::start(&[]);
    let mut slow = server.connect();
    let often = 300;
    slow.send(&request("GET", "/openapi.json", &[], b"").repeat(often));
    let expected = server.get("/openapi.json").body;
    for number in 0..often {
        assert!(slow.reply().body == expected, "answer {number}");
    }
}

#[test]
fn heads_have_their_limits() {
    let server = Server::start(&[]);
    let many: String = (0..100).map(|number| format!("X-{number}: 1\r\n")).collect();
    let ok = format!("GET /healthz HTTP/1.1\r\n{many}\r\n");
    let too_many = format!("GET /healthz HTTP/1.1\r\nX-More: 1\r\n{many}\r\n");
    let large = format!("GET /healthz HTTP/1.1\r\nX-Large: {}\r\n\r\n", "x".repeat(64 * 1024));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let endless = format!("GET /healthz HTTP/1.1\r\nX-Endless: {}", "x".repeat(1_000_000));
    for (head, statuses) in
        [(ok, [200, 200]), (too_many, [431, 431]), (large, [431, 431]), (long, [414, 431]), (endless, [431, 431])]
    {
        let mut connection = server.connect();
        connection.try_send(head.as_bytes());
        let status = connection.reply().status;
        assert!(statuses.contains(&status), "{status}, expected {statuses:?}");
        if status != 200 {
            connection.is_closed_by_server();
        }
    }
    server.still_serves();
}

#[test]
fn over_the_limit_of_connections_the_next_waits() {
    let server = Server::start(&["--connections", "2"]);
    let (mut one, mut two) = (server.connect(), server.connect());
    assert_eq!(one.request("GET", "/healthz", &[], b"").status, 200);
    assert_eq!(two.request("GET", "/healthz", &[], b"").status, 200);
    let mut three = server.connect();
    three.send(&request("GET", "/healthz", &[], b""));
    three.wait_at_most(Duration::from_millis(500));
    assert!(three.try_reply("GET").is_err(), "the third is served although two are open");
    // The others are served as ever, and the third as soon as one of them goes.
    assert_eq!(two.request("GET", "/healthz", &[], b"").status, 200);
    three.wait_at_most(support::PATIENCE);
    drop(one);
    assert_eq!(three.reply().status, 200);
}

#[test]
fn many_clients_come_and_go() {
    let server = Server::start(&["--connections", "50"]);
    let connections = || Metrics::read(&server.get("/metrics").text()).get("payrig_connections");
    let mut held = Vec::new();
    for number in 0..400 {
        let mut connection = server.connect();
        match number % 4 {
            0 => connection.send(b"GET /healthz HT"),
            1 => connection.send(&request("POST", "/v1/pay-tasks", &[JSON], b"{\"half\":")[..90]),
            2 => assert_eq!(connection.request("GET", "/healthz", &[], b"").status, 200),
            _ => {
                connection.send(&request("POST", "/v1/pay-tasks", &[JSON], submission("alipay").to_string().as_bytes()))
            }
        }
        held.push(connection);
        if held.len() > 20 {
            held.remove(number % 20);
        }
    }
    drop(held);
    until("every connection to be struck off", || (connections() <= 1.0).then_some(()));
}

#[test]
fn a_request_under_way_is_answered_while_stopping() {
    let mut server = Server::start(&[]);
    let slow = server.accepted(&simulated("wechat", &json!({"latency_ms": 1_500})));
    let mut resting = server.connect();
    assert_eq!(resting.request("GET", "/healthz", &[], b"").status, 200);
    let body = submission("alipay");
    let bytes = request("POST", "/v1/pay-tasks", &[JSON], body.to_string().as_bytes());
    let mut busy = server.connect();
    // The head is there, and the handler waits for the body: the server has said so.
    let (head, rest) = bytes.split_at(bytes.len() - body.to_string().len());
    let head = String::from_utf8(head.to_vec())
        .unwrap()
        .replace("Host: payrig\r\n", "Host: payrig\r\nExpect: 100-continue\r\n");
    busy.send(head.as_bytes());
    busy.is_told_to_go_on();
    server.terminate();
    resting.is_closed_by_server();
    busy.send(rest);
    let reply = busy.reply();
    assert_eq!(reply.header("connection"), Some("close"), "it is the last answer on this connection");
    let id = task_id(&reply.ok(202));
    busy.is_closed_by_server();
    assert_eq!(server.wait(), Some(0), "{}", server.stderr());

    let server = Server::start_in(server.folder(), &[]);
    for id in [id, slow] {
        server.wait_for(&id, "succeeded");
    }
}

#[test]
fn clients_that_keep_asking_are_told_before_they_are_cut() {
    let mut server = Server::start(&[]);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut connection = server.connect();
            thread::spawn(move || {
                // On a machine that stands still for long enough a client may be cut before it is told: it then knows
                // nothing of its last submission, and has to ask again.
                while let Ok(reply) = connection.try_submit(&submission("alipay")) {
                    assert_eq!(reply.status, 202, "{}", reply.text());
                    if reply.header("connection") == Some("close") {
                        return Some(task_id(&reply.json()));
                    }
                }
                None
            })
        })
        .collect();
    until("some submissions", || {
        (Metrics::read(&server.get("/metrics").text()).get("payrig_accepted_total") > 50.0).then_some(())
    });
    server.terminate();
    let last: Vec<String> = clients.into_iter().filter_map(|client| client.join().unwrap()).collect();
    assert!(!last.is_empty(), "nobody was told");
    assert_eq!(server.wait(), Some(0), "{}", server.stderr());
    let server = Server::start_in(server.folder(), &[]);
    for id in last {
        server.wait_for(&id, "succeeded");
    }
}
