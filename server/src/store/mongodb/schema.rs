//! The schema: a document that says in which form the others are written. The first start writes it, and makes the
//! collections; each later one reads it before it reads anything else.

use std::time::{SystemTime, UNIX_EPOCH};

use mongodb::{
    Database,
    bson::{Document as Fields, doc},
    error::{Error, ErrorKind, WriteFailure},
};

use super::{
    error::{MongoError, Trouble},
    link::Link,
    settings::MongoSettings,
};
use crate::model::Collection;

/// The schema of this version. A later form takes the next number.
pub(super) const VERSION: i64 = 1;
/// Where it is kept.
pub(super) const COLLECTION: &str = "schema";
/// Under which id.
pub(super) const ID: &str = "payrig";

/// The code of a collection that exists.
const NAMESPACE_EXISTS: i32 = 48;
/// The code of an id that exists.
pub(super) const DUPLICATE: i32 = 11_000;

/// Compares the database's schema with ours, or makes a new database.
///
/// # Errors
/// [`MongoError::Newer`], or [`MongoError::Unusable`] where the server does not let us.
pub(super) async fn check(link: &Link, settings: &MongoSettings) -> Result<(), MongoError> {
    let unusable = |trouble: Trouble| MongoError::Unusable {
        address: settings.to_string(),
        database: settings.database().to_owned(),
        reason: trouble.reason().to_owned(),
    };
    let database = link.database().clone();
    let found = link.run("schema", async move { read_or_make(&database).await }).await.map_err(unusable)?;
    if found > VERSION {
        let (address, database) = (settings.to_string(), settings.database().to_owned());
        return Err(MongoError::Newer { address, database, found, known: VERSION });
    }
    Ok(())
}

async fn read_or_make(database: &Database) -> Result<i64, Error> {
    let schema = database.collection::<Fields>(COLLECTION);
    if let Some(found) = schema.find_one(doc! { "_id": ID }).await? {
        return Ok(version_of(&found));
    }
    // Made here and not by the first inserts, which come many at a time: not every server makes one collection once.
    for collection in Collection::ALL {
        match database.create_collection(collection.name()).await {
            Err(error) if !matches!(&*error.kind, ErrorKind::Command(told) if told.code == NAMESPACE_EXISTS) => {
                return Err(error);
            }
            _ => {}
        }
    }
    let made_at_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let ours = doc! { "_id": ID, "version": VERSION, "made_at_us": i64::try_from(made_at_us).unwrap_or(i64::MAX) };
    match schema.insert_one(ours).await {
        Ok(_) => Ok(VERSION),
        // Another node started at the same time.
        Err(error) if is_duplicate(&error) => {
            let found = schema.find_one(doc! { "_id": ID }).await?;
            Ok(found.as_ref().map_or(VERSION, version_of))
        }
        Err(error) => Err(error),
    }
}

/// What is no number is no schema of ours, now or later.
fn version_of(schema: &Fields) -> i64 {
    schema.get_i64("version").or_else(|_| schema.get_i32("version").map(i64::from)).unwrap_or(i64::MAX)
}

fn is_duplicate(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::Write(WriteFailure::WriteError(told)) if told.code == DUPLICATE)
}
