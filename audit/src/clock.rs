//! The time of a record: UTC with microseconds, as text.
#![forbid(unsafe_code)]

use std::time::{SystemTime, UNIX_EPOCH};

/// The last microsecond of the year 9999: beyond it the text would grow.
const LAST: u64 = 253_402_300_799_999_999;

/// Length of `2026-11-22T13:47:51.123456Z`.
pub(crate) const TEXT_LEN: usize = 27;

/// Microseconds since 1970 in UTC; a clock before that reads as 0; one beyond
/// the year 9999 as its last moment.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now();
    #[cfg(test)]
    let now = stepping::shown().unwrap_or(now);
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).map_or(LAST, |micros| micros.min(LAST)))
}

/// `micros` since 1970 as RFC 3339 text, always [`TEXT_LEN`] bytes until the year 9999.
pub fn text(micros: u64) -> String {
    let micros = micros.min(LAST);
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

/// `now` as text, moved by a microsecond where that is `last`, the time of the last record: two appends
/// that follow each other never share theirs, so that a reader can tell the records of one from those
/// of two. It may be before `last`.
pub(crate) fn other_than(last: &[u8], now: u64) -> String {
    let other = if now < LAST { now + 1 } else { LAST - 1 };
    let text = text(now);
    if text.as_bytes() == last {
        self::text(other)
    } else {
        text
    }
}

#[cfg(test)]
mod stepping;

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
