//! How signatures are spelled: each in exactly one way, so that no other text passes for the same signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Exactly 64 lower-case hexadecimal digits.
pub(super) fn hex_32(text: &str) -> Option<[u8; 32]> {
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

/// Appends base64 with padding (RFC 4648, section 4).
pub(super) fn push_base64(out: &mut String, bytes: &[u8]) {
    STANDARD.encode_string(bytes, out);
}

/// Base64 as [`push_base64`] writes it: with its padding, and with zeros where bits are left over.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    // The engine refuses other padding and left-over bits; what it takes has one spelling only.
    STANDARD.decode(text).ok()
}
