//! One payer's journey as a state machine: an event in, one action out.
//!
//! Between events a journey is always in one of four states: not begun, waiting before a [`Move`], waiting for the reply
//! to a [`Move`], or over. What a reply to each move means stands in `submit`, `follow`, `pay` and `order`.

mod follow;
mod order;
mod pay;
mod submit;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::dice::Dice;
use crate::plan::Plan;
use crate::{Action, Event, JourneyRecord, Method, OrderSeen, Outcome, Request, Settings, Step, Target};

use pay::Cashier;

/// The longest that a `Retry-After` is obeyed, so that no server can park a journey.
const RETRY_AFTER_MAX_S: u64 = 30;
/// Each wait after a refusal is spread by up to this much, so that refused clients do not come back as one.
const SPREAD_US: u64 = 500_000;

/// The requests that a journey can make next. Twins are the second click of a double click.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Move {
    CreateOrder,
    Submit,
    SubmitTwin,
    Query,
    Pay,
    PayTwin,
    QueryPaid,
    Retry,
    Cancel,
    /// Until the order is paid.
    Order,
    Ship,
    /// Once, after it was split.
    OrderShipped,
}

impl Move {
    const fn step(self) -> Step {
        match self {
            Self::CreateOrder => Step::CreateOrder,
            Self::Order | Self::OrderShipped => Step::Order,
            Self::Ship => Step::Ship,
            Self::Submit | Self::SubmitTwin => Step::Submit,
            Self::Query => Step::Query,
            Self::Pay | Self::PayTwin => Step::Pay,
            Self::QueryPaid => Step::QueryPaid,
            Self::Retry => Step::Retry,
            Self::Cancel => Step::Cancel,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Fresh,
    Waiting(Move),
    Sent(Move),
    Over,
}

/// Where the payer's wish to cancel stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cancelling {
    /// Not asked for yet.
    Not,
    /// Asked for; refused or unknown: the journey goes on as if it had not been.
    Asked,
    /// 202: the server goes on with it; the payer only watches.
    GoingOn,
}

/// A reply as the engine handed it in.
#[derive(Clone, Copy)]
struct Answer<'a> {
    status: u16,
    retry_after_s: Option<u64>,
    body: &'a [u8],
    now_us: u64,
}

impl Answer<'_> {
    const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// Whether the same request may well succeed later.
    const fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
    }

    /// The `type` of a problem body, if it is one.
    fn problem(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Kind {
            r#type: String,
        }
        serde_json::from_slice::<Kind>(self.body).ok().map(|kind| kind.r#type)
    }
}

/// One payer's journey. See the crate's documentation for how to drive it.
#[derive(Clone, Debug)]
pub struct Journey {
    plan: Plan,
    settings: Arc<Settings>,
    dice: Dice,
    state: State,
    record: JourneyRecord,
    /// When the request that is under way was handed out.
    sent_us: u64,
    /// When the first submission was sent, where something was done before it.
    submit_asked_us: Option<u64>,
    /// Sendings of the present move in a row.
    tries: u32,
    early_polls_left: u32,
    cancelling: Cancelling,
    cashier: Option<Cashier>,
    /// Whether the cashier has answered, or is not to be asked again.
    is_pay_done: bool,
    retries_sent: u32,
    /// Whether a manual retry was sent whose effect is unknown.
    is_retry_open: bool,
    /// The round that was shown last, counted by the client where the server does not say.
    shown_round: u8,
    /// When the last manual retry was sent.
    retry_sent_us: Option<u64>,
    /// The round that the last accepted manual retry left behind.
    left_round: Option<u8>,
    last_was_error: bool,
}

impl Journey {
    pub(crate) fn new(plan: Plan, settings: Arc<Settings>, dice: Dice, (user, journey): (u64, u64)) -> Self {
        let record = JourneyRecord {
            scenario: plan.scenario.name().to_owned(),
            user,
            journey,
            order_no: plan.submission.order_no.clone(),
            idempotency_key: plan.idempotency_key.clone(),
            amount_minor: plan.submission.amount_minor,
            currency: plan.submission.currency.code().to_owned(),
            channel: plan.submission.channel.name().to_owned(),
            order: plan.order.as_ref().map(|order| OrderSeen::of(order.mode)),
            ..JourneyRecord::default()
        };
        Self {
            early_polls_left: plan.early_polls,
            plan,
            settings,
            dice,
            state: State::Fresh,
            record,
            sent_us: 0,
            submit_asked_us: None,
            tries: 0,
            cancelling: Cancelling::Not,
            cashier: None,
            is_pay_done: false,
            retries_sent: 0,
            is_retry_open: false,
            shown_round: 1,
            retry_sent_us: None,
            left_round: None,
            last_was_error: false,
        }
    }

    /// Takes what happened and says what to do next.
    ///
    /// `now_us` is the present instant in microseconds: of [`Event::Start`] the scheduled one, of [`Event::Reply`] the
    /// one at which the last byte was read. Any clock that never goes back will do; with microseconds since the Unix
    /// epoch (an epoch read once plus a monotonic clock) records can be laid beside the server's own times. An event
    /// that does not fit the last action ends the journey as an error. After [`Action::Done`] every event gets `Done`.
    pub fn next(&mut self, event: Event<'_>, now_us: u64) -> Action {
        match (self.state, event) {
            (State::Over, _) => Action::Done,
            (State::Fresh, Event::Start) => {
                self.record.started_us = Some(now_us);
                self.send(if self.plan.order.is_some() { Move::CreateOrder } else { Move::Submit }, now_us)
            }
            (State::Waiting(then), Event::Waited) => self.send(then, now_us),
            (State::Sent(sent), Event::Reply { status, retry_after_s, body }) => {
                let answer = Answer { status, retry_after_s, body, now_us };
                self.last_was_error = false;
                match sent {
                    Move::Submit => self.on_submitted(answer),
                    Move::SubmitTwin => self.on_submitted_again(answer),
                    Move::Query | Move::QueryPaid => self.on_polled(sent, answer),
                    Move::Pay => self.on_paid(answer),
                    Move::PayTwin => self.on_paid_again(answer),
                    Move::Retry => self.on_retried(answer),
                    Move::Cancel => self.on_cancelled(answer),
                    Move::CreateOrder => self.on_created(answer),
                    Move::Order => self.on_order(answer),
                    Move::Ship => self.on_shipped(answer),
                    Move::OrderShipped => self.on_order_shipped(answer),
                }
            }
            (State::Sent(sent), Event::Lost) => {
                self.note_problem(sent, None, None, now_us);
                self.on_lost(sent, now_us)
            }
            (state, event) => {
                let reason = format!("the engine's event {} does not fit the state {state:?}", event_name(&event));
                self.end(Outcome::Error { reason }, now_us)
            }
        }
    }

    /// What it did and saw so far; complete after [`Action::Done`].
    #[must_use]
    pub fn record(&self) -> &JourneyRecord {
        &self.record
    }

    /// The scenario's name.
    #[must_use]
    pub fn scenario(&self) -> &'static str {
        self.plan.scenario.name()
    }

    /// Whether the last reply (or loss) was an error in the eyes of this payer, for error rates. A 409 to a cancellation
    /// that came too late is none; a refusal for overload and a lost reply are.
    #[must_use]
    pub fn last_was_error(&self) -> bool {
        self.last_was_error
    }

    fn send(&mut self, what: Move, now_us: u64) -> Action {
        self.state = State::Sent(what);
        self.sent_us = now_us;
        let order_path = |rest: &str| Target::Path(format!("/v1/orders/{}{rest}", self.record.order_no));
        let path = |rest: &str| {
            let task_id = self.record.task_id.as_deref().unwrap_or_default();
            Target::Path(format!("/v1/pay-tasks/{task_id}{rest}"))
        };
        let step = what.step();
        let (method, target, body) = match what {
            Move::Submit | Move::SubmitTwin => {
                // Serialising plain structs to a Vec cannot fail; a server would refuse the empty body by name.
                let body = serde_json::to_vec(&self.plan.submission).unwrap_or_default();
                (Method::Post, Target::Path("/v1/pay-tasks".to_owned()), Some(body))
            }
            Move::Query | Move::QueryPaid => (Method::Get, path(""), None),
            Move::Order | Move::OrderShipped => (Method::Get, order_path(""), None),
            Move::CreateOrder | Move::Ship => {
                let (target, body) = match &self.plan.order {
                    Some(order) if what == Move::Ship => (order_path("/ship"), serde_json::to_vec(&order.ship())),
                    order => {
                        let new = order.as_ref().map(|order| &order.new);
                        (Target::Path("/v1/orders".to_owned()), serde_json::to_vec(&new))
                    }
                };
                (Method::Post, target, Some(body.unwrap_or_default()))
            }
            Move::Retry => (Method::Post, path("/retry"), None),
            Move::Cancel => (Method::Post, path("/cancel"), None),
            Move::Pay | Move::PayTwin => {
                let Some(cashier) = &self.cashier else {
                    return self.end(Outcome::Error { reason: "no cashier to pay at".to_owned() }, now_us);
                };
                (Method::Post, cashier.target.clone(), Some(cashier.body.clone()))
            }
        };
        self.count(what, now_us);
        let idempotency_key = (step == Step::Submit).then(|| self.plan.idempotency_key.clone());
        Action::Send(Request { step, method, target, idempotency_key, body })
    }

    fn count(&mut self, what: Move, now_us: u64) {
        match what.step() {
            Step::Submit => {
                // Of an order that was created first: the round is asked for here, and not when the journey began.
                if self.record.submits == 0 && self.plan.order.is_some() {
                    self.submit_asked_us = Some(now_us);
                }
                self.record.submits += 1;
            }
            Step::Query | Step::QueryPaid => self.record.polls += 1,
            Step::Pay => self.note_paying(now_us),
            Step::Retry => {
                self.retries_sent += 1;
                self.retry_sent_us = Some(now_us);
                self.is_retry_open = true;
            }
            Step::Cancel => self.record.cancels += 1,
            Step::Order => self.order_seen(|order| order.reads += 1),
            Step::CreateOrder | Step::Ship => {}
        }
    }

    fn wait_us(&mut self, wait_us: u64, then: Move) -> Action {
        self.state = State::Waiting(then);
        Action::Wait(Duration::from_micros(wait_us))
    }

    /// A payer's think time before this move.
    fn think(&mut self, then: Move) -> Action {
        let is_late = then == Move::Pay && self.plan.pays_late;
        let span = if is_late { self.settings.late_think_ms } else { self.settings.think_ms };
        let wait_us = span.draw_us(&mut self.dice);
        self.tries = 0;
        self.wait_us(wait_us, then)
    }

    /// Sends the same again after a refusal or a loss, as often as the settings allow. What the journey can do without
    /// is then given up, anything else ends it.
    fn again(&mut self, what: Move, retry_after_s: Option<u64>, now_us: u64) -> Action {
        self.tries += 1;
        if self.tries >= self.settings.max_tries {
            if matches!(what, Move::SubmitTwin | Move::PayTwin | Move::Cancel) {
                return self.poll(None, now_us);
            }
            let reason = format!("{} was sent {} times without a usable answer", what.step().name(), self.tries);
            return self.end(Outcome::GaveUp { reason }, now_us);
        }
        let wait_us = backoff_us(retry_after_s) + self.dice.below(SPREAD_US);
        self.wait_us(wait_us, what)
    }

    fn on_lost(&mut self, sent: Move, now_us: u64) -> Action {
        match sent {
            // The same key finds out whether the first one arrived; the same parameters cannot pay twice.
            Move::Submit | Move::SubmitTwin | Move::Pay | Move::PayTwin => self.again(sent, None, now_us),
            // The same number and content make one order, the same mode one shipment.
            Move::CreateOrder | Move::Ship | Move::OrderShipped => self.again(sent, None, now_us),
            Move::Order => self.poll_order(None, now_us),
            Move::Query | Move::QueryPaid => self.poll(None, now_us),
            // A poll shows whether it took effect.
            Move::Retry | Move::Cancel => self.poll(None, now_us),
        }
    }

    fn note_problem(&mut self, sent: Move, status: Option<u16>, kind: Option<String>, now_us: u64) {
        self.last_was_error = true;
        self.record.problem(now_us, sent.step(), status, kind);
    }

    /// Notes a reply that was no plain success; `is_error` says whether it counts as an error.
    fn note_answer(&mut self, sent: Move, answer: &Answer<'_>, is_error: bool) {
        self.note_problem(sent, Some(answer.status), answer.problem(), answer.now_us);
        self.last_was_error = is_error;
    }

    fn unexpected(&mut self, sent: Move, answer: &Answer<'_>) -> Action {
        self.note_answer(sent, answer, true);
        let problem = answer.problem().map(|kind| format!(" ({kind})")).unwrap_or_default();
        let reason = format!("{} was answered {}{problem}", sent.step().name(), answer.status);
        self.end(Outcome::Error { reason }, answer.now_us)
    }

    fn end(&mut self, outcome: Outcome, now_us: u64) -> Action {
        if matches!(outcome, Outcome::Error { .. }) {
            self.last_was_error = true;
        }
        self.record.outcome = outcome;
        self.record.ended_us = Some(now_us);
        self.state = State::Over;
        Action::Done
    }
}

fn backoff_us(retry_after_s: Option<u64>) -> u64 {
    retry_after_s.unwrap_or(1).clamp(1, RETRY_AFTER_MAX_S) * 1_000_000
}

const fn event_name(event: &Event<'_>) -> &'static str {
    match event {
        Event::Start => "Start",
        Event::Waited => "Waited",
        Event::Reply { .. } => "Reply",
        Event::Lost => "Lost",
    }
}
