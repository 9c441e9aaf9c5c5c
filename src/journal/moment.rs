//! A moment, as the journal writes it.

use std::fmt;

/// Microseconds since 1970 in UTC; shown as `2026-11-22T13:47:51.123456Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Moment(u64);

/// The last microsecond of the year 9999: what comes later cannot be written.
const LAST: u64 = 253_402_300_799_999_999;

impl Moment {
    /// Microseconds since 1970.
    #[must_use]
    pub fn from_micros(micros: u64) -> Self {
        Self(micros.min(LAST))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.0
    }

    /// Now, by the system's clock; a clock before 1970 reads as 1970.
    #[must_use]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::from_micros(u64::try_from(since.as_micros()).unwrap_or(LAST))
    }

    /// So many seconds later.
    #[must_use]
    pub fn after(self, seconds: u64) -> Self {
        Self::from_micros(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// So many seconds earlier.
    #[must_use]
    pub fn before(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds.saturating_mul(1_000_000)))
    }

    /// From calendar and clock in UTC; `None` where there is no such day or time.
    #[must_use]
    pub fn from_parts(date: (u32, u32, u32), time: (u32, u32, u32), micros: u32) -> Option<Self> {
        let ((year, month, day), (hour, minute, second)) = (date, time);
        let in_range = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60
            && micros < 1_000_000;
        if !in_range {
            return None;
        }
        // Years are counted from March, so that the leap day ends one (as in `audit::time_text`).
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let day_of_year = (153 * month + 2) / 5 + day - 1;
        let days =
            u64::from(year) * 365 + u64::from(year / 4) + u64::from(year / 400) + u64::from(day_of_year)
                - u64::from(year / 100)
                - 719_468;
        let seconds = days * 86_400 + u64::from(hour) * 3_600 + u64::from(minute) * 60 + u64::from(second);
        Some(Self(seconds * 1_000_000 + u64::from(micros)))
    }

    /// Reads `2026-11-22`, then as much of `T13:47:51.123456` as is there (a space does for the `T`), with or
    /// without the `Z`. What is not given is zero.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let (date, time) = match text.split_once(['T', ' ']) {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let mut parts = date.split('-');
        let mut number = |digits: usize| parts.next().and_then(|part| digits_of(part, digits));
        let date = (number(4)?, number(2)?, number(2)?);
        if parts.next().is_some() {
            return None;
        }
        let Some(time) = time else { return Self::from_parts(date, (0, 0, 0), 0) };
        let (clock, fraction) =
            time.split_once('.').map_or((time, None), |(clock, part)| (clock, Some(part)));
        let mut parts = clock.split(':');
        let hour = digits_of(parts.next()?, 2)?;
        let minute = parts.next().map_or(Some(0), |part| digits_of(part, 2))?;
        let seconds = parts.next();
        let second = seconds.map_or(Some(0), |part| digits_of(part, 2))?;
        if parts.next().is_some() || (fraction.is_some() && seconds.is_none()) {
            return None;
        }
        let micros = match fraction {
            Some(part) if (1..=6).contains(&part.len()) => digits_of(&format!("{part:0<6}"), 6)?,
            Some(_) => return None,
            None => 0,
        };
        Self::from_parts(date, (hour, minute, second), micros)
    }

    /// As [`Moment::parse`], for what a person types: `2026` and `2026-11` begin with their first day.
    #[must_use]
    pub fn beginning(text: &str) -> Option<Self> {
        let first = "1970-01-01";
        // All of it ASCII, or its length says nothing of its letters.
        match text.len() {
            4 | 7 if text.is_ascii() => Self::parse(&format!("{text}{}", first.get(text.len()..)?)),
            _ => Self::parse(text),
        }
    }
}

fn days_of(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// A number of exactly so many decimal digits.
fn digits_of(text: &str, digits: usize) -> Option<u32> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&audit::time_text(self.0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_the_journal_writes_is_read_back(micros in 0..=LAST) {
            let moment = Moment::from_micros(micros);
            prop_assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
        }
    }

    #[test]
    fn seconds_are_counted_from_1970() {
        let seconds = |text: &str| Moment::parse(text).map(|moment| moment.micros() / 1_000_000);
        assert_eq!(seconds("1970-01-01T00:00:00.000000Z"), Some(0));
        assert_eq!(seconds("2026-11-22T13:47:51.123456Z"), Some(1_795_355_271));
        assert_eq!(seconds("2024-03-01T00:00"), Some(1_709_251_200));
        assert_eq!(seconds("now"), None);
    }

    #[test]
    fn a_person_may_leave_out_more() {
        for (text, whole) in
            [("2026", "2026-01-01"), ("2026-11", "2026-11-01"), ("2026-11-22T13", "2026-11-22T13:00")]
        {
            assert_eq!(Moment::beginning(text), Some(Moment::parse(whole).unwrap()), "{text}");
        }
        for text in ["202", "2026-", "2026-13", "2026-1", "2026-11-", "1969", "T09:"] {
            assert_eq!(Moment::beginning(text), None, "{text}");
        }
        assert_eq!(Moment::parse("2026-11"), None);
    }

    #[test]
    fn the_rest_of_a_time_may_be_left_out() {
        let read = |text: &str| Moment::parse(text).unwrap().to_string();
        assert_eq!(read("2024-02-29"), "2024-02-29T00:00:00.000000Z");
        assert_eq!(read("2026-11-22 13:47"), "2026-11-22T13:47:00.000000Z");
        assert_eq!(read("2026-11-22T13:47:51.5Z"), "2026-11-22T13:47:51.500000Z");
        for text in [
            "",
            "2023-02-29",
            "2026-13-01",
            "2026-11-22T24:00",
            "2026-11-22T13:47.5",
            "1969-12-31",
            "+026-11-22",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
