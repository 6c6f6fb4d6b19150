//! The embedded store: fjall with group commit, one durable commit for everything that waits at a moment.

use std::{ops::Bound, path::Path, sync::Arc};

use payrig_commit::{CommitError, Entry, GroupCommit, Options, Space, Stats};

use super::{
    DocumentStore, Group, Key, StoreError, codec,
    gate::{Gate, Gated, Touch},
};
use crate::model::{Collection, Document, TaskId};

/// Blocks kept for reading back: what a few hundred thousand tasks take, so that polls of the last minutes find them.
const CACHE_BYTES: u64 = 256 << 20;

/// Documents in a folder of this machine.
#[derive(Clone)]
pub struct EmbeddedStore {
    commit: Arc<GroupCommit>,
    gate: Gated,
}

impl EmbeddedStore {
    /// Opens or creates the store in this folder.
    ///
    /// # Errors
    /// Where the folder cannot be used, is another process's, or holds something else.
    pub fn open(folder: &Path) -> Result<Self, CommitError> {
        let names = Collection::ALL.map(Collection::name);
        let options = Options { cache_bytes: CACHE_BYTES, ..Options::default() };
        let commit = Arc::new(GroupCommit::open(folder, &names, options)?);
        Ok(Self { commit, gate: Gated::default() })
    }

    /// The same store through a gate; what is one commit passes as one.
    #[must_use]
    pub fn gated(&self, gate: Arc<dyn Gate>) -> Self {
        Self { commit: Arc::clone(&self.commit), gate: Gated::by(gate) }
    }

    /// Why nothing can be written any more, if so.
    #[must_use]
    pub fn broken(&self) -> Option<StoreError> {
        self.commit.broken().map(|error| failed(&error))
    }

    /// Batch sizes and commit times so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.commit.stats()
    }
}

fn space(collection: Collection) -> Space {
    Space(collection as u8)
}

fn entry(document: &Document) -> Result<Entry, StoreError> {
    let value = codec::encode(document)?;
    Ok(Entry { space: space(document.collection()), key: key(document.collection(), &document.id()), value })
}

/// The key of an id. Ids that name a round (`{task_id}:{round}`, `{task_id}-{round}`) become 17 bytes in the same order:
/// shorter to compare, and short enough for fjall to keep in place. A prefix of such an id becomes a prefix of its key.
fn key(collection: Collection, id: &str) -> Vec<u8> {
    if collection.is_named_by_text() {
        return id.as_bytes().to_vec();
    }
    let (task, round) = id.split_at_checked(TaskId::TEXT_LEN).unwrap_or((id, ""));
    let Ok(task) = task.parse::<TaskId>() else { return id.as_bytes().to_vec() };
    let mut key = Vec::with_capacity(TaskId::BYTES + 1);
    key.extend_from_slice(&task.to_bytes());
    key.extend(round.get(1..).and_then(|round| round.parse::<u8>().ok()));
    key
}

fn failed(error: &CommitError) -> StoreError {
    match error {
        CommitError::Unknown(_) => StoreError::Unknown(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

impl DocumentStore for EmbeddedStore {
    async fn insert(&self, groups: Vec<Group>) -> Result<Vec<usize>, StoreError> {
        let encoded: Result<Vec<Vec<Entry>>, StoreError> =
            groups.iter().map(|group| group.iter().map(entry).collect()).collect();
        if let Some(first) = groups.first().and_then(|group| group.first()) {
            self.gate.pass(Touch::Insert, first.collection(), "").await;
        }
        self.commit.insert(encoded?).await.map_err(|error| failed(&error))
    }

    async fn delete(&self, keys: Vec<Key>) -> Result<Vec<bool>, StoreError> {
        if let Some(first) = keys.first() {
            self.gate.pass(Touch::Delete, first.collection, "").await;
        }
        let keys = keys.into_iter().map(|found| (space(found.collection), key(found.collection, &found.id))).collect();
        self.commit.delete(keys).await.map_err(|error| failed(&error))
    }

    async fn get(&self, collection: Collection, id: &str) -> Result<Option<Document>, StoreError> {
        self.gate.pass(Touch::Get, collection, id).await;
        let found = self.commit.get(space(collection), &key(collection, id)).map_err(|error| failed(&error))?;
        found.map(|bytes| codec::decode(collection, &bytes)).transpose()
    }

    async fn range(
        &self,
        collection: Collection,
        after: Option<&str>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        fn bound(key: Option<&Vec<u8>>) -> Bound<&[u8]> {
            key.map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_slice()))
        }
        self.gate.pass(Touch::Range, collection, "").await;
        let (after, before) = (after.map(|id| key(collection, id)), before.map(|id| key(collection, id)));
        let found = self.commit.range(space(collection), bound(after.as_ref()), bound(before.as_ref()), limit);
        let found = found.map_err(|error| failed(&error))?;
        found.iter().map(|(_, bytes)| codec::decode(collection, bytes)).collect()
    }
}
