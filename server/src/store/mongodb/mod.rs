//! The store in a MongoDB-compatible database: one collection a kind of document, string ids, no transaction, no
//! conditional update. What is relied on is that an id is inserted once and that a delete tells how many went.
//!
//! A group goes in level by level: the first documents of all groups, each collection's in one unordered batch together
//! with whatever other callers insert there at the moment; then the second documents of those groups whose first went in;
//! and so on. So a crash leaves a prefix of a group, as on every store that has no ordered insert, and the flow goes on
//! from each (docs/decisions/0013).

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt as _, future::join_all, stream};
use mongodb::bson::{RawDocumentBuf, oid::ObjectId};

use super::{DocumentStore, Group, Key, StoreError};
use crate::{
    metrics::Metrics,
    model::{Collection, Document},
};

mod error;
mod lane;
mod link;
mod read;
mod rows;
mod schema;
mod settings;
mod write;

pub use error::MongoError;
use error::Trouble;
use lane::{Lane, Limits};
use link::Link;
pub use settings::{MongoSettings, shown};
use write::Fate;

/// Documents in one command, and commands under way a collection.
const INSERTS: Limits = Limits { items: 1_000, under_way: 2 };
const DELETES: Limits = Limits { items: 1_000, under_way: 2 };
const READS: Limits = Limits { items: 256, under_way: 4 };
/// Deletes that are each told apart, under way at a time in one call.
const TOLD_APART: usize = 16;

/// Documents in a database of a MongoDB-compatible server. A clone is the same store.
#[derive(Clone)]
pub struct MongoStore {
    link: Arc<Link>,
    lanes: Arc<[Lanes]>,
}

/// The lanes of one collection.
struct Lanes {
    inserts: Lane<RawDocumentBuf, Fate>,
    deletes: Lane<String, Result<(), Trouble>>,
    reads: Lane<String, Result<Option<RawDocumentBuf>, Trouble>>,
}

impl MongoStore {
    /// Connects and looks at the schema, or makes it. Connections and background work live on the runtime that this is
    /// called on, for as long as the store.
    ///
    /// # Errors
    /// See [`MongoError`].
    pub async fn connect(settings: &MongoSettings, metrics: Arc<Metrics>) -> Result<Self, MongoError> {
        let link = Link::open(settings, metrics).await?;
        schema::check(&link, settings).await?;
        let lanes = Collection::ALL.map(|collection| Lanes::start(&link, collection)).into();
        Ok(Self { link, lanes })
    }

    fn lanes(&self, collection: Collection) -> &Lanes {
        &self.lanes[collection as usize]
    }

    /// Inserts one document of each of these groups; tells for each whether it was the first with its id.
    async fn insert_level(&self, documents: Vec<(usize, &Document)>) -> Result<Vec<(usize, Fate)>, StoreError> {
        let mut shares: BTreeMap<Collection, (Vec<usize>, Vec<RawDocumentBuf>)> = BTreeMap::new();
        for (group, document) in documents {
            let share = shares.entry(document.collection()).or_default();
            share.0.push(group);
            share.1.push(rows::encode(document, ObjectId::new())?);
        }
        let inserts = shares.into_iter().map(|(collection, (groups, documents))| async move {
            let fates = match self.lanes(collection).inserts.ask(documents).await {
                Ok(fates) => fates,
                Err(trouble) => vec![Fate::Failed(trouble); groups.len()],
            };
            groups.into_iter().zip(fates)
        });
        Ok(join_all(inserts).await.into_iter().flatten().collect())
    }
}

impl Lanes {
    fn start(link: &Arc<Link>, collection: Collection) -> Self {
        let (for_inserts, for_deletes, for_reads) = (Arc::clone(link), Arc::clone(link), Arc::clone(link));
        Self {
            inserts: Lane::start(link.runtime(), INSERTS, move |documents| {
                write::insert(Arc::clone(&for_inserts), collection, documents)
            }),
            deletes: Lane::start(link.runtime(), DELETES, move |ids| {
                write::forget(Arc::clone(&for_deletes), collection, ids)
            }),
            reads: Lane::start(link.runtime(), READS, move |ids| read::get(Arc::clone(&for_reads), collection, ids)),
        }
    }
}

/// The trouble of one step of a call, seen from before the first: nothing is done only if no step did anything.
fn seen_from_before(trouble: Trouble, done_any: bool) -> StoreError {
    let error = trouble.into_store_error();
    if done_any { error.after_a_write() } else { error }
}

impl DocumentStore for MongoStore {
    async fn insert(&self, groups: Vec<Group>) -> Result<Vec<usize>, StoreError> {
        let mut inserted = vec![0; groups.len()];
        let mut going_on: Vec<usize> = (0..groups.len()).collect();
        let mut written_any = false;
        for level in 0.. {
            let documents: Vec<(usize, &Document)> =
                going_on.iter().filter_map(|group| Some((*group, groups[*group].get(level)?))).collect();
            if documents.is_empty() {
                break;
            }
            going_on.clear();
            let mut failed = None;
            for (group, fate) in self.insert_level(documents).await? {
                match fate {
                    Fate::New => {
                        inserted[group] += 1;
                        written_any = true;
                        going_on.push(group);
                    }
                    Fate::There => {}
                    // What is not known outweighs what is not done.
                    Fate::Failed(Trouble::NothingDone(_)) if failed.is_some() => {}
                    Fate::Failed(trouble) => failed = Some(trouble),
                }
            }
            if let Some(trouble) = failed {
                return Err(seen_from_before(trouble, written_any));
            }
            // In the order of the groups: of two that meet, the first is tried first.
            going_on.sort_unstable();
        }
        Ok(inserted)
    }

    async fn delete(&self, keys: Vec<Key>) -> Result<Vec<bool>, StoreError> {
        // Of several times the same key the first is told; the others find nothing.
        let mut firsts = BTreeMap::new();
        let order: Vec<usize> = (keys.iter().enumerate()).map(|(at, key)| *firsts.entry(key).or_insert(at)).collect();
        let alone: Vec<(usize, Key)> =
            keys.iter().enumerate().filter(|(at, _)| order[*at] == *at).map(|(at, key)| (at, key.clone())).collect();
        let each = alone.into_iter().map(|(at, Key { collection, id })| {
            let link = Arc::clone(&self.link);
            async move { (at, write::delete(&link, collection, id).await) }
        });
        let deleted: Vec<(usize, Result<bool, Trouble>)> =
            stream::iter(each).buffer_unordered(TOLD_APART).collect().await;
        let done_any = deleted.iter().any(|(_, deleted)| *deleted == Ok(true));
        let mut told = vec![false; keys.len()];
        for (at, deleted) in deleted {
            told[at] = deleted.map_err(|trouble| seen_from_before(trouble, done_any))?;
        }
        Ok(told)
    }

    async fn forget(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        let mut keys = keys.into_iter().peekable();
        let mut done_any = false;
        while let Some(Key { collection, id }) = keys.next() {
            // One command for what stands together.
            let mut ids = vec![id];
            while let Some(next) = keys.next_if(|next| next.collection == collection) {
                ids.push(next.id);
            }
            let forgotten = self.lanes(collection).deletes.ask(ids).await;
            let forgotten = forgotten.and_then(|each| each.into_iter().collect::<Result<(), Trouble>>());
            forgotten.map_err(|trouble| seen_from_before(trouble, done_any))?;
            done_any = true;
        }
        Ok(())
    }

    async fn get(&self, collection: Collection, id: &str) -> Result<Option<Document>, StoreError> {
        let found = self.lanes(collection).reads.ask(vec![id.to_owned()]).await;
        let found = found.and_then(|found| found.into_iter().next().unwrap_or(Ok(None)));
        // A read leaves nothing behind.
        let found = found.map_err(|trouble| StoreError::Unavailable(trouble.reason().to_owned()))?;
        found.map(|kept| rows::decode(collection, &kept)).transpose()
    }

    async fn range(
        &self,
        collection: Collection,
        after: Option<&str>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let found = read::range(&self.link, collection, after, before, limit).await;
        let found = found.map_err(Trouble::into_store_error)?;
        found.iter().map(|kept| rows::decode(collection, kept)).collect()
    }
}
