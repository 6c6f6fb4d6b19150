//! What a channel would send, written by another hand than its own, and a server to send it to.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part, and a test fails by panicking")]

use std::{
    path::PathBuf,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use payrig_api::ChannelStyle;
use payrig_channel::{
    Algorithm, Signer,
    keys::{self, ChannelKeys},
};
use serde_json::Value;

use crate::support::{
    Connection, Reply, Server, client::request, escaped, openmetrics::Metrics, payer::submission, until,
};

/// A server whose channel is nowhere, and the channel's key.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) key: Signer,
    folder: tempfile::TempDir,
    connection: Mutex<Connection>,
}

/// What is told of a payment.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) out_trade_no: String,
    pub(crate) merchant: String,
    pub(crate) amount_minor: u64,
    pub(crate) currency: String,
    pub(crate) transaction_id: String,
}

/// A notification as a request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl News {
    /// That the first round of a task of this submission was paid.
    pub(crate) fn of(task_id: &str, submission: &Value) -> Self {
        Self {
            out_trade_no: format!("{task_id}-1"),
            merchant: "default".to_owned(),
            amount_minor: submission["amount_minor"].as_u64().unwrap(),
            currency: submission["currency"].as_str().unwrap().to_owned(),
            transaction_id: format!("42{}", &nonce()[..26]),
        }
    }

    pub(crate) fn task_id(&self) -> &str {
        self.out_trade_no.split_once('-').unwrap().0
    }
}

impl Rig {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        keys::make(&keys, algorithm).unwrap();
        // Nobody ever listens on port 1.
        let arguments = ["--channel", "http://127.0.0.1:1", "--channel-keys", keys.to_str().unwrap()];
        let server = Server::start(&arguments);
        let connection = Mutex::new(server.connect());
        Self { server, key: ChannelKeys::load(&keys).unwrap().own, folder, connection }
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// The news of a payment that waits for its payer. In Alipay style no channel is needed to make one.
    pub(crate) fn payment(&self) -> News {
        let body = submission("alipay");
        let id = self.server.accepted(&body);
        self.server.wait_for(&id, "succeeded");
        News::of(&id, &body)
    }

    /// Signed now, with a nonce of its own, by the channel's key.
    pub(crate) fn signed(&self, style: ChannelStyle, news: &News) -> Request {
        self.sign(style, news, &self.key, now_s(), &nonce())
    }

    pub(crate) fn sign(&self, style: ChannelStyle, news: &News, key: &Signer, at_s: u64, nonce: &str) -> Request {
        sign(style, news, key, at_s, nonce)
    }

    pub(crate) fn send(&self, request: &Request) -> Reply {
        self.try_send(request).unwrap_or_else(|error| panic!("{error}: {request:?}"))
    }

    /// Sends on the kept-alive connection; a new one follows where the server closes it.
    pub(crate) fn try_send(&self, request: &Request) -> std::io::Result<Reply> {
        let mut connection = self.connection.lock().unwrap();
        let reply = send(&mut connection, request);
        let is_over =
            reply.as_ref().map_or(true, |reply| reply.status == 400 || reply.header("connection") == Some("close"));
        if is_over {
            *connection = self.server.connect();
        }
        reply
    }

    /// It is refused without a word of why, and nothing has come of it.
    pub(crate) fn refuses(&self, reply: &Reply, news: &News) {
        let problem = reply.problem(401, "unauthorized");
        assert_eq!(problem.as_object().unwrap().len(), 3, "no detail: {problem}");
        assert_eq!(self.server.task(news.task_id())["payment"]["state"], "awaiting_payer");
    }

    pub(crate) fn metric(&self, series: &str) -> f64 {
        Metrics::read(&self.server.get("/metrics").text()).get(series)
    }

    /// How many were rejected for this reason.
    pub(crate) fn rejected(&self, reason: &str) -> f64 {
        self.metric(&format!("payrig_notices_rejected_total{{name=\"{reason}\"}}"))
    }

    /// Waits until no notice is left.
    pub(crate) fn is_worked_off(&self) -> bool {
        until("the notices to be worked off", || self.server.book("/admin/books/notices").is_empty().then_some(true))
    }
}

pub(crate) fn send(connection: &mut Connection, notification: &Request) -> std::io::Result<Reply> {
    let headers: Vec<(&str, &str)> =
        notification.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    connection.try_send(&request("POST", &notification.path, &headers, &notification.body));
    connection.try_reply("POST")
}

impl Request {
    /// How many bytes the signature must protect: of the headers' values and of the body.
    pub(crate) fn flippable(&self) -> usize {
        self.headers.iter().map(|(_, value)| value.len()).sum::<usize>() + self.body.len()
    }

    /// The same with these bits of one byte flipped. A header that is no text any more is sent as it is.
    pub(crate) fn flipped(&self, at: usize, bits: u8) -> Self {
        let mut other = self.clone();
        let mut at = at;
        for (_, value) in &mut other.headers {
            if at < value.len() {
                let mut bytes = value.clone().into_bytes();
                bytes[at] ^= bits;
                // Only bytes of seven bits come here as text; the others go into the place of a letter that is none.
                *value = String::from_utf8(bytes).unwrap_or_else(|_| value.replace(|_: char| true, "?"));
                return other;
            }
            at -= value.len();
        }
        other.body[at] ^= bits;
        other
    }

    /// The same under another serial, whatever that does to it.
    pub(crate) fn with_serial(&self, key: &Signer, serial: &str) -> Self {
        let mut other = self.clone();
        for (_, value) in other.headers.iter_mut().filter(|(_, value)| *value == key.serial()) {
            *value = serial.to_owned();
        }
        other.body = String::from_utf8(other.body).unwrap().replace(key.serial(), serial).into_bytes();
        other
    }

    /// The same without a signature.
    pub(crate) fn unsigned(&self) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Wechatpay-Signature"));
        let body = String::from_utf8(other.body).unwrap();
        let fields: Vec<&str> = body.split('&').filter(|field| !field.starts_with("sign=")).collect();
        other.body = fields.join("&").into_bytes();
        other
    }
}

/// Signed by this key, at this second, with this nonce.
pub(crate) fn sign(style: ChannelStyle, news: &News, key: &Signer, at_s: u64, nonce: &str) -> Request {
    match style {
        ChannelStyle::Alipay => alipay(news, key, at_s, nonce),
        ChannelStyle::Wechat => wechat(news, key, at_s, nonce),
    }
}

fn wechat(news: &News, key: &Signer, at_s: u64, nonce: &str) -> Request {
    let body = format!(
        "{{\"id\":\"{}\",\"event_type\":\"TRANSACTION.SUCCESS\",\"resource\":{{\"mchid\":\"{}\",\"out_trade_no\":\"{}\",\
         \"transaction_id\":\"{}\",\"trade_state\":\"SUCCESS\",\"success_time_us\":{},\"amount\":{{\"total\":{},\
         \"currency\":\"{}\"}}}}}}",
        self::nonce(),
        news.merchant,
        news.out_trade_no,
        news.transaction_id,
        at_s * 1_000_000,
        news.amount_minor,
        news.currency
    );
    let mut signature = String::new();
    key.sign_into(&[format!("{at_s}\n{nonce}\n{body}\n").as_bytes()], &mut signature);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Request {
        path: "/v1/notify/wechat".to_owned(),
        headers: vec![
            header("Wechatpay-Timestamp", &at_s.to_string()),
            header("Wechatpay-Nonce", nonce),
            header("Wechatpay-Serial", key.serial()),
            header("Wechatpay-Signature", &signature),
        ],
        body: body.into_bytes(),
    }
}

fn alipay(news: &News, key: &Signer, at_s: u64, nonce: &str) -> Request {
    let (amount, time) = (news.amount_minor.to_string(), at_s.to_string());
    let paid = (at_s * 1_000_000).to_string();
    let mut fields = vec![
        ("trade_status", "TRADE_SUCCESS"),
        ("trade_no", &news.transaction_id),
        ("seller_id", &news.merchant),
        ("out_trade_no", &news.out_trade_no),
        ("notify_type", "trade_status_sync"),
        ("notify_time_s", &time),
        ("notify_id", nonce),
        ("nonce", nonce),
        ("gmt_payment_us", &paid),
        ("currency", &news.currency),
        ("cert_serial", key.serial()),
        ("amount_minor", &amount),
    ];
    fields.sort_unstable();
    let unreserved =
        |text: &str| escaped(text).replace("%2D", "-").replace("%2E", ".").replace("%5F", "_").replace("%7E", "~");
    let signed: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", unreserved(value))).collect();
    let signed = signed.join("&");
    let mut signature = String::new();
    key.sign_into(&[signed.as_bytes()], &mut signature);
    let body = format!("{signed}&sign={}&sign_type={}", unreserved(&signature), key.algorithm().name());
    Request { path: "/v1/notify/alipay".to_owned(), headers: Vec::new(), body: body.into_bytes() }
}

/// Never the same twice.
pub(crate) fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Seconds since the Unix epoch.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
