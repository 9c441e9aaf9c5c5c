//! Which part of this boot a recorder heard, told while the journal is read: what is kept does not grow with it.
//!
//! Places in the journal order what happened, and how long a silence was is measured by the clock that only rises: a wall
//! clock that was set back would hide it. Times of the wall clock are for people. The rules are those of
//! [`coverage`](crate::assess::coverage), which draws the same for people over all boots.

use crate::assess::coverage::{hears, silence};
use crate::journal::{Lost, Moment, Place, Recorder, RecorderPhase, Uptime};

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

/// Time of this boot that nobody covered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Its beginning; `None`: the boot's.
    pub from: Option<Place>,
    /// Its end; `None`: it goes on.
    pub to: Option<Place>,
    /// Why.
    pub why: Why,
}

/// How many gaps and runs are kept.
const MOST_GAPS: usize = 64;
const MOST_RUNS: usize = 16;

#[derive(Default, Debug)]
pub struct Recorded {
    runs: Vec<Run>,
    gaps: Vec<Gap>,
    /// The end of the latest gap of those that are not kept.
    dropped: Option<Place>,
    /// Up to where there is nothing but what the gaps say; `None`: the boot's beginning.
    cursor: Option<Place>,
    /// Why hearing ended at the cursor.
    ended: Option<Why>,
}

#[derive(Debug)]
struct Run {
    id: String,
    last: Place,
    silence: u64,
    hears: bool,
}

impl Recorded {
    /// A record of the recorder about itself.
    pub fn recorder(&mut self, place: Place, it: &Recorder) {
        let heard = hears(it);
        match it.phase {
            RecorderPhase::Start => {
                if !self.runs.is_empty() && self.ended.is_none() {
                    self.ended = Some(Why::Died);
                }
                self.runs.retain(|run| run.id != it.run);
                if self.runs.len() >= MOST_RUNS {
                    self.runs.remove(0);
                }
                // Before the first qube nothing can have been missed.
                if it.first && heard && self.cursor.is_none() {
                    self.cursor = Some(place);
                }
                let silence = silence(it.interval);
                self.runs.push(Run { id: it.run.clone(), last: place, silence, hears: heard });
            }
            RecorderPhase::Heartbeat | RecorderPhase::Source | RecorderPhase::Stop => {
                // A run whose start is not there covers nothing.
                let Some(at) = self.runs.iter().position(|run| run.id == it.run) else { return };
                self.heard(at, place);
                if it.phase == RecorderPhase::Stop {
                    self.runs.remove(at);
                    self.ended = Some(Why::Stopped);
                } else if let Some(run) = self.runs.get_mut(at) {
                    if run.hears && !heard {
                        self.ended = Some(Why::Deaf);
                    }
                    run.hears = heard;
                }
            }
        }
    }

    /// A record that a recorder wrote about something else: it lives.
    pub fn sign_of_life(&mut self, place: Place) {
        if let Some(latest) = self.runs.len().checked_sub(1) {
            self.heard(latest, place);
        }
    }

    /// It says what it lost. No other run's hearing makes up for that: what was lost is not known.
    pub fn lost(&mut self, place: Place, it: &Lost) {
        self.sign_of_life(place);
        let from = Moment::parse(&it.since).map(|since| Place { seq: 0, time: Some(since), up: None });
        self.push(Gap { from, to: Some(place), why: Why::Lost });
    }

    /// The run at `at` wrote something here.
    fn heard(&mut self, at: usize, place: Place) {
        let Some(run) = self.runs.get_mut(at) else { return };
        let before = std::mem::replace(&mut run.last, place);
        let steady = within(before.up, place.up, run.silence);
        if !run.hears {
            return;
        }
        if steady {
            self.cover(before, place);
        } else {
            self.ended = Some(Why::Silent);
        }
    }

    /// From here to there all was heard.
    fn cover(&mut self, from: Place, to: Place) {
        let inside = |gap: &Gap| {
            gap.why != Why::Lost
                && gap.from.is_some_and(|begin| begin.seq >= from.seq)
                && gap.to.is_some_and(|end| end.seq <= to.seq)
        };
        self.gaps.retain(|gap| !inside(gap));
        if self.cursor.is_none_or(|cursor| cursor.seq < from.seq) {
            let why = self.ended.unwrap_or(Why::NoRecorder);
            self.push(Gap { from: self.cursor, to: Some(from), why });
        }
        if self.cursor.is_none_or(|cursor| cursor.seq < to.seq) {
            self.cursor = Some(to);
        }
        self.ended = None;
    }

    fn push(&mut self, gap: Gap) {
        self.gaps.push(gap);
        if self.gaps.len() > MOST_GAPS {
            let dropped = self.gaps.remove(0).to;
            let seq = |place: &Option<Place>| place.map(|place| place.seq);
            self.dropped = if seq(&dropped) > seq(&self.dropped) { dropped } else { self.dropped };
        }
    }

    /// Every gap of this boot up to now, and the end of those that are not kept. `holder`: the run of the recorder that
    /// says that it hears now, and that all it heard is written.
    pub fn finish(mut self, now: Option<Uptime>, holder: Option<&str>) -> (Vec<Gap>, Option<Place>) {
        let lives = |run: &&Run| {
            holder == Some(run.id.as_str()) && run.hears && within(run.last.up, now, run.silence)
        };
        let living = self.runs.iter().find(lives).map(|run| run.last);
        match living {
            Some(last) => self.cover(last, last),
            None => {
                let why = match self.ended {
                    Some(why) => why,
                    None if self.runs.is_empty() => Why::NoRecorder,
                    None => Why::Died,
                };
                self.push(Gap { from: self.cursor, to: None, why });
            }
        }
        (self.gaps, self.dropped)
    }
}

/// Whether so few seconds lie between the two. What was not measured counts as too long.
fn within(from: Option<Uptime>, to: Option<Uptime>, seconds: u64) -> bool {
    from.zip(to).and_then(|(from, to)| to.since(from)).is_some_and(|passed| passed <= seconds)
}
