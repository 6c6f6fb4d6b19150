//! WeChat style: who calls, in the `Authorization` header, and who answers, in `Wechatpay-*` headers.

use super::{PLATFORM_MCHID, is_nonce, is_recent, notify::HEADERS, seconds};
use crate::notification::Verifier;
use crate::sign::{Checker, SignatureError, Signer};

/// Stands before the algorithm's name.
const SCHEME: &str = "PAYRIG-";

/// One call, as far as its signature covers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The path and, if there is one, the query after a question mark, as it is sent.
    pub target: &'a str,
    /// The body; empty where there is none.
    pub body: &'a [u8],
}

impl Call<'_> {
    fn message<'m>(&'m self, timestamp: &'m str, nonce: &'m str) -> [&'m [u8]; 10] {
        let feed: &[u8] = b"\n";
        let (method, target) = (self.method.as_bytes(), self.target.as_bytes());
        [method, feed, target, feed, timestamp.as_bytes(), feed, nonce.as_bytes(), feed, self.body, feed]
    }
}

/// The value of `Authorization` for a call, signed by the platform at this second. The nonce has 1 to 64 letters and
/// digits and is never the same twice.
#[must_use]
pub fn authorize(signer: &Signer, call: &Call<'_>, now_s: u64, nonce: &str) -> String {
    let timestamp = now_s.to_string();
    let mut value = String::with_capacity(600);
    value.push_str(SCHEME);
    value.push_str(signer.algorithm().name());
    value.push_str(" mchid=\"");
    value.push_str(PLATFORM_MCHID);
    for (name, text) in [("nonce_str", nonce), ("timestamp", &timestamp), ("serial_no", signer.serial())] {
        value.push_str("\",");
        value.push_str(name);
        value.push_str("=\"");
        value.push_str(text);
    }
    value.push_str("\",signature=\"");
    signer.sign_into(&call.message(&timestamp, nonce), &mut value);
    value.push('"');
    value
}

/// Checks the `Authorization` of a call and gives its nonce.
///
/// # Errors
/// [`SignatureError`]: the call is not the platform's, or not of now.
pub fn check_call<'v>(
    value: &'v str,
    call: &Call<'_>,
    checker: &Checker,
    now_s: u64,
) -> Result<&'v str, SignatureError> {
    const FORM: SignatureError = SignatureError::Malformed("Authorization");
    let (algorithm, mut rest) = value.strip_prefix(SCHEME).and_then(|rest| rest.split_once(' ')).ok_or(FORM)?;
    // The members in the one order in which they are written: what is not signed has one spelling.
    let mut values = [""; 5];
    let names = ["mchid=\"", ",nonce_str=\"", ",timestamp=\"", ",serial_no=\"", ",signature=\""];
    for (value, name) in values.iter_mut().zip(names) {
        (*value, rest) = rest.strip_prefix(name).and_then(|after| after.split_once('"')).ok_or(FORM)?;
    }
    let [mchid, nonce, timestamp, serial, signature] = values;
    if !rest.is_empty() || !is_nonce(nonce) {
        return Err(FORM);
    }
    if algorithm != checker.algorithm().name() || mchid != PLATFORM_MCHID {
        return Err(SignatureError::Wrong);
    }
    if serial != checker.serial() {
        return Err(SignatureError::UnknownSerial);
    }
    let second = seconds(timestamp).filter(|second| is_recent(*second, now_s));
    second.ok_or(SignatureError::Malformed("the time stamp is not of now"))?;
    checker.check(&call.message(timestamp, nonce), signature)?;
    Ok(nonce)
}

/// The headers that sign an answer: names and values.
#[must_use]
pub fn answer_headers(signer: &Signer, body: &[u8], now_s: u64, nonce: &str) -> [(&'static str, String); 4] {
    let timestamp = now_s.to_string();
    let mut signature = String::with_capacity(350);
    signer.sign_into(&answer_message(&timestamp, nonce, body), &mut signature);
    let [timestamp_name, nonce_name, serial_name, signature_name] = HEADERS;
    [
        (timestamp_name, timestamp),
        (nonce_name, nonce.to_owned()),
        (serial_name, signer.serial().to_owned()),
        (signature_name, signature),
    ]
}

/// Checks a signed answer over its raw body. `header` gives a header's value by its lower-case name.
///
/// # Errors
/// [`SignatureError`]: the answer is not the channel's, or not of now.
pub fn check_answer<'h>(
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    verifier: &Verifier,
    now_s: u64,
) -> Result<(), SignatureError> {
    let get = |name: &'static str| header(name).ok_or(SignatureError::Malformed(name));
    let (timestamp, nonce, serial, signature) =
        (get(HEADERS[0])?, get(HEADERS[1])?, get(HEADERS[2])?, get(HEADERS[3])?);
    let checker = verifier.key(serial)?;
    let second = seconds(timestamp).filter(|second| is_recent(*second, now_s));
    second.ok_or(SignatureError::Malformed("the time stamp is not of now"))?;
    if !is_nonce(nonce) {
        return Err(SignatureError::Malformed("the nonce"));
    }
    checker.check(&answer_message(timestamp, nonce, body), signature)
}

/// What is signed of an answer and of a notification.
pub(crate) fn answer_message<'a>(timestamp: &'a str, nonce: &'a str, body: &'a [u8]) -> [&'a [u8]; 6] {
    [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"]
}
