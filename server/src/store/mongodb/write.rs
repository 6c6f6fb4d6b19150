//! Batches of inserts and deletes of one collection, each tried until its fate is known or its time is over.
//!
//! **Who was first** is decided by the unique id alone. A write whose answer is lost is tried again, and may then find its
//! own document there. It is told from anybody else's, however equal, by `_by`, which no two writes share: so of two who
//! insert the same content only the one whose document stands is told that it went in. A late arrival of an earlier try
//! finds the id taken, or puts a document that was deleted meanwhile down once more; what can be deleted (open tasks,
//! notices, closings, expired keys) is found there by the sweeper and goes again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::TryStreamExt as _;
use mongodb::{
    bson::{Bson, Document as Fields, RawDocumentBuf, doc, oid::ObjectId},
    error::{Error, ErrorKind, InsertManyError},
};
use tokio::time::Instant;

use super::{error::Trouble, link::Link, rows::BY, schema::DUPLICATE};
use crate::model::Collection;

/// How long a batch is tried again; its last try may end later.
const TRIED_FOR: Duration = Duration::from_secs(10);
/// The pause before the second try. It doubles, up to the longest.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Codes of what passes: a server that steps down, stops or has lost another, a conflict of storage.
const PASSING: [i32; 15] = [6, 7, 89, 91, 112, 134, 189, 262, 9_001, 10_058, 10_107, 11_600, 11_602, 13_435, 13_436];

/// What became of one insert.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// The document went in, and it is this one.
    New,
    /// Another has the id.
    There,
    /// It did not go in, or is not known to.
    Failed(Trouble),
}

/// Tries of one batch.
struct Tries {
    until: Instant,
    pause: Duration,
    /// Whether an earlier try may have been done.
    in_doubt: bool,
}

impl Tries {
    fn begin() -> Self {
        Self { until: Instant::now() + TRIED_FOR, pause: PAUSE, in_doubt: false }
    }

    /// Waits for the next try, unless the time is over, or nobody answers and nothing is in doubt.
    async fn next(&mut self, link: &Link) -> bool {
        if Instant::now() + self.pause >= self.until || (link.is_down() && !self.in_doubt) {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        link.metrics.mongodb_retried.inc();
        true
    }

    fn note(&mut self, trouble: &Trouble) {
        self.in_doubt |= matches!(trouble, Trouble::Unknown(_));
    }

    /// The trouble of the last try, seen from before the first.
    fn over(&self, last: Trouble) -> Trouble {
        match last {
            Trouble::NothingDone(reason) if self.in_doubt => Trouble::Unknown(reason),
            other => other,
        }
    }
}

/// Inserts; tells for each what became of it.
pub(super) async fn insert(link: Arc<Link>, collection: Collection, documents: Vec<RawDocumentBuf>) -> Vec<Fate> {
    link.metrics.mongodb_batch.observe(f64::from(u32::try_from(documents.len()).unwrap_or(u32::MAX)));
    let documents = Arc::new(documents);
    let mut fates = vec![None; documents.len()];
    let mut open: Vec<usize> = (0..documents.len()).collect();
    let mut tries = Tries::begin();
    if link.is_down() {
        return vec![Fate::Failed(Trouble::NothingDone("the document store does not answer".to_owned())); fates.len()];
    }
    loop {
        let last = match insert_once(&link, collection, &documents, &open).await {
            Ok(answers) => {
                let mut last = None;
                let mut there = Vec::new();
                for (number, answer) in open.iter().zip(answers) {
                    match answer {
                        Answer::Done => fates[*number] = Some(Fate::New),
                        Answer::Duplicate if tries.in_doubt => there.push(*number),
                        Answer::Duplicate => fates[*number] = Some(Fate::There),
                        Answer::Trouble(trouble) => last = Some(trouble),
                        Answer::Refused(why) => fates[*number] = Some(Fate::Failed(Trouble::NothingDone(why))),
                    }
                }
                let compared = compare(&link, collection, &documents, &there, &mut fates).await;
                last.or(compared.err())
            }
            Err(trouble) => Some(trouble),
        };
        open.retain(|number| fates[*number].is_none());
        if open.is_empty() {
            break;
        }
        // Without a word of trouble a document was found and then gone: the next try may put it down.
        let last = last.unwrap_or_else(|| Trouble::Unknown("a document was there and is not".to_owned()));
        tries.note(&last);
        if !tries.next(&link).await {
            let last = tries.over(last);
            open.iter().for_each(|number| fates[*number] = Some(Fate::Failed(last.clone())));
            break;
        }
    }
    let unknown = || Fate::Failed(Trouble::Unknown("no answer".to_owned()));
    fates.into_iter().map(|fate| fate.unwrap_or_else(unknown)).collect()
}

/// What the server said of one document.
enum Answer {
    Done,
    Duplicate,
    /// Not this document, now or later.
    Refused(String),
    Trouble(Trouble),
}

/// One `insertMany` of these of the documents, unordered; one answer each.
async fn insert_once(
    link: &Link,
    collection: Collection,
    documents: &Arc<Vec<RawDocumentBuf>>,
    numbers: &[usize],
) -> Result<Vec<Answer>, Trouble> {
    let (remote, documents, sent) = (link.collection(collection), Arc::clone(documents), numbers.to_vec());
    let command = async move {
        let sent = sent.iter().filter_map(|number| documents.get(*number));
        remote.insert_many(sent).ordered(false).await
    };
    match link.try_run("insert", command).await? {
        Ok(_) => Ok(numbers.iter().map(|_| Answer::Done).collect()),
        Err(error) => match *error.kind {
            ErrorKind::InsertMany(partly) => Ok(answers(partly, numbers.len())),
            _ => Err(Trouble::from(error)),
        },
    }
}

fn answers(partly: InsertManyError, count: usize) -> Vec<Answer> {
    // Done, and perhaps not for good: each is looked at again.
    let shaky = partly.write_concern_error.map(|error| Trouble::Unknown(error.message));
    let all = || shaky.clone().map_or(Answer::Done, Answer::Trouble);
    let mut answers: Vec<Answer> = (0..count).map(|_| all()).collect();
    for error in partly.write_errors.into_iter().flatten() {
        let Some(answer) = answers.get_mut(error.index) else { continue };
        *answer = match (&shaky, error.code) {
            (None, DUPLICATE) => Answer::Duplicate,
            (Some(shaky), DUPLICATE) => Answer::Trouble(shaky.clone()),
            (_, code) if PASSING.contains(&code) => Answer::Trouble(Trouble::Unknown(error.message)),
            (_, code) => Answer::Refused(format!("error {code}: {}", error.message)),
        };
    }
    answers
}

/// Looks at who put down what was there when a batch in doubt was tried again. What has gone meanwhile stays open.
async fn compare(
    link: &Link,
    collection: Collection,
    documents: &[RawDocumentBuf],
    numbers: &[usize],
    fates: &mut [Option<Fate>],
) -> Result<(), Trouble> {
    if numbers.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = numbers.iter().filter_map(|number| id_of(&documents[*number])).collect();
    let filter = doc! { "_id": { "$in": ids } };
    let remote = link.database().collection::<Fields>(collection.name());
    let batch = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    let found: Vec<Fields> = link
        .run("compare", async move {
            remote.find(filter).projection(doc! { BY: 1 }).batch_size(batch).await?.try_collect().await
        })
        .await?;
    let by: HashMap<&str, Option<ObjectId>> =
        found.iter().filter_map(|found| Some((found.get_str("_id").ok()?, found.get_object_id(BY).ok()))).collect();
    for number in numbers {
        let document = &documents[*number];
        let Some(by) = id_of(document).and_then(|id| by.get(id)) else { continue };
        let is_ours = by.is_some() && *by == document.get_object_id(BY).ok();
        if is_ours {
            link.metrics.mongodb_adopted.inc();
        }
        fates[*number] = Some(if is_ours { Fate::New } else { Fate::There });
    }
    Ok(())
}

fn id_of(document: &RawDocumentBuf) -> Option<&str> {
    document.get_str("_id").ok()
}

/// Deletes what is there of these ids, and tells nobody which were: so it can be tried again as often as it takes.
pub(super) async fn forget(link: Arc<Link>, collection: Collection, ids: Vec<String>) -> Vec<Result<(), Trouble>> {
    let count = ids.len();
    let ids: Vec<Bson> = ids.into_iter().map(Bson::String).collect();
    let deleted = tried(&link, "forget", || {
        let (remote, filter) = (link.collection(collection), doc! { "_id": { "$in": ids.clone() } });
        async move { remote.delete_many(filter).await }
    });
    let deleted = deleted.await.map(|(_, _)| ());
    vec![deleted; count]
}

/// Deletes one document; tells whether it was there.
///
/// # Errors
/// Where that is not known, also where an earlier try may have been what deleted it.
pub(super) async fn delete(link: &Link, collection: Collection, id: String) -> Result<bool, Trouble> {
    let deleted = tried(link, "delete", || {
        let (remote, filter) = (link.collection(collection), doc! { "_id": id.clone() });
        async move { remote.delete_one(filter).await }
    });
    match deleted.await? {
        (result, _) if result.deleted_count > 0 => Ok(true),
        (_, true) => Err(Trouble::Unknown("it is gone, and an earlier try may have deleted it".to_owned())),
        (_, false) => Ok(false),
    }
}

/// Has a command done that may be done again; tells also whether an earlier try may have been done.
async fn tried<T, F>(link: &Link, name: &'static str, command: impl Fn() -> F) -> Result<(T, bool), Trouble>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let mut tries = Tries::begin();
    if link.is_down() {
        return Err(Trouble::NothingDone("the document store does not answer".to_owned()));
    }
    loop {
        let trouble = match link.run(name, command()).await {
            Ok(result) => return Ok((result, tries.in_doubt)),
            Err(trouble) => trouble,
        };
        tries.note(&trouble);
        if !tries.next(link).await {
            return Err(tries.over(trouble));
        }
    }
}
