//! Reads: many ids of one collection in one command, and ranges.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::TryStreamExt as _;
use mongodb::bson::{Document as Fields, RawDocumentBuf, doc};

use super::{error::Trouble, link::Link};
use crate::model::Collection;

/// The pause before a read is tried once more, beside the driver's own second try.
const PAUSE: Duration = Duration::from_millis(100);
/// Documents of a range that come in one message.
const MESSAGE: usize = 4_096;

/// The documents with these ids, in their order.
pub(super) async fn get(
    link: Arc<Link>,
    collection: Collection,
    ids: Vec<String>,
) -> Vec<Result<Option<RawDocumentBuf>, Trouble>> {
    if let [id] = ids.as_slice() {
        // Alone, as every server looks an id up best.
        let found = read(&link, || {
            let (remote, filter) = (link.collection(collection), doc! { "_id": id });
            async move { remote.find_one(filter).await }
        });
        return vec![found.await];
    }
    let batch = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let found = read(&link, || {
        let (remote, filter) = (link.collection(collection), doc! { "_id": { "$in": ids.as_slice() } });
        async move { remote.find(filter).batch_size(batch).await?.try_collect::<Vec<RawDocumentBuf>>().await }
    });
    match found.await {
        Ok(found) => {
            let by_id: HashMap<&str, &RawDocumentBuf> =
                found.iter().filter_map(|found| Some((found.get_str("_id").ok()?, found))).collect();
            ids.iter().map(|id| Ok(by_id.get(id.as_str()).map(|found| (*found).clone()))).collect()
        }
        Err(trouble) => vec![Err(trouble); ids.len()],
    }
}

/// Documents in order of their ids, between these two (neither belongs to it), at most so many.
pub(super) async fn range(
    link: &Link,
    collection: Collection,
    after: Option<&str>,
    before: Option<&str>,
    limit: usize,
) -> Result<Vec<RawDocumentBuf>, Trouble> {
    let Some(filter) = between(after, before).filter(|_| limit > 0) else { return Ok(Vec::new()) };
    let limit_to = i64::try_from(limit).unwrap_or(i64::MAX);
    let message = u32::try_from(limit.min(MESSAGE)).unwrap_or(u32::MAX);
    read(link, || {
        let (remote, filter) = (link.collection(collection), filter.clone());
        async move {
            let found = remote.find(filter).sort(doc! { "_id": 1 }).limit(limit_to).batch_size(message).await?;
            found.try_collect().await
        }
    })
    .await
}

/// The condition; nothing where no id can meet it.
fn between(after: Option<&str>, before: Option<&str>) -> Option<Fields> {
    let mut bounds = Fields::new();
    bounds.extend(after.map(|after| ("$gt".to_owned(), after.into())));
    bounds.extend(before.map(|before| ("$lt".to_owned(), before.into())));
    match (after, before) {
        (Some(after), Some(before)) if after >= before => None,
        (None, None) => Some(Fields::new()),
        _ => Some(doc! { "_id": bounds }),
    }
}

/// Has a read done, and once more where it goes wrong.
async fn read<T, F>(link: &Link, command: impl Fn() -> F) -> Result<T, Trouble>
where
    T: Send + 'static,
    F: Future<Output = Result<T, mongodb::error::Error>> + Send + 'static,
{
    if link.is_down() {
        return Err(Trouble::NothingDone("the document store does not answer".to_owned()));
    }
    match link.run("read", command()).await {
        Err(Trouble::Unknown(_)) => {
            tokio::time::sleep(PAUSE).await;
            link.run("read", command()).await
        }
        result => result,
    }
    // A read leaves nothing behind.
    .map_err(|trouble| Trouble::NothingDone(trouble.reason().to_owned()))
}
