//! The handle that callers hold: hands work to the commit thread, reads directly.

use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::database::Database;
use crate::error::{BadEntry, Cause};
use crate::stats::Counters;
use crate::writer::{Request, Shared, Work, Writer};
use crate::{CommitError, Entry, Options, Space, Stats, Value};

/// An open database with insert-once ids. Clones share it; when the last one goes, what was handed in is finished.
///
/// A call that is dropped before it is answered may or may not take effect, as with a lost connection.
#[derive(Clone)]
pub struct GroupCommit {
    inner: Arc<Inner>,
}

struct Inner {
    /// Taken when the last handle goes, so that the commit thread ends.
    inbox: Option<mpsc::UnboundedSender<Request>>,
    /// Places in the inbox that one call can take at most.
    max_places: u32,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

// === impl GroupCommit ===

impl GroupCommit {
    /// Opens the database in `dir`, or creates it. A [`Space`] is an index into `spaces`; spaces are found again by
    /// their names, and new ones are created.
    ///
    /// This blocks while the journal is replayed. A write that a crash interrupted is cut off; it was never answered.
    ///
    /// # Errors
    ///
    /// [`CommitError::Locked`], [`CommitError::Foreign`], [`CommitError::Io`], [`CommitError::Corrupt`],
    /// [`CommitError::Open`] or [`CommitError::BadSpaces`].
    pub fn open(dir: &Path, spaces: &[&'static str], options: Options) -> Result<Self, CommitError> {
        let options = options.clamped();
        let shared = Arc::new(Shared {
            database: Database::open(dir, spaces, &options)?,
            counters: Counters::default(),
            places: Semaphore::new(options.inbox),
            broken: OnceLock::new(),
        });
        let (inbox, receiver) = mpsc::unbounded_channel();
        let writer = Writer::new(Arc::clone(&shared), receiver, options.max_batch);
        let thread =
            thread::Builder::new().name("commit".into()).spawn(|| writer.run()).map_err(CommitError::io(dir))?;
        let max_places = u32::try_from(options.inbox).unwrap_or(u32::MAX);
        Ok(Self { inner: Arc::new(Inner { inbox: Some(inbox), max_places, thread: Some(thread), shared }) })
    }

    /// Inserts each group in order up to the first entry whose key exists already, in the database or earlier in the
    /// same commit; returns for each group how many of its entries went in.
    ///
    /// Answers when everything that went in, and whatever stood in the way, is on disk. What goes in of one call goes
    /// in as one: after a crash either all of it is there or nothing.
    ///
    /// # Errors
    ///
    /// [`CommitError::Unknown`] if the commit failed (the fate of the write is unknown);
    /// [`CommitError::BadEntry`], [`CommitError::Read`], [`CommitError::Broken`] and [`CommitError::Closed`] if nothing
    /// was written.
    pub async fn insert(&self, groups: Vec<Vec<Entry>>) -> Result<Vec<usize>, CommitError> {
        let entries = groups.iter().flatten();
        let count = entries.clone().count();
        for entry in entries {
            self.check_key(entry.space, &entry.key)?;
            if entry.value.len() > Entry::MAX_VALUE_BYTES {
                return Err(BadEntry::Value(entry.value.len()).into());
            }
        }
        if count == 0 {
            return Ok(vec![0; groups.len()]);
        }
        self.hand_in(count, |answer| Work::Insert { groups, answer }).await
    }

    /// Deletes keys; returns for each whether it was there. Of several that delete a key at the same time exactly one
    /// is told so. Answers when it is on disk.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub async fn delete(&self, keys: Vec<(Space, Vec<u8>)>) -> Result<Vec<bool>, CommitError> {
        for (space, key) in &keys {
            self.check_key(*space, key)?;
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.hand_in(keys.len(), |answer| Work::Delete { keys, answer }).await
    }

    /// The document with this key. It is on disk.
    ///
    /// # Errors
    ///
    /// [`CommitError::BadEntry`] or [`CommitError::Read`].
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Value>, CommitError> {
        self.check_key(space, key)?;
        self.inner.shared.database.get(space, key).map_err(CommitError::read)
    }

    /// The first `limit` keys between two bounds, with their documents, in the order of their bytes. They are on disk.
    ///
    /// A commit becomes visible entry by entry, in the order of its groups.
    ///
    /// # Errors
    ///
    /// [`CommitError::BadEntry`] or [`CommitError::Read`].
    pub fn range(
        &self,
        space: Space,
        after: Bound<&[u8]>,
        to: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Value, Value)>, CommitError> {
        self.check_space(space)?;
        if is_empty(after, to) {
            return Ok(Vec::new());
        }
        self.inner.shared.database.range(space, (after, to), limit).map_err(CommitError::read)
    }

    /// Why nothing can be written any more, if an earlier failure has broken writing. Only a new open helps.
    #[must_use]
    pub fn broken(&self) -> Option<CommitError> {
        self.inner.shared.broken.get().map(|cause| CommitError::Broken(cause.clone()))
    }

    /// What was done since the open.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.shared.counters.snapshot()
    }

    /// Finishes what was handed in and syncs; from then on all clones answer writes with [`CommitError::Closed`].
    /// The folder is free for another open when the last clone is gone.
    ///
    /// # Errors
    ///
    /// [`CommitError::Broken`] or [`CommitError::Unknown`] if not everything that was answered before could be synced
    /// once more, [`CommitError::Closed`] if another clone closed it.
    pub async fn close(self) -> Result<(), CommitError> {
        let (answer, closed) = oneshot::channel();
        let request = Request { places: 0, work: Work::Close { answer } };
        self.inner.send(request)?;
        closed.await.map_err(|_| CommitError::Closed)?
    }

    async fn hand_in<T>(
        &self,
        count: usize,
        work: impl FnOnce(oneshot::Sender<Result<T, CommitError>>) -> Work,
    ) -> Result<T, CommitError> {
        let shared = &self.inner.shared;
        if let Some(cause) = shared.broken.get() {
            return Err(CommitError::Broken(cause.clone()));
        }
        let places = u32::try_from(count).unwrap_or(u32::MAX).min(self.inner.max_places);
        shared.places.acquire_many(places).await.map_err(|_| CommitError::Closed)?.forget();
        let (answer, answered) = oneshot::channel();
        shared.counters.waiting.fetch_add(u64::from(places), Relaxed);
        let sent = self.inner.send(Request { places, work: work(answer) });
        if sent.is_err() {
            shared.counters.waiting.fetch_sub(u64::from(places), Relaxed);
        }
        sent?;
        answered.await.unwrap_or_else(|_| {
            let lost = || Cause::new("the commit thread ended without an answer");
            Err(CommitError::Unknown(shared.broken.get().cloned().unwrap_or_else(lost)))
        })
    }

    fn check_space(&self, space: Space) -> Result<(), BadEntry> {
        let known = usize::from(space.0) < self.inner.shared.database.spaces();
        if known { Ok(()) } else { Err(BadEntry::Space(space.0)) }
    }

    fn check_key(&self, space: Space, key: &[u8]) -> Result<(), BadEntry> {
        self.check_space(space)?;
        if key.is_empty() || key.len() > Entry::MAX_KEY_BYTES { Err(BadEntry::Key(key.len())) } else { Ok(()) }
    }
}

/// Is there no key between the bounds? (A map of the standard library panics on some of these.)
fn is_empty(after: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (after, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(after), Bound::Included(to)) => after > to,
        (Bound::Included(after) | Bound::Excluded(after), Bound::Included(to) | Bound::Excluded(to)) => after >= to,
    }
}

// === impl Inner ===

impl Inner {
    fn send(&self, request: Request) -> Result<(), CommitError> {
        let inbox = self.inbox.as_ref().ok_or(CommitError::Closed)?;
        inbox.send(request).map_err(|_| CommitError::Closed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was answered to those who waited for it.
            let _ = thread.join();
        }
    }
}
