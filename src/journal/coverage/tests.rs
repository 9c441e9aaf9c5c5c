//! Given these records, this time is covered.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::journal::{LossCause, LossRecord, QubeEvent, QubeRecord, Source as Teller, Uptime};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn recorder(phase: RecorderPhase, run: &str, missing: &str) -> Entry {
    let heard = |word: &&str| !missing.contains(word);
    Entry::Recorder(RecorderRecord {
        phase,
        run: run.to_owned(),
        sources: ["uevents", "xenstore", "qubesd 4.3"]
            .iter()
            .filter(|it| heard(it))
            .map(|it| (*it).to_owned())
            .collect(),
        missing: missing.split_whitespace().map(str::to_owned).collect(),
        first: run == "first",
        interval: 60,
    })
}

fn seen(source: &str) -> Entry {
    Entry::Qube(QubeRecord::new(QubeEvent::Started, "work", Teller::parse(source)))
}

fn lost(since: &str) -> Entry {
    Entry::Lost(LossRecord {
        source: Teller::Uevent,
        qube: String::new(),
        count: 0,
        why: Some(LossCause::Overflow),
        since: Moment::parse(since),
    })
}

fn at(second: u64) -> Moment {
    Moment::from_micros(second * 1_000_000)
}

fn up(second: u64) -> Option<Uptime> {
    Uptime::from_record(second as i64)
}

fn all(records: &[(u64, &str, Entry)]) -> ClockCoverage {
    let mut coverage = Coverage::default();
    for (seq, (time, boot, entry)) in records.iter().enumerate() {
        let begun = records.iter().find(|(_, other, _)| other == boot).map_or(0, |(begun, ..)| *begun);
        let up = up(time.saturating_sub(begun));
        coverage.take(Place { seq: seq as u64, time: Some(at(*time)), up }, boot, entry);
    }
    coverage.finish(None, None).shown
}

fn covered(records: &[(u64, &str, Entry)]) -> Vec<(u64, u64)> {
    let mut covered = Vec::new();
    let mut from = 0;
    for (begin, end) in all(records).gaps(at(0), at(1_000_000)) {
        let [begin, end] = [begin, end].map(|time| time.micros() / 1_000_000);
        if from < begin {
            covered.push((from, begin));
        }
        from = end;
    }
    covered
}

use RecorderPhase::{Heartbeat, Source, Start, Stop};

#[test]
fn a_run_covers_from_its_start_to_its_last_record_whatever_that_is() {
    let begun = (0, "b", recorder(Start, "r", ""));
    assert_eq!(covered(&[begun.clone(), (60, "b", recorder(Heartbeat, "r", ""))]), [(0, 60)]);
    assert_eq!(covered(&[begun.clone(), (30, "b", seen("xenstore"))]), [(0, 30)]);
    // Nobody knows how long it lived after that; what others write does not tell.
    assert_eq!(covered(&[begun.clone(), (30, "b", seen("operation"))]), []);
    assert_eq!(covered(&[begun.clone(), (30, "b", seen("import:journald"))]), []);
    assert_eq!(covered(&[begun, (30, "next", seen("xenstore"))]), []);
}

#[test]
fn a_killed_recorder_leaves_a_gap_up_to_the_next_start() {
    let told = [
        (0, "b", recorder(Start, "r", "")),
        (50, "b", recorder(Heartbeat, "r", "")),
        (70, "b", recorder(Start, "s", "")),
        (75, "b", seen("uevent")),
        (90, "b", recorder(Stop, "s", "")),
        (95, "b", seen("operation")),
    ];
    assert_eq!(covered(&told), [(0, 50), (70, 90)]);
    assert_eq!(all(&told).gaps(at(0), at(100)), [(at(50), at(70)), (at(90), at(100))]);
}

#[test]
fn without_a_needed_source_nothing_is_covered() {
    for missing in ["uevents", "xenstore"] {
        let told = [
            (0, "b", recorder(Start, "r", "qubesd")),
            (10, "b", recorder(Source, "r", missing)),
            (20, "b", recorder(Heartbeat, "r", missing)),
            (30, "b", recorder(Source, "r", "")),
            (40, "b", recorder(Heartbeat, "r", "")),
        ];
        assert_eq!(covered(&told), [(0, 10), (30, 40)]);
    }
}

#[test]
fn what_was_lost_is_not_covered_since_it_began_to_be_lost() {
    let told = |since: &str| {
        covered(&[
            (0, "b", recorder(Start, "r", "")),
            (30, "b", recorder(Heartbeat, "r", "")),
            (50, "b", lost(since)),
            (60, "b", recorder(Heartbeat, "r", "")),
        ])
    };
    assert_eq!(told(&at(40).to_string()), [(0, 40), (50, 60)]);
    assert_eq!(told("no time"), [(50, 60)]);
}

#[test]
fn what_was_lost_may_reach_back_behind_a_silence() {
    let told = [
        (0, "b", recorder(Start, "r", "")),
        (60, "b", recorder(Heartbeat, "r", "")),
        (500, "b", recorder(Heartbeat, "r", "")),
        (560, "b", recorder(Heartbeat, "r", "")),
        (570, "b", lost(&at(30).to_string())),
        (580, "b", recorder(Heartbeat, "r", "")),
    ];
    assert_eq!(covered(&told), [(0, 30), (570, 580)]);
}

#[test]
fn a_silence_longer_than_the_heartbeats_is_not_covered() {
    let told = [
        (0, "b", recorder(Start, "r", "")),
        (61, "b", recorder(Heartbeat, "r", "")),
        (200, "b", recorder(Heartbeat, "r", "")),
        (210, "b", seen("uevent")),
    ];
    assert_eq!(covered(&told), [(0, 61), (200, 210)]);
}

#[test]
fn one_look_beside_a_running_recorder_ends_nothing() {
    let told = [
        (0, "b", recorder(Start, "r", "")),
        (10, "b", recorder(Start, "once", "uevents xenstore")),
        (10, "b", seen("snapshot")),
        (11, "b", recorder(Stop, "once", "uevents xenstore")),
        (50, "b", seen("uevent")),
    ];
    assert_eq!(covered(&told), [(0, 50)]);
}

/// What happens at one moment of a life in which the clock steps.
#[derive(Clone, Copy, Debug)]
enum Event {
    Starts,
    Beats,
    Dies,
    GoesDeaf,
    HearsAgain,
    Sees,
    Loses,
}

/// So many seconds later; there, the clock having stepped by so much at this part (of eight) of the time.
type Life = Vec<(u64, Event, Option<(u64, i64)>)>;

fn life() -> impl Strategy<Value = Life> {
    use Event::{Beats, Dies, GoesDeaf, HearsAgain, Loses, Sees, Starts};
    let event = proptest::sample::select(vec![
        Starts, Beats, Beats, Beats, Beats, Dies, GoesDeaf, HearsAgain, Sees, Loses,
    ]);
    let step = proptest::option::weighted(0.3, (0u64..=8, -400i64..400));
    proptest::collection::vec((1u64..100, event, step), 1..40)
}

/// Lives it: what is covered, and what the clock showed in each second that nobody recorded.
fn lived(life: &Life) -> (ClockCoverage, Vec<u64>) {
    let (mut coverage, mut unrecorded) = (Coverage::default(), Vec::new());
    // By the clock that only rises; the wall clock's lead; the run, with its
    // latest record, and whether it hears.
    let (mut second, mut lead) = (0u64, 100_000i64);
    let mut run: Option<(String, u64, bool)> = None;
    let mut may_step = false;
    // Since the latest record of the run, what the clock showed.
    let mut open: Vec<u64> = Vec::new();
    // What the clock showed when something was written last: nothing that came before was lost.
    let mut written_at = at(0);
    for (number, (passed, event, step)) in life.iter().enumerate() {
        // Before the first record nobody knows what it showed; between two it steps once.
        let step = step.filter(|_| may_step);
        may_step &= step.is_none();
        for part in 0..*passed {
            if let Some((_, by)) = step.filter(|(at, _)| at * passed / 8 == part) {
                lead += by;
            }
            open.push((second + part).saturating_add_signed(lead));
        }
        if let Some((_, by)) = step.filter(|(at, _)| at * passed / 8 == *passed) {
            lead += by;
        }
        second += passed;
        let point = Point { time: at(second.saturating_add_signed(lead)), up: up(second) };
        let place = Place { seq: number as u64, time: Some(point.time), up: point.up };
        let mut tell = |entry: Entry| coverage.take(place, "b", &entry);
        let recorded = |(_, latest, hears): &(String, u64, bool)| *hears && second - latest <= silence(60);
        let heard = run.as_ref().is_some_and(recorded);
        let written = match (event, &mut run) {
            (Event::Starts, _) => {
                run = Some((format!("r{number}"), second, true));
                tell(recorder(Start, &format!("r{number}"), ""));
                // What it wrote before proves nothing of the time up to here.
                unrecorded.append(&mut open);
                may_step = true;
                written_at = point.time;
                continue;
            }
            (Event::Dies, _) => {
                run = None;
                false
            }
            (_, None) => false,
            (Event::Sees, Some(_)) => {
                tell(seen("uevent"));
                true
            }
            (Event::Loses, Some(_)) => {
                tell(lost(&written_at.to_string()));
                unrecorded.append(&mut open);
                true
            }
            (Event::Beats, Some((id, _, hears))) => {
                tell(recorder(Heartbeat, id, if *hears { "" } else { "xenstore" }));
                true
            }
            (Event::GoesDeaf | Event::HearsAgain, Some((id, _, hears))) => {
                *hears = matches!(event, Event::HearsAgain);
                tell(recorder(Source, id, if *hears { "" } else { "xenstore" }));
                true
            }
        };
        if let (true, Some((_, latest, _))) = (written, &mut run) {
            *latest = second;
            written_at = point.time;
            may_step = true;
            if heard {
                open.clear();
            }
            unrecorded.append(&mut open);
        }
    }
    unrecorded.append(&mut open);
    let now = Place { seq: u64::MAX, time: Some(at(second.saturating_add_signed(lead))), up: up(second) };
    (coverage.finish(Some(now), None).shown, unrecorded)
}

proptest! {
    #[test]
    fn gaps_and_stretches_never_overlap_and_nothing_outside_a_run_is_covered(
        steps in proptest::collection::vec((0u64..120, 0usize..7), 0..40)
    ) {
        let mut time = 1000;
        let mut told = Vec::new();
        for (number, (step, what)) in steps.iter().enumerate() {
            time = if *what == 6 { time - step.min(&50) } else { time + step };
            let entry = match what {
                0 => recorder(Start, &format!("r{number}"), ""),
                1 => recorder(Heartbeat, &format!("r{}", number.saturating_sub(1)), ""),
                2 => recorder(Source, &format!("r{}", number.saturating_sub(2)), "xenstore"),
                3 => lost(&at(time - step).to_string()),
                _ => seen("uevent"),
            };
            told.push((time, "b", entry));
        }
        let coverage = all(&told);
        let (from, to) = (at(0), at(20_000));
        let gaps = coverage.gaps(from, to);
        prop_assert!(gaps.iter().all(|(begin, end)| begin < end));
        prop_assert!(gaps.iter().zip(gaps.iter().skip(1)).all(|(one, next)| one.1 < next.0));
        let first = told.iter().find(|(_, _, it)| matches!(it, Entry::Recorder(it) if it.phase == Start));
        if first.is_none() {
            prop_assert_eq!(gaps, [(from, to)]);
        }
    }

    /// However the clock steps, what nobody recorded is not shown as recorded: at no
    /// time that the clock showed then.
    #[test]
    fn no_step_of_the_clock_makes_recorded_what_was_not(life in life()) {
        let (coverage, unrecorded) = lived(&life);
        let gaps = coverage.gaps(at(0), at(1_000_000));
        for second in unrecorded {
            let middle = Moment::from_micros(second * 1_000_000 + 500_000);
            prop_assert!(gaps.iter().any(|(from, to)| *from < middle && middle < *to), "{second} {gaps:?}");
        }
    }

    /// And where it does not step, what was recorded is shown to the second.
    #[test]
    fn a_clock_that_does_not_step_shows_all_that_was_recorded(life in life()) {
        let steady: Life = life.into_iter().map(|(passed, event, _)| (passed, event, None)).collect();
        let (coverage, unrecorded) = lived(&steady);
        let seconds: u64 = steady.iter().map(|(passed, ..)| passed).sum();
        let gaps = coverage.gaps(at(0), at(1_000_000));
        let unrecorded: BTreeSet<u64> = unrecorded.into_iter().collect();
        for second in (100_000..100_000 + seconds).filter(|second| !unrecorded.contains(second)) {
            let middle = Moment::from_micros(second * 1_000_000 + 500_000);
            prop_assert!(!gaps.iter().any(|(from, to)| *from < middle && middle < *to), "{second}");
        }
    }
}
