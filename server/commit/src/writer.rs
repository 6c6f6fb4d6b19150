//! The commit thread: takes what waits, decides what goes in, commits it as one, answers.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::database::{Database, panic_text};
use crate::error::Cause;
use crate::plan::{Plan, Write};
use crate::stats::Counters;
use crate::{CommitError, Entry, Space};

type Answer<T> = oneshot::Sender<Result<T, CommitError>>;

/// One call, handed in.
pub(crate) struct Request {
    /// Places it takes in the inbox.
    pub(crate) places: u32,
    pub(crate) work: Work,
}

pub(crate) enum Work {
    Insert { groups: Vec<Vec<Entry>>, answer: Answer<Vec<usize>> },
    Delete { keys: Vec<(Space, Vec<u8>)>, answer: Answer<Vec<bool>> },
    Close { answer: Answer<()> },
}

/// What callers and the commit thread share.
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) counters: Counters,
    /// Places in the inbox, one a document.
    pub(crate) places: Semaphore,
    /// Why writing stopped.
    pub(crate) broken: OnceLock<Cause>,
}

/// A call that was worked off and waits for the commit.
enum Decided {
    Insert(Result<Vec<usize>, CommitError>, Answer<Vec<usize>>),
    Delete(Result<Vec<bool>, CommitError>, Answer<Vec<bool>>),
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    inbox: mpsc::UnboundedReceiver<Request>,
    max_batch: usize,
    taken: VecDeque<Request>,
    plan: Plan,
    decided: Vec<Decided>,
    closing: Vec<Answer<()>>,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, inbox: mpsc::UnboundedReceiver<Request>, max_batch: usize) -> Self {
        let (taken, plan, decided, closing) = Default::default();
        Self { shared, inbox, max_batch, taken, plan, decided, closing }
    }

    /// Works until all handles are gone or one asks to close, and everything handed in before is answered.
    pub(crate) fn run(mut self) {
        while let Some(batch) = self.next_batch() {
            let places = batch.iter().map(|request| request.places as usize).sum();
            match catch_unwind(AssertUnwindSafe(|| self.work_off(batch))) {
                Ok(()) => {}
                Err(panic) => {
                    // The answers of this batch are dropped, which their callers take for an unknown fate.
                    self.break_off(format!("the commit thread panicked: {}", panic_text(panic.as_ref())));
                    (self.plan, self.decided) = (Plan::default(), Vec::new());
                }
            }
            self.shared.counters.waiting.fetch_sub(places as u64, Relaxed);
            self.shared.places.add_permits(places);
        }
        let synced = match self.shared.broken.get() {
            Some(cause) => Err(CommitError::Broken(cause.clone())),
            None => self.shared.database.sync().map_err(|error| CommitError::Unknown(self.break_with(&error))),
        };
        for answer in self.closing.drain(..) {
            let _ = answer.send(synced.clone());
        }
    }

    /// Waits for work; takes what there is up to the size of a batch. `None` when nothing will come any more.
    fn next_batch(&mut self) -> Option<Vec<Request>> {
        if self.taken.is_empty() {
            self.taken.push_back(self.inbox.blocking_recv()?);
        }
        let (mut batch, mut places) = (Vec::new(), 0);
        while places < self.max_batch {
            let Some(request) = self.taken.pop_front().or_else(|| self.inbox.try_recv().ok()) else { break };
            places += request.places as usize;
            batch.push(request);
        }
        Some(batch)
    }

    fn work_off(&mut self, batch: Vec<Request>) {
        for request in batch {
            self.decide(request.work);
        }
        if self.decided.is_empty() {
            return;
        }
        let written = self.commit();
        for decided in self.decided.drain(..) {
            decided.answer(&written);
        }
    }

    fn decide(&mut self, work: Work) {
        let (shared, plan) = (&self.shared, &mut self.plan);
        let mut stored = |space: Space, key: &[u8]| shared.database.contains(space, key).map_err(CommitError::read);
        let decided = match work {
            Work::Close { answer } => {
                self.inbox.close();
                shared.places.close();
                return self.closing.push(answer);
            }
            Work::Insert { groups, answer } => {
                let taken = groups.into_iter().map(|group| plan.insert(group, &mut stored)).collect();
                Decided::Insert(taken, answer)
            }
            Work::Delete { keys, answer } => {
                let there = keys.into_iter().map(|(space, key)| plan.delete(space, key, &mut stored)).collect();
                Decided::Delete(there, answer)
            }
        };
        match decided.error() {
            None => self.decided.push(decided),
            Some(error) => {
                // The plan may hold a part of this call, and later ones rest on it: nothing of it is written.
                self.plan.drain().for_each(drop);
                self.decided.push(decided);
                self.decided.drain(..).for_each(|decided| decided.answer(&Err(error.clone())));
            }
        }
    }

    fn commit(&mut self) -> Result<(), CommitError> {
        let writes: Vec<Write> = self.plan.drain().collect();
        let shared = &self.shared;
        if let Some(cause) = shared.broken.get() {
            return Err(CommitError::Broken(cause.clone()));
        }
        if writes.is_empty() {
            return Ok(());
        }
        match shared.database.make_room() {
            Ok(false) => {}
            Ok(true) => {
                shared.counters.stalls.fetch_add(1, Relaxed);
            }
            Err(error) => return Err(CommitError::Broken(self.break_with(&error))),
        }
        let inserted = writes.iter().filter(|write| matches!(write, Write::Insert(..))).count() as u64;
        let (size, started) = (writes.len(), Instant::now());
        match shared.database.commit(writes.into_iter(), size) {
            Ok(()) => {
                shared.counters.committed(inserted, size as u64 - inserted, started.elapsed());
                Ok(())
            }
            // fjall looks for this before it writes anything.
            Err(error @ fjall::Error::Poisoned) => Err(CommitError::Broken(self.break_with(&error))),
            Err(error) => Err(CommitError::Unknown(self.break_with(&error))),
        }
    }

    fn break_with(&self, error: &fjall::Error) -> Cause {
        self.break_off(self.shared.database.explain(error))
    }

    fn break_off(&self, why: String) -> Cause {
        tracing::error!(why, "no more writes");
        self.shared.broken.get_or_init(|| Cause::new(why)).clone()
    }
}

// === impl Decided ===

impl Decided {
    fn error(&self) -> Option<CommitError> {
        match self {
            Self::Insert(Err(error), _) | Self::Delete(Err(error), _) => Some(error.clone()),
            _ => None,
        }
    }

    /// Tells the caller what was decided if the commit went well. One that no longer waits is no error.
    fn answer(self, written: &Result<(), CommitError>) {
        let written = written.clone();
        match self {
            Self::Insert(taken, answer) => drop(answer.send(written.and(taken))),
            Self::Delete(there, answer) => drop(answer.send(written.and(there))),
        }
    }
}
