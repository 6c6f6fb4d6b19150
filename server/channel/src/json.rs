//! The little JSON that is signed: strings written in exactly one way.

/// Appends `text` as the inside of a JSON string, each character in one fixed spelling.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    // Nothing in almost every value wants an escape, and then this is one copy. (No early exit: so it is vectorised.)
    let wants_escape = |any: bool, byte: u8| any | (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    if !text.bytes().fold(false, wants_escape) {
        out.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let code = control as usize;
                out.push_str("\\u00");
                out.push(char::from(HEX[code >> 4]));
                out.push(char::from(HEX[code & 15]));
            }
            plain => out.push(plain),
        }
    }
}

/// Appends `value` in decimal.
pub(crate) fn push_u64(out: &mut String, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).expect("digits are ASCII"));
}

/// Appends the bytes as lower-case hexadecimal.
pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    // By the longest digest at a time: one append each instead of one a digit.
    for part in bytes.chunks(32) {
        let mut digits = [0_u8; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(part) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        out.push_str(std::str::from_utf8(&digits[..part.len() * 2]).expect("digits are ASCII"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_escaped_reads_back(text in any::<String>()) {
            let mut out = String::from("\"");
            push_escaped(&mut out, &text);
            out.push('"');
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }

        #[test]
        fn bytes_are_hexadecimal(bytes in any::<Vec<u8>>()) {
            let mut out = String::new();
            push_hex(&mut out, &bytes);
            prop_assert_eq!(out, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }

        #[test]
        fn numbers_are_decimal(value in any::<u64>()) {
            let mut out = String::new();
            push_u64(&mut out, value);
            prop_assert_eq!(out, value.to_string());
        }
    }
}
