//! Durations and numbers as people type and read them.

use std::time::Duration;

/// Why a duration could not be read, in words for the person who typed it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DurationError {
    /// Nothing was given.
    #[error("a duration is missing; write it like 300ms, 30s or 1h30m")]
    Empty,
    /// A number without a unit.
    #[error("`{0}` has no unit; write {0}s for seconds (units: h, m, s, ms, us)")]
    NoUnit(String),
    /// Not a number followed by a known unit.
    #[error("`{0}` is not a duration; write it like 300ms, 30s or 1h30m (units: h, m, s, ms, us)")]
    Malformed(String),
    /// Longer than any run.
    #[error("`{0}` is too long; at most 1000h")]
    TooLong(String),
}

const MAX_US: f64 = 3.6e12;

/// Reads `300ms`, `30s`, `1.5s` or `1h30m`: numbers with units, added up.
///
/// # Errors
/// What is wrong with the text and how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text.parse::<f64>().is_ok_and(|number| number >= 0.0) {
        // Nought needs no unit to be understood.
        return if text == "0" { Ok(Duration::ZERO) } else { Err(DurationError::NoUnit(text.to_owned())) };
    }
    let malformed = || DurationError::Malformed(text.to_owned());
    let mut rest = text;
    let mut us = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(malformed)?;
        let number: f64 = rest[..digits].parse().map_err(|_| malformed())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        us += number * unit_us(&rest[..letters]).ok_or_else(malformed)?;
        rest = &rest[letters..];
    }
    if us > MAX_US {
        return Err(DurationError::TooLong(text.to_owned()));
    }
    Ok(Duration::from_secs_f64(us / 1e6))
}

/// How many microseconds one of this unit is, if it is a unit of time. Whole numbers, so that products stay exact.
#[must_use]
pub fn unit_us(unit: &str) -> Option<f64> {
    Some(match unit {
        "h" => 3.6e9,
        "m" => 6e7,
        "s" => 1e6,
        "ms" => 1e3,
        "us" | "\u{b5}s" => 1.0,
        _ => return None,
    })
}

/// A span of microseconds in the unit that reads best, four characters of figures at most: `87 us`, `1.24 ms`, `2.50 s`.
#[must_use]
pub fn human_us(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 999.5 => (us, "us"),
        us if us < 999_500.0 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    let digits = match value {
        _ if unit == "us" => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// A span as it would be typed: `1h30m`, `30s`, `300ms`.
#[must_use]
pub fn human_duration(span: Duration) -> String {
    let ms = span.as_millis();
    let (hours, minutes, seconds, rest_ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let mut text = String::new();
    for (count, unit) in [(hours, "h"), (minutes, "m"), (seconds, "s"), (rest_ms, "ms")] {
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A whole number with thousands set apart: `12,345`.
#[must_use]
pub fn human_count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure with as many decimals as it deserves: `0.42`, `12.3`, `4,321`.
#[must_use]
pub fn human_rate(rate: f64) -> String {
    match rate {
        r if r < 9.995 => format!("{r:.2}"),
        r if r < 999.5 => format!("{r:.1}"),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive rate, rounded for people"
        )]
        r => human_count(r.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_typed() {
        for (text, ms) in
            [("300ms", 300), ("30s", 30_000), ("1h30m", 5_400_000), ("1.5s", 1500), ("0", 0), ("2m5s", 125_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse_duration("250us"), Ok(Duration::from_micros(250)));
    }

    #[test]
    fn a_bad_duration_says_how_to_write_it() {
        assert!(parse_duration("30").unwrap_err().to_string().contains("30s"));
        for text in ["", "s", "1x", "ms3", "1..2s", "-3s", "5s!", "2000h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_keep_three_figures() {
        for (us, text) in
            [(87.0, "87 us"), (999.6, "1.00 ms"), (1240.0, "1.24 ms"), (12_340.0, "12.3 ms"), (2_500_000.0, "2.50 s")]
        {
            assert_eq!(human_us(us), text);
        }
        assert_eq!(human_count(1_234_567), "1,234,567");
        assert_eq!(human_rate(4321.2), "4,321");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(ms in 0_u64..3_600_000_000) {
            let span = Duration::from_millis(ms);
            let again = parse_duration(&human_duration(span)).unwrap();
            prop_assert!(again.abs_diff(span) < Duration::from_micros(10));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let _ = parse_duration(&text);
        }
    }
}
