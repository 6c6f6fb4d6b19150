//! The signature seam: who signs, who checks, and with which key, named by its serial.
//!
//! One algorithm for now, HMAC-SHA256: both sides hold the same secret. The enums leave room for RSA and Ed25519, where
//! the signer holds the private half and the check the public one.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::json::push_hex;

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

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

/// One key, ready to sign: the key schedule is computed once.
#[derive(Clone)]
pub(crate) enum Signer {
    HmacSha256 { keyed: Hmac<Sha256>, serial: String },
}

/// What the two sides' keys are for; each purpose has its own, so that one cannot stand in for the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    PayParams,
    Notification,
}

impl Signer {
    /// The HMAC-SHA256 key for one purpose.
    pub(crate) fn hmac_sha256(secret: &SecretKey, purpose: Purpose) -> Self {
        let label: &[u8] = match purpose {
            Purpose::PayParams => b"payrig-channel/pay-params",
            Purpose::Notification => b"payrig-channel/notification",
        };
        let key = keyed(&secret.0).chain_update(label).finalize().into_bytes();
        // The serial is public, and says nothing about the key.
        let digest = Sha256::new().chain_update(b"serial").chain_update(key).finalize();
        let mut serial = String::with_capacity(16);
        push_hex(&mut serial, &digest[..8]);
        Self::HmacSha256 { keyed: keyed(&key), serial }
    }

    /// The algorithm's name as it stands in signed messages.
    pub(crate) const fn algorithm(&self) -> &'static str {
        match self {
            Self::HmacSha256 { .. } => "HMAC-SHA256",
        }
    }

    /// Names the key.
    pub(crate) fn serial(&self) -> &str {
        match self {
            Self::HmacSha256 { serial, .. } => serial,
        }
    }

    /// Appends the signature over `message` to `out`, in the one spelling that [`Self::check`] takes.
    pub(crate) fn sign_into(&self, message: &[&[u8]], out: &mut String) {
        match self {
            Self::HmacSha256 { keyed, .. } => {
                let mac = message.iter().fold(keyed.clone(), |mac, part| mac.chain_update(part));
                push_hex(out, &mac.finalize().into_bytes());
            }
        }
    }

    /// Appends the signature over all of `out` so far, between the two texts.
    pub(crate) fn sign_tail(&self, out: &mut String, before: &str, after: &str) {
        match self {
            Self::HmacSha256 { keyed, .. } => {
                let mac = keyed.clone().chain_update(out.as_bytes()).finalize().into_bytes();
                out.push_str(before);
                push_hex(out, &mac);
                out.push_str(after);
            }
        }
    }

    /// Checks a signature in constant time.
    pub(crate) fn check(&self, message: &[&[u8]], signature: &str) -> Result<(), SignatureError> {
        match self {
            Self::HmacSha256 { keyed, .. } => {
                let claimed = hex_32(signature).ok_or(SignatureError::Wrong)?;
                let mac = message.iter().fold(keyed.clone(), |mac, part| mac.chain_update(part));
                mac.verify_slice(&claimed).map_err(|_| SignatureError::Wrong)
            }
        }
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// Exactly 64 lower-case digits: one spelling only, so that no other text passes for the same signature.
fn hex_32(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0_u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_belongs_to_message_key_and_purpose() {
        let secret = SecretKey::from_bytes([7; 32]);
        let signer = Signer::hmac_sha256(&secret, Purpose::PayParams);
        let mut signature = String::new();
        signer.sign_into(&[b"ab", b"c"], &mut signature);
        assert_eq!(signer.check(&[b"a", b"bc"], &signature), Ok(()));
        assert_eq!(signer.check(&[b"abd"], &signature), Err(SignatureError::Wrong));
        assert_eq!(signer.check(&[b"abc"], &signature.to_uppercase()), Err(SignatureError::Wrong));
        let other = Signer::hmac_sha256(&secret, Purpose::Notification);
        assert_eq!(other.check(&[b"abc"], &signature), Err(SignatureError::Wrong));
        assert_ne!(other.serial(), signer.serial());
        let other = Signer::hmac_sha256(&SecretKey::random(), Purpose::PayParams);
        assert_eq!(other.check(&[b"abc"], &signature), Err(SignatureError::Wrong));
    }

    #[test]
    fn the_tail_is_the_same_signature() {
        let signer = Signer::hmac_sha256(&SecretKey::from_bytes([1; 32]), Purpose::PayParams);
        let (mut whole, mut signature) = (String::from("text"), String::new());
        signer.sign_into(&[b"text"], &mut signature);
        signer.sign_tail(&mut whole, "<", ">");
        assert_eq!(whole, format!("text<{signature}>"));
    }
}
