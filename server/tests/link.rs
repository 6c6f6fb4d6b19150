//! The server and a channel that is a program of its own, two processes: the whole flow, and what happens when the
//! channel goes away.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod channel_support;
mod support;

use channel_support::{ChannelProcess, keys_of};
use payrig_api::{ChannelStyle, Currency};
use payrig_channel::{Algorithm, Order, PayParamsWriter, Wish, keys::PlatformKeys};
use serde_json::{Value, json};
use support::{
    Server,
    openmetrics::Metrics,
    payer::{pay, simulated, submission},
    until,
};

/// Not a test: the channel's process.
#[test]
#[ignore = "it is started by the other tests"]
fn be_the_channel() {
    channel_support::be_the_channel_if_asked();
}

/// A server for this channel.
fn server(channel: &ChannelProcess, more: &[&str]) -> Server {
    let (url, keys) = (channel.url(), channel.keys());
    let mut arguments = vec!["--channel", &url, "--channel-keys", keys.to_str().unwrap()];
    arguments.extend(more);
    Server::start(&arguments)
}

fn metric(server: &Server, series: &str) -> f64 {
    Metrics::read(&server.get("/metrics").text()).get(series)
}

fn params(reply: &Value) -> &Value {
    &reply["payment"]["pay_params"]
}

fn id(reply: &Value) -> &str {
    reply["task"]["task_id"].as_str().unwrap()
}

fn number(reply: &Value) -> &str {
    reply["payment"]["payment_no"].as_str().unwrap()
}

#[test]
fn submitted_paid_at_the_channels_cashier_notified_and_paid() {
    for algorithm in Algorithm::ALL {
        let channel = ChannelProcess::start(algorithm);
        let server = server(&channel, &[]);
        for style in ["alipay", "wechat"] {
            let succeeded = server.succeeded(&submission(style));
            assert_eq!(params(&succeeded)["cashier_url"], format!("{}/cashier", channel.url()));
            let taken = pay(params(&succeeded)).ok(200);
            let paid = server.wait_for_payment(id(&succeeded), "paid");
            assert_eq!(paid["payment"]["transaction_id"], taken["transaction_id"]);
            assert_eq!(channel.row(number(&succeeded)).unwrap()["paid"]["amount_minor"], 1_999);
        }
        assert!(metric(&server, "payrig_notices_taken_total") >= 2.0);
        assert_eq!(server.get("/readyz").ok(200), json!({"status": "ready", "channel_breaker": "closed"}));
    }
}

#[test]
fn a_payment_that_was_cancelled_is_closed_at_the_channel() {
    let channel = ChannelProcess::start(Algorithm::Ed25519);
    let server = server(&channel, &[]);
    for style in ["alipay", "wechat"] {
        let succeeded = server.succeeded(&submission(style));
        server.post_to(id(&succeeded), "cancel").ok(200);
        assert!(channel.row(number(&succeeded)).unwrap()["closed_at_us"].is_u64());
        assert_eq!(pay(params(&succeeded)).status, 409);
        // Of one that is paid the channel says so, and then it is paid.
        let succeeded = server.succeeded(&submission(style));
        pay(params(&succeeded)).ok(200);
        assert_eq!(server.post_to(id(&succeeded), "cancel").status, 409);
        server.wait_for_payment(id(&succeeded), "paid");
    }
}

#[test]
fn what_rounds_without_success_left_at_the_channel_is_closed() {
    let channel = ChannelProcess::start(Algorithm::Ed25519);
    let server = server(&channel, &[]);
    let closed = |id: &str| {
        let number = format!("{id}-1");
        until("the order to be closed", || channel.row(&number).filter(|row| row["closed_at_us"].is_u64()))
    };
    // The answer is lost, and no attempt is left: an order that nobody was shown stays behind.
    let mut body = simulated("wechat", &json!({"lose_answer": 1}));
    body["task_info"] = json!({"need_retry": false});
    let failed = server.accepted(&body);
    server.wait_for(&failed, "failed");
    assert!(closed(&failed)["prepaid_at_us"].is_u64(), "it was made");
    // The same, cancelled before the next attempt finds the order.
    let cancelled = server.accepted(&simulated("wechat", &json!({"lose_answer": 1})));
    server.wait_for(&cancelled, "retrying");
    server.post_to(&cancelled, "cancel").ok(200);
    assert!(closed(&cancelled)["prepaid_at_us"].is_u64(), "it was made");
    // And one whose attempt is under way: what comes after the close finds it closed.
    let running = server.accepted(&simulated("wechat", &json!({"latency_ms": 2_000})));
    server.wait_for(&running, "running");
    server.post_to(&running, "cancel").ok(200);
    closed(&running);
    until("everything to be let go", || server.book("/admin/books/open_tasks").is_empty().then_some(()));
    assert!(server.book("/admin/books/closings").is_empty());
    assert_eq!(server.task(&running)["task"]["state"], "cancelled");
}

#[test]
fn money_for_a_payment_that_lost_its_order_goes_back_once() {
    let channel = ChannelProcess::start(Algorithm::HmacSha256);
    let server = server(&channel, &[]);
    // The first round never comes to parameters and is cancelled; the second pays the order.
    let mut body = simulated("alipay", &json!({"fail_first": 5}));
    let first = server.accepted(&body);
    server.wait_for(&first, "retrying");
    server.post_to(&first, "cancel").ok(200);
    body["simulate"] = json!(null);
    let second = server.succeeded(&body);
    pay(params(&second)).ok(200);
    server.wait_for_payment(id(&second), "paid");
    // Parameters for the first that nobody was ever shown: somebody who has the platform's key pays with them, while the
    // channel fails most of what it is asked.
    channel.set_profile("quiet,transient=60%,seed=11");
    let late = signed_here(&channel, &server, &first, &body);
    pay(&late).ok(200);
    let lost = format!("{first}-1");
    until("the money to go back", || {
        let row = channel.row(&lost)?;
        (row["refunded"]["amount_minor"] == row["paid"]["amount_minor"]).then_some(())
    });
    until("that to be written down", || (server.book("/admin/books/refunded").len() == 1).then_some(()));
    until("the notice to go", || server.book("/admin/books/notices").is_empty().then_some(()));
    let tries = |name: &str| metric(&server, &format!("payrig_refund_tries_total{{name=\"{name}\"}}"));
    assert_eq!((tries("given"), metric(&server, "payrig_refunds_total")), (1.0, 1.0));
    until("the list to be empty", || (metric(&server, "payrig_refunds_open") == 0.0).then_some(()));
    assert_eq!(channel.row(number(&second)).unwrap()["refunded"], json!(null));
    assert_eq!(server.task(&first)["task"]["state"], "cancelled");
}

/// Parameters for the first round of a task, signed with the platform's key by this test.
fn signed_here(channel: &ChannelProcess, server: &Server, task_id: &str, body: &Value) -> Value {
    let signer = PlatformKeys::load(&channel.keys()).unwrap().merchant;
    let notify_url = format!("http://{}/v1/notify/alipay", server.address);
    let writer = PayParamsWriter::new(signer, &format!("{}/cashier", channel.url()), &notify_url);
    let out_trade_no = format!("{task_id}-1");
    let order = Order {
        out_trade_no: &out_trade_no,
        merchant: "default",
        order_no: body["order_no"].as_str().unwrap(),
        amount_minor: body["amount_minor"].as_u64().unwrap(),
        currency: Currency::CNY,
        style: ChannelStyle::Alipay,
    };
    serde_json::from_str(&writer.pay_params(&order, None, &Wish::PLAIN).unwrap()).unwrap()
}

#[test]
fn a_channel_that_was_killed_is_found_again() {
    let channel = ChannelProcess::start(Algorithm::Ed25519);
    let server = server(&channel, &["--channel-timeout", "2s"]);
    let unpaid = server.succeeded(&submission("wechat"));
    let to_cancel = server.succeeded(&submission("wechat"));
    pay(params(&server.succeeded(&submission("alipay")))).ok(200);
    let (folder, address) = channel.kill();
    // A cancellation waits for the channel's word, and an attempt for the channel itself.
    assert_eq!(server.post_to(id(&to_cancel), "cancel").status, 202);
    let wechat = || {
        let mut body = submission("wechat");
        body["task_info"] = json!({"need_retry": true, "retry_times": 5});
        server.accepted(&body)
    };
    let mut waiting: Vec<String> = (0..40).map(|_| wechat()).collect();
    until("the breaker to open", || (metric(&server, "payrig_channel_breaker_opened_total") >= 1.0).then_some(()));
    waiting.extend((0..5).map(|_| wechat()));
    until("attempts to be put off", || (metric(&server, "payrig_put_off_total") >= 1.0).then_some(()));
    assert_eq!(server.get("/readyz").ok(200)["status"], "ready", "readiness does not hang on the channel");
    server.wait_for(&server.accepted(&submission("alipay")), "succeeded");
    let channel = ChannelProcess::start_in(folder, address, "quiet");
    for id in waiting.split_off(40) {
        server.wait_for(&id, "succeeded");
    }
    // What was shown before the kill can be paid after it.
    pay(params(&unpaid)).ok(200);
    server.wait_for_payment(id(&unpaid), "paid");
    assert_eq!(channel.row(number(&unpaid)).unwrap()["paid"]["amount_minor"], 1_999);
    until("the breaker to close", || {
        (server.get("/readyz").ok(200)["channel_breaker"] == "closed").then_some(())
    });
    server.post_to(id(&to_cancel), "cancel").ok(200);
    assert!(keys_of(&channel.kill().0).exists());
}
