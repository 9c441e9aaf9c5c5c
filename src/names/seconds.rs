//! Times as people read them.

/// A time of a record, `2026-11-22T13:47:51.123456Z`, to the second:
/// `2026-11-22 13:47:51`. What is shorter stays as it is.
#[must_use]
pub fn to_the_second(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

/// A time of a record to the minute: `2026-11-22 13:47`.
#[must_use]
pub fn to_the_minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}
