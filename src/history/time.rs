//! The journal's times as numbers.

/// Seconds since 1970 of a time as the journal writes it (`2026-11-22T13:47:51.123456Z`), or of a beginning of it down
/// to the day; `None` where it is no time.
#[must_use]
pub fn seconds(text: &str) -> Option<i64> {
    let number =
        |from: usize, to: usize| text.get(from..to).filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
    let at = |from: usize, to: usize| number(from, to)?.parse::<i64>().ok();
    let (year, month, day) = (at(0, 4)?, at(5, 7)?, at(8, 10)?);
    let separated =
        [(4, "-"), (7, "-")].iter().all(|(place, mark)| text.get(*place..place + 1) == Some(mark));
    if !separated || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let clock = at(11, 13).unwrap_or(0) * 3600 + at(14, 16).unwrap_or(0) * 60 + at(17, 19).unwrap_or(0);
    // Days from the civil calendar: years begin in March, so that the leap day is their last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_1970() {
        assert_eq!(seconds("1970-01-01T00:00:00.000000Z"), Some(0));
        assert_eq!(seconds("2026-11-22T13:47:51.123456Z"), Some(1_795_355_271));
        assert_eq!(seconds("2024-02-29"), Some(1_709_164_800));
        assert_eq!(seconds("2024-03-01T00:00"), Some(1_709_251_200));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "now", "2026", "2026-13-01", "2026/11/22", "2026-1\u{fc}-22"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
