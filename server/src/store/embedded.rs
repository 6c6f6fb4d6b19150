//! The embedded store: fjall with group commit, one durable commit for everything that waits at a moment.

use std::{ops::Bound, path::Path, sync::Arc};

use payrig_commit::{CommitError, Entry, GroupCommit, Options, Space, Stats};

use super::{DocumentStore, Group, Key, StoreError, codec};
use crate::model::{Collection, Document};

/// Documents in a folder of this machine.
#[derive(Clone)]
pub struct EmbeddedStore {
    commit: Arc<GroupCommit>,
}

impl EmbeddedStore {
    /// Opens or creates the store in this folder.
    ///
    /// # Errors
    /// Where the folder cannot be used, is another process's, or holds something else.
    pub fn open(folder: &Path) -> Result<Self, CommitError> {
        let names = Collection::ALL.map(Collection::name);
        Ok(Self { commit: Arc::new(GroupCommit::open(folder, &names, Options::default())?) })
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
    Ok(Entry { space: space(document.collection()), key: document.id().into_bytes(), value })
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
        self.commit.insert(encoded?).await.map_err(|error| failed(&error))
    }

    async fn delete(&self, keys: Vec<Key>) -> Result<Vec<bool>, StoreError> {
        let keys = keys.into_iter().map(|key| (space(key.collection), key.id.into_bytes())).collect();
        self.commit.delete(keys).await.map_err(|error| failed(&error))
    }

    async fn get(&self, collection: Collection, id: &str) -> Result<Option<Document>, StoreError> {
        let found = self.commit.get(space(collection), id.as_bytes()).map_err(|error| failed(&error))?;
        found.map(|bytes| codec::decode(collection, &bytes)).transpose()
    }

    async fn range(
        &self,
        collection: Collection,
        after: Option<&str>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        fn bound(id: Option<&str>) -> Bound<&[u8]> {
            id.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_bytes()))
        }
        let found = self.commit.range(space(collection), bound(after), bound(before), limit);
        let found = found.map_err(|error| failed(&error))?;
        found.iter().map(|(_, bytes)| codec::decode(collection, bytes)).collect()
    }
}
