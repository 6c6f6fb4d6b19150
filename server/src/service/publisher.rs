//! The publisher: acceptances are stored and sent to the queue in batches, apart from the requests that wait for them.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    NotAccepted,
    accept::{self, Accepted, Answer},
};
use crate::{
    cache::{Entry, ResultCache as _},
    model::{OpenTask, RoundId, TaskView},
    parts::Parts,
    queue::{Message, TaskQueue as _},
    store::StoreError,
};

/// Submissions in one call of the store.
const BATCH: usize = 512;
/// Batches that are stored and still have conflicts to decide or messages to send, at most. Only one batch is with the
/// store: what arrives meanwhile travels together, and two that split it cost a commit more.
const FOLLOWED_UP: usize = 8;

/// What a round that was handed in came to.
#[derive(Clone, Debug)]
pub enum Taken {
    /// It is accepted, and shown like this.
    New(Arc<TaskView>),
    /// It is the repeat of a round that was accepted before.
    Repeat(RoundId),
}

type Waiting = oneshot::Sender<Result<Taken, NotAccepted>>;

struct HandedIn {
    open: Arc<OpenTask>,
    waiting: Option<Waiting>,
}

/// The bounded way in. A place in it is reserved before anything is written.
#[derive(Clone)]
pub struct Backlog {
    places: mpsc::Sender<HandedIn>,
    parts: Arc<Parts>,
}

/// The publisher's work: to be run as a task. It ends when every [`Backlog`] is gone and everything is sent.
pub struct Publisher {
    incoming: mpsc::Receiver<HandedIn>,
    parts: Arc<Parts>,
}

impl Backlog {
    /// A backlog of so many places and the publisher behind it.
    #[must_use]
    pub fn new(parts: Arc<Parts>, places: usize) -> (Self, Publisher) {
        let (sender, incoming) = mpsc::channel(places.max(1));
        (Self { places: sender, parts: Arc::clone(&parts) }, Publisher { incoming, parts })
    }

    /// Hands in a round.
    ///
    /// # Errors
    /// [`NotAccepted::Overloaded`] and [`NotAccepted::Stopping`]: nothing was or will be written.
    pub fn hand_in(&self, open: Arc<OpenTask>, waiting: Option<Waiting>) -> Result<(), NotAccepted> {
        // Whoever is let in while the queue is full would wait behind batches that wait for room there.
        if !self.parts.queue.has_room() {
            self.parts.metrics.refused_overload.inc();
            return Err(NotAccepted::Overloaded);
        }
        self.places.try_send(HandedIn { open, waiting }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.parts.metrics.refused_overload.inc();
                NotAccepted::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) => NotAccepted::Stopping,
        })
    }

    /// Hands in a round and waits until it is accepted.
    ///
    /// # Errors
    /// See [`NotAccepted`].
    pub async fn accept(&self, open: Arc<OpenTask>) -> Result<Taken, NotAccepted> {
        let (waiting, accepted) = oneshot::channel();
        self.hand_in(open, Some(waiting))?;
        accepted.await.map_err(|_| NotAccepted::Stopping)?
    }
}

impl Publisher {
    /// Publishes batch after batch.
    pub async fn run(mut self) {
        let followed_up = Arc::new(Semaphore::new(FOLLOWED_UP));
        loop {
            let Ok(place) = Arc::clone(&followed_up).acquire_owned().await else { break };
            let mut batch = Vec::new();
            if self.incoming.recv_many(&mut batch, BATCH).await == 0 {
                break;
            }
            let stored = store(&self.parts, batch).await;
            if !stored.is_done() {
                let parts = Arc::clone(&self.parts);
                tokio::spawn(async move {
                    stored.follow_up(&parts).await;
                    drop(place);
                });
            }
        }
        let _ = followed_up.acquire_many(u32::try_from(FOLLOWED_UP).unwrap_or(1)).await;
    }

    /// Publishes the next batch here and now, for whoever drives it step by step. Whether there was one.
    pub async fn publish_next(&mut self) -> bool {
        let mut batch = Vec::new();
        let any = self.incoming.recv_many(&mut batch, BATCH).await > 0;
        if any {
            store(&self.parts, batch).await.follow_up(&self.parts).await;
        }
        any
    }
}

/// A batch that is stored: what is accepted, to be shown and to be sent, and what met a conflict.
#[derive(Default)]
struct Stored {
    accepted: Vec<Accepting>,
    undecided: Vec<HandedIn>,
}

/// Stores a batch in one call and answers what is accepted with that.
async fn store(parts: &Parts, batch: Vec<HandedIn>) -> Stored {
    parts.metrics.publish_batch.observe(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
    let opens: Vec<Arc<OpenTask>> = batch.iter().map(|handed_in| Arc::clone(&handed_in.open)).collect();
    let mut stored = Stored::default();
    match accept::insert(parts, &opens).await {
        Ok(whole) => {
            for (handed_in, whole) in batch.into_iter().zip(whole) {
                if whole {
                    stored.accepted.extend(handed_in.conclude(parts, Ok(Ok(Accepted::New))).await);
                } else {
                    stored.undecided.push(handed_in);
                }
            }
        }
        Err(error) => {
            tracing::warn!(%error, submissions = batch.len(), "submissions were not stored");
            for handed_in in batch {
                handed_in.conclude(parts, Err(copy(&error))).await;
            }
        }
    }
    stored
}

impl Stored {
    fn is_done(&self) -> bool {
        self.accepted.is_empty() && self.undecided.is_empty()
    }

    /// Shows, sends and decides; those that met a conflict keep nobody else waiting.
    async fn follow_up(self, parts: &Parts) {
        let decisions = self.undecided.into_iter().map(|handed_in| decide(parts, handed_in));
        futures_util::join!(show_and_send(parts, self.accepted), join_all(decisions));
    }
}

/// A round that is accepted and stored.
struct Accepting {
    view: Arc<TaskView>,
    fact_at_us: u64,
    message: Option<Message>,
    /// Whoever must not be told before the cache has it.
    waiting: Option<Waiting>,
}

/// Shows rounds in the cache and sends them to the queue, each all at once: which of the two is first does not matter,
/// as the runner's views are newer than these.
async fn show_and_send(parts: &Parts, accepted: Vec<Accepting>) {
    let (mut entries, mut messages, mut waiting) = (Vec::with_capacity(accepted.len()), Vec::new(), Vec::new());
    for accepting in accepted {
        let view = accepting.view;
        entries.push(Entry { view: Arc::clone(&view), fact_at_us: accepting.fact_at_us });
        messages.extend(accepting.message);
        waiting.extend(accepting.waiting.map(|waiting| (waiting, view)));
    }
    let shown = async {
        // A cache that cannot be had costs the next queries a read of the store each.
        let _ = parts.cache.put_all(entries).await;
        for (waiting, view) in waiting {
            let _ = waiting.send(Ok(Taken::New(view)));
        }
    };
    futures_util::join!(shown, offer(parts, messages));
}

/// Decides a round that met a conflict.
async fn decide(parts: &Parts, handed_in: HandedIn) {
    let answer = accept::decide(parts, &handed_in.open).await;
    let accepted = handed_in.conclude(parts, answer).await;
    show_and_send(parts, accepted.into_iter().collect()).await;
}

async fn offer(parts: &Parts, messages: Vec<Message>) {
    if messages.is_empty() {
        return;
    }
    if let Err(error) = parts.queue.offer(messages).await {
        tracing::warn!(%error, "accepted tasks were not sent to the queue; the sweeper will send them");
    }
}

impl HandedIn {
    /// Tells whoever waits what came of it; gives back a round that was accepted. Of a first round the cache cannot hold
    /// anything that the answer would contradict, so nobody waits for the cache then.
    async fn conclude(self, parts: &Parts, answer: Answer) -> Option<Accepting> {
        let Self { open, waiting } = self;
        let now_us = parts.clock.now_us();
        let refused = match answer {
            Ok(Ok(Accepted::New)) => {
                parts.metrics.accepted.inc();
                let view = Arc::new(TaskView::queued(&open));
                let mut accepting = Accepting { view, fact_at_us: now_us, message: None, waiting };
                if open.round == 1
                    && let Some(waiting) = accepting.waiting.take()
                {
                    let _ = waiting.send(Ok(Taken::New(Arc::clone(&accepting.view))));
                }
                accepting.message = (!parts.settings.accept_only).then(|| Message::first(open, now_us));
                return Some(accepting);
            }
            Ok(Ok(Accepted::Repeat(round))) => Ok(Taken::Repeat(round)),
            Ok(Err(refusal)) => Err(refusal.into()),
            Err(error) => Err(error.into()),
        };
        if let Some(waiting) = waiting {
            let _ = waiting.send(refused);
        } else {
            tracing::warn!(task_id = %open.task.task_id, "a task that was accepted early is lost");
            let _ = parts.cache.evict(open.task.task_id, TaskView::queued(&open).version()).await;
        }
        None
    }
}

/// The same error for each of a batch.
fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(reason) => StoreError::Unavailable(reason.clone()),
        _ => StoreError::Unknown(error.to_string()),
    }
}
