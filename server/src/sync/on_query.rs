//! The classic order, to measure what the default costs: results are shown at once, and stored when a query has shown
//! them, or after a while.

use std::{
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use dashmap::DashMap;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

use super::{Finished, Verdict, entry, store};
use crate::{
    cache::{KEPT, ResultCache as _},
    closing,
    model::{OpenTask, OutcomeState, RoundId, Version},
    parts::Parts,
    store::StoreError,
};

/// Results that may wait for a query at the same time; over it the new ones are stored at once.
const AT_MOST: usize = 1_000_000;
/// Rounds that one call of the store takes.
const BATCH: usize = 500;
/// How often results that nobody queries are looked for.
const TICK: Duration = Duration::from_secs(1);
/// What is not queried is stored before its cache entry goes.
const UNQUERIED: Duration = KEPT.saturating_sub(Duration::from_secs(5));

/// Results that are shown and not stored.
pub struct Unsynced {
    parts: Arc<Parts>,
    waiting: DashMap<RoundId, (Finished, Instant)>,
    len: AtomicUsize,
    shown: mpsc::Sender<RoundId>,
}

/// The background work: to be run as a task.
pub struct Work {
    unsynced: Arc<Unsynced>,
    shown: mpsc::Receiver<RoundId>,
}

impl Unsynced {
    /// Nothing yet, and the work that stores what comes.
    #[must_use]
    pub fn new(parts: Arc<Parts>) -> (Arc<Self>, Work) {
        let (sender, shown) = mpsc::channel(8_192);
        let unsynced = Self { parts, waiting: DashMap::new(), len: AtomicUsize::new(0), shown: sender };
        let unsynced = Arc::new(unsynced);
        (Arc::clone(&unsynced), Work { unsynced, shown })
    }

    /// Shows a result; it is stored later.
    ///
    /// # Errors
    /// Where there are too many already and the store does not answer.
    pub async fn settle(&self, finished: Finished) -> Result<Verdict, StoreError> {
        if self.len.load(Ordering::Relaxed) >= AT_MOST {
            return super::store_one(&self.parts, finished).await;
        }
        let round = finished.outcome.round_id();
        if let Some(entry) = entry(&finished, self.parts.clock.now_us()) {
            // Without a cache it is shown once it is stored.
            let _ = self.parts.cache.put(entry).await;
        }
        if self.waiting.insert(round, (finished, Instant::now())).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Verdict::Won)
    }

    /// A query has shown this round's result. Where too many wait already, the clock stores it later.
    pub fn shown(&self, round: RoundId) {
        let _ = self.shown.try_send(round);
    }

    /// Stores everything that waits.
    pub async fn flush(&self) {
        self.store_older_than(Duration::ZERO).await;
    }

    async fn store_older_than(&self, age: Duration) {
        let now = Instant::now();
        let old = |since: Instant| now.saturating_duration_since(since) >= age;
        let rounds: Vec<RoundId> = self.waiting.iter().filter(|waits| old(waits.1)).map(|waits| *waits.key()).collect();
        for rounds in rounds.chunks(BATCH) {
            self.store_rounds(rounds).await;
        }
    }

    async fn store_rounds(&self, rounds: &[RoundId]) {
        let finished: Vec<Finished> =
            rounds.iter().filter_map(|round| self.waiting.get(round).map(|waits| waits.0.clone())).collect();
        if finished.is_empty() {
            return;
        }
        let verdicts = match store(&self.parts, finished.clone()).await {
            Ok(verdicts) => verdicts,
            Err(error) => {
                tracing::warn!(%error, "shown results were not stored; the next tick tries again");
                return;
            }
        };
        for (finished, verdict) in finished.into_iter().zip(verdicts) {
            let round = finished.outcome.round_id();
            if let Err(error) = self.close_what_is_left(&finished, &verdict).await {
                tracing::warn!(%error, "what a round left at the channel was not closed; the next tick tries again");
                continue;
            }
            if self.waiting.remove(&round).is_some() {
                self.len.fetch_sub(1, Ordering::Relaxed);
            }
            let _ = self.parts.cache.evict(round.task, Version::settled(round.round)).await;
        }
    }

    /// A cancellation was stored before the success that was shown, and its payment is nobody's any more; or it was a
    /// failure, which may have left an order at the channel.
    async fn close_what_is_left(&self, finished: &Finished, verdict: &Verdict) -> Result<(), StoreError> {
        let outcome = &finished.outcome;
        let is_left = match verdict {
            Verdict::Lost(first) => first.state == OutcomeState::Cancelled && finished.payment.is_some(),
            Verdict::Won => outcome.leaves_an_order(),
        };
        if !is_left {
            return Ok(());
        }
        let open = OpenTask {
            task: Arc::clone(&outcome.task),
            round: outcome.round,
            accepted_at_us: outcome.accepted_at_us,
            attempts_before: outcome.attempt,
            key: None,
        };
        closing::close_left(&self.parts, &Arc::new(open)).await
    }
}

impl Work {
    /// Stores what was shown, and what nobody asked for, for as long as it is polled.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rounds = Vec::new();
        loop {
            tokio::select! {
                taken = self.shown.recv_many(&mut rounds, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    self.unsynced.store_rounds(&rounds).await;
                    rounds.clear();
                }
                _ = tick.tick() => self.unsynced.store_older_than(UNQUERIED).await,
            }
        }
    }
}
