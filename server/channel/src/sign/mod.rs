//! The signature seam: who signs, who checks, and with which key, named by its serial.
//!
//! A [`Signer`] holds the private half of a key and a [`Checker`] the public one. Of HMAC-SHA256, which the in-process
//! channel uses, both halves are the same secret.

mod checker;
mod signer;
mod spelling;

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac};
use sha2::Sha256;

pub use checker::Checker;
pub(crate) use signer::HalfText;
pub use signer::{KeyError, Signer};

/// How something is signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    /// RSA-2048 with SHA-256 (RSASSA-PKCS1-v1_5), as the real channels sign.
    RsaSha256,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// HMAC-SHA256: both sides hold the same secret.
    HmacSha256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RsaSha256, Self::Ed25519, Self::HmacSha256];

    /// The name as it stands in signed messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaSha256 => "RSA-SHA256",
            Self::Ed25519 => "ED25519",
            Self::HmacSha256 => "HMAC-SHA256",
        }
    }

    /// The name as it is given on a command line.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519 => "ed25519",
            Self::HmacSha256 => "hmac-sha256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.flag())
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.flag() == text);
        known.ok_or_else(|| format!("`{text}` is no algorithm; accepted: rsa-sha256, ed25519, hmac-sha256"))
    }
}

/// 32 secret bytes from which the channel's keys are derived.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(pub(crate) [u8; 32]);

impl SecretKey {
    /// The key made of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new random key.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// Why a signature was not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The serial names no key that is known here.
    #[error("the serial names no known key")]
    UnknownSerial,
    /// The signature does not belong to what was signed, or not to this key.
    #[error("the signature is wrong")]
    Wrong,
    /// What was signed cannot be read, or its parts contradict each other.
    #[error("the signed message is malformed: {0}")]
    Malformed(&'static str),
}

/// What the two sides' keys are for. Of a shared secret each purpose has a key of its own, so that one cannot stand in
/// for the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The platform's key: signs pay parameters and calls of the channel.
    PayParams,
    /// The channel's key: signs notifications and answers.
    Notification,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::PayParams => b"payrig-channel/pay-params",
            Self::Notification => b"payrig-channel/notification",
        }
    }
}

/// HMAC's key schedule, computed once.
type Keyed = Hmac<Sha256>;

fn keyed(key: &[u8]) -> Keyed {
    <Keyed as Mac>::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// The parts one after the other; a single part is not copied.
fn joined<'a>(message: &[&'a [u8]]) -> std::borrow::Cow<'a, [u8]> {
    match message {
        [whole] => (*whole).into(),
        parts => parts.concat().into(),
    }
}

#[cfg(test)]
mod tests;
