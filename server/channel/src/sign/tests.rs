//! A signature belongs to message, key and purpose, has one spelling, and survives its key's way through text.

use super::*;

fn signers() -> Vec<Signer> {
    Algorithm::ALL.map(|algorithm| Signer::random(algorithm, Purpose::PayParams).unwrap()).into()
}

fn sign(signer: &Signer, message: &[&[u8]]) -> String {
    let mut signature = String::new();
    signer.sign_into(message, &mut signature);
    signature
}

#[test]
fn a_signature_belongs_to_message_and_key() {
    for signer in signers() {
        let signature = sign(&signer, &[b"ab", b"c"]);
        let checker = signer.checker();
        assert_eq!(checker.check(&[b"a", b"bc"], &signature), Ok(()), "{signer:?}");
        assert_eq!(checker.check(&[b"abd"], &signature), Err(SignatureError::Wrong));
        let other = Signer::random(signer.algorithm(), Purpose::PayParams).unwrap();
        assert_ne!(other.serial(), signer.serial());
        assert_eq!(other.checker().check(&[b"abc"], &signature), Err(SignatureError::Wrong));
    }
}

#[test]
fn of_a_shared_secret_each_purpose_has_its_own_key() {
    let secret = SecretKey::from_bytes([7; 32]);
    let (one, other) =
        (Signer::hmac_sha256(&secret, Purpose::PayParams), Signer::hmac_sha256(&secret, Purpose::Notification));
    let signature = sign(&one, &[b"abc"]);
    assert_eq!(other.checker().check(&[b"abc"], &signature), Err(SignatureError::Wrong));
    assert_ne!(other.serial(), one.serial());
}

/// Each flipped bit, and other spellings of the same bytes.
#[test]
fn a_signature_has_one_spelling() {
    for signer in signers() {
        let signature = sign(&signer, &[b"abc"]);
        for bit in 0..signature.len() * 8 {
            let mut flipped = signature.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(flipped) = String::from_utf8(flipped) else { continue };
            assert_eq!(signer.checker().check(&[b"abc"], &flipped), Err(SignatureError::Wrong), "{flipped}");
        }
        let url_safe = signature.replace('+', "-").replace('/', "_");
        let other_spellings = [signature.trim_end_matches('=').to_owned(), format!("{signature}\n"), url_safe];
        for other in other_spellings.iter().filter(|other| **other != signature) {
            assert_eq!(signer.checker().check(&[b"abc"], other), Err(SignatureError::Wrong), "{other}");
        }
        let upper = signature.to_uppercase();
        assert_eq!(signer.checker().check(&[b"abc"], &upper), Err(SignatureError::Wrong));
    }
}

#[test]
fn the_tail_is_the_same_signature() {
    for signer in signers() {
        let mut whole = String::from("text");
        signer.sign_tail(&mut whole, "<", ">");
        let signature = whole.strip_prefix("text<").and_then(|rest| rest.strip_suffix('>')).unwrap();
        assert_eq!(signer.checker().check(&[b"text"], signature), Ok(()));
    }
}

#[test]
fn both_halves_go_through_text() {
    for algorithm in Algorithm::ALL {
        let (private, public) = HalfText::make(algorithm).unwrap();
        let signer = Signer::from_text(&private, Purpose::Notification).unwrap();
        let checker = Checker::from_text(&public, Purpose::Notification).unwrap();
        assert_eq!((signer.serial(), signer.algorithm()), (checker.serial(), algorithm));
        assert_eq!(checker.check(&[b"x"], &sign(&signer, &[b"x"])), Ok(()));
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            let mislabelled = HalfText { algorithm: other, bytes: public.bytes.clone() };
            assert!(Checker::from_text(&mislabelled, Purpose::Notification).is_err(), "{algorithm} as {other}");
        }
        assert_eq!(algorithm.flag().parse::<Algorithm>(), Ok(algorithm));
    }
    assert!("rsa".parse::<Algorithm>().unwrap_err().contains("rsa-sha256"));
}
