//! What the black-box tests share: the program as a child process, a platform that calls it, and a server that takes its
//! notifications.

#![allow(dead_code, reason = "each test uses the part that it needs")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod receiver;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use payrig_api::{ChannelStyle, Currency, Simulate, Transaction};
use payrig_channel::keys::PlatformKeys;
use payrig_channel::wire::authorization::{Call, authorize, check_answer};
use payrig_channel::wire::gateway::{self, BizContent, GatewayAnswer};
use payrig_channel::wire::wechat::{Amount, PrepayAnswer, PrepayCall, QueryAnswer};
use payrig_channel::wire::{CASHIER, GATEWAY, PREPAY, query_path};
use payrig_channel::{Order, PayParamsWriter, PrepayId, Wish};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const MERCHANT: &str = "m 1&x=\"y\\";
pub(crate) const STYLES: [ChannelStyle; 2] = [ChannelStyle::Alipay, ChannelStyle::Wechat];

/// The program, which is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) public: String,
    pub(crate) admin: String,
    pub(crate) data: PathBuf,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_else(|| panic!("no code: {self:?}")).to_owned()
    }
}

impl Program {
    /// On this data folder and free ports.
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_payrig-channel"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--print-address", "--data-dir"])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the program says where it listens").unwrap();
        let public = first.strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}")).to_owned();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let admin = errors
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("admin books on ")?.1.strip_suffix("/admin/books")?.to_owned()));
        // The pipe is read on, so that the program never waits for it.
        std::thread::spawn(move || errors.map_while(Result::ok).for_each(|line| eprintln!("program: {line}")));
        Self { child, public, admin: admin.expect("the program says where its books are"), data: data.to_owned() }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to stop and waits until it has; its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn admin(&self, path: &str) -> Value {
        let answered = send(Request::get(format!("{}{path}", self.admin)), Vec::new()).await;
        assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
        answered.json()
    }

    pub(crate) async fn set_profile(&self, words: &str) -> Answered {
        send(Request::put(format!("{}/admin/profile", self.admin)), words.into()).await
    }

    /// Asks the books until none of its notifications waits, for a repeat or otherwise, or is under way.
    pub(crate) async fn quiesced(&self) {
        loop {
            let books = self.admin("/admin/books").await;
            if books["notifications_pending"] == 0 && books["notifications_repeating"] == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One exchange on a connection of its own pool.
pub(crate) async fn send(request: http::request::Builder, body: Vec<u8>) -> Answered {
    try_send(request, body).await.expect("an answer")
}

pub(crate) async fn try_send(
    request: http::request::Builder,
    body: Vec<u8>,
) -> Result<Answered, hyper_util::client::legacy::Error> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.body(Full::new(Bytes::from(body))).unwrap()).await?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Ok(Answered { status: head.status, headers: head.headers, body })
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Letters and digits, never the same twice.
pub(crate) fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The platform: calls the channel, signs parameters.
pub(crate) struct Platform {
    pub(crate) keys: PlatformKeys,
    pub(crate) channel: String,
    pub(crate) params: PayParamsWriter,
    pub(crate) notify_url: String,
}

impl Platform {
    pub(crate) fn of(program: &Program, notify_url: &str) -> Self {
        let keys = PlatformKeys::load(&program.data.join("keys")).unwrap();
        let cashier = format!("{}{CASHIER}", program.public);
        let params = PayParamsWriter::new(keys.merchant.clone(), &cashier, notify_url);
        Self { keys, channel: program.public.clone(), params, notify_url: notify_url.to_owned() }
    }

    /// One signed call in WeChat style; checks the answer's signature.
    pub(crate) async fn call(&self, method: Method, target: &str, body: Vec<u8>) -> Answered {
        let value = self.authorization(&method, target, &body);
        let answered = self.send_call(&method, target, &value, body).await;
        let header = |name: &str| answered.headers.get(name).and_then(|value| value.to_str().ok());
        check_answer(header, &answered.body, &self.keys.channel, now_s()).expect("a signed answer");
        answered
    }

    pub(crate) fn authorization(&self, method: &Method, target: &str, body: &[u8]) -> String {
        let call = Call { method: method.as_str(), target, body };
        authorize(&self.keys.merchant, &call, now_s(), &nonce())
    }

    pub(crate) async fn send_call(&self, method: &Method, target: &str, value: &str, body: Vec<u8>) -> Answered {
        let request = Request::builder().method(method).uri(format!("{}{target}", self.channel));
        send(request.header("authorization", value), body).await
    }

    pub(crate) fn prepay_body(&self, out_trade_no: &str, simulate: Option<Simulate>) -> Vec<u8> {
        let call = PrepayCall {
            mchid: MERCHANT.into(),
            out_trade_no: out_trade_no.into(),
            order_no: "o-1".into(),
            amount: Amount { total: 1_234, currency: Currency::CNY },
            notify_url: self.notify_url.as_str().into(),
            attempt: 1,
            simulate,
        };
        serde_json::to_vec(&call).unwrap()
    }

    pub(crate) async fn prepay(&self, out_trade_no: &str, simulate: Option<Simulate>) -> Answered {
        self.call(Method::POST, PREPAY, self.prepay_body(out_trade_no, simulate)).await
    }

    pub(crate) async fn query(&self, out_trade_no: &str) -> Answered {
        self.call(Method::GET, &query_path(out_trade_no, MERCHANT), Vec::new()).await
    }

    pub(crate) async fn gateway(
        &self,
        method: gateway::Method,
        out_trade_no: &str,
        amount: Option<u64>,
    ) -> GatewayAnswer {
        let biz = BizContent {
            out_trade_no: out_trade_no.to_owned(),
            merchant: MERCHANT.to_owned(),
            refund_amount_minor: amount,
        };
        let form = gateway::write_call(&self.keys.merchant, method, &biz, now_s(), &nonce());
        let answered = self.send_form(form).await;
        gateway::read_answer(&self.keys.channel, method, &answered.body).unwrap_or_else(|error| {
            panic!("{error}: {answered:?}");
        })
    }

    pub(crate) async fn send_form(&self, form: impl Into<Vec<u8>>) -> Answered {
        let request = Request::post(format!("{}{GATEWAY}", self.channel));
        send(request.header("content-type", "application/x-www-form-urlencoded"), form.into()).await
    }

    /// The parameters of an order, after its prepay in WeChat style.
    pub(crate) async fn pay_params(&self, style: ChannelStyle, out_trade_no: &str) -> String {
        let prepay = match style {
            ChannelStyle::Alipay => None,
            ChannelStyle::Wechat => {
                let answered = self.prepay(out_trade_no, None).await;
                let answer: PrepayAnswer = serde_json::from_slice(&answered.body).unwrap();
                Some(PrepayId::from(answer.prepay_id))
            }
        };
        let order = Order {
            out_trade_no,
            merchant: MERCHANT,
            order_no: "o-1",
            amount_minor: 1_234,
            currency: Currency::CNY,
            style,
        };
        self.params.pay_params(&order, prepay.as_ref(), &Wish::PLAIN).unwrap()
    }

    pub(crate) async fn cashier(&self, params: &str) -> Answered {
        send(Request::post(format!("{}{CASHIER}", self.channel)), params.into()).await
    }

    /// Everything up to the payment.
    pub(crate) async fn pay(&self, style: ChannelStyle, out_trade_no: &str) -> Transaction {
        let params = self.pay_params(style, out_trade_no).await;
        let answered = self.cashier(&params).await;
        assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
        serde_json::from_slice(&answered.body).unwrap()
    }

    pub(crate) async fn state(&self, out_trade_no: &str) -> QueryAnswer {
        serde_json::from_slice(&self.query(out_trade_no).await.body).unwrap()
    }
}
