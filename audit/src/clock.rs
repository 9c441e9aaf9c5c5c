//! The time of a record: UTC with microseconds, as text.
#![forbid(unsafe_code)]

use std::time::{SystemTime, UNIX_EPOCH};

/// Length of `2026-11-22T13:47:51.123456Z`.
pub(crate) const TEXT_LEN: usize = 27;

/// Microseconds since 1970 in UTC; a clock before that reads as 0.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// `micros` since 1970 as RFC 3339 text, always [`TEXT_LEN`] bytes until the year 9999.
pub fn text(micros: u64) -> String {
    // The last microsecond of the year 9999: beyond it the text would grow.
    let micros = micros.min(253_402_300_799_999_999);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 1 March of the year 0, so that the leap day ends a year.
    let day = days + 719_468;
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day_of_month:02}T{:02}:{:02}:{:02}.{fraction:06}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_read_as_they_should() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_782_400_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(text(1_795_355_271_123_456), "2026-11-22T13:47:51.123456Z");
        assert_eq!(text(4_107_542_399_000_001), "2100-02-28T23:59:59.000001Z");
        assert_eq!(text(4_107_542_400_000_000), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn every_text_has_the_same_length() {
        for micros in [0, 1, 999_999, 253_402_300_799_999_999, u64::MAX] {
            assert_eq!(text(micros).len(), TEXT_LEN);
        }
    }
}
