//! The file of merchants, and the table that is made of it.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use super::key::{KeyError, KeyHash, Selector};
use crate::model::MerchantId;

/// The longest id of a merchant, in characters.
const ID_MAX: usize = 64;

/// Merchants by the hashes of their keys.
#[derive(Default)]
pub struct Table {
    by_selector: HashMap<Selector, (KeyHash, MerchantId)>,
    merchants: usize,
}

impl Table {
    /// The merchant with this key. Whichever merchant it is, and whether it is any, the same work is done.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<&MerchantId> {
        let hash = KeyHash::of(key);
        let found = self.by_selector.get(&hash.selector());
        let expected = found.map_or(&KeyHash::NOBODYS, |(expected, _)| expected);
        let same = hash.is(expected);
        found.filter(|_| same).map(|(_, merchant)| merchant)
    }

    /// How many merchants there are.
    #[must_use]
    pub const fn merchants(&self) -> usize {
        self.merchants
    }

    /// How many keys they have.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.by_selector.len()
    }

    fn of(entries: Vec<Entry>) -> Result<Self, MerchantsError> {
        if entries.is_empty() {
            return Err(MerchantsError::NoMerchant);
        }
        let (mut ids, mut table) = (HashSet::new(), Self { merchants: entries.len(), ..Self::default() });
        for Entry { id, keys } in entries {
            let id: MerchantId = checked_id(&id)?.into();
            if !ids.insert(Arc::clone(&id)) {
                return Err(MerchantsError::Twice(id));
            }
            table.add(&id, keys)?;
        }
        Ok(table)
    }

    fn add(&mut self, id: &MerchantId, keys: Keys) -> Result<(), MerchantsError> {
        let keys = match keys {
            Keys::One(key) => vec![key],
            Keys::Several(keys) if keys.is_empty() => return Err(MerchantsError::NoKey(Arc::clone(id))),
            Keys::Several(keys) => keys,
        };
        for (index, key) in keys.iter().enumerate() {
            let at = |source| MerchantsError::Key { id: Arc::clone(id), number: index + 1, source };
            let hash: KeyHash = key.parse().map_err(at)?;
            if let Some((_, other)) = self.by_selector.insert(hash.selector(), (hash, Arc::clone(id))) {
                return Err(MerchantsError::KeyTwice(other, Arc::clone(id)));
            }
        }
        Ok(())
    }
}

/// Numbers only: nobody needs hashes in a log.
impl fmt::Debug for Table {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Table").field("merchants", &self.merchants).field("keys", &self.keys()).finish()
    }
}

/// The id, if it can be one: letters, digits, `-`, `_` and `.`, so that ids of documents can be joined of it with ':'.
///
/// # Errors
/// [`MerchantsError::Id`].
pub fn checked_id(id: &str) -> Result<&str, MerchantsError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match id.len() {
        1..=ID_MAX if id.bytes().all(allowed) => Ok(id),
        _ => Err(MerchantsError::Id(id.to_owned())),
    }
}

/// A file and what stood in it when it was read.
#[derive(Clone, Debug)]
pub struct MerchantsFile {
    /// Where it is.
    pub path: PathBuf,
    /// What stood in it.
    pub table: Arc<Table>,
}

impl MerchantsFile {
    /// Reads it.
    ///
    /// # Errors
    /// Where it cannot be read or is not as expected.
    pub fn read(path: &Path) -> Result<Self, MerchantsError> {
        let text = std::fs::read_to_string(path)?;
        Ok(Self { path: path.to_owned(), table: Arc::new(text.parse()?) })
    }
}

impl std::str::FromStr for Table {
    type Err = MerchantsError;

    fn from_str(text: &str) -> Result<Self, MerchantsError> {
        let File { merchants } = toml::from_str(text).map_err(|error| MerchantsError::toml(text, &error))?;
        Self::of(merchants)
    }
}

/// The file as TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    merchants: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    keys: Keys,
}

/// Several, while one follows another.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a list of hashes, `sha256:` and 64 hexadecimal digits each")]
enum Keys {
    One(String),
    Several(Vec<String>),
}

/// What is wrong about a file of merchants. Repeats no line of it: a key may stand there in the open.
#[derive(Debug, thiserror::Error)]
pub enum MerchantsError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// It is not as expected.
    #[error("line {line}: {what}")]
    Toml {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// It names nobody, as a file does that is not written to its end.
    #[error("names no merchant; `payrig-server make-merchant ID` makes an entry")]
    NoMerchant,
    /// A name that cannot be a merchant's.
    #[error("merchant {0:?}: an id has 1 to {ID_MAX} letters, digits, '-', '_' or '.'")]
    Id(String),
    /// Two merchants of one name.
    #[error("merchant {0} is named twice: one entry takes all its keys")]
    Twice(MerchantId),
    /// A merchant without a key.
    #[error("merchant {0} has no key; `payrig-server make-merchant {0}` makes one")]
    NoKey(MerchantId),
    /// A key's hash that is none.
    #[error("merchant {id}, key {number}: {source}")]
    Key {
        /// Whose.
        id: MerchantId,
        /// Which of its keys, from 1.
        number: usize,
        /// What is wrong.
        source: KeyError,
    },
    /// A key that would name two merchants, or one twice.
    #[error("merchants {0} and {1} have the same key: each key names one merchant, once")]
    KeyTwice(MerchantId, MerchantId),
}

impl MerchantsError {
    fn toml(text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        Self::Toml { line: before.matches('\n').count() + 1, what: error.message().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: &str) -> String {
        KeyHash::of(key.as_bytes()).to_string()
    }

    fn entry(id: &str, keys: &[&str]) -> String {
        let keys: Vec<String> = keys.iter().map(|key| hash(key)).collect();
        format!("[[merchants]]\nid = \"{id}\"\nkeys = {keys:?}\n")
    }

    #[test]
    fn each_key_names_its_merchant_and_no_other_text_does() {
        let text = format!("{}{}", entry("acme", &["one", "two"]), entry("default", &["three"]));
        let table: Table = text.parse().expect("a table");
        for (key, id) in [("one", "acme"), ("two", "acme"), ("three", "default")] {
            assert_eq!(table.find(key.as_bytes()).map(AsRef::as_ref), Some(id), "{key}");
        }
        for key in ["", "four", "One", "one ", &hash("one")] {
            assert_eq!(table.find(key.as_bytes()), None, "{key}");
        }
        assert_eq!(format!("{table:?}"), "Table { merchants: 2, keys: 3 }");
    }

    #[test]
    fn the_same_half_of_a_hash_is_not_enough() {
        let mut table: Table = entry("acme", &["one"]).parse().expect("a table");
        let selector = KeyHash::of(b"two").selector();
        table.by_selector.insert(selector, (KeyHash::of(b"one"), "acme".into()));
        assert_eq!(table.find(b"two"), None);
    }

    #[test]
    fn one_key_needs_no_list() {
        let text = format!("[[merchants]]\nid = \"a\"\nkeys = \"{}\"\n", hash("one"));
        assert!(text.parse::<Table>().expect("a table").find(b"one").is_some());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_without_the_text() {
        let good = entry("acme", &["one"]);
        let table = [
            (String::new(), "names no merchant"),
            ("merchants = []".to_owned(), "names no merchant"),
            (format!("{good}colour = \"SECRET\"\n"), "line 4: unknown field `colour`"),
            ("[[merchants]]\nid = \"a\"\nkey = \"SECRET\"\n".to_owned(), "line 3: unknown field `key`"),
            ("[[merchants]]\nid = \"a\"\n".to_owned(), "missing field `keys`"),
            ("[[merchants]]\nkeys = \"SECRET\"\n".to_owned(), "missing field `id`"),
            ("[[merchants]]\nid = \"a\"\nkeys = 7\n".to_owned(), "line 3: expected a list of hashes"),
            ("[[merchants]]\nid = \"a\"\nkeys = [\"SECRET\", 7]\n".to_owned(), "line 3: expected a list of hashes"),
            ("[[merchants]]\nid = \"a\"\nkeys = [\"SECRET\"]\n".to_owned(), "merchant a, key 1: expected `sha256:`"),
            ("[[merchants]]\nid = \"a\"\nkeys = \"SECRET\"\n".to_owned(), "merchant a, key 1: expected `sha256:`"),
            ("[[merchants]]\nid = \"a\"\nkeys = []\n".to_owned(), "merchant a has no key"),
            ("[[merchants]]\nid = \"SECRET".to_owned(), "line 2: "),
            (format!("{good}{good}"), "merchant acme is named twice"),
            (good + &entry("other", &["one"]), "acme and other have the same key"),
            (entry("acme", &["one", "one"]), "acme and acme have the same key"),
            (entry("", &["one"]), "merchant \"\""),
            (entry("a:b", &["one"]), "merchant \"a:b\""),
            (entry("a b", &["one"]), "merchant \"a b\""),
            (entry("é", &["one"]), "merchant \"é\""),
            (entry(&"a".repeat(65), &["one"]), "1 to 64"),
        ];
        for (text, says) in table {
            let error = text.parse::<Table>().err().unwrap_or_else(|| panic!("{text} is taken")).to_string();
            assert!(error.contains(says), "{says:?} is not in {error:?}");
            assert!(!error.contains("SECRET"), "{error}");
        }
    }
}
