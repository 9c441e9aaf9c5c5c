//! Which time the journal covers: when a recorder ran that heard what it has to hear.
//!
//! One run of the recorder covers from its `start` to the last record it wrote, whatever that record says; the time
//! behind it is nobody's. Within a run these are not covered:
//!
//! - while it does not hear `uevents` or does not hear `xenstore` (`start` and `source` records say what is heard);
//! - from `since` to the time of a `lost` record; from the run's start, where `since` tells nothing;
//! - a silence longer than the interval of its heartbeats, and a quarter of it, by the clock that only rises;
//! - a step of the wall clock: back, or forward by more than such a silence.
//!
//! A clock that was set back passes the same times again. What nobody recorded the one time is not covered, though it was
//! recorded the other: [`Unheard`]. Only one step is reckoned with between two records; how far the clock went after the
//! last record of a boot, nobody knows.
//!
//! What operations and imports write covers nothing.

mod unheard;

use crate::journal::{Entry, Moment, Recorder, RecorderPhase};
pub use unheard::Point;
use unheard::Unheard;

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
    /// What passed without being heard, whatever was heard at the same times before or after.
    unheard: Unheard,
}

/// One run of the recorder, as far as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    id: String,
    /// Where its `start` stands.
    start: Moment,
    /// Its latest record.
    latest: Point,
    /// The earliest and the latest time of its records, and whether the clock was set back between two of them.
    span: (Moment, Moment),
    set_back: bool,
    /// The longest silence that is covered, in seconds.
    silence: u64,
    /// The stretch that goes on, where the needed sources are heard.
    open: Option<Stretch>,
}

impl Coverage {
    /// One record of the history, with its times and its boot. They come in the journal's order.
    pub fn tell(&mut self, at: Point, boot: &str, entry: &Entry) {
        if boot != self.boot {
            self.close();
            boot.clone_into(&mut self.boot);
        }
        let source = match entry {
            Entry::Recorder(it) => return self.recorder(at, it),
            Entry::Lost(it) => return self.lost(at, Moment::parse(&it.since)),
            Entry::Device(it) => &it.source,
            Entry::Stay(it) => &it.source,
            Entry::Qube(it) => &it.source,
        };
        // A recorder wrote it: the latest one that has not stopped.
        if ["uevent", "xenstore", "qubesd", "snapshot"].contains(&source.as_str()) {
            match self.runs.len().checked_sub(1) {
                Some(last) => self.heard(last, at),
                None => self.unheard.until(at, true),
            }
        }
    }

    /// The last boot that was told of still runs: nobody heard what came since its last record.
    pub fn now(&mut self, at: Point) {
        self.unheard.until(at, true);
    }

    /// Nothing more is told, or another boot begins.
    pub fn close(&mut self) {
        for run in std::mem::take(&mut self.runs) {
            self.keep(run.open);
        }
        self.unheard.boot();
    }

    /// What lies uncovered in a span of time: rising, without overlaps.
    #[must_use]
    pub fn gaps(&self, from: Moment, to: Moment) -> Vec<(Moment, Moment)> {
        let stretches = self.unheard.taken_from(self.stretches.iter().map(|it| (it.from, it.to)).collect());
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

    fn recorder(&mut self, at: Point, it: &Recorder) {
        let time = at.time;
        if it.phase == RecorderPhase::Start {
            self.end(&it.run);
            self.unheard.until(at, self.is_deaf());
            let open = hears(it).then_some(Stretch { from: time, to: time });
            let silence = silence(it.interval);
            self.runs.push(Run {
                id: it.run.clone(),
                start: time,
                latest: at,
                span: (time, time),
                set_back: false,
                silence,
                open,
            });
            return;
        }
        // A run whose start was pruned or lost: it covers nothing.
        let Some(place) = self.runs.iter().position(|run| run.id == it.run) else { return };
        self.heard(place, at);
        let Some(run) = self.runs.get_mut(place) else { return };
        if it.interval != 0 {
            run.silence = silence(it.interval);
        }
        if it.phase == RecorderPhase::Source {
            match (hears(it), run.open) {
                (false, _) => {
                    let closed = run.open.take();
                    self.keep(closed);
                }
                (true, None) => run.open = Some(Stretch { from: time, to: time }),
                (true, Some(_)) => {}
            }
        }
        if it.phase == RecorderPhase::Stop {
            self.end(&it.run);
        }
    }

    /// A run wrote something.
    fn heard(&mut self, place: usize, at: Point) {
        let Some(run) = self.runs.get_mut(place) else { return };
        let before = run.latest;
        let heard = run.open.is_some() && at.follows(before, run.silence);
        let closed = run.heard(at);
        self.keep(closed);
        if heard {
            self.unheard.heard(before, at);
        } else {
            self.unheard.until(at, self.is_deaf());
        }
    }

    /// Whether no run hears all it needs.
    fn is_deaf(&self) -> bool {
        self.runs.iter().all(|run| run.open.is_none())
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
    fn lost(&mut self, at: Point, since: Option<Moment>) {
        let Some(place) = self.runs.len().checked_sub(1) else { return self.unheard.until(at, true) };
        let before = self.runs.get(place).map_or(at, |run| run.latest);
        self.heard(place, at);
        let Some(run) = self.runs.get_mut(place) else { return };
        let since = since.unwrap_or(run.start);
        if run.set_back || since > at.time {
            // Which of the times that the clock passed twice `since` stands for, nobody can tell: none of this run counts.
            let span = (run.span.0.min(since).before(run.silence), run.span.1.max(since).after(run.silence));
            run.open = run.open.map(|_| Stretch { from: at.time, to: at.time });
            return self.unheard.between(span.0, span.1);
        }
        let open = run.open.take();
        run.open = open.map(|_| Stretch { from: at.time, to: at.time });
        let touched = self.stretches.iter().position(|it| it.to > since).unwrap_or(self.stretches.len());
        let cut = self.stretches.split_off(touched);
        // What was covered after that, in the journal's order, at times before it: the clock was set back meanwhile.
        let later = |it: &(usize, Stretch)| it.0 == 0 || it.1.to > since;
        for (_, stretch) in cut.into_iter().chain(open).enumerate().filter(later) {
            self.keep(Some(Stretch { to: stretch.to.min(since), ..stretch }));
        }
        // A step that is too small to be told from the other clock's whole seconds.
        let apart = at.apart(before);
        self.unheard.between(since.before(apart), at.time.after(apart));
    }
}

impl Run {
    /// It wrote something at this time. Gives what it covered before, where it cannot be gone on with.
    fn heard(&mut self, at: Point) -> Option<Stretch> {
        let latest = std::mem::replace(&mut self.latest, at);
        let time = at.time;
        self.set_back |= time < latest.time || at.went_back(latest).is_some();
        self.span = (self.span.0.min(time), self.span.1.max(time));
        let steady = latest.time <= time && time <= latest.time.after(self.silence);
        let open = self.open.as_mut()?;
        if steady && at.follows(latest, self.silence) {
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
mod tests;
