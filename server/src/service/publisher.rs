//! The publishers: acceptances are stored and sent to the queue in batches, apart from the requests that wait for them.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    NotAccepted,
    accept::{self, Accepted, Answer},
};
use crate::{
    cache::{Entry, ResultCache as _},
    model::{OpenTask, TaskView},
    parts::Parts,
    queue::{Message, TaskQueue as _},
    store::StoreError,
};

/// Submissions in one call of the store.
const BATCH: usize = 512;
/// Publishers of one runtime: batches that are with the store or the queue at the same time. One is with the store while
/// the next fills; more would only split what can travel together.
const PUBLISHERS: usize = 2;

type Waiting = oneshot::Sender<Result<Accepted, NotAccepted>>;

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

/// The publishers' work: to be run as a task. It ends when every [`Backlog`] is gone and everything is sent.
pub struct Publisher {
    incoming: mpsc::Receiver<HandedIn>,
    parts: Arc<Parts>,
}

impl Backlog {
    /// A backlog of so many places and the publishers behind it.
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
        // Whoever is let in while the queue is full would wait behind publishers that wait for room there.
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
    pub async fn accept(&self, open: Arc<OpenTask>) -> Result<Accepted, NotAccepted> {
        let (waiting, accepted) = oneshot::channel();
        self.hand_in(open, Some(waiting))?;
        accepted.await.map_err(|_| NotAccepted::Stopping)?
    }
}

impl Publisher {
    /// Publishes batch after batch.
    pub async fn run(mut self) {
        let publishers = Arc::new(Semaphore::new(PUBLISHERS));
        loop {
            // A free publisher first, then the batch: what arrives meanwhile travels together.
            let Ok(publisher) = Arc::clone(&publishers).acquire_owned().await else { break };
            let mut batch = Vec::new();
            if self.incoming.recv_many(&mut batch, BATCH).await == 0 {
                break;
            }
            let parts = Arc::clone(&self.parts);
            tokio::spawn(async move {
                publish(&parts, batch).await;
                drop(publisher);
            });
        }
        let _ = publishers.acquire_many(u32::try_from(PUBLISHERS).unwrap_or(1)).await;
    }

    /// Publishes the next batch here and now, for whoever drives it step by step. Whether there was one.
    pub async fn publish_next(&mut self) -> bool {
        let mut batch = Vec::new();
        let any = self.incoming.recv_many(&mut batch, BATCH).await > 0;
        if any {
            publish(&self.parts, batch).await;
        }
        any
    }
}

async fn publish(parts: &Parts, batch: Vec<HandedIn>) {
    parts.metrics.publish_batch.observe(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
    let opens: Vec<Arc<OpenTask>> = batch.iter().map(|handed_in| Arc::clone(&handed_in.open)).collect();
    let whole = match accept::insert(parts, &opens).await {
        Ok(whole) => whole,
        Err(error) => {
            tracing::warn!(%error, submissions = batch.len(), "submissions were not stored");
            for handed_in in batch {
                handed_in.answer(parts, Err(copy(&error))).await;
            }
            return;
        }
    };
    let (mut messages, mut undecided) = (Vec::with_capacity(batch.len()), Vec::new());
    for (handed_in, whole) in batch.into_iter().zip(whole) {
        if whole {
            messages.extend(handed_in.answer(parts, Ok(Ok(Accepted::New))).await);
        } else {
            undecided.push(decide(parts, handed_in));
        }
    }
    // Those that met a conflict keep nobody else waiting.
    futures_util::join!(offer(parts, messages), join_all(undecided));
}

/// Decides a round that met a conflict.
async fn decide(parts: &Parts, handed_in: HandedIn) {
    let answer = accept::decide(parts, &handed_in.open).await;
    let message = handed_in.answer(parts, answer).await;
    offer(parts, message.into_iter().collect()).await;
}

async fn offer(parts: &Parts, messages: Vec<Message>) {
    if parts.settings.accept_only || messages.is_empty() {
        return;
    }
    if let Err(error) = parts.queue.offer(messages).await {
        tracing::warn!(%error, "accepted tasks were not sent to the queue; the sweeper will send them");
    }
}

impl HandedIn {
    /// Tells whoever waits; gives the message of a round that was accepted.
    async fn answer(self, parts: &Parts, answer: Answer) -> Option<Message> {
        let Self { open, waiting } = self;
        let accepted = matches!(answer, Ok(Ok(Accepted::New)));
        let now_us = parts.clock.now_us();
        if accepted {
            parts.metrics.accepted.inc();
            // Shown before it is sent: the runner's views are newer than this one.
            let _ = parts.cache.put(Entry { view: Arc::new(TaskView::queued(&open)), fact_at_us: now_us }).await;
        } else if waiting.is_none() {
            tracing::warn!(task_id = %open.task.task_id, "a task that was accepted early is lost");
            let _ = parts.cache.evict(open.task.task_id).await;
        }
        if let Some(waiting) = waiting {
            let _ = waiting.send(flatten(answer));
        }
        accepted.then(|| Message::first(open, now_us))
    }
}

fn flatten(answer: Answer) -> Result<Accepted, NotAccepted> {
    Ok(answer??)
}

/// The same error for each of a batch.
fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(reason) => StoreError::Unavailable(reason.clone()),
        _ => StoreError::Unknown(error.to_string()),
    }
}
