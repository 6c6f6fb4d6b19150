//! The private half of a key, which signs.

use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use hmac::Mac as _;

use super::spelling::push_base64;
use super::{Algorithm, Checker, Keyed, Purpose, SecretKey, joined, keyed};
use crate::json::push_hex;

/// The private half of one key, ready to sign; cheap to clone.
#[derive(Clone)]
pub struct Signer {
    checker: Checker,
    half: Half,
}

#[derive(Clone)]
enum Half {
    Hmac(Keyed),
    Rsa(Arc<rsa::KeyPair>),
    Ed25519(Arc<Ed25519KeyPair>),
}

/// Why bytes are no key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A shared secret has another length.
    #[error("a secret has 32 bytes")]
    Length,
    /// The bytes are none of this algorithm's keys.
    #[error("not a key of this algorithm: {0}")]
    Refused(String),
    /// Such a key has no such half.
    #[error("a key of another algorithm")]
    Algorithm,
    /// The system gave no random bytes.
    #[error("no new key could be made")]
    Make,
}

/// One half of a key as bytes: PKCS#8 or `SubjectPublicKeyInfo` in DER, or the 32 bytes of a shared secret.
pub(crate) struct HalfText {
    pub(crate) algorithm: Algorithm,
    pub(crate) bytes: Vec<u8>,
}

impl HalfText {
    /// Makes a new key: both halves.
    pub(crate) fn make(algorithm: Algorithm) -> Result<(Self, Self), KeyError> {
        let made = |_| KeyError::Make;
        let half = |bytes: &[u8]| Self { algorithm, bytes: bytes.to_vec() };
        match algorithm {
            Algorithm::HmacSha256 => {
                let SecretKey(secret) = SecretKey::random();
                Ok((half(&secret), half(&secret)))
            }
            Algorithm::RsaSha256 => {
                let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(made)?;
                let private: Pkcs8V1Der<'_> = pair.as_der().map_err(made)?;
                Ok((half(private.as_ref()), half(pair.public_key().as_der().map_err(made)?.as_ref())))
            }
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(made)?;
                let public = pair.public_key().as_der().map_err(made)?;
                Ok((half(pair.to_pkcs8v1().map_err(made)?.as_ref()), half(public.as_ref())))
            }
        }
    }
}

/// The key of one purpose, made from a secret.
pub(super) fn derived(secret: &SecretKey, purpose: Purpose) -> [u8; 32] {
    keyed(&secret.0).chain_update(purpose.label()).finalize().into_bytes().into()
}

impl Signer {
    /// The HMAC-SHA256 key of a secret for one purpose.
    #[must_use]
    pub fn hmac_sha256(secret: &SecretKey, purpose: Purpose) -> Self {
        let key = derived(secret, purpose);
        Self { checker: Checker::hmac(&key), half: Half::Hmac(keyed(&key)) }
    }

    /// From the key's text and the purpose that it serves.
    pub(crate) fn from_text(text: &HalfText, purpose: Purpose) -> Result<Self, KeyError> {
        let refused = |error: aws_lc_rs::error::KeyRejected| KeyError::Refused(error.to_string());
        let spki = |_| KeyError::Refused("its public half cannot be written".to_owned());
        match text.algorithm {
            Algorithm::HmacSha256 => {
                let secret: [u8; 32] = text.bytes.as_slice().try_into().map_err(|_| KeyError::Length)?;
                Ok(Self::hmac_sha256(&SecretKey(secret), purpose))
            }
            Algorithm::RsaSha256 => {
                let pair = rsa::KeyPair::from_pkcs8(&text.bytes).map_err(refused)?;
                let public = pair.public_key().as_der().map_err(spki)?;
                let checker = Checker::from_spki(Algorithm::RsaSha256, public.as_ref())?;
                Ok(Self { checker, half: Half::Rsa(Arc::new(pair)) })
            }
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(&text.bytes).map_err(refused)?;
                let public = pair.public_key().as_der().map_err(spki)?;
                let checker = Checker::from_spki(Algorithm::Ed25519, public.as_ref())?;
                Ok(Self { checker, half: Half::Ed25519(Arc::new(pair)) })
            }
        }
    }

    /// A new key of this algorithm, that is kept nowhere.
    ///
    /// # Errors
    /// [`KeyError::Make`].
    pub fn random(algorithm: Algorithm, purpose: Purpose) -> Result<Self, KeyError> {
        Self::from_text(&HalfText::make(algorithm)?.0, purpose)
    }

    /// The half that checks what this one signs.
    #[must_use]
    pub const fn checker(&self) -> &Checker {
        &self.checker
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.checker.algorithm()
    }

    /// Names the key.
    #[must_use]
    pub fn serial(&self) -> &str {
        self.checker.serial()
    }

    /// Appends the signature over the parts, one after the other, in the one spelling that [`Checker::check`] takes:
    /// hexadecimal for HMAC, base64 for the others.
    pub fn sign_into(&self, message: &[&[u8]], out: &mut String) {
        match &self.half {
            Half::Hmac(keyed) => {
                let mac = message.iter().fold(keyed.clone(), |mac, part| mac.chain_update(part));
                push_hex(out, &mac.finalize().into_bytes());
            }
            Half::Rsa(pair) => {
                let mut context = digest::Context::new(&digest::SHA256);
                for part in message {
                    context.update(part);
                }
                push_rsa(pair, &context.finish(), out);
            }
            Half::Ed25519(pair) => push_base64(out, pair.sign(&joined(message)).as_ref()),
        }
    }

    /// Appends the signature over all of `out` so far, between the two texts.
    pub(crate) fn sign_tail(&self, out: &mut String, before: &str, after: &str) {
        match &self.half {
            Half::Hmac(keyed) => {
                let mac = keyed.clone().chain_update(out.as_bytes()).finalize().into_bytes();
                out.push_str(before);
                push_hex(out, &mac);
            }
            Half::Rsa(pair) => {
                let digest = digest::digest(&digest::SHA256, out.as_bytes());
                out.push_str(before);
                push_rsa(pair, &digest, out);
            }
            Half::Ed25519(pair) => {
                let signature = pair.sign(out.as_bytes());
                out.push_str(before);
                push_base64(out, signature.as_ref());
            }
        }
        out.push_str(after);
    }
}

fn push_rsa(pair: &rsa::KeyPair, digest: &digest::Digest, out: &mut String) {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign_digest(&RSA_PKCS1_SHA256, digest, &mut signature).expect("a key that was checked when read can sign");
    push_base64(out, &signature);
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} {})", self.algorithm(), self.serial())
    }
}
