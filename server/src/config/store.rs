//! The document store of a configuration.

use super::value::{ConfigError, bad};
#[cfg(feature = "mongodb")]
use crate::store::mongodb::{MongoSettings, shown};

/// Where documents are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// fjall, in the data folder.
    Embedded,
    /// Nowhere.
    Memory,
    /// In a MongoDB-compatible database.
    #[cfg(feature = "mongodb")]
    Mongodb(MongoSettings),
}

const EXPECTED: &str = "expected embedded, memory or mongodb://HOST:PORT/DATABASE";

/// Reads `--store`.
///
/// # Errors
/// Where it is none of those that there are, or a URL that is none. A password is not shown.
pub(super) fn checked_store(store: Option<&str>) -> Result<StoreKind, ConfigError> {
    match store {
        None | Some("embedded") => Ok(StoreKind::Embedded),
        Some("memory") => Ok(StoreKind::Memory),
        Some(url) if url.starts_with("mongodb://") || url.starts_with("mongodb+srv://") => mongodb(url),
        Some(other) if other.contains("://") => {
            // Whatever it was meant to be, it may hold a password.
            Err(bad("store", other.split("://").next().unwrap_or_default().to_owned() + "://..", EXPECTED))
        }
        Some(other) => Err(bad("store", other, EXPECTED)),
    }
}

#[cfg(feature = "mongodb")]
fn mongodb(url: &str) -> Result<StoreKind, ConfigError> {
    MongoSettings::parse(url).map(StoreKind::Mongodb).map_err(|wrong| bad("store", shown(url), wrong))
}

#[cfg(not(feature = "mongodb"))]
fn mongodb(_: &str) -> Result<StoreKind, ConfigError> {
    Err(bad("store", "mongodb://..", "this payrig-server was built without MongoDB (cargo feature mongodb)"))
}
