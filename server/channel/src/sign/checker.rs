//! The public half of a key, which checks.

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use hmac::Mac as _;
use sha2::{Digest as _, Sha256};

use super::signer::{HalfText, KeyError};
use super::spelling::{base64, hex_32};
use super::{Algorithm, Keyed, Purpose, SecretKey, SignatureError, joined, keyed};
use crate::json::push_hex;

/// The public half of one key, ready to check; cheap to clone.
#[derive(Clone)]
pub struct Checker {
    serial: std::sync::Arc<str>,
    half: Half,
}

#[derive(Clone)]
enum Half {
    Hmac(Keyed),
    Rsa(std::sync::Arc<ParsedPublicKey>),
    Ed25519(std::sync::Arc<ParsedPublicKey>),
}

impl Checker {
    pub(super) fn hmac(key: &[u8; 32]) -> Self {
        // The serial is public, and says nothing about the key.
        Self { serial: serial(&[b"serial", key]), half: Half::Hmac(keyed(key)) }
    }

    /// From the key's text and the purpose that it serves.
    pub(crate) fn from_text(text: &HalfText, purpose: Purpose) -> Result<Self, KeyError> {
        match text.algorithm {
            Algorithm::HmacSha256 => {
                let secret: [u8; 32] = text.bytes.as_slice().try_into().map_err(|_| KeyError::Length)?;
                Ok(Self::hmac(&super::signer::derived(&SecretKey(secret), purpose)))
            }
            Algorithm::RsaSha256 => Self::from_spki(Algorithm::RsaSha256, &text.bytes),
            Algorithm::Ed25519 => Self::from_spki(Algorithm::Ed25519, &text.bytes),
        }
    }

    /// From a `SubjectPublicKeyInfo` (RFC 5280). RSA keys have 2,048 to 8,192 bits.
    pub(super) fn from_spki(algorithm: Algorithm, spki: &[u8]) -> Result<Self, KeyError> {
        let refused = |error: aws_lc_rs::error::KeyRejected| KeyError::Refused(error.to_string());
        let half = match algorithm {
            Algorithm::RsaSha256 => {
                let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki).map_err(refused)?;
                Half::Rsa(key.into())
            }
            Algorithm::Ed25519 => Half::Ed25519(ParsedPublicKey::new(&ED25519, spki).map_err(refused)?.into()),
            Algorithm::HmacSha256 => return Err(KeyError::Algorithm),
        };
        let key = match &half {
            Half::Rsa(key) | Half::Ed25519(key) => key,
            Half::Hmac(_) => return Err(KeyError::Algorithm),
        };
        // One key has one spelling, and so one serial; the library would take 32 raw bytes for an Ed25519 key as well.
        match key.as_der() {
            Ok(own) if own.as_ref() == spki => Ok(Self { serial: serial(&[spki]), half }),
            _ => Err(KeyError::Refused("expected a SubjectPublicKeyInfo in DER".to_owned())),
        }
    }

    /// Names the key.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match &self.half {
            Half::Hmac(_) => Algorithm::HmacSha256,
            Half::Rsa(_) => Algorithm::RsaSha256,
            Half::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// Checks the signature over the parts, one after the other. A shared secret is compared in constant time.
    ///
    /// # Errors
    /// [`SignatureError::Wrong`], also for another spelling of the right signature.
    pub fn check(&self, message: &[&[u8]], signature: &str) -> Result<(), SignatureError> {
        let wrong = SignatureError::Wrong;
        match &self.half {
            Half::Hmac(keyed) => {
                let claimed = hex_32(signature).ok_or(wrong)?;
                let mac = message.iter().fold(keyed.clone(), |mac, part| mac.chain_update(part));
                mac.verify_slice(&claimed).map_err(|_| wrong)
            }
            Half::Rsa(key) => {
                let claimed = base64(signature).ok_or(wrong)?;
                let mut context = digest::Context::new(&digest::SHA256);
                for part in message {
                    context.update(part);
                }
                key.verify_digest_sig(&context.finish(), &claimed).map_err(|_| wrong)
            }
            Half::Ed25519(key) => {
                let claimed = base64(signature).ok_or(wrong)?;
                key.verify_sig(&joined(message), &claimed).map_err(|_| wrong)
            }
        }
    }
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checker({} {})", self.algorithm(), self.serial)
    }
}

/// The first 64 bits of a digest, as 16 digits.
fn serial(parts: &[&[u8]]) -> std::sync::Arc<str> {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| digest.chain_update(part)).finalize();
    let mut serial = String::with_capacity(16);
    push_hex(&mut serial, &digest[..8]);
    serial.into()
}
