//! A store that keeps nothing beyond the process: for benches, and for exploring interleavings step by step.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    DocumentStore, Group, Key, StoreError,
    gate::{Gate, Gated, Touch},
};
use crate::model::{Collection, Document};

type Shelves = [BTreeMap<String, Document>; Collection::ALL.len()];

/// Documents in memory.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shelves: Arc<Mutex<Shelves>>,
    gate: Gated,
}

impl MemoryStore {
    /// The same documents through a gate: each document of a group is then an operation of its own, as on a store that
    /// has no ordered insert.
    #[must_use]
    pub fn gated(&self, gate: Arc<dyn Gate>) -> Self {
        Self { shelves: Arc::clone(&self.shelves), gate: Gated::by(gate) }
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        // Nothing panics while it holds the lock; if it did, the documents would still be whole.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn insert_group(&self, group: Group) -> usize {
        for (at, document) in group.iter().enumerate() {
            self.gate.pass(Touch::Insert, document.collection(), &document.id()).await;
            if !insert(&mut self.shelves(), document) {
                return at;
            }
        }
        group.len()
    }
}

/// Whether it went in.
fn insert(shelves: &mut Shelves, document: &Document) -> bool {
    let shelf = &mut shelves[document.collection() as usize];
    let id = document.id();
    let fresh = !shelf.contains_key(&id);
    if fresh {
        shelf.insert(id, document.clone());
    }
    fresh
}

impl DocumentStore for MemoryStore {
    async fn insert(&self, groups: Vec<Group>) -> Result<Vec<usize>, StoreError> {
        if self.gate.is_open() {
            let mut shelves = self.shelves();
            let went_in = |group: &Group| group.iter().take_while(|document| insert(&mut shelves, document)).count();
            return Ok(groups.iter().map(went_in).collect());
        }
        let mut inserted = Vec::with_capacity(groups.len());
        for group in groups {
            inserted.push(self.insert_group(group).await);
        }
        Ok(inserted)
    }

    async fn delete(&self, keys: Vec<Key>) -> Result<Vec<bool>, StoreError> {
        let mut deleted = Vec::with_capacity(keys.len());
        for key in keys {
            self.gate.pass(Touch::Delete, key.collection, &key.id).await;
            deleted.push(self.shelves()[key.collection as usize].remove(&key.id).is_some());
        }
        Ok(deleted)
    }

    async fn get(&self, collection: Collection, id: &str) -> Result<Option<Document>, StoreError> {
        self.gate.pass(Touch::Get, collection, id).await;
        Ok(self.shelves()[collection as usize].get(id).cloned())
    }

    async fn range(
        &self,
        collection: Collection,
        after: Option<&str>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        self.gate.pass(Touch::Range, collection, "").await;
        if after.is_some() && before.is_some() && after >= before {
            return Ok(Vec::new());
        }
        let bounds =
            (after.map_or(Bound::Unbounded, Bound::Excluded), before.map_or(Bound::Unbounded, Bound::Excluded));
        Ok(self.shelves()[collection as usize]
            .range::<str, _>(bounds)
            .take(limit)
            .map(|(_, found)| found.clone())
            .collect())
    }
}
