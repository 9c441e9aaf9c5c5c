//! Given a clock that steps, the journal is as good as with one that does not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::{text, LAST};
use crate::{Against, Draft, Head, Journal, Query, Record, Verdict};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

thread_local! {
    static SHOWN: Cell<Option<SystemTime>> = const { Cell::new(None) };
}

/// What the clock of this thread shows, where a test has set it.
pub fn shown() -> Option<SystemTime> {
    SHOWN.get()
}

/// Sets it to so many seconds after 1970, or before.
fn show(seconds: i64) {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let moment = if seconds < 0 { UNIX_EPOCH.checked_sub(by) } else { UNIX_EPOCH.checked_add(by) };
    SHOWN.set(Some(moment.unwrap()));
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let above = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = above.join(format!("journal-clock-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Appends two records at each of these times, anew opened every third time and with a new segment now and
/// then, and gives what the journal holds of numbers and times.
fn written(scratch: &Scratch, seconds: &[i64]) -> (Head, Vec<(u64, String)>) {
    let _ = std::fs::remove_dir_all(&scratch.0);
    let open = || Journal::open_with(&scratch.0, "1c0ffee0", Duration::from_secs(10), 2_000).unwrap();
    show(1_800_000_000);
    let mut journal = open();
    for (number, second) in seconds.iter().enumerate() {
        show(*second);
        if number % 3 == 2 {
            journal = open();
        }
        journal.append(&[Draft::new("note"), Draft::new("note")]).unwrap();
    }
    let mut told = Vec::new();
    crate::select(&scratch.0, &Query::default(), &mut |line| {
        let record = Record::parse(line).unwrap();
        told.push((record.seq(), record.text("time").unwrap().to_owned()));
        ControlFlow::Continue(())
    })
    .unwrap();
    (journal.head(), told)
}

fn holds(scratch: &Scratch, head: Head, told: &[(u64, String)]) {
    let report = crate::verify(&scratch.0, &Against::default(), &|_, _| {}).unwrap();
    assert_eq!((report.verdict(), report.records), (Verdict::Sound, told.len() as u64));
    assert!(told.iter().map(|(seq, _)| *seq).eq(0..=head.seq));
    assert_eq!(crate::head(&scratch.0).unwrap().head, head);
}

const DAY: i64 = 86_400;
const NOW: i64 = 1_800_000_000;

#[test]
fn a_day_back_ten_years_on_1970_before_it_and_beyond_the_year_9999_keep_the_order() {
    let scratch = Scratch::new("known");
    let beyond = 300_000_000_000;
    let steps = [NOW, NOW - DAY, NOW + 3_650 * DAY, 0, -DAY, -DAY, beyond, beyond, beyond * 20, NOW, NOW];
    let (head, told) = written(&scratch, &steps);
    holds(&scratch, head, &told);
    let at = |begin: &str| told.iter().filter(|(_, time)| time.starts_with(begin)).count();
    assert!(at("1970-01-01T00:00:00.0000") >= 6 && at("9999-12-31T23:59:59.9999") >= 6);
    // What is asked for by time is what has that time, wherever it stands.
    let since = Query { since: Some("2030".to_owned()), until: Some("2040".to_owned()), ..Query::default() };
    let mut found = Vec::new();
    crate::select(&scratch.0, &since, &mut |line| {
        found.push(Record::parse(line).unwrap().seq());
        ControlFlow::Continue(())
    })
    .unwrap();
    let expected: Vec<u64> =
        told.iter().filter(|(_, time)| time.starts_with("203")).map(|(seq, _)| *seq).collect();
    assert!(found.len() >= 2 && found == expected, "{found:?}");
}

#[test]
fn a_last_record_that_is_gone_is_noticed_whatever_the_clock_shows() {
    // Those of one append, which a crash may take, share their time; two appends never
    // do, also where it stands still.
    for second in [0, -5, NOW, 300_000_000_000] {
        let scratch = Scratch::new("still");
        let (_, told) = written(&scratch, &[second; 9]);
        let times: Vec<&String> = told.iter().map(|(_, time)| time).collect();
        let distinct = times.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(distinct >= 9, "{second}: {times:?}");
    }
    assert_ne!(super::other_than(text(LAST).as_bytes(), LAST), text(LAST));
}

#[test]
fn no_clock_breaks_the_order_or_the_chain() {
    let scratch = Scratch::new("any");
    // Numbers that look like chance, the same in each run (a linear congruence, Knuth's).
    let mut state = 1u64;
    let mut next = |below: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..40 {
        let seconds: Vec<i64> = (0..1 + next(12))
            .map(|_| match next(3) {
                0 => NOW + next(3),
                1 => next(20 * DAY) - 10 * DAY,
                _ => next(1 << 30) * 400,
            })
            .collect();
        let (head, told) = written(&scratch, &seconds);
        holds(&scratch, head, &told);
    }
}
