//! The program from outside: every call in both styles, what is idempotent, what is refused, and the books.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod http_support;

use http::{Method, Request, StatusCode};
use http_support::{MERCHANT, Platform, Program, STYLES, send, try_send};
use payrig_api::{ChannelStyle, Currency, Simulate};
use payrig_channel::wire::authorization::{Call, authorize};
use payrig_channel::wire::gateway::{self, BizContent, TradeStatus};
use payrig_channel::wire::wechat::{RefundAmount, RefundCall, State};
use payrig_channel::wire::{PREPAY, REFUND, close_path, query_path};
use payrig_channel::{Algorithm, Order, Purpose, Signer, Wish};

const NOWHERE: &str = "http://127.0.0.1:9/v1/notify/wechat";

/// A quiet program, signing by this algorithm.
fn start(algorithm: Algorithm) -> (tempfile::TempDir, Program) {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&dir.path().join("data"), &["--profile", "quiet", "--signature", algorithm.flag()]);
    (dir, program)
}

fn refund_body(out_trade_no: &str, refund: u64) -> Vec<u8> {
    let call = RefundCall {
        mchid: MERCHANT.into(),
        out_trade_no: out_trade_no.into(),
        out_refund_no: format!("{out_trade_no}-r").into(),
        amount: RefundAmount { refund, currency: Currency::CNY },
    };
    serde_json::to_vec(&call).unwrap()
}

#[tokio::test]
async fn an_order_is_prepaid_paid_asked_for_and_refunded_by_every_algorithm() {
    for algorithm in Algorithm::ALL {
        let (_dir, program) = start(algorithm);
        let platform = Platform::of(&program, NOWHERE);
        assert_eq!(platform.keys.merchant.algorithm(), algorithm);

        assert_eq!(platform.query("t-1").await.code(), "ORDER_NOT_EXIST");
        let first = platform.prepay("t-1", None).await;
        assert_eq!(first.status, StatusCode::OK, "{first:?}");
        assert_eq!(platform.prepay("t-1", None).await.body, first.body, "the same id for every repeat");
        assert_eq!(platform.state("t-1").await.trade_state, State::NotPay);

        let transaction = platform.pay(ChannelStyle::Wechat, "t-1").await;
        assert_eq!(platform.pay(ChannelStyle::Wechat, "t-1").await, transaction, "paying twice is paying once");
        let paid = platform.state("t-1").await;
        assert_eq!(
            (paid.trade_state, paid.transaction_id.as_ref()),
            (State::Success, Some(&transaction.transaction_id))
        );
        let close = close_path("t-1");
        let mchid = serde_json::json!({ "mchid": MERCHANT }).to_string().into_bytes();
        let refused = platform.call(Method::POST, &close, mchid).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "ORDERPAID"));

        assert_eq!(platform.call(Method::POST, REFUND, refund_body("t-1", 1_235)).await.code(), "PARAM_ERROR");
        for _ in 0..2 {
            let refunded = platform.call(Method::POST, REFUND, refund_body("t-1", 1_234)).await;
            assert_eq!(refunded.json()["status"], "SUCCESS", "{refunded:?}");
        }
        assert_eq!(platform.call(Method::POST, REFUND, refund_body("t-1", 1)).await.code(), "INVALID_REQUEST");
        let books = program.admin("/admin/ledger").await;
        let row = &books["items"][0];
        assert_eq!((&row["paid"]["amount_minor"], &row["refunded"]["amount_minor"]), (&1_234.into(), &1_234.into()));
        assert_eq!(program.stop(), Some(0));
    }
}

#[tokio::test]
async fn the_gateway_asks_closes_and_refunds() {
    let (_dir, program) = start(Algorithm::Ed25519);
    let platform = Platform::of(&program, NOWHERE);
    let ask = |method, number| platform.gateway(method, number, None);

    let unknown = ask(gateway::Method::Query, "a-1").await;
    assert_eq!((unknown.code.as_str(), unknown.sub_code.as_deref()), ("40004", Some("ACQ.TRADE_NOT_EXIST")));
    let transaction = platform.pay(ChannelStyle::Alipay, "a-1").await;
    let paid = ask(gateway::Method::Query, "a-1").await;
    assert_eq!((paid.code.as_str(), paid.trade_status), ("10000", Some(TradeStatus::TradeSuccess)));
    assert_eq!(paid.paid().unwrap().transaction_id, transaction.transaction_id);
    let not_closed = ask(gateway::Method::Close, "a-1").await;
    assert_eq!(not_closed.sub_code.as_deref(), Some(gateway::TRADE_HAS_SUCCESS));
    assert_eq!(not_closed.paid(), paid.paid());
    for (amount, code) in [(1_235, "40004"), (1_234, "10000"), (1_234, "10000"), (1, "40004")] {
        assert_eq!(platform.gateway(gateway::Method::Refund, "a-1", Some(amount)).await.code, code, "{amount}");
    }

    for _ in 0..2 {
        let closed = ask(gateway::Method::Close, "a-2").await;
        assert_eq!((closed.code.as_str(), closed.trade_status), ("10000", Some(TradeStatus::TradeClosed)));
    }
    let late = platform.cashier(&platform.pay_params(ChannelStyle::Alipay, "a-2").await).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "nobody pays what is closed, seen before or not: {late:?}");
}

/// In both styles, before and after it is paid: nobody asks for, closes or refunds what he takes for another merchant's,
/// or in another currency. The refusal is signed, so that whoever asked may believe it.
#[tokio::test]
async fn an_order_is_its_own_merchants_in_its_own_currency() {
    let (_dir, program) = start(Algorithm::Ed25519);
    let platform = Platform::of(&program, NOWHERE);
    let others = || serde_json::json!({ "mchid": "another" }).to_string().into_bytes();
    let is_refused = |answered: http_support::Answered| {
        assert_eq!((answered.status, answered.code().as_str()), (StatusCode::BAD_REQUEST, "PARAM_ERROR"));
    };
    let gateway = async |method, number: &str| {
        let refund_amount_minor = (method == gateway::Method::Refund).then_some(1_234);
        let biz = BizContent { out_trade_no: number.to_owned(), merchant: "another".to_owned(), refund_amount_minor };
        let (signer, now_s) = (&platform.keys.merchant, http_support::now_s());
        let form = gateway::write_call(signer, method, &biz, now_s, &http_support::nonce());
        let answered = platform.send_form(form).await;
        let answer = gateway::read_answer(&platform.keys.channel, method, &answered.body).expect("a signed answer");
        assert_eq!((answer.code.as_str(), answer.sub_code.as_deref()), (gateway::REFUSED, Some("ACQ.PARAM_ERROR")));
    };
    let params = platform.pay_params(ChannelStyle::Wechat, "t-1").await;
    for is_paid in [false, true] {
        is_refused(platform.call(Method::GET, &query_path("t-1", "another"), Vec::new()).await);
        is_refused(platform.call(Method::POST, &close_path("t-1"), others()).await);
        gateway(gateway::Method::Query, "t-1").await;
        gateway(gateway::Method::Close, "t-1").await;
        if !is_paid {
            assert_eq!(platform.state("t-1").await.trade_state, State::NotPay);
            assert_eq!(platform.cashier(&params).await.status, StatusCode::OK);
        }
    }
    let whole = refund_body("t-1", 1_234);
    for (name, value) in
        [("mchid", "another".into()), ("amount", serde_json::json!({"refund": 1_234, "currency": "USD"}))]
    {
        let mut other: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        other[name] = value;
        is_refused(platform.call(Method::POST, REFUND, serde_json::to_vec(&other).unwrap()).await);
    }
    gateway(gateway::Method::Refund, "t-1").await;
    assert!(program.admin("/admin/ledger").await["items"][0].get("refunded").is_none());
    assert_eq!(platform.call(Method::POST, REFUND, whole).await.json()["status"], "SUCCESS");
}

/// The exception: before an Alipay-style order is paid the channel knows nothing of it, and so not whose it is.
#[tokio::test]
async fn an_order_that_only_its_parameters_tell_of_is_nobodys_until_it_is_paid() {
    let (_dir, program) = start(Algorithm::Ed25519);
    let platform = Platform::of(&program, NOWHERE);
    let anothers = async |method, number: &str| {
        let refund_amount_minor = (method == gateway::Method::Refund).then_some(1_234);
        let biz = BizContent { out_trade_no: number.to_owned(), merchant: "another".to_owned(), refund_amount_minor };
        let now_s = http_support::now_s();
        let form = gateway::write_call(&platform.keys.merchant, method, &biz, now_s, &http_support::nonce());
        let answered = platform.send_form(form).await;
        gateway::read_answer(&platform.keys.channel, method, &answered.body).expect("a signed answer")
    };
    let params = platform.pay_params(ChannelStyle::Alipay, "a-1").await;
    for method in [gateway::Method::Query, gateway::Method::Refund] {
        let unknown = anothers(method, "a-1").await;
        assert_eq!(unknown.sub_code.as_deref(), Some(gateway::TRADE_NOT_EXIST), "{method:?}");
    }
    assert_eq!(platform.cashier(&params).await.status, StatusCode::OK);
    for method in [gateway::Method::Query, gateway::Method::Close, gateway::Method::Refund] {
        let refused = anothers(method, "a-1").await;
        assert_eq!(refused.sub_code.as_deref(), Some("ACQ.PARAM_ERROR"), "{method:?}");
    }
    let params = platform.pay_params(ChannelStyle::Alipay, "a-2").await;
    assert_eq!(anothers(gateway::Method::Close, "a-2").await.trade_status, Some(TradeStatus::TradeClosed));
    assert_eq!(platform.cashier(&params).await.status, StatusCode::CONFLICT);
}

/// Parameters without a prepay id cannot turn a prepaid number into another order; for the same one they are taken.
#[tokio::test]
async fn a_prepaid_number_is_paid_as_what_was_prepaid_only() {
    let (_dir, program) = start(Algorithm::Ed25519);
    let platform = Platform::of(&program, NOWHERE);
    let same = Order {
        out_trade_no: "t-1",
        merchant: MERCHANT,
        order_no: "o-1",
        amount_minor: 1_234,
        currency: Currency::CNY,
        style: ChannelStyle::Alipay,
    };
    let pay = async |order| platform.cashier(&platform.params.pay_params(&order, None, &Wish::PLAIN).unwrap()).await;
    platform.prepay("t-1", None).await;
    for other in [
        Order { merchant: "another", ..same },
        Order { order_no: "another", ..same },
        Order { amount_minor: 1, ..same },
        Order { currency: Currency::from_code("USD").unwrap(), ..same },
    ] {
        assert_eq!(pay(other).await.status, StatusCode::BAD_REQUEST, "{other:?}");
    }
    assert_eq!(platform.state("t-1").await.trade_state, State::NotPay);
    assert_eq!(pay(same).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_closed_order_takes_neither_prepay_nor_payment() {
    let (_dir, program) = start(Algorithm::Ed25519);
    let platform = Platform::of(&program, NOWHERE);
    let params = platform.pay_params(ChannelStyle::Wechat, "t-1").await;
    let mchid = serde_json::json!({ "mchid": MERCHANT }).to_string().into_bytes();
    for _ in 0..2 {
        let closed = platform.call(Method::POST, &close_path("t-1"), mchid.clone()).await;
        assert_eq!(closed.status, StatusCode::NO_CONTENT, "{closed:?}");
    }
    assert_eq!(platform.state("t-1").await.trade_state, State::Closed);
    assert_eq!(platform.cashier(&params).await.status, StatusCode::CONFLICT);
    assert_eq!(platform.prepay("t-1", None).await.code(), "ORDER_CLOSED");
}

#[tokio::test]
async fn an_order_number_stands_for_one_order_wherever_its_server_moves() {
    let (_dir, program) = start(Algorithm::Ed25519);
    let (platform, moved) = (Platform::of(&program, NOWHERE), Platform::of(&program, "http://127.0.0.1:8/elsewhere"));
    let first = platform.prepay("t-1", None).await;
    assert_eq!(moved.prepay("t-1", None).await.body, first.body);
    let mut other: serde_json::Value = serde_json::from_slice(&platform.prepay_body("t-1", None)).unwrap();
    other["amount"]["total"] = 1.into();
    let refused = platform.call(Method::POST, PREPAY, serde_json::to_vec(&other).unwrap()).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "OUT_TRADE_NO_USED"));
    for (name, value) in [("notify_url", "https://x/y".into()), ("notify_url", "".into()), ("attempt", "1".into())] {
        let mut bad: serde_json::Value = serde_json::from_slice(&platform.prepay_body("t-2", None)).unwrap();
        let value: serde_json::Value = value;
        bad[name] = value;
        let refused = platform.call(Method::POST, PREPAY, serde_json::to_vec(&bad).unwrap()).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "PARAM_ERROR"), "{name}");
    }
}

/// Whatever byte is flipped in a signed call, by one bit: it is refused, and nothing comes of it.
#[tokio::test]
async fn every_flipped_byte_of_a_signed_call_is_refused() {
    for algorithm in Algorithm::ALL {
        let (_dir, program) = start(algorithm);
        let platform = Platform::of(&program, NOWHERE);
        let body = platform.prepay_body("t-1", None);
        let value = platform.authorization(&Method::POST, PREPAY, &body);
        for at in 0..body.len() {
            let mut flipped = body.clone();
            flipped[at] ^= 1 << (at % 8);
            let answered = platform.send_call(&Method::POST, PREPAY, &value, flipped).await;
            assert_eq!(answered.status, StatusCode::UNAUTHORIZED, "{algorithm}, body at {at}: {answered:?}");
        }
        for at in 0..value.len() {
            let mut flipped = value.clone().into_bytes();
            flipped[at] ^= 1 << (at % 8);
            let Some(flipped) = http::HeaderValue::from_bytes(&flipped).ok() else { continue };
            let request = Request::post(format!("{}{PREPAY}", program.public)).header("authorization", flipped);
            let answered = send(request, body.clone()).await;
            assert_eq!(answered.status, StatusCode::UNAUTHORIZED, "{algorithm}, header at {at}: {answered:?}");
        }
        let target = query_path("t-1", MERCHANT);
        let value = platform.authorization(&Method::GET, &target, b"");
        for at in 1..target.len() {
            let mut flipped = target.clone().into_bytes();
            flipped[at] ^= 1 << (at % 8);
            let Ok(flipped) = String::from_utf8(flipped) else { continue };
            let uri = format!("{}{flipped}", program.public);
            if uri.parse::<http::Uri>().is_err() || flipped.contains('#') {
                continue;
            }
            let answered = platform.send_call(&Method::GET, &flipped, &value, Vec::new()).await;
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&answered.status);
            assert!(refused && !answered.headers.contains_key("wechatpay-signature"), "{flipped}: {answered:?}");
        }
        let biz = BizContent { out_trade_no: "t-1".into(), merchant: MERCHANT.into(), refund_amount_minor: None };
        let (now_s, nonce) = (http_support::now_s(), http_support::nonce());
        let form = gateway::write_call(&platform.keys.merchant, gateway::Method::Close, &biz, now_s, &nonce);
        for at in 0..form.len() {
            let mut flipped = form.clone().into_bytes();
            flipped[at] ^= 1 << (at % 8);
            let answered = platform.send_form(flipped).await;
            assert_eq!(answered.json()["error_response"]["code"], "40002", "{algorithm}, form at {at}: {answered:?}");
        }
        assert_eq!(program.admin("/admin/ledger").await["items"].as_array().unwrap().len(), 0);
        assert_eq!(platform.send_form(form).await.json()["sign"].as_str().map(str::is_empty), Some(false));
    }
}

#[tokio::test]
async fn calls_of_others_and_of_other_times_are_refused() {
    let (_dir, program) = start(Algorithm::Ed25519);
    let platform = Platform::of(&program, NOWHERE);
    let body = platform.prepay_body("t-1", None);
    let call = Call { method: "POST", target: PREPAY, body: &body };
    let stranger = Signer::random(Algorithm::Ed25519, Purpose::PayParams).unwrap();
    let now_s = http_support::now_s();
    let own = &platform.keys.merchant;
    for (what, value) in [
        ("a stranger", authorize(&stranger, &call, now_s, &http_support::nonce())),
        ("stale", authorize(own, &call, now_s - 320, &http_support::nonce())),
        ("from the future", authorize(own, &call, now_s + 320, &http_support::nonce())),
        ("no nonce", authorize(own, &call, now_s, "")),
        ("unsigned", String::new()),
    ] {
        let answered = platform.send_call(&Method::POST, PREPAY, &value, body.clone()).await;
        assert_eq!((answered.status, answered.code().as_str()), (StatusCode::UNAUTHORIZED, "SIGN_ERROR"), "{what}");
    }
    let huge = platform.send_call(&Method::POST, PREPAY, "", vec![b'x'; 65_537]).await;
    assert_eq!(huge.status, StatusCode::PAYLOAD_TOO_LARGE);
    for path in ["/", "/admin/books", "/v3/pay/transactions/out-trade-no/t-1/close"] {
        assert_eq!(
            send(Request::get(format!("{}{path}", program.public)), Vec::new()).await.status,
            StatusCode::NOT_FOUND
        );
    }
    let forged = platform.pay_params(ChannelStyle::Alipay, "t-1").await.replace("1234", "1233");
    assert_eq!(platform.cashier(&forged).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(platform.cashier("{}").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn faults_are_asked_for_by_order_or_set_for_all_while_running() {
    let (_dir, program) = start(Algorithm::Ed25519);
    let platform = Platform::of(&program, NOWHERE);
    let simulate = |simulate| Some(simulate);
    let busy = platform.prepay("t-1", simulate(Simulate { fail_first: 1, ..Simulate::default() })).await;
    assert_eq!((busy.status, busy.code().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "SYSTEM_ERROR"));
    let refused = platform.prepay("t-2", simulate(Simulate { permanent: true, ..Simulate::default() })).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "NO_AUTH"));
    // The answer is lost and the effect is not.
    let body = platform.prepay_body("t-3", simulate(Simulate { lose_answer: 1, ..Simulate::default() }));
    let value = platform.authorization(&Method::POST, PREPAY, &body);
    let request = Request::post(format!("{}{PREPAY}", program.public)).header("authorization", value);
    try_send(request, body).await.expect_err("no answer");
    assert_eq!(platform.state("t-3").await.trade_state, State::NotPay);

    for (words, status, code) in [
        ("quiet,transient=100%,transient-codes=FREQUENCY_LIMITED", StatusCode::TOO_MANY_REQUESTS, "FREQUENCY_LIMITED"),
        ("quiet,permanent=100%,permanent-codes=ACCOUNT_ERROR", StatusCode::FORBIDDEN, "ACCOUNT_ERROR"),
        ("quiet,outage=0s..1h", StatusCode::SERVICE_UNAVAILABLE, "SYSTEM_ERROR"),
    ] {
        assert_eq!(program.set_profile(words).await.status, StatusCode::OK);
        let answered = platform.prepay("t-4", None).await;
        assert_eq!((answered.status, answered.code().as_str()), (status, code), "{words}");
    }
    let params = platform.pay_params(ChannelStyle::Alipay, "t-5").await;
    let down = platform.cashier(&params).await;
    assert_eq!((down.status, down.headers["retry-after"].as_bytes()), (StatusCode::SERVICE_UNAVAILABLE, &b"1"[..]));
    assert_eq!(platform.gateway(gateway::Method::Query, "t-3", None).await.code, gateway::UNAVAILABLE);
    let bad = program.set_profile("quiet,latenzy=1s").await;
    assert!(
        bad.status == StatusCode::UNPROCESSABLE_ENTITY && bad.json()["message"].as_str().unwrap().contains("latenzy")
    );
    assert_eq!(program.set_profile("quiet,slow-body=100%/80ms").await.status, StatusCode::OK);
    let slow = platform.prepay("t-4", None).await;
    assert_eq!(slow.status, StatusCode::OK);
    assert!(!slow.headers.contains_key("content-length"), "it comes in pieces: {slow:?}");
}

#[tokio::test]
async fn the_books_page_through_the_ledger_and_a_restart_keeps_it() {
    let (dir, program) = start(Algorithm::Ed25519);
    let platform = Platform::of(&program, NOWHERE);
    for style in STYLES {
        for number in 0..3 {
            platform.pay(style, &format!("{}-{number}", style.name())).await;
        }
    }
    let before = platform.prepay("wechat-0", None).await.body;
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let page = program.admin(&format!("/admin/ledger?limit=4{after}")).await;
        let items = page["items"].as_array().unwrap();
        names.extend(items.iter().map(|row| row["out_trade_no"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(names, ["alipay-0", "alipay-1", "alipay-2", "wechat-0", "wechat-1", "wechat-2"]);
    let metrics = send(Request::get(format!("{}/metrics", program.admin)), Vec::new()).await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains(r#"payrig_channel_calls_total{call="Cashier",outcome="Success"} 6"#), "{text}");
    program.kill();

    // Another seed behind the faults changes no id.
    let program = Program::start(&dir.path().join("data"), &["--profile", "quiet,seed=99"]);
    let platform = Platform::of(&program, NOWHERE);
    assert_eq!(platform.prepay("wechat-0", None).await.body, before);
    assert_eq!(platform.state("wechat-1").await.trade_state, State::Success);
    assert_eq!(program.stop(), Some(0));
}
