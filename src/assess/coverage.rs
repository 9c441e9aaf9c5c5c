//! Which time the journal covers: when a recorder ran that heard what it has to hear.
//!
//! One run of the recorder covers from its `start` to the last record it wrote, whatever that record says; the time
//! behind it is nobody's. Within a run these are not covered:
//!
//! - while it does not hear `uevents` or does not hear `xenstore` (`start` and `source` records say what is heard);
//! - from `since` to the time of a `lost` record; from the run's start, where `since` tells nothing;
//! - a silence longer than the interval of its heartbeats, and a quarter of it;
//! - a step back of the clock.
//!
//! What operations and imports write covers nothing.

use crate::history::{Entry, Moment, Recorder, RecorderPhase};

/// Without these a function can go to a qube unheard. qubesd is not among them: it adds labels and names.
const NEEDED: [&str; 2] = ["uevents", "xenstore"];

/// The longest interval of heartbeats, in seconds; taken where a run names none.
const LONGEST_INTERVAL: u32 = 600;

/// Covered time without a gap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stretch {
    /// Its beginning.
    from: Moment,
    /// Its end: the last that was heard.
    to: Moment,
}

/// All covered time, told record by record.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Coverage {
    /// In the order of the journal. Runs beside each other can make stretches overlap.
    stretches: Vec<Stretch>,
    /// The boot that is being told of.
    boot: String,
    /// Its runs of the recorder that have not stopped.
    runs: Vec<Run>,
}

/// One run of the recorder, as far as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    id: String,
    /// Where its `start` stands.
    start: Moment,
    /// The time of its latest record.
    latest: Moment,
    /// The longest silence that is covered, in seconds.
    silence: u64,
    /// The stretch that goes on, where the needed sources are heard.
    open: Option<Stretch>,
}

impl Coverage {
    /// One record of the history, with its time and its boot. They come in the journal's order.
    pub fn tell(&mut self, time: Moment, boot: &str, entry: &Entry) {
        if boot != self.boot {
            self.close();
            boot.clone_into(&mut self.boot);
        }
        let source = match entry {
            Entry::Recorder(it) => return self.recorder(time, it),
            Entry::Lost(it) => return self.lost(time, Moment::parse(&it.since)),
            Entry::Device(it) => &it.source,
            Entry::Stay(it) => &it.source,
            Entry::Qube(it) => &it.source,
        };
        // A recorder wrote it: the latest one that has not stopped.
        if ["uevent", "xenstore", "qubesd", "snapshot"].contains(&source.as_str()) {
            let closed = self.runs.last_mut().and_then(|run| run.heard(time));
            self.keep(closed);
        }
    }

    /// Nothing more is told, or another boot begins.
    pub fn close(&mut self) {
        for run in std::mem::take(&mut self.runs) {
            self.keep(run.open);
        }
    }

    /// What lies uncovered in a span of time: rising, without overlaps.
    #[must_use]
    pub fn gaps(&self, from: Moment, to: Moment) -> Vec<(Moment, Moment)> {
        let mut stretches: Vec<_> = self.stretches.iter().map(|it| (it.from, it.to)).collect();
        stretches.retain(|(begin, end)| begin < end);
        stretches.sort_unstable();
        let mut gaps = Vec::new();
        let mut at = from;
        for (begin, end) in stretches {
            if begin > at && at < to {
                gaps.push((at, begin.min(to)));
            }
            at = at.max(end);
        }
        if at < to {
            gaps.push((at, to));
        }
        gaps
    }

    fn recorder(&mut self, time: Moment, it: &Recorder) {
        if it.phase == RecorderPhase::Start {
            self.end(&it.run);
            let open = hears(it).then_some(Stretch { from: time, to: time });
            let silence = silence(it.interval);
            self.runs.push(Run { id: it.run.clone(), start: time, latest: time, silence, open });
            return;
        }
        // A run whose start was pruned or lost: it covers nothing.
        let Some(run) = self.runs.iter_mut().find(|run| run.id == it.run) else { return };
        let mut closed = run.heard(time);
        if it.interval != 0 {
            run.silence = silence(it.interval);
        }
        if it.phase == RecorderPhase::Source {
            match (hears(it), run.open) {
                (false, open) => {
                    closed = closed.or(open);
                    run.open = None;
                }
                (true, None) => run.open = Some(Stretch { from: time, to: time }),
                (true, Some(_)) => {}
            }
        }
        self.keep(closed);
        if it.phase == RecorderPhase::Stop {
            self.end(&it.run);
        }
    }

    fn end(&mut self, id: &str) {
        while let Some(place) = self.runs.iter().position(|run| run.id == id) {
            let run = self.runs.remove(place);
            self.keep(run.open);
        }
    }

    fn keep(&mut self, stretch: Option<Stretch>) {
        self.stretches.extend(stretch.filter(|it| it.from < it.to));
    }

    /// Takes what was lost up to now out of all that was covered.
    fn lost(&mut self, time: Moment, since: Option<Moment>) {
        let Some(run) = self.runs.last_mut() else { return };
        let heard = run.heard(time);
        let since = since.unwrap_or(run.start).min(time);
        let open = run.open.take();
        run.open = open.map(|_| Stretch { from: time, to: time });
        let touched = self.stretches.iter().position(|it| it.to > since).unwrap_or(self.stretches.len());
        let mut cut = self.stretches.split_off(touched);
        cut.extend(heard);
        cut.extend(open);
        for stretch in cut {
            self.keep(Some(Stretch { to: stretch.to.min(since), ..stretch }));
            self.keep(Some(Stretch { from: stretch.from.max(time), ..stretch }));
        }
    }
}

impl Run {
    /// It wrote something at this time. Gives what it covered before, where it cannot be gone on with.
    fn heard(&mut self, time: Moment) -> Option<Stretch> {
        let steady = self.latest <= time && time <= self.latest.after(self.silence);
        self.latest = time;
        let open = self.open.as_mut()?;
        if steady {
            open.to = time;
            return None;
        }
        self.open.replace(Stretch { from: time, to: time })
    }
}

/// Whether a recorder hears all it needs.
pub fn hears(it: &Recorder) -> bool {
    NEEDED.iter().all(|needed| {
        let named = |list: &[String]| list.iter().any(|word| word.split(' ').next() == Some(*needed));
        named(&it.sources) && !named(&it.missing)
    })
}

/// The longest silence that is covered, in seconds: a heartbeat may be late by a quarter.
pub fn silence(interval: u32) -> u64 {
    let interval = if interval == 0 { LONGEST_INTERVAL } else { interval.min(LONGEST_INTERVAL) };
    u64::from(interval + interval / 4) + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::history::{Lost, Qube, QubeEvent};
    use proptest::prelude::*;

    fn recorder(phase: RecorderPhase, run: &str, missing: &str) -> Entry {
        let heard = |word: &&str| !missing.contains(word);
        Entry::Recorder(Recorder {
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
        Entry::Qube(Qube::new(QubeEvent::Started, "work", source))
    }

    fn lost(since: &str) -> Entry {
        Entry::Lost(Lost {
            source: "uevent".into(),
            qube: String::new(),
            count: 0,
            why: "overflow".into(),
            since: since.into(),
        })
    }

    fn at(second: u64) -> Moment {
        Moment::from_micros(second * 1_000_000)
    }

    fn all(records: &[(u64, &str, Entry)]) -> Coverage {
        let mut coverage = Coverage::default();
        records.iter().for_each(|(time, boot, entry)| coverage.tell(at(*time), boot, entry));
        coverage.close();
        coverage
    }

    fn covered(records: &[(u64, &str, Entry)]) -> Vec<(u64, u64)> {
        let coverage = all(records);
        coverage
            .stretches
            .iter()
            .map(|it| (it.from.micros() / 1_000_000, it.to.micros() / 1_000_000))
            .collect()
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
        assert_eq!(covered(&told), [(70, 90), (0, 50)]);
        let coverage = all(&told);
        assert_eq!(coverage.gaps(at(0), at(100)), [(at(50), at(70)), (at(90), at(100))]);
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
            for stretch in coverage.stretches.iter().filter(|it| it.from != it.to) {
                prop_assert!(stretch.from < stretch.to);
                prop_assert!(gaps.iter().all(|(begin, end)| *end <= stretch.from || *begin >= stretch.to));
            }
            let first = told.iter().find(|(_, _, it)| matches!(it, Entry::Recorder(it) if it.phase == Start));
            if first.is_none() {
                prop_assert!(coverage.stretches.is_empty());
            }
        }
    }
}
