//! The runner: takes attempts from the queue, makes them, and settles or postpones their rounds. `run` and `retry` exist
//! once, here; a channel style is a file that only knows how one attempt is made.

use std::{sync::Arc, time::Duration};

use payrig_api::{ChannelStyle, TaskState};

use crate::{
    cache::{Entry, ResultCache as _},
    channel::{Attempt, ChannelError, PaymentChannel as _},
    closing,
    model::{
        HistoryEntry, OpenTask, Outcome, OutcomeState, Payment, TaskView,
        retry::{AfterFailure, after_failure},
        state::{self, Step},
    },
    parts::{Parts, micros},
    queue::{Delivery, Message, Progress, TaskQueue as _},
    store::StoreError,
    sync::{Finished, Synchroniser, Verdict},
};

mod alipay;
mod pool;
mod wechat;

pub use pool::run_pool;

/// The driver of attempts.
#[derive(Clone)]
pub struct Runner {
    parts: Arc<Parts>,
    sync: Synchroniser,
}

/// One attempt under way.
struct Running {
    message: Message,
    attempt: u8,
    state: TaskState,
}

impl Runner {
    /// A runner that settles through this synchroniser.
    #[must_use]
    pub const fn new(parts: Arc<Parts>, sync: Synchroniser) -> Self {
        Self { parts, sync }
    }

    /// Makes the attempt of a delivery and acknowledges it once the effect is stored. What cannot be stored is left to
    /// the sweeper, which finds the round open.
    pub async fn handle(&self, delivery: Delivery) {
        let Delivery { message, tag } = delivery;
        let round = message.open.round_id();
        let first = message.attempt == message.open.attempts_before + 1;
        let made = if first { self.run(message).await } else { self.retry(message).await };
        if let Err(error) = made {
            tracing::warn!(round = round.document_id(), %error, "an attempt has no stored effect; the sweeper will see to it");
        }
        self.parts.queue.ack(tag).await;
    }

    /// The first attempt of a round.
    async fn run(&self, message: Message) -> Result<(), StoreError> {
        self.attempt(message, TaskState::Queued).await
    }

    /// A later attempt of a round.
    async fn retry(&self, message: Message) -> Result<(), StoreError> {
        self.attempt(message, TaskState::Retrying).await
    }

    async fn attempt(&self, message: Message, from: TaskState) -> Result<(), StoreError> {
        let looked_at_us = self.parts.clock.now_us();
        if self.parts.store.outcome(message.open.round_id()).await?.is_some() {
            return Ok(());
        }
        if let Some(rest) = self.parts.channel.rests_for().filter(|_| self.may_wait(&message)) {
            self.put_off(message, rest).await;
            return Ok(());
        }
        // Before the first attempt there is next to nothing to copy.
        let untouched = message.clone();
        let Some(mut running) = Running::start(message, from, self.parts.clock.now_us()) else { return Ok(()) };
        // In Alipay style no call is made: the attempt is over before anybody could see it.
        if running.message.open.task.channel == ChannelStyle::Wechat {
            self.show(&running, None, looked_at_us).await;
        }
        self.parts.metrics.attempts.inc();
        self.parts.metrics.attempts_in_flight.inc();
        let began_us = self.parts.clock.now_us();
        let done = self.do_task(&running).await;
        let ended_us = self.parts.clock.now_us();
        self.parts.metrics.attempts_in_flight.dec();
        running.message.progress.stages.channel_us += ended_us.saturating_sub(began_us);
        match done {
            Ok(pay_params) => self.succeeded(running, pay_params).await,
            Err(ChannelError::Permanent(reason)) => self.failed(running, reason).await,
            // It has been found out since the look at it: there was no attempt after all.
            Err(ChannelError::NotAsked(_)) if self.may_wait(&untouched) => {
                let rest = self.parts.channel.rests_for().unwrap_or_default();
                self.put_off(untouched, rest).await;
                Ok(())
            }
            Err(ChannelError::Transient(reason) | ChannelError::NotAsked(reason)) => {
                self.failed_for_now(running, reason, looked_at_us).await
            }
        }
    }

    /// Whether an attempt may wait for a channel that is known not to answer. Only for so long after the round's
    /// acceptance: then it fails like any attempt, so that a round's end does not wait for an outage's.
    fn may_wait(&self, message: &Message) -> bool {
        let open = &message.open;
        let age_us = self.parts.clock.now_us().saturating_sub(open.accepted_at_us);
        open.task.channel == ChannelStyle::Wechat && age_us < micros(self.parts.settings.put_off)
    }

    /// Sends the message again for later as it is: without a call there is no attempt, and nothing of the round's budget
    /// is used.
    async fn put_off(&self, message: Message, rest: Duration) {
        self.parts.metrics.put_off.inc();
        // Those who wait for the same instant come back one after another.
        let spread = Duration::from_millis(2 * u64::from(message.open.task.task_id.last_byte()));
        let message = Message { enqueued_at_us: self.parts.clock.now_us(), ..message };
        if let Err(error) = self.parts.queue.offer_after(message, rest + spread).await {
            tracing::warn!(%error, "an attempt that was put off was not queued; the sweeper will send it");
        }
    }

    /// One attempt, in the channel's style.
    async fn do_task(&self, running: &Running) -> Result<String, ChannelError> {
        let open = &running.message.open;
        let attempt = Attempt { task: &open.task, round: open.round_id(), attempt: running.attempt };
        match open.task.channel {
            ChannelStyle::Alipay => alipay::do_task(&self.parts.channel, attempt),
            ChannelStyle::Wechat => wechat::do_task(&self.parts.channel, attempt).await,
        }
    }

    async fn succeeded(&self, mut running: Running, pay_params: String) -> Result<(), StoreError> {
        let now_us = self.parts.clock.now_us();
        if !running.step(Step::Succeed, now_us, None) {
            return Ok(());
        }
        let open = Arc::clone(&running.message.open);
        let task = &open.task;
        let payment = Payment {
            payment_no: open.round_id(),
            merchant: Arc::clone(&task.merchant),
            order_no: Arc::clone(&task.order_no),
            amount_minor: task.amount_minor,
            currency: task.currency,
            channel: task.channel,
            pay_params: pay_params.into(),
            created_at_us: now_us,
        };
        let finished = running.finish(OutcomeState::Succeeded, None, now_us, Some(Arc::new(payment)));
        let verdict = self.sync.settle(finished).await?;
        if let Verdict::Lost(first) = verdict
            && first.state == OutcomeState::Cancelled
        {
            closing::close_left(&self.parts, &open).await?;
        }
        Ok(())
    }

    async fn failed(&self, mut running: Running, reason: String) -> Result<(), StoreError> {
        let now_us = self.parts.clock.now_us();
        if !running.step(Step::Fail, now_us, Some(&reason)) {
            return Ok(());
        }
        let open = Arc::clone(&running.message.open);
        let finished = running.finish(OutcomeState::Failed, Some(reason), now_us, None);
        let leaves_an_order = finished.outcome.leaves_an_order();
        if self.sync.settle(finished).await? == Verdict::Won && leaves_an_order {
            closing::close_left(&self.parts, &open).await?;
        }
        Ok(())
    }

    async fn failed_for_now(&self, mut running: Running, reason: String, looked_at_us: u64) -> Result<(), StoreError> {
        let open = Arc::clone(&running.message.open);
        let delay = match after_failure(open.task.task_info, open.round, running.attempt) {
            AfterFailure::RetryIn(delay) => delay,
            AfterFailure::UsedUp => return self.failed(running, reason).await,
        };
        let now_us = self.parts.clock.now_us();
        if !running.step(Step::Postpone, now_us, Some(&reason)) {
            return Ok(());
        }
        self.show(&running, Some(reason.into()), looked_at_us).await;
        self.parts.metrics.retries.inc();
        let mut progress = running.message.progress;
        progress.stages.retry_wait_us += micros(delay);
        let due_at_us = now_us + micros(delay);
        let next = Message { open, attempt: running.attempt + 1, enqueued_at_us: now_us, due_at_us, progress };
        if let Err(error) = self.parts.queue.offer_after(next, delay).await {
            tracing::warn!(%error, "a retry was not queued; the sweeper will send it");
        }
        Ok(())
    }

    async fn show(&self, running: &Running, reason: Option<Arc<str>>, fact_at_us: u64) {
        let started_at_us = running.message.progress.started_at_us.unwrap_or(fact_at_us);
        let view = TaskView::working(&running.message.open, running.state, running.attempt, started_at_us, reason);
        // A cache that cannot be had shows the task as queued, which a client treats alike.
        let _ = self.parts.cache.put(Entry { view: Arc::new(view), fact_at_us }).await;
    }
}

// === impl Running ===

impl Running {
    /// The attempt begins; nothing where the state machine does not allow it.
    fn start(mut message: Message, from: TaskState, now_us: u64) -> Option<Self> {
        message.progress.stages.queue_wait_us += now_us.saturating_sub(message.due_at_us);
        message.progress.started_at_us.get_or_insert(now_us);
        let mut running = Self { attempt: message.attempt, message, state: from };
        running.step(Step::Start, now_us, None).then_some(running)
    }

    /// Takes a step and writes it into the history; whether the state machine allows it.
    fn step(&mut self, step: Step, now_us: u64, reason: Option<&str>) -> bool {
        match state::after(self.state, step) {
            Ok(next) => {
                self.state = next;
                let reason = reason.map(str::to_owned);
                let entry = HistoryEntry { state: next, attempt: self.attempt, at_us: now_us, reason };
                self.message.progress.history.push(entry);
                true
            }
            Err(error) => {
                tracing::error!(%error, "an attempt took a step that its state does not allow");
                false
            }
        }
    }

    fn finish(
        self,
        state: OutcomeState,
        reason: Option<String>,
        now_us: u64,
        payment: Option<Arc<Payment>>,
    ) -> Finished {
        let Message { open, progress, .. } = self.message;
        Finished { outcome: Arc::new(outcome(&open, state, self.attempt, reason, now_us, progress)), payment }
    }
}

/// The outcome of a round with this progress behind it.
#[must_use]
pub fn outcome(
    open: &OpenTask,
    state: OutcomeState,
    attempt: u8,
    reason: Option<String>,
    settled_at_us: u64,
    progress: Progress,
) -> Outcome {
    let queued = HistoryEntry {
        state: TaskState::Queued,
        attempt: open.attempts_before,
        at_us: open.accepted_at_us,
        reason: None,
    };
    let mut history = Vec::with_capacity(progress.history.len() + 1);
    history.push(queued);
    history.extend(progress.history);
    Outcome {
        task: Arc::clone(&open.task),
        round: open.round,
        state,
        attempt,
        reason,
        accepted_at_us: open.accepted_at_us,
        started_at_us: progress.started_at_us,
        settled_at_us,
        stages: progress.stages,
        history,
    }
}

/// The outcome of a round that somebody else than its attempts ends, with as much of its life as the cache has seen.
pub async fn ended_from_outside(parts: &Parts, open: &OpenTask, state: OutcomeState, reason: &str) -> Outcome {
    let now_us = parts.clock.now_us();
    let seen = parts.cache.get(open.task.task_id).await.ok().flatten();
    let seen = seen.map(|entry| entry.view).filter(|view| view.round == open.round);
    let attempt = seen.as_ref().map_or(open.attempts_before, |view| view.attempt);
    let started_at_us = seen.as_ref().and_then(|view| view.started_at_us);
    let mut progress = Progress { started_at_us, ..Progress::default() };
    if let Some(at_us) = started_at_us {
        progress.history.push(HistoryEntry { state: TaskState::Running, attempt, at_us, reason: None });
    }
    let reason = Some(reason.to_owned());
    let ended = state.task_state().map(|state| HistoryEntry { state, attempt, at_us: now_us, reason: reason.clone() });
    progress.history.extend(ended);
    outcome(open, state, attempt, reason, now_us, progress)
}
