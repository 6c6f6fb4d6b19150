//! Instants as UTC text.

use std::fmt::Write;

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

/// Days to dates by Howard Hinnant's `civil_from_days`, from the epoch on.
fn civil(at_us: u64) -> Civil {
    let at_s = at_us / 1_000_000;
    let days = at_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    Civil { year, month, day: day_of_year - (153 * shifted_month + 2) / 5 + 1, second_of_day: at_s % 86_400 }
}

/// `2026-01-31T23:59:59.123456Z` for microseconds since the epoch.
#[must_use]
pub fn utc_time(at_us: u64) -> String {
    let Civil { year, month, day, second_of_day } = civil(at_us);
    let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", at_us % 1_000_000)
}

/// `20260131T235959Z`: the same for a folder's name, without signs that shells and file systems mind.
#[must_use]
pub fn folder_time(at_us: u64) -> String {
    let Civil { year, month, day, second_of_day } = civil(at_us);
    let mut text = format!("{year:04}{month:02}{day:02}T");
    for part in [second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60] {
        // Writing to a String cannot fail.
        let _ = write!(text, "{part:02}");
    }
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        assert_eq!(utc_time(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(utc_time(951_782_399_000_001), "2000-02-28T23:59:59.000001Z");
        assert_eq!(utc_time(951_782_400_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(utc_time(1_735_689_599_999_999), "2024-12-31T23:59:59.999999Z");
        assert_eq!(folder_time(1_767_225_600_000_000), "20260101T000000Z");
        assert_eq!(folder_time(4_107_542_399_000_000), "21000228T235959Z");
        assert_eq!(folder_time(4_107_542_400_000_000), "21000301T000000Z");
    }
}
