//! Times of the past in words, the same wherever they are shown.

use crate::journal::Moment;
use crate::names::to_the_second;
use crate::observe::exposure::{Gap, StayEnd};

/// `2026-11-22 13:47:51 UTC`.
#[must_use]
pub fn when(moment: Moment) -> String {
    format!("{} UTC", second(moment))
}

fn second(moment: Moment) -> String {
    to_the_second(&moment.to_string())
}

/// From when to when: `2026-11-22 13:47:51 to 14:02:11 UTC`. What was not recorded is said to be so.
#[must_use]
pub fn span(from: Option<Moment>, to: StayEnd) -> String {
    let begin = from.map(second);
    let end = match to {
        StayEnd::Open => return begin.map_or("now".to_owned(), |begin| format!("since {begin} UTC")),
        StayEnd::At(end) => end.map(second),
        StayEnd::By(None) => None,
        StayEnd::By(Some(end)) => {
            return match begin {
                Some(begin) => format!("from {begin} until at the latest {} UTC", clock(&begin, second(end))),
                None => format!("until at the latest {} UTC", second(end)),
            }
        }
    };
    match (begin, end) {
        (Some(begin), Some(end)) => format!("{begin} to {} UTC", clock(&begin, end)),
        (Some(begin), None) => format!("from {begin} UTC, its end was not recorded"),
        (None, Some(end)) => format!("until {end} UTC, its beginning was not recorded"),
        (None, None) => "at a time that was not recorded".to_owned(),
    }
}

/// The end without its day, where that is the day of the beginning.
fn clock(begin: &str, end: String) -> String {
    let day = begin.get(..11).unwrap_or("?");
    end.strip_prefix(day).map_or(end.clone(), str::to_owned)
}

/// A gap: why, and from when to when.
#[must_use]
pub fn gap_words(gap: &Gap) -> String {
    let time = |at: Option<Moment>, other: &str| at.map_or(other.to_owned(), when);
    let why = gap.why.words();
    let from = gap.from.map(|place| time(place.time, "some time"));
    match (from, gap.to) {
        (None, None) => format!("{why} in this boot"),
        (Some(from), None) => format!("{why} since {from}"),
        (from, Some(to)) => {
            let from = from.unwrap_or("the beginning of this boot".to_owned());
            format!("{why} from {from} to {}", time(to.time, "some time"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_said_once() {
        let at = |text: &str| Some(Moment::parse(text).unwrap());
        let (from, to) = (at("2026-11-22T13:47:51.5"), at("2026-11-22T14:02:11"));
        assert_eq!(span(from, StayEnd::At(to)), "2026-11-22 13:47:51 to 14:02:11 UTC");
        assert_eq!(
            span(from, StayEnd::At(at("2026-11-23T00:00:00"))),
            "2026-11-22 13:47:51 to 2026-11-23 00:00:00 UTC"
        );
        let by = StayEnd::By(to);
        assert_eq!(span(from, by), "from 2026-11-22 13:47:51 until at the latest 14:02:11 UTC");
        assert_eq!(span(None, by), "until at the latest 2026-11-22 14:02:11 UTC");
        assert_eq!(span(from, StayEnd::By(None)), "from 2026-11-22 13:47:51 UTC, its end was not recorded");
        assert_eq!(span(from, StayEnd::Open), "since 2026-11-22 13:47:51 UTC");
        assert_eq!(
            span(None, StayEnd::At(to)),
            "until 2026-11-22 14:02:11 UTC, its beginning was not recorded"
        );
    }
}
