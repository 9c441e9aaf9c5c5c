//! Which time a recorder heard what it has to hear: told record by record, and the same for
//! all who look back. Hazards and `show` ask for the gaps of one boot; the picture asks what
//! the wall clock showed in them.
//!
//! The journal orders what happened, and the clock that only rises measures it: a wall clock that was set
//! back would hide a silence. Between two records of a recorder lies a stretch. It was heard where one run
//! heard all it needs and wrote something before and after it, with a silence between that is not longer than
//! the interval of its heartbeats, and a quarter of it. Another run that was silent meanwhile takes nothing
//! from that; what a run lost, no other makes up for.
//!
//! - Before the first qube nothing can have been missed: what a recorder says that begins then (`first`).
//! - What was lost is not covered from `since` on; from the run's start, where `since` tells nothing.
//! - A run whose start is not there covers nothing. What operations and imports write covers nothing.
//!
//! What is kept does not grow with the journal, but with the gaps.

mod clock;

pub use clock::{ClockCoverage, Point};

use crate::journal::{Entry, LossRecord, Moment, Place, RecorderPhase, RecorderRecord, Source, Uptime};
use std::collections::VecDeque;

/// Without these a function can go to a qube unheard. qubesd is not among them: it adds labels and names.
const NEEDED: [&str; 2] = ["uevents", "xenstore"];
/// The longest interval of heartbeats, in seconds; taken where a run names none.
const LONGEST_INTERVAL: u32 = 600;
/// How many gaps and runs are kept of a boot.
const MOST_GAPS: usize = 64;
const MOST_RUNS: usize = 16;
/// How many stretches are kept that a run may still turn out to have heard.
const MOST_DOUBTFUL: usize = 4096;

/// Why nothing was heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// No recorder ran.
    NoRecorder,
    /// It was told to stop.
    Stopped,
    /// It ended without a word.
    Died,
    /// It wrote nothing for longer than it should.
    Silent,
    /// It did not hear the kernel's events or xenstore.
    Deaf,
    /// It said that it lost events.
    Lost,
}

impl Why {
    /// In words, behind the time.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NoRecorder => "no recorder ran",
            Self::Stopped => "the recorder was stopped",
            Self::Died => "the recorder had ended",
            Self::Silent => "the recorder was silent",
            Self::Deaf => "the recorder did not hear its sources",
            Self::Lost => "events were lost",
        }
    }
}

/// Time of a boot that nobody covered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Where it begins; `None`: where the boot does.
    pub from: Option<Place>,
    /// Where it ends; `None`: it goes on.
    pub to: Option<Place>,
    /// Why.
    pub why: Why,
}

/// What is known of the boot that was told of last, and of all times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Covered {
    /// The gaps of that boot, up to now.
    pub gaps: Vec<Gap>,
    /// The end of the latest of its gaps that are not kept.
    pub dropped: Option<Place>,
    /// All boots, by the wall clock.
    pub shown: ClockCoverage,
}

/// The fold. Records come in the journal's order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Coverage {
    /// The boot that is being told of.
    boot: String,
    runs: Vec<Run>,
    gaps: Vec<Gap>,
    dropped: Option<Place>,
    /// Stretches that nobody is known to have heard, yet.
    doubtful: VecDeque<Stretch>,
    /// The latest record of a recorder in this boot.
    latest: Option<Place>,
    /// The latest record up to which all was heard, but for what the gaps say; `None`: nothing was.
    cursor: Option<Place>,
    /// Why hearing ended; `None` while all is heard.
    ended: Option<Why>,
    shown: ClockCoverage,
}

/// From one record of a recorder to the next; from the boot's beginning to the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stretch {
    from: Option<Place>,
    to: Place,
    why: Why,
}

/// One run of the recorder, as far as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    id: String,
    start: Place,
    last: Place,
    /// The longest silence that is covered, in seconds.
    silence: u64,
    hears: bool,
    /// The earliest and the latest time of its records, and whether the wall clock
    /// was set back between two of them.
    span: Option<(Moment, Moment)>,
    set_back: bool,
}

impl Coverage {
    /// Takes one record of a boot.
    pub fn take(&mut self, place: Place, boot: &str, entry: &Entry) {
        if boot != self.boot {
            self.close();
            boot.clone_into(&mut self.boot);
        }
        match entry {
            Entry::Recorder(it) => self.recorder(place, it),
            Entry::Lost(it) => self.lost(place, it),
            // A recorder wrote it: the latest one that has not stopped.
            _ if entry.source().is_some_and(Source::is_recorder) => self.sign_of_life(place),
            _ => {}
        }
    }

    /// That is all. `now`: the boot that was told of last still runs. `holder`: the run of the recorder that
    /// says that it hears now, and that all it heard is written.
    #[must_use]
    pub fn finish(mut self, now: Option<Place>, holder: Option<&str>) -> Covered {
        let up = now.and_then(|now| now.up);
        let lives =
            |run: &&Run| holder == Some(run.id.as_str()) && run.hears && within(run.last.up, up, run.silence);
        let living = self.runs.iter().find(lives).map(|run| (run.last, run.silence));
        let why = match self.ended {
            Some(why) => why,
            None if self.runs.is_empty() => Why::NoRecorder,
            None => Why::Died,
        };
        now.into_iter().for_each(|now| self.passes(now));
        if let Some((last, silence)) = living {
            self.heard_since(last, silence);
        }
        self.settle();
        if living.is_none() {
            // What was not heard up to the latest record goes on.
            let from = self.cursor;
            self.gaps.retain(|gap| gap.why == Why::Lost || seq(gap.from) != seq(from));
            self.push(Gap { from, to: None, why });
        }
        self.gaps.sort_by_key(|gap| gap.to.map_or(u64::MAX, |place| place.seq));
        Covered { gaps: self.gaps, dropped: self.dropped, shown: self.shown }
    }

    /// Another boot begins.
    fn close(&mut self) {
        self.settle();
        let shown = std::mem::take(&mut self.shown);
        *self = Self { shown, ..Self::default() };
    }

    fn recorder(&mut self, place: Place, it: &RecorderRecord) {
        let hears = hears(it);
        if it.phase == RecorderPhase::Start {
            return self.began(place, it, hears);
        }
        // A run whose start was pruned or lost covers nothing.
        let Some(at) = self.runs.iter().position(|run| run.id == it.run) else { return };
        self.wrote(at, place);
        if it.phase == RecorderPhase::Stop {
            self.runs.remove(at);
            self.ended = Some(Why::Stopped);
        } else if let Some(run) = self.runs.get_mut(at) {
            if run.hears && !hears {
                self.ended = Some(Why::Deaf);
            }
            run.hears = hears;
            if it.interval != 0 {
                run.silence = silence(it.interval);
            }
        }
    }

    fn began(&mut self, place: Place, it: &RecorderRecord, hears: bool) {
        if !self.runs.is_empty() && self.ended.is_none() {
            self.ended = Some(Why::Died);
        }
        self.passes(place);
        if it.first && hears && self.cursor.is_none() {
            self.doubtful.clear();
            self.gaps.retain(|gap| gap.why == Why::Lost);
            self.cursor = Some(place);
        }
        self.runs.retain(|run| run.id != it.run);
        if self.runs.len() >= MOST_RUNS {
            self.runs.remove(0);
        }
        self.runs.push(Run {
            id: it.run.clone(),
            start: place,
            last: place,
            silence: silence(it.interval),
            hears,
            span: place.time.map(|time| (time, time)),
            set_back: false,
        });
    }

    /// A record that a recorder wrote about something else: it lives.
    fn sign_of_life(&mut self, place: Place) {
        match self.runs.len().checked_sub(1) {
            Some(latest) => self.wrote(latest, place),
            None => self.passes(place),
        }
    }

    /// It says what it lost.
    fn lost(&mut self, place: Place, it: &LossRecord) {
        let before = self.runs.last().map(|run| run.last);
        self.sign_of_life(place);
        let since = it.since;
        let start = self.runs.last().map(|run| run.start);
        let from = since.map(|since| Place { seq: 0, time: Some(since), up: None }).or(start);
        self.push(Gap { from, to: Some(place), why: Why::Lost });
        let (Some(at), Some(from)) = (point(place), from.and_then(|from| from.time)) else { return };
        let apart = before.and_then(point).map_or(0, |before| at.apart(before));
        match self.runs.last().map(|run| (run.span, run.set_back, run.silence)) {
            // Which of the times that the clock passed twice `since` stands for, nobody can
            // tell: none of this run counts.
            Some((Some((first, last)), set_back, silence)) if set_back || from > at.time => {
                self.shown.between(first.min(from).before(silence), last.max(from).after(silence));
            }
            // A step that is too small to be told from the other clock's whole seconds.
            _ => self.shown.between(from.before(apart), at.time.after(apart)),
        }
    }

    /// The run at `at` wrote something here.
    fn wrote(&mut self, at: usize, place: Place) {
        let Some(run) = self.runs.get_mut(at) else { return };
        let before = std::mem::replace(&mut run.last, place);
        let steady = within(before.up, place.up, run.silence);
        if let (Some(earlier), Some(now)) = (point(before), point(place)) {
            run.set_back |= now.time < earlier.time || now.went_back(earlier).is_some();
            let (first, last) = run.span.unwrap_or((now.time, now.time));
            run.span = Some((first.min(now.time), last.max(now.time)));
        }
        let (hears, silence) = (run.hears, run.silence);
        if hears && !steady {
            self.ended = Some(Why::Silent);
        }
        self.passes(place);
        if hears && steady {
            self.heard_since(before, silence);
        }
    }

    /// A stretch ends here that nobody is known to have heard, yet.
    fn passes(&mut self, place: Place) {
        let from = self.latest.replace(place);
        let why = self.ended.unwrap_or(Why::NoRecorder);
        self.doubtful.push_back(Stretch { from, to: place, why });
        // A run that writes again after so long has not heard it.
        let settled = |stretch: &Stretch| !within(stretch.to.up, place.up, silence(0));
        while self.doubtful.len() > MOST_DOUBTFUL || self.doubtful.front().is_some_and(settled) {
            let Some(stretch) = self.doubtful.pop_front() else { return };
            self.unheard(stretch);
        }
    }

    /// All was heard from there up to the latest record.
    fn heard_since(&mut self, from: Place, silence: u64) {
        let earlier = |stretch: &Stretch| stretch.from.is_none_or(|before| before.seq < from.seq);
        let first = self.doubtful.iter().rposition(earlier).map_or(0, |at| at + 1);
        let steady = |(before, to): &(Moment, Moment)| before <= to && *to <= before.after(silence);
        for stretch in self.doubtful.drain(first..) {
            let times = stretch.from.and_then(|before| before.time).zip(stretch.to.time);
            if let Some((before, to)) = times.filter(steady) {
                self.shown.heard(before, to);
            }
        }
        self.cursor = self.latest;
        self.ended = None;
    }

    /// Nobody can turn out to have heard this any more.
    fn unheard(&mut self, stretch: Stretch) {
        if let Some(at) = point(stretch.to) {
            let before = stretch.from.map(point);
            // Where the record before tells no time, nothing is known of the times between.
            if before.is_none_or(|before| before.is_some()) {
                self.shown.unheard(before.flatten(), at);
            }
        }
        let last = self.gaps.iter_mut().rev().find(|gap| gap.why != Why::Lost);
        match last.filter(|last| seq(last.to) == seq(stretch.from)) {
            Some(last) => (last.to, last.why) = (Some(stretch.to), stretch.why),
            None => self.push(Gap { from: stretch.from, to: Some(stretch.to), why: stretch.why }),
        }
    }

    fn settle(&mut self) {
        while let Some(stretch) = self.doubtful.pop_front() {
            self.unheard(stretch);
        }
    }

    fn push(&mut self, gap: Gap) {
        self.gaps.push(gap);
        if self.gaps.len() > MOST_GAPS {
            let dropped = self.gaps.remove(0).to;
            self.dropped = if seq(dropped) > seq(self.dropped) { dropped } else { self.dropped };
        }
    }
}

fn seq(place: Option<Place>) -> Option<u64> {
    place.map(|place| place.seq)
}

fn point(place: Place) -> Option<Point> {
    place.time.map(|time| Point { time, up: place.up })
}

/// Whether so few seconds lie between the two. What was not measured counts as too long.
fn within(from: Option<Uptime>, to: Option<Uptime>, seconds: u64) -> bool {
    from.zip(to).and_then(|(from, to)| to.since(from)).is_some_and(|passed| passed <= seconds)
}

/// Whether a recorder hears all it needs.
fn hears(it: &RecorderRecord) -> bool {
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
mod tests;
