//! Whose call it is: API keys, one merchant each, from a file that can be read again while the server runs.
//!
//! Without a file there is one merchant, [`DEFAULT`], and nobody is asked for a key.

use std::sync::{Arc, PoisonError, RwLock};

use crate::model::MerchantId;

mod key;
mod reload;
mod table;

pub use key::{ApiKey, KeyError, KeyHash};
pub use reload::Reloading;
pub use table::{MerchantsError, MerchantsFile, Table, checked_id};

/// The one merchant that there is without merchants' keys. A file may name it too: it then has what was made without.
pub const DEFAULT: &str = "default";

/// Who makes a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Merchant {
    /// Whoever calls a server without merchants' keys.
    Default,
    /// Whoever has this merchant's key.
    Known(MerchantId),
}

impl Merchant {
    /// The merchant's id, without ':'. A text and no shared pointer: what a submission keeps of it is its own, so that
    /// submissions on all cores do not count references to one place in memory.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Default => DEFAULT,
            Self::Known(id) => id,
        }
    }
}

/// The merchants of this process. Shared by all runtimes.
pub struct Merchants(Option<FromFile>);

struct FromFile {
    file: std::path::PathBuf,
    table: RwLock<Arc<Table>>,
}

impl Merchants {
    /// The merchants of a file; without one, nobody needs a key.
    #[must_use]
    pub fn new(file: Option<MerchantsFile>) -> Self {
        Self(file.map(|MerchantsFile { path, table }| FromFile { file: path, table: RwLock::new(table) }))
    }

    /// Whether there is a file, so that calls need a key.
    #[must_use]
    pub const fn have_keys(&self) -> bool {
        self.0.is_some()
    }

    /// Who calls with this key: nobody, where it is missing or unknown and one is needed.
    #[must_use]
    pub fn find(&self, key: Option<&[u8]>) -> Option<Merchant> {
        let Some(from_file) = &self.0 else { return Some(Merchant::Default) };
        let table = Arc::clone(&from_file.table.read().unwrap_or_else(PoisonError::into_inner));
        table.find(key?).map(|id| Merchant::Known(Arc::clone(id)))
    }

    /// Reads the file again. Whoever calls from now on is looked up in it; calls under way go on. A file that is not as
    /// expected changes nothing.
    ///
    /// # Errors
    /// Where the file cannot be read or is not as expected.
    pub fn reload(&self) -> Result<Arc<Table>, MerchantsError> {
        let Some(from_file) = &self.0 else { return Ok(Arc::default()) };
        let table = MerchantsFile::read(&from_file.file)?.table;
        *from_file.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&table);
        Ok(table)
    }
}
