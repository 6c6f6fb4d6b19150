//! A server and a cashier in a hundred lines, by a virtual clock, that keep the contract (or break it on purpose).

mod order;

use std::time::Duration;

use payrig_api::{Simulate, Submission, TaskInfo};
use payrig_scenarios::{Action, Event, Journey, JourneyRecord, Method, Request, Step, Target};
use serde_json::{Value, json};

/// How the model departs from the contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,
    /// Each submission makes a new task.
    ForgetsKeys,
    /// Each paying is a new transaction.
    PaysTwice,
    /// No payment in any reply, and no more of the task than its id and state.
    Foreign,
    /// A foreign server that also gives no reply to every other request.
    ForeignLossy,
    /// Every other request gets no reply, though it took effect.
    LosesReplies,
    /// The first two submissions are refused for overload.
    Overloaded,
    /// The second settled reply shows the task as running.
    TakesBack,
    /// The order is never marked paid.
    ForgetsOrder,
    /// An order that it shows as paid is not shipped.
    RefusesToShip,
    /// The parcels do not sum to what was paid.
    LosesACent,
    /// The order names another payment.
    PaidByAnother,
    /// A shipped order is shown as unpaid.
    TakesOrderBack,
    /// Another order is answered.
    OtherOrder,
}

/// One order's server.
pub(crate) struct Model {
    fault: Fault,
    pub(crate) now_us: u64,
    submission: Option<Submission>,
    tasks: u32,
    round: u8,
    asked_us: u64,
    attempts_before: u8,
    cancelled: bool,
    closed: bool,
    paid_us: Option<u64>,
    transactions: u32,
    requests: u32,
    settled_shown: u32,
    order: order::Order,
}

const ATTEMPT_US: u64 = 300_000;
const NOTICE_US: u64 = 700_000;

impl Model {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            now_us: 1_000_000,
            submission: None,
            tasks: 0,
            round: 1,
            asked_us: 0,
            attempts_before: 0,
            cancelled: false,
            closed: false,
            paid_us: None,
            transactions: 0,
            requests: 0,
            settled_shown: 0,
            order: order::Order::default(),
        }
    }

    /// Drives a journey to its end and gives its record and everything it did.
    pub(crate) fn drive(mut self, mut journey: Journey) -> (JourneyRecord, Vec<Action>) {
        let mut actions = Vec::new();
        let mut action = journey.next(Event::Start, self.now_us);
        while actions.len() < 2_000 {
            actions.push(action.clone());
            action = match action {
                Action::Done => return (journey.record().clone(), actions),
                Action::Wait(wait) => {
                    self.now_us += us(wait);
                    journey.next(Event::Waited, self.now_us)
                }
                Action::Send(request) => {
                    self.requests += 1;
                    let (status, body) = self.answer(&request);
                    self.now_us += 1_000;
                    let body = body.to_string();
                    if matches!(self.fault, Fault::LosesReplies | Fault::ForeignLossy) && self.requests % 2 == 1 {
                        journey.next(Event::Lost, self.now_us)
                    } else {
                        let retry_after_s = (status == 503).then_some(2);
                        let event = Event::Reply { status, retry_after_s, body: body.as_bytes() };
                        journey.next(event, self.now_us)
                    }
                }
            };
        }
        panic!("the journey does not end: {:?}", journey.record());
    }

    fn answer(&mut self, request: &Request) -> (u16, Value) {
        match request.step {
            Step::Submit => self.submit(request),
            Step::Pay => self.pay(request),
            Step::Query | Step::QueryPaid => {
                assert_eq!((request.method, &request.target), (Method::Get, &path("")));
                (200, self.task())
            }
            Step::Retry => self.retry(request),
            Step::Cancel => self.cancel(request),
            Step::CreateOrder | Step::Order | Step::Ship => self.order(request),
        }
    }

    fn submit(&mut self, request: &Request) -> (u16, Value) {
        assert!(request.idempotency_key.as_ref().is_some_and(|key| (1..=255).contains(&key.len())));
        if self.fault == Fault::Overloaded && self.requests <= 2 {
            return (503, json!({"type": "urn:payrig:problem:overloaded"}));
        }
        let body = request.body.as_deref().expect("a body");
        let submission: Submission = serde_json::from_slice(body).expect("a submission");
        submission.validate().expect("valid");
        if self.submission.is_none() {
            self.asked_us = self.now_us;
            self.submission = Some(submission);
        }
        if self.tasks == 0 || self.fault == Fault::ForgetsKeys {
            self.tasks += 1;
        }
        (202, self.task())
    }

    fn wish(&self) -> (Simulate, TaskInfo) {
        let submission = self.submission.as_ref().expect("submitted first");
        (submission.simulate.unwrap_or_default(), submission.task_info)
    }

    /// State and newest attempt of the round by now.
    fn round_state(&self) -> (&'static str, u8) {
        if self.cancelled {
            return ("cancelled", self.attempts_before);
        }
        let (wish, info) = self.wish();
        let automatic = if self.round == 1 { info.automatic_retries() } else { 0 };
        let fails = wish.fail_first.max(wish.lose_answer).saturating_sub(self.attempts_before);
        let (tries, ok) = match (wish.permanent, fails <= automatic) {
            (true, _) => (1, false),
            (false, true) => (fails + 1, true),
            (false, false) => (automatic + 1, false),
        };
        let mut at_us = self.asked_us;
        for attempt in 1..=tries {
            at_us += ATTEMPT_US;
            let newest = self.attempts_before + attempt;
            if self.now_us < at_us {
                return ("running", newest);
            }
            at_us += u64::from(attempt) * 1_000_000;
            if attempt < tries && self.now_us < at_us {
                return ("retrying", newest);
            }
        }
        (if ok { "succeeded" } else { "failed" }, self.attempts_before + tries)
    }

    fn task(&mut self) -> Value {
        let (mut state, attempt) = self.round_state();
        let id = if self.fault == Fault::ForgetsKeys { format!("task{}", self.tasks) } else { "task1".to_owned() };
        if matches!(self.fault, Fault::Foreign | Fault::ForeignLossy) {
            return json!({"task": {"task_id": id, "state": state, "extra": [1]}, "more": null});
        }
        let is_settled = matches!(state, "succeeded" | "failed" | "cancelled");
        self.settled_shown += u32::from(is_settled);
        if self.fault == Fault::TakesBack && self.settled_shown == 2 {
            state = "running";
        }
        let mut reply = json!({"task": {
            "task_id": id, "state": state, "round": self.round, "attempt": attempt, "accepted_at": self.asked_us,
            "settled_at": is_settled.then_some(self.asked_us + 1), "own_us": is_settled.then_some(7),
        }});
        if state == "succeeded" {
            let notified = self.paid_us.filter(|paid_us| self.now_us >= paid_us + NOTICE_US);
            let payment = match (self.closed, notified) {
                (true, _) => "closed",
                (false, Some(_)) => "paid",
                (false, None) => "awaiting_payer",
            };
            reply["payment"] = json!({
                "payment_no": format!("{id}-{}", self.round), "state": payment, "paid_at": notified,
                "pay_params": {"cashier_url": "http://cashier.test/pay", "sign": "s", "n": 1},
            });
        }
        reply
    }

    fn pay(&mut self, request: &Request) -> (u16, Value) {
        assert_eq!(request.target, Target::Url("http://cashier.test/pay".to_owned()));
        let body: Value = serde_json::from_slice(request.body.as_deref().expect("a body")).expect("JSON");
        assert_eq!(body, json!({"cashier_url": "http://cashier.test/pay", "sign": "s", "n": 1}));
        if self.closed {
            return (409, json!({"type": "urn:payrig:problem:wrong-state"}));
        }
        self.paid_us.get_or_insert(self.now_us);
        if self.transactions == 0 || self.fault == Fault::PaysTwice {
            self.transactions += 1;
        }
        (200, json!({"transaction_id": format!("tx{}", self.transactions)}))
    }

    fn retry(&mut self, request: &Request) -> (u16, Value) {
        assert_eq!((request.method, &request.target), (Method::Post, &path("/retry")));
        let (state, attempts) = self.round_state();
        if state != "failed" {
            return (409, json!({"type": "urn:payrig:problem:wrong-state"}));
        }
        if attempts > 5 {
            return (409, json!({"type": "urn:payrig:problem:retries-used-up"}));
        }
        self.round += 1;
        self.attempts_before = attempts;
        self.asked_us = self.now_us;
        (202, self.task())
    }

    fn cancel(&mut self, request: &Request) -> (u16, Value) {
        assert_eq!((request.method, &request.target), (Method::Post, &path("/cancel")));
        match self.round_state().0 {
            "succeeded" if self.paid_us.is_some() => (409, json!({"type": "urn:payrig:problem:wrong-state"})),
            // One in two closings takes its time.
            "succeeded" if self.now_us.is_multiple_of(2) => {
                let shown = self.task();
                self.closed = true;
                (202, shown)
            }
            "succeeded" => {
                self.closed = true;
                (200, self.task())
            }
            "failed" | "cancelled" => (409, json!({"type": "urn:payrig:problem:wrong-state"})),
            _ => {
                self.cancelled = true;
                (200, self.task())
            }
        }
    }
}

fn path(rest: &str) -> Target {
    Target::Path(format!("/v1/pay-tasks/task1{rest}"))
}

pub(crate) fn us(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros()).expect("a short wait")
}
