//! Publishers: a few channels, each with a bounded queue of jobs before it and a bounded number of messages under way. A
//! message is published when its confirm is here, and every confirm is kept until then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    ledger::{Heard, JOB_AT_MOST, Ledger, Number, Verdict},
    link::{Link, Session},
};
use crate::metrics::{Metrics, Named};

/// Messages of one job, at most.
pub(in crate::queue) const BATCH: usize = 512;
const _: () = assert!(BATCH <= JOB_AT_MOST, "each message of a job has a number");
/// Channels that messages are published over: as many as RabbitMQ works on at once for one connection.
const PUBLISHERS: usize = 2;
/// A channel takes another job while it has fewer messages under way. Measured in docs/decisions/0011: more than a few
/// hundred bring nothing.
const UNDER_WAY: usize = 512;
/// Jobs that may wait before a channel.
const JOBS: usize = 16;
/// A server that takes messages and confirms none for so long is given up.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(15);

/// A message on its way out.
#[derive(Clone, Debug)]
pub(in crate::queue) struct Outgoing {
    /// Where to; the empty name for the queue that the key names.
    pub(in crate::queue) exchange: ShortString,
    /// Where to within the exchange.
    pub(in crate::queue) routing_key: ShortString,
    /// Everything but the message's id.
    pub(in crate::queue) properties: BasicProperties,
    /// What people know it by: the beginning of its id.
    pub(in crate::queue) label: String,
    /// Its body.
    pub(in crate::queue) payload: Vec<u8>,
}

/// Messages that are published together, in their order.
struct Job {
    messages: Arc<[Outgoing]>,
    done: oneshot::Sender<Vec<Verdict>>,
}

/// The way in to all publishers.
#[derive(Clone)]
pub(super) struct Publishers {
    ways: Arc<[mpsc::Sender<Job>]>,
    next: Arc<AtomicUsize>,
}

/// One channel's work: to be run as a task.
pub(super) struct Publisher {
    jobs: mpsc::Receiver<Job>,
    link: Arc<Link>,
    metrics: Arc<Metrics>,
}

impl Publishers {
    /// Publishers over this link. Each has to be run.
    pub(super) fn over(link: &Arc<Link>, metrics: &Arc<Metrics>) -> (Self, Vec<Publisher>) {
        let (ways, publishers) = (0..PUBLISHERS)
            .map(|_| {
                let (way, jobs) = mpsc::channel(JOBS);
                (way, Publisher { jobs, link: Arc::clone(link), metrics: Arc::clone(metrics) })
            })
            .collect::<(Vec<_>, Vec<_>)>();
        (Self { ways: ways.into(), next: Arc::default() }, publishers)
    }

    /// Publishes at most [`BATCH`] messages over one channel, in their order; tells what became of each.
    pub(super) async fn publish(&self, messages: Arc<[Outgoing]>) -> Vec<Verdict> {
        let unknown = vec![Verdict::Unknown; messages.len()];
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.ways.len();
        let (done, verdicts) = oneshot::channel();
        if self.ways[turn].send(Job { messages, done }).await.is_err() {
            return unknown;
        }
        verdicts.await.unwrap_or(unknown)
    }
}

/// A message's number, and what was heard of it.
type Answer = (Number, lapin::Result<Confirmation>);

impl Publisher {
    /// Publishes over one session after another, for as long as somebody may hand in something.
    pub(super) async fn run(mut self) {
        let mut last = 0;
        loop {
            let session = tokio::select! {
                session = self.link.session_after(last) => session,
                job = self.jobs.recv() => match job {
                    Some(job) => { refuse(job); continue }
                    None => return,
                },
            };
            let Some(session) = session else { return };
            last = session.number();
            let mut ledger = Ledger::default();
            let served = self.serve(&session, &mut ledger).await;
            ledger.give_up();
            match served {
                Ok(Served::NobodyIsLeft) => return,
                Ok(Served::SessionIsOver) => {}
                Err(error) => session.end(&format!("no channel to publish over: {error}")),
            }
        }
    }

    /// Publishes over a channel of this session until it is over.
    async fn serve(&mut self, session: &Session, ledger: &mut Ledger) -> lapin::Result<Served> {
        let channel = session.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let mut under_way = FuturesUnordered::new();
        let mut moved = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = session.over() => return Ok(Served::SessionIsOver),
                Some(first) = under_way.next(), if !under_way.is_empty() => {
                    // A confirm that brings a returned message comes no later than the confirm of that message: once
                    // nothing more is there, each can be told what became of it.
                    let mut answers: Vec<Answer> = vec![first];
                    while let Some(Some(answer)) = under_way.next().now_or_never() {
                        answers.push(answer);
                    }
                    self.settle(ledger, answers);
                    moved = Instant::now();
                }
                job = self.jobs.recv(), if under_way.len() < UNDER_WAY => {
                    let Some(job) = job else { return Ok(Served::NobodyIsLeft) };
                    if under_way.is_empty() {
                        moved = Instant::now();
                    }
                    let numbers = ledger.open(job.messages.len(), job.done);
                    // Each is written when it is polled first, which happens in this order.
                    under_way.extend(numbers.enumerate().map(|(place, number)| {
                        send(&channel, Arc::clone(&job.messages), place, number)
                    }));
                }
                () = tokio::time::sleep_until(moved + CONFIRMED_WITHIN), if !under_way.is_empty() => {
                    moved = Instant::now();
                    if !self.link.is_blocked() {
                        session.end("it confirms nothing");
                    }
                }
            }
        }
    }

    fn settle(&self, ledger: &mut Ledger, answers: Vec<Answer>) {
        let mut heard = Vec::with_capacity(answers.len());
        for (number, answer) in answers {
            let (what, message) = match answer {
                Ok(Confirmation::Ack(message)) => (Heard::Ack, message),
                Ok(Confirmation::Nack(message)) => (Heard::Nack, message),
                // Confirms are on: without one nothing is known.
                Ok(Confirmation::NotRequested) | Err(_) => (Heard::Nothing, None),
            };
            if let Some(message) = message
                && let Some(id) = message.properties.message_id()
            {
                ledger.returned(id.as_str());
                self.count("returned", 1);
            }
            heard.push((number, what));
        }
        for (number, what) in heard {
            ledger.heard(number, what);
            self.count(
                match what {
                    Heard::Ack => "confirmed",
                    Heard::Nack => "refused",
                    Heard::Nothing => "unknown",
                },
                1,
            );
        }
    }

    fn count(&self, name: &'static str, messages: u64) {
        self.metrics.rabbitmq_published.get_or_create(&Named { name }).inc_by(messages);
    }
}

enum Served {
    SessionIsOver,
    NobodyIsLeft,
}

/// A job that comes while there is no connection.
fn refuse(job: Job) {
    let _ = job.done.send(vec![Verdict::Unknown; job.messages.len()]);
}

/// Publishes one message and waits for its confirm.
async fn send(channel: &Channel, messages: Arc<[Outgoing]>, place: usize, number: Number) -> Answer {
    let message = &messages[place];
    let id = ShortString::try_new(number.message_id(&message.label)).unwrap_or_else(|_| "0".into());
    let written = channel.basic_publish(
        message.exchange.clone(),
        message.routing_key.clone(),
        BasicPublishOptions { mandatory: true, immediate: false },
        &message.payload,
        message.properties.clone().with_message_id(id),
    );
    let confirm = match written.await {
        Ok(confirm) => confirm.await,
        Err(error) => Err(error),
    };
    (number, confirm)
}
