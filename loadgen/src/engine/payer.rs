//! One payer: takes journeys from the generator and does what they ask for, timed by the run's own clock.

use std::time::Duration;

use futures_util::future::Abortable;
use futures_util::stream::{AbortHandle, AbortRegistration};
use payrig_scenarios::{Action, Event, Generator, Journey, Method, Request, Step, Target};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};

use super::Load;
use crate::recorder::{Ending, Instants};

/// One user's life, from its start to the end of the run.
pub(super) struct Payer<'a> {
    load: &'a Load,
    client: &'a Client,
    generator: Generator,
    /// The journey under way. It stands here and not inside the future that drives it, so that what it saw survives a cut.
    journey: Option<Journey>,
    /// The request under way: its step, when it was scheduled, and when it was sent.
    request: Option<(Step, u64, u64)>,
}

impl<'a> Payer<'a> {
    pub(super) fn new(load: &'a Load, client: &'a Client, user: u64) -> Self {
        Self { load, client, generator: load.generator.for_user(user), journey: None, request: None }
    }

    /// Makes one journey after another until the run is over or cut.
    pub(super) async fn live(mut self) {
        let (handle, registration): (_, AbortRegistration) = AbortHandle::new_pair();
        self.load.stop.register(handle);
        self.load.phases.user_started(self.load.clock.now_us());
        let _ = Abortable::new(self.journeys(), registration).await;
        if let Some((step, scheduled_us, sent_us)) = self.request.take() {
            let is_steady = self.load.phases.is_steady(scheduled_us);
            if self.load.stop.counts_as_failed() {
                let at = Instants { scheduled_us, sent_us, done_us: self.load.clock.now_us() };
                self.load.recorder.request(step, at, Ending::CutOff, is_steady);
            } else if is_steady {
                self.load.recorder.unknown();
            }
        }
        if let Some(journey) = self.journey.take() {
            self.finish(&journey);
        }
    }

    async fn journeys(&mut self) {
        let load = self.load;
        let mut scheduled_us = load.clock.now_us();
        while !load.phases.is_over(load.clock.now_us()) {
            load.stop.under_way.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
            self.journey = Some(self.generator.journey());
            let ended_us = self.one_journey(scheduled_us).await;
            if let Some(journey) = self.journey.take() {
                self.finish(&journey);
            }
            scheduled_us = self.wait(ended_us, self.generator.pause()).await;
        }
    }

    fn finish(&self, journey: &Journey) {
        self.load.recorder.journey(journey.record().clone());
        self.load.stop.under_way.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
    }

    /// Drives the journey to its end and says when that was.
    async fn one_journey(&mut self, start_us: u64) -> u64 {
        let (load, client) = (self.load, self.client);
        let Some(journey) = self.journey.as_mut() else { return start_us };
        let mut scheduled_us = start_us;
        let mut seen = Seen::default();
        let mut action = journey.next(Event::Start, start_us);
        loop {
            match action {
                Action::Done => return scheduled_us,
                Action::Wait(span) => {
                    // The payer's own think time: what comes next is scheduled for its end, however late the timer is.
                    scheduled_us = wait(load, scheduled_us, span).await;
                    action = journey.next(Event::Waited, load.clock.now_us());
                }
                Action::Send(request) => {
                    let step = request.step;
                    let sent_us = load.clock.now_us();
                    self.request = Some((step, scheduled_us, sent_us));
                    let reply = exchange(client, load, request).await;
                    self.request = None;
                    let done_us = load.clock.now_us();
                    let event = match &reply {
                        Ok(reply) => reply.event(),
                        Err(_) => Event::Lost,
                    };
                    action = journey.next(event, done_us);
                    let ending = match reply {
                        Err(ending) => ending,
                        Ok(reply) if journey.last_was_error() => Ending::Status(reply.status),
                        Ok(_) => Ending::Done,
                    };
                    let at = Instants { scheduled_us, sent_us, done_us };
                    load.recorder.request(step, at, ending, load.phases.is_steady(scheduled_us));
                    seen.note(journey, load);
                    scheduled_us = done_us;
                }
            }
        }
    }

    async fn wait(&self, from_us: u64, span: Duration) -> u64 {
        wait(self.load, from_us, span).await
    }
}

/// Waits until `from_us + span` and gives that instant, which the timer reaches up to a millisecond late.
async fn wait(load: &Load, from_us: u64, span: Duration) -> u64 {
    let due_us = from_us + crate::phases::as_us(span);
    tokio::time::sleep_until(load.clock.instant(due_us).into()).await;
    due_us
}

/// What of a journey the progress line has counted already.
#[derive(Default)]
struct Seen {
    settled: usize,
    paid: bool,
}

impl Seen {
    fn note(&mut self, journey: &Journey, load: &Load) {
        let record = journey.record();
        let settled = record.rounds.iter().filter(|round| round.first_settled_us.is_some()).count();
        let paid = record.first_paid_us.is_some();
        if settled > self.settled || paid != self.paid {
            load.recorder.seen((settled - self.settled) as u64, u64::from(paid && !self.paid));
            *self = Self { settled, paid };
        }
    }
}

/// A reply, read to its last byte.
struct Reply {
    status: u16,
    retry_after_s: Option<u64>,
    body: Vec<u8>,
}

impl Reply {
    fn event(&self) -> Event<'_> {
        Event::Reply { status: self.status, retry_after_s: self.retry_after_s, body: &self.body }
    }
}

async fn exchange(client: &Client, load: &Load, request: Request) -> Result<Reply, Ending> {
    let base = &load.base;
    // A target that is no URL comes from the server's own reply: it gets what a dead link gets.
    let url = match &request.target {
        // Cheaper than parsing scheme and host again with each request.
        Target::Path(path) if !path.contains(['?', '#']) => {
            let mut url = base.clone();
            url.set_path(path);
            Ok(url)
        }
        Target::Path(path) => base.join(path),
        Target::Url(url) => Url::parse(url),
    };
    let url = url.map_err(|_| Ending::NoConnection)?;
    let mut builder = match request.method {
        Method::Get => client.get(url),
        Method::Post => client.post(url),
    };
    // The cashier is the channel's, whose payers have no merchant's key.
    if let Some(authorization) = load.authorization.as_ref().filter(|_| request.step != Step::Pay) {
        builder = builder.header(AUTHORIZATION, authorization);
    }
    if let Some(key) = request.idempotency_key {
        builder = builder.header(payrig_api::IDEMPOTENCY_KEY, key);
    }
    if let Some(body) = request.body {
        builder = builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body);
    }
    let response = builder.send().await.map_err(|error| ending_of(&error))?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after_s = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = response.bytes().await.map_err(|error| ending_of(&error))?;
    Ok(Reply { status, retry_after_s, body: body.into() })
}

fn ending_of(error: &reqwest::Error) -> Ending {
    if error.is_timeout() {
        Ending::TimedOut
    } else if error.is_connect() {
        Ending::NoConnection
    } else {
        Ending::Broken
    }
}
