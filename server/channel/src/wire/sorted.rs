//! Forms whose fields are sorted by name and signed as they are encoded: Alipay's way.

use crate::sign::{Checker, SignatureError, Signer};

/// The field of the signature.
pub(crate) const SIGN: &str = "sign";

/// Writes the fields, which are sorted by name, then their signature and then what is not signed. Gives the form and
/// the signature.
pub(crate) fn write(signed: &[(&str, &str)], unsigned: &[(&str, &str)], signer: &Signer) -> (String, String) {
    debug_assert!(signed.is_sorted(), "the reader sorts them");
    let mut form = String::with_capacity(1_024);
    for (name, value) in signed {
        push_field(&mut form, name, value);
    }
    let mut signature = String::with_capacity(350);
    signer.sign_into(&[form.as_bytes()], &mut signature);
    push_field(&mut form, SIGN, &signature);
    for (name, value) in unsigned {
        push_field(&mut form, name, value);
    }
    (form, signature)
}

fn push_field(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    form.push_str(name);
    form.push('=');
    push_encoded(form, value);
}

/// The fields of a form, sorted by name, their values still encoded.
pub(crate) struct Fields<'a> {
    fields: Vec<(&'a str, &'a str)>,
    bytes: usize,
}

impl<'a> Fields<'a> {
    /// Reads a form.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, SignatureError> {
        let form = std::str::from_utf8(body).map_err(|_| SignatureError::Malformed("the form"))?;
        let mut fields = Vec::with_capacity(16);
        for field in form.split('&') {
            fields.push(field.split_once('=').ok_or(SignatureError::Malformed("a field without a value"))?);
        }
        fields.sort_unstable();
        Ok(Self { fields, bytes: body.len() })
    }

    /// The value of the one field of this name.
    pub(crate) fn text(&self, name: &'static str) -> Result<String, SignatureError> {
        decoded(self.raw(name)?).ok_or(SignatureError::Malformed(name))
    }

    /// The same, which may be spelled in one way only: for what no signature covers.
    pub(crate) fn exact(&self, name: &'static str) -> Result<String, SignatureError> {
        let raw = self.raw(name)?;
        let text = decoded(raw).ok_or(SignatureError::Malformed(name))?;
        let mut again = String::with_capacity(raw.len());
        push_encoded(&mut again, &text);
        if again == raw { Ok(text) } else { Err(SignatureError::Wrong) }
    }

    /// A number in the one spelling that is taken.
    pub(crate) fn number(&self, name: &'static str) -> Result<u64, SignatureError> {
        super::seconds(self.raw(name)?).ok_or(SignatureError::Malformed(name))
    }

    fn raw(&self, name: &'static str) -> Result<&'a str, SignatureError> {
        let mut found = self.fields.iter().filter(|field| field.0 == name);
        match (found.next(), found.next()) {
            (Some(field), None) => Ok(field.1),
            _ => Err(SignatureError::Malformed(name)),
        }
    }

    /// Checks the signature over all fields but itself and those in `unsigned`. The values are signed as they are
    /// encoded: another spelling of the same value is refused too.
    pub(crate) fn check(&self, unsigned: &[&str], checker: &Checker) -> Result<(), SignatureError> {
        let signature = self.exact(SIGN)?;
        let mut message = String::with_capacity(self.bytes);
        for (name, value) in self.fields.iter().filter(|field| field.0 != SIGN && !unsigned.contains(&field.0)) {
            if !message.is_empty() {
                message.push('&');
            }
            message.push_str(name);
            message.push('=');
            message.push_str(value);
        }
        checker.check(&[message.as_bytes()], &signature)
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(crate) fn push_encoded(out: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

pub(crate) fn decoded(value: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { digit(rest.next()?)? << 4 | digit(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}
