//! What the program serves: WeChat-style payments (prepay, cashier, notification) over kept connections, and how much
//! CPU of the program each costs (`cargo build --release -p payrig-channel --bins --examples`, then
//! `target/release/examples/load target/release/payrig-channel [hmac-sha256|ed25519|rsa-sha256] [SECONDS] [FLAGS OF THE PROGRAM]`).
//!
//! The load shares the machine with the program and signs as a server would: the rate is a floor, the CPU is the
//! program's own.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example tells what it found, and stops where it fails"
)]

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use payrig_api::{ChannelStyle, Currency};
use payrig_channel::keys::PlatformKeys;
use payrig_channel::wire::authorization::{Call, authorize};
use payrig_channel::wire::wechat::{Amount, PrepayAnswer, PrepayCall};
use payrig_channel::wire::{CASHIER, PREPAY};
use payrig_channel::{Order, PayParamsWriter, PrepayId, Wish};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: u64 = 64;

/// The program, which ends with this one.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Run {
    params: PayParamsWriter,
    notify_url: String,
    paid: AtomicU64,
    told: AtomicU64,
    until: Instant,
}

async fn post(sender: &mut SendRequest<Full<Bytes>>, path: &str, authorization: &str, body: Vec<u8>) -> Bytes {
    let request = Request::post(path).header("host", "channel").header("authorization", authorization);
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    answer.into_body().collect().await.unwrap().to_bytes()
}

async fn payer(run: Arc<Run>, address: String, number: u64) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for payment in 0.. {
        if Instant::now() >= run.until {
            return;
        }
        let out_trade_no = format!("p-{number}-{payment}");
        let call = PrepayCall {
            mchid: "default".into(),
            out_trade_no: out_trade_no.as_str().into(),
            order_no: "order-1".into(),
            amount: Amount { total: 1_234, currency: Currency::CNY },
            notify_url: run.notify_url.as_str().into(),
            attempt: 1,
            simulate: None,
        };
        let body = serde_json::to_vec(&call).unwrap();
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let signed = Call { method: "POST", target: PREPAY, body: &body };
        let authorization = authorize(run.params.signer(), &signed, now_s, &out_trade_no.replace('-', "x"));
        let answer: PrepayAnswer =
            serde_json::from_slice(&post(&mut sender, PREPAY, &authorization, body).await).unwrap();
        let order = Order {
            out_trade_no: &out_trade_no,
            merchant: "default",
            order_no: "order-1",
            amount_minor: 1_234,
            currency: Currency::CNY,
            style: ChannelStyle::Wechat,
        };
        let prepay = PrepayId::from(answer.prepay_id);
        let params = run.params.pay_params(&order, Some(&prepay), &Wish::PLAIN).unwrap();
        post(&mut sender, CASHIER, "", params.into_bytes()).await;
        run.paid.fetch_add(1, Relaxed);
    }
}

/// Takes every notification.
async fn server(listener: TcpListener, run: Arc<Run>) {
    while let Ok((stream, _)) = listener.accept().await {
        let run = Arc::clone(&run);
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let run = Arc::clone(&run);
            async move {
                let _ = request.into_body().collect().await;
                run.told.fetch_add(1, Relaxed);
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"success"))))
            }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// User and system time of a process so far, in seconds, from /proc/PID/stat in ticks of 10 ms.
fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let program = arguments.first().expect("the path of payrig-channel");
    let algorithm = arguments.get(1).map_or("hmac-sha256", String::as_str);
    let seconds = arguments.get(2).map_or(5, |seconds| seconds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut child = Program(
        Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--print-address", "--profile", "quiet", "--signature", algorithm])
            .arg("--data-dir")
            .arg(dir.path())
            .args(arguments.iter().skip(3))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let first = BufReader::new(child.0.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let address = first.strip_prefix("listening on http://").unwrap().to_owned();
    let keys = PlatformKeys::load(&dir.path().join("keys")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let notify_url = format!("http://{}/v1/notify/wechat", listener.local_addr().unwrap());
    let params = PayParamsWriter::new(keys.merchant, &format!("http://{address}{CASHIER}"), &notify_url);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (paid, told) = (AtomicU64::new(0), AtomicU64::new(0));
    let run = Arc::new(Run { params, notify_url, paid, told, until });
    tokio::spawn(server(listener, Arc::clone(&run)));
    let before = cpu_s(child.0.id());
    let start = Instant::now();
    let payers: Vec<_> =
        (0..CONNECTIONS).map(|number| tokio::spawn(payer(Arc::clone(&run), address.clone(), number))).collect();
    for payer in payers {
        payer.await.unwrap();
    }
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), cpu_s(child.0.id()) - before);
    let paid = run.paid.load(Relaxed) as f64;
    println!(
        "{algorithm}: {:.0} payments/s, {} of {paid} told by then, {:.0} us of the program's CPU a payment",
        paid / elapsed,
        run.told.load(Relaxed),
        cpu * 1e6 / paid
    );
}
