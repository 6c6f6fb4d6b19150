//! A server that speaks the contract from memory, quickly and without any promise, for tests of the harness.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test's helper, which several programs use in part"
)]

mod orders;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How the stub behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// From acceptance to the outcome.
    pub settle: Duration,
    /// From paying to shown as paid.
    pub notice: Duration,
    /// Whether payments name a cashier.
    pub has_cashier: bool,
    /// Each reply is held back so long.
    pub delay: Duration,
    /// Every n-th request is answered 500; 0: none.
    pub fail_every: u64,
    /// Whoever calls without this key gets 401, but for the cashier, where whoever calls with one gets 400.
    pub key: Option<&'static str>,
    /// Whether the parcels of an order sum to less than was paid.
    pub loses_cents: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(30),
            notice: Duration::from_millis(30),
            has_cashier: true,
            delay: Duration::ZERO,
            fail_every: 0,
            key: None,
            loses_cents: false,
        }
    }
}

#[derive(Default)]
struct Task {
    order_no: String,
    round: u8,
    accepted_us: u64,
    is_permanent: bool,
    failing_rounds: u8,
    is_cancelled: bool,
    is_closed: bool,
    paid_us: Option<u64>,
}

#[derive(Default)]
struct Books {
    tasks: HashMap<String, Task>,
    keys: HashMap<String, String>,
    requests: u64,
    orders: orders::Orders,
}

/// A stub server of its own thread; it is gone when this value goes.
pub struct Stub {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Stub {
    /// Starts one on a free port.
    pub fn start(behaviour: Behaviour) -> Self {
        let (announce, announced) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                announce.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, behaviour) => {}
                    _ = stopped => {}
                }
            });
            // Dropping the runtime drops the listener and every connection: the server is gone.
        });
        Self { address: announced.recv().unwrap(), stop: Some(stop) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets it vanish.
    pub fn stop(mut self) {
        drop(self.stop.take());
    }
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, behaviour: Behaviour) {
    let books = Arc::new(Mutex::new(Books::default()));
    let address = listener.local_addr().unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let books = Arc::clone(&books);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let books = Arc::clone(&books);
                async move {
                    let method = request.method().clone();
                    let path = request.uri().path().to_owned();
                    let key = request.headers().get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
                    let given = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
                    let body = request.into_body().collect().await?.to_bytes();
                    if !behaviour.delay.is_zero() {
                        tokio::time::sleep(behaviour.delay).await;
                    }
                    let mut books = books.lock().unwrap();
                    let (status, body) = match unauthorized(behaviour, &path, given.as_deref()) {
                        Some(status) => (status, json!({"type": "urn:payrig:problem:unauthorized"})),
                        None => answer(&mut books, behaviour, address, (&method, &path), key, &body),
                    };
                    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
                    *response.status_mut() = StatusCode::from_u16(status).unwrap();
                    Ok::<_, hyper::Error>(response)
                }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn now_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn answer(
    books: &mut Books,
    behaviour: Behaviour,
    address: SocketAddr,
    (method, path): (&Method, &str),
    key: Option<String>,
    body: &[u8],
) -> (u16, Value) {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts == ["readyz"] {
        return (200, json!({}));
    }
    books.requests += 1;
    if behaviour.fail_every > 0 && books.requests.is_multiple_of(behaviour.fail_every) {
        return (500, json!({"type": "urn:payrig:problem:internal"}));
    }
    match (method.as_str(), parts.as_slice()) {
        ("POST", ["v1", "pay-tasks"]) => submit(books, behaviour, address, key, &body),
        ("GET", ["v1", "pay-tasks", id]) => match books.tasks.get(*id) {
            Some(task) => (200, show(id, task, behaviour, address)),
            None => not_found(),
        },
        ("POST", ["v1", "pay-tasks", id, what]) => change(books, behaviour, address, id, what),
        (method, ["v1", "orders", path @ ..]) => books.orders.answer(method, path, &body, behaviour.loses_cents),
        ("POST", ["cashier"]) => pay(books, &body),
        _ => not_found(),
    }
}

fn unauthorized(behaviour: Behaviour, path: &str, given: Option<&str>) -> Option<u16> {
    let key = given.and_then(|given| given.strip_prefix("Bearer "));
    match path {
        "/cashier" => given.map(|_| 400),
        "/readyz" => None,
        _ => (behaviour.key.is_some() && key != behaviour.key).then_some(401),
    }
}

fn not_found() -> (u16, Value) {
    (404, json!({"type": "urn:payrig:problem:not-found"}))
}

fn submit(
    books: &mut Books,
    behaviour: Behaviour,
    address: SocketAddr,
    key: Option<String>,
    body: &Value,
) -> (u16, Value) {
    let Some(key) = key else { return (400, json!({"type": "urn:payrig:problem:bad-header"})) };
    let known = books.keys.get(&key).cloned();
    let id = known.unwrap_or_else(|| format!("01STUB{:020}", books.tasks.len()));
    if books.keys.insert(key, id.clone()).is_none() {
        let wish = &body["simulate"];
        let retries = body["task_info"]["retry_times"].as_u64().unwrap_or(3);
        let is_retried = body["task_info"]["need_retry"].as_bool().unwrap_or(true);
        let fails = wish["fail_first"].as_u64().unwrap_or(0);
        let task = Task {
            order_no: body["order_no"].as_str().unwrap_or_default().to_owned(),
            round: 1,
            accepted_us: now_us(),
            is_permanent: wish["permanent"].as_bool().unwrap_or(false),
            failing_rounds: u8::from(fails > if is_retried { retries } else { 0 }),
            ..Task::default()
        };
        books.tasks.insert(id.clone(), task);
    }
    (202, show(&id, &books.tasks[&id], behaviour, address))
}

fn change(books: &mut Books, behaviour: Behaviour, address: SocketAddr, id: &str, what: &str) -> (u16, Value) {
    let Some(task) = books.tasks.get_mut(id) else { return not_found() };
    let state = state_of(task, behaviour);
    match (what, state) {
        ("retry", "failed") => {
            task.round += 1;
            task.accepted_us = now_us();
            (202, show(id, task, behaviour, address))
        }
        ("cancel", "succeeded") if task.paid_us.is_none() => {
            task.is_closed = true;
            (200, show(id, task, behaviour, address))
        }
        ("cancel", "running") => {
            task.is_cancelled = true;
            (200, show(id, task, behaviour, address))
        }
        _ => (409, json!({"type": "urn:payrig:problem:wrong-state"})),
    }
}

fn pay(books: &mut Books, body: &Value) -> (u16, Value) {
    let Some(task) = body["task"].as_str().and_then(|id| books.tasks.get_mut(id)) else {
        return (400, json!({"type": "urn:payrig:problem:invalid-field"}));
    };
    if task.is_closed {
        return (409, json!({"type": "urn:payrig:problem:wrong-state"}));
    }
    task.paid_us.get_or_insert_with(now_us);
    books.orders.paid(&task.order_no);
    (200, json!({"transaction_id": format!("tx-{}", body["task"].as_str().unwrap_or_default())}))
}

fn state_of(task: &Task, behaviour: Behaviour) -> &'static str {
    if task.is_cancelled {
        "cancelled"
    } else if now_us() < settled_us(task, behaviour) {
        "running"
    } else if task.is_permanent || task.round <= task.failing_rounds {
        "failed"
    } else {
        "succeeded"
    }
}

fn settled_us(task: &Task, behaviour: Behaviour) -> u64 {
    task.accepted_us + u64::try_from(behaviour.settle.as_micros()).unwrap()
}

fn show(id: &str, task: &Task, behaviour: Behaviour, address: SocketAddr) -> Value {
    let state = state_of(task, behaviour);
    let mut shown = json!({"task_id": id, "state": state, "round": task.round, "attempt": task.round});
    shown["accepted_at"] = json!(task.accepted_us);
    if matches!(state, "succeeded" | "failed") {
        let settle_us = settled_us(task, behaviour) - task.accepted_us;
        shown["settled_at"] = json!(settled_us(task, behaviour));
        shown["queue_wait_us"] = json!(settle_us / 10);
        shown["channel_us"] = json!(settle_us / 2);
        shown["retry_wait_us"] = json!(0);
        shown["own_us"] = json!(settle_us - settle_us / 10 - settle_us / 2);
    }
    let mut reply = json!({ "task": shown });
    if state == "succeeded" {
        let notice_us = u64::try_from(behaviour.notice.as_micros()).unwrap();
        let paid_us = task.paid_us.filter(|paid_us| now_us() >= paid_us + notice_us);
        let payment_state = match (task.is_closed, paid_us) {
            (true, _) => "closed",
            (false, Some(_)) => "paid",
            (false, None) => "awaiting_payer",
        };
        let mut params = json!({ "task": id });
        if behaviour.has_cashier {
            params["cashier_url"] = json!(format!("http://{address}/cashier"));
        }
        reply["payment"] = json!({
            "payment_no": format!("{id}-{}", task.round), "state": payment_state, "pay_params": params, "paid_at": paid_us,
        });
    }
    reply
}
