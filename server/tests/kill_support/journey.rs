//! One payer's journey, written down as it goes: submit (again with the same key after a broken connection), poll, pay
//! (perhaps twice), cancel, retry by hand.

use std::time::Duration;

use payrig_api::{PaymentState, TaskState};
use payrig_audit::{Cashier, Shown, Submitted};
use rand::{Rng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use super::client::{Answer, Client, Up};

/// Whom a payer talks to.
#[derive(Clone)]
pub(crate) struct Ways {
    /// The server.
    pub(crate) server: watch::Receiver<Up>,
    /// Whoever has the cashier.
    pub(crate) cashier: watch::Receiver<Up>,
    /// And its path there.
    pub(crate) cashier_path: &'static str,
}

/// Polls after having paid before the payer loses patience: a lost notification is made up for only by the sweeper.
const POLLS_PAID: u32 = 25;
/// Times that an accepted task is unknown before the payer believes it.
const UNKNOWN: u32 = 20;
/// Sendings of one submission at most.
const SENDINGS: u32 = 40;

/// What a payer means to do.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) body: Value,
    pub(crate) key: Option<String>,
    /// Sends it twice at the same time.
    pub(crate) double_click: bool,
    /// Sends another submission of the same order too.
    pub(crate) rival: bool,
    /// Pays so many times; not at all: abandons it.
    pub(crate) pays: u32,
    /// Cancels after so many polls.
    pub(crate) cancels_after: Option<u32>,
    /// Asks for a retry of what failed so many times.
    pub(crate) retries: u32,
    /// Between two polls, in milliseconds.
    pub(crate) poll_every_ms: u64,
}

impl Intent {
    /// One of many.
    pub(crate) fn random(random: &mut StdRng, order_no: &str) -> Self {
        let mut simulate = serde_json::Map::new();
        if random.random_bool(0.15) {
            simulate.insert("fail_first".to_owned(), json!(random.random_range(1..=3)));
        }
        if random.random_bool(0.06) {
            simulate.insert("permanent".to_owned(), json!(true));
        }
        if random.random_bool(0.06) {
            simulate.insert("lose_answer".to_owned(), json!(1));
        }
        if random.random_bool(0.1) {
            simulate.insert("drop_notification".to_owned(), json!(true));
        }
        if random.random_bool(0.2) {
            simulate.insert("latency_ms".to_owned(), json!(random.random_range(1..600)));
        }
        let mut body = json!({
            "order_no": order_no,
            "amount_minor": random.random_range(1..1_000_000),
            "currency": "CNY",
            "channel": if random.random_bool(0.5) { "alipay" } else { "wechat" },
            "task_info": { "need_retry": random.random_bool(0.9), "retry_times": random.random_range(0..=3) },
        });
        if !simulate.is_empty() {
            body["simulate"] = simulate.into();
        }
        // Some bring their order along.
        if random.random_bool(0.3) {
            let price = body["amount_minor"].clone();
            body["items"] = json!([{ "sku": "thing", "quantity": 1, "unit_price_minor": price, "seller": "shop" }]);
        }
        Self {
            body,
            key: random.random_bool(0.85).then(|| format!("key-{order_no}")),
            double_click: random.random_bool(0.15),
            rival: random.random_bool(0.1),
            pays: *[0, 1, 1, 1, 1, 2].get(random.random_range(0..6)).unwrap_or(&1),
            cancels_after: random.random_bool(0.25).then(|| random.random_range(0..6)),
            retries: random.random_range(0..=2),
            poll_every_ms: random.random_range(3..120),
        }
    }

    fn submitted(&self, key: Option<String>) -> Submitted {
        Submitted {
            order_no: self.body["order_no"].as_str().unwrap_or_default().to_owned(),
            amount_minor: self.body["amount_minor"].as_u64().unwrap_or_default(),
            currency: self.body["currency"].as_str().unwrap_or_default().to_owned(),
            key,
            ..Submitted::default()
        }
    }
}

/// A payer on its way.
pub(crate) struct Journey {
    intent: Intent,
    client: Client,
    second: Client,
    cashier: Client,
    cashier_path: &'static str,
    log: Submitted,
    rival: Option<Submitted>,
    polls_paid: u32,
    /// Answers that the contract does not allow.
    pub(crate) odd: Vec<String>,
}

impl Journey {
    pub(crate) fn new(intent: Intent, ways: &Ways) -> Self {
        let log = intent.submitted(intent.key.clone());
        let server = || Client::new(ways.server.clone());
        let (client, second, cashier) = (server(), server(), Client::new(ways.cashier.clone()));
        let cashier_path = ways.cashier_path;
        Self { intent, client, second, cashier, cashier_path, log, rival: None, polls_paid: 0, odd: Vec::new() }
    }

    /// Goes all the way; gives what was seen.
    pub(crate) async fn run(mut self) -> (Vec<Submitted>, Vec<String>) {
        if let Some(task_id) = self.submit().await {
            self.follow(&task_id).await;
        }
        (std::iter::once(self.log).chain(self.rival).collect(), self.odd)
    }

    async fn submit(&mut self) -> Option<String> {
        let body = self.intent.body.to_string();
        let key = self.intent.key.clone();
        if self.intent.double_click && key.is_some() {
            let (client, second) = (&mut self.client, &mut self.second);
            let path = "/v1/pay-tasks";
            let (first, again) =
                tokio::join!(client.post(path, key.as_deref(), &body), second.post(path, key.as_deref(), &body));
            for answer in [first, again] {
                self.take_submitted(answer, false);
            }
        }
        if self.intent.rival {
            self.submit_rival(&body).await;
        }
        for _ in 0..SENDINGS {
            let answer = self.client.post("/v1/pay-tasks", key.as_deref(), &body).await;
            if self.take_submitted(answer, true) {
                break;
            }
            // Without a key a repeat would be another submission.
            if key.is_none() && self.log.unanswered > 0 || self.client.is_gone() {
                break;
            }
            sleep(Duration::from_millis(self.intent.poll_every_ms)).await;
        }
        self.log.accepted.first().cloned()
    }

    /// Writes an answer to the submission down; whether it was one. `alone`: nothing else was asked at the same time.
    fn take_submitted(&mut self, answer: Answer, alone: bool) -> bool {
        match answer {
            Answer::Reply(202, reply) => {
                self.log.accepted.push(text(&reply["task"]["task_id"]));
                if alone {
                    self.log.shown.extend(shown(&reply));
                }
                true
            }
            Answer::Reply(503, problem) => {
                self.log.unanswered += u32::from(is_fate_unknown(&problem));
                false
            }
            // Somebody else's order, or our own submission whose answer was lost.
            Answer::Reply(409, _) if self.log.key.is_none() || self.rival.is_some() => true,
            Answer::Reply(status, problem) => {
                self.odd.push(format!("submission answered {status}: {problem}"));
                true
            }
            Answer::Broken => {
                self.log.unanswered += 1;
                false
            }
        }
    }

    /// The same order, by somebody with another key.
    async fn submit_rival(&mut self, body: &str) {
        let key = format!("rival-{}", self.log.order_no);
        let mut rival = self.intent.submitted(Some(key.clone()));
        match self.second.post("/v1/pay-tasks", Some(&key), body).await {
            Answer::Reply(202, reply) => rival.accepted.push(text(&reply["task"]["task_id"])),
            Answer::Reply(409, _) => {}
            Answer::Reply(503, problem) => rival.unanswered += u32::from(is_fate_unknown(&problem)),
            Answer::Reply(status, problem) => self.odd.push(format!("rival answered {status}: {problem}")),
            Answer::Broken => rival.unanswered += 1,
        }
        self.rival = Some(rival);
    }

    /// Until it is final, however often the server dies meanwhile. Who waits for all journeys has a deadline.
    async fn follow(&mut self, task_id: &str) {
        let path = format!("/v1/pay-tasks/{task_id}");
        let (mut paid, mut unknown) = (0, 0);
        for poll in 0_u32.. {
            if self.client.is_gone() {
                return;
            }
            if self.intent.cancels_after == Some(poll) {
                self.cancel(&path).await;
            }
            if let Answer::Reply(status, reply) = self.client.get(&path).await {
                unknown += u32::from(status == 404);
                let is_shown = self.take_shown(task_id, status, &reply);
                if unknown >= UNKNOWN || is_shown && self.act(&path, &reply, &mut paid).await {
                    return;
                }
            }
            sleep(Duration::from_millis(self.intent.poll_every_ms)).await;
        }
    }

    /// Writes down what a query showed; whether it showed the task.
    fn take_shown(&mut self, task_id: &str, status: u16, reply: &Value) -> bool {
        match status {
            200 => self.log.shown.extend(shown(reply)),
            404 => self.log.shown.push(Shown::NotFound { task_id: task_id.to_owned() }),
            503 => {}
            _ => self.odd.push(format!("query answered {status}: {reply}")),
        }
        status == 200
    }

    /// Does what the payer means to do now; whether the journey is over.
    async fn act(&mut self, path: &str, reply: &Value, paid: &mut u32) -> bool {
        let Some(Shown::Task { state, payment, .. }) = shown(reply) else { return true };
        match (state, payment) {
            (TaskState::Cancelled, _) | (_, Some(PaymentState::Closed)) => true,
            (TaskState::Failed, _) if self.intent.retries > 0 => {
                self.intent.retries -= 1;
                self.retry(path).await
            }
            (TaskState::Failed, _) => true,
            (_, Some(PaymentState::Paid)) => {
                // Late clicks: the same transaction again, and too late to cancel.
                if *paid < self.intent.pays {
                    self.pay(&reply["payment"], paid).await;
                }
                *paid >= self.intent.pays
            }
            (TaskState::Succeeded, _) if self.intent.pays == 0 => self.intent.cancels_after.is_none(),
            (TaskState::Succeeded, _) => {
                if *paid < self.intent.pays {
                    self.pay(&reply["payment"], paid).await;
                }
                self.polls_paid += 1;
                self.polls_paid > POLLS_PAID
            }
            _ => false,
        }
    }

    async fn pay(&mut self, payment: &Value, paid: &mut u32) {
        match self.cashier.post(self.cashier_path, None, &payment["pay_params"].to_string()).await {
            Answer::Reply(200, reply) => {
                *paid += 1;
                self.log.cashier.push(Cashier {
                    payment_no: text(&reply["out_trade_no"]),
                    transaction_id: text(&reply["transaction_id"]),
                    amount_minor: reply["amount_minor"].as_u64().unwrap_or_default(),
                });
            }
            // Closed meanwhile, or the channel is down: the next poll tells.
            Answer::Reply(409 | 503, _) | Answer::Broken => {}
            Answer::Reply(status, problem) => self.odd.push(format!("cashier answered {status}: {problem}")),
        }
    }

    async fn cancel(&mut self, path: &str) {
        match self.client.post(&format!("{path}/cancel"), None, "").await {
            Answer::Reply(200 | 202, reply) => self.log.shown.extend(shown(&reply)),
            Answer::Reply(409 | 503, _) | Answer::Broken => {}
            Answer::Reply(status, problem) => self.odd.push(format!("cancel answered {status}: {problem}")),
        }
        if self.intent.pays == 0 {
            // Whoever only wanted to cancel does not wait for a payment.
            self.intent.cancels_after = None;
        }
    }

    /// Whether the journey is over, because there is no retry.
    async fn retry(&mut self, path: &str) -> bool {
        match self.client.post(&format!("{path}/retry"), None, "").await {
            Answer::Reply(202, reply) => {
                self.log.accepted.push(text(&reply["task"]["task_id"]));
                self.log.shown.extend(shown(&reply));
                false
            }
            Answer::Reply(409, _) => true,
            Answer::Reply(503, _) | Answer::Broken => false,
            Answer::Reply(status, problem) => {
                self.odd.push(format!("retry answered {status}: {problem}"));
                true
            }
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn is_fate_unknown(problem: &Value) -> bool {
    problem["type"].as_str().is_some_and(|kind| kind.contains("unknown"))
}

/// What a reply shows.
pub(crate) fn shown(reply: &Value) -> Option<Shown> {
    let optional = |value: &Value| value.as_str().map(str::to_owned);
    Some(Shown::Task {
        task_id: optional(&reply["task"]["task_id"])?,
        round: reply["task"]["round"].as_u64().and_then(|round| round.try_into().ok()),
        state: serde_json::from_value(reply["task"]["state"].clone()).ok()?,
        payment_no: optional(&reply["payment"]["payment_no"]),
        payment: serde_json::from_value(reply["payment"]["state"].clone()).ok(),
        transaction_id: optional(&reply["payment"]["transaction_id"]),
    })
}
