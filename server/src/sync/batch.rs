//! Outcomes in batches: closed after 5 ms or 1,000 documents, a few batches under way at once.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::{Finished, Verdict, Waiting, store};
use crate::{parts::Parts, store::StoreError};

/// A batch is closed this long after its first outcome.
const OPEN_FOR: Duration = Duration::from_millis(5);
/// A batch is closed at this many outcomes (two documents each).
const AT_MOST: usize = 500;
/// Batches that wait for the store at the same time.
const UNDER_WAY: usize = 4;
/// Outcomes that wait for a batch.
const BACKLOG: usize = 8_192;

/// The way into the batches of one runtime.
#[derive(Clone)]
pub struct Batches {
    backlog: mpsc::Sender<(Finished, Waiting)>,
}

/// The background work: to be run as a task. It ends when every [`Batches`] is gone and everything is stored.
pub struct Work {
    backlog: mpsc::Receiver<(Finished, Waiting)>,
    parts: Arc<Parts>,
}

impl Batches {
    /// Batches, and the work that stores them.
    #[must_use]
    pub fn new(parts: Arc<Parts>) -> (Self, Work) {
        let (sender, backlog) = mpsc::channel(BACKLOG);
        (Self { backlog: sender }, Work { backlog, parts })
    }

    /// Hands in an outcome and waits for its verdict.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn settle(&self, finished: Finished) -> Result<Verdict, StoreError> {
        let stopped = || StoreError::Unavailable("the synchroniser has stopped".to_owned());
        let (waiting, verdict) = oneshot::channel();
        self.backlog.send((finished, waiting)).await.map_err(|_| stopped())?;
        verdict.await.map_err(|_| stopped())?
    }
}

impl Work {
    /// Stores batch after batch.
    pub async fn run(mut self) {
        let under_way = Arc::new(Semaphore::new(UNDER_WAY));
        loop {
            let mut batch = Vec::new();
            if self.backlog.recv_many(&mut batch, AT_MOST).await == 0 {
                break;
            }
            let closes_at = Instant::now() + OPEN_FOR;
            while batch.len() < AT_MOST {
                let room = AT_MOST - batch.len();
                match timeout_at(closes_at, self.backlog.recv_many(&mut batch, room)).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
            let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { break };
            let parts = Arc::clone(&self.parts);
            tokio::spawn(async move {
                store_batch(&parts, batch).await;
                drop(permit);
            });
        }
        // Waits for what is under way.
        let _ = under_way.acquire_many(u32::try_from(UNDER_WAY).unwrap_or(1)).await;
    }
}

async fn store_batch(parts: &Parts, batch: Vec<(Finished, Waiting)>) {
    let (finished, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    match store(parts, finished).await {
        Ok(verdicts) => {
            for (waiting, verdict) in waiting.into_iter().zip(verdicts) {
                let _ = waiting.send(Ok(verdict));
            }
        }
        Err(error) => {
            tracing::warn!(%error, outcomes = waiting.len(), "outcomes were not stored; their rounds stay open");
            for waiting in waiting {
                let _ = waiting.send(Err(StoreError::Unknown(error.to_string())));
            }
        }
    }
}
