//! API keys and their hashes.
//!
//! A key is 256 random bits and not a password that a person chose: nobody can try them out, so one pass of SHA-256
//! keeps them as well as a slow hash would, at a microsecond a request (`docs/decisions/0010-merchants-keys.md`).

use std::{fmt, str::FromStr};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use rand::{TryRngCore as _, rngs::OsRng};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What every key begins with, so that people and scanners of repositories know one when they see it.
const PREFIX: &str = "payrig_";
/// Random bytes of a key.
const RANDOM_BYTES: usize = 32;
/// Names the hash, so that another one may come beside it.
const SHA_256: &str = "sha256:";

/// A key that was just made. There is no way to it but to show it.
pub struct ApiKey(String);

impl ApiKey {
    /// A new key, by the system's own random numbers.
    ///
    /// # Errors
    /// Where the system has none.
    pub fn fresh() -> Result<Self, KeyError> {
        let mut random = [0; RANDOM_BYTES];
        OsRng.try_fill_bytes(&mut random).map_err(|error| KeyError::NoRandomNumbers(error.to_string()))?;
        Ok(Self(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&random))))
    }

    /// The text that the merchant sends.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the server keeps of it.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.0.as_bytes())
    }
}

/// What is kept of a key, written `sha256:HEX`.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

/// The half of a hash by which it is looked up.
pub(super) type Selector = [u8; 16];

impl KeyHash {
    /// The hash of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// No key's hash: to compare with where there is nothing to compare with.
    pub(super) const NOBODYS: Self = Self([0; 32]);

    /// The first half. How long its look-up takes says something about a hash at most, and no hash leads to a key.
    pub(super) fn selector(&self) -> Selector {
        let mut selector = Selector::default();
        selector.copy_from_slice(&self.0[..16]);
        selector
    }

    /// Whether they are the same, in a time that does not depend on where they differ.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{SHA_256}{}", HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl FromStr for KeyHash {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.strip_prefix(SHA_256).ok_or(KeyError::NoHash)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| KeyError::NoHash)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::NoHash)
    }
}

/// What is wrong about a key. Says nothing of the text itself, which may be a key that stands where its hash should.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not the hash of a key.
    #[error("expected `sha256:` and 64 hexadecimal digits, as `payrig-server make-merchant ID` prints them")]
    NoHash,
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    NoRandomNumbers(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_differ_and_go_into_a_header() {
        let keys: Vec<ApiKey> = (0..100).map(|_| ApiKey::fresh().expect("random numbers")).collect();
        for (number, key) in keys.iter().enumerate() {
            let random = key.reveal().strip_prefix(PREFIX).expect("the prefix");
            assert_eq!(BASE64URL_NOPAD.decode(random.as_bytes()).expect("base64url").len(), RANDOM_BYTES);
            assert!(keys[..number].iter().all(|other| !other.hash().is(&key.hash())));
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        // `printf abc | sha256sum`
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of(b"abc").to_string(), abc);
        for text in [abc.to_owned(), abc.to_uppercase().replace("SHA256", "sha256")] {
            assert!(text.parse::<KeyHash>().expect("a hash").is(&KeyHash::of(b"abc")), "{text}");
        }
        assert!(!KeyHash::of(b"abc").is(&KeyHash::of(b"abd")));
    }

    #[test]
    fn what_is_no_hash_is_refused_and_not_repeated() {
        let abc = KeyHash::of(b"abc").to_string();
        let (short, long) = (&abc[..abc.len() - 2], format!("{abc}00"));
        for text in ["", "abc", "payrig_secret", "sha256:0", "sha512:00", short, &long, &abc.replace("ba", "zz")] {
            let Err(error) = text.parse::<KeyHash>() else { panic!("{text} is taken for a hash") };
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
    }
}
