//! What a recorder heard and what it did not, in times of the wall clock, which may have passed the same
//! times before and may pass them again. Only one step of it is reckoned with between two records.

use crate::journal::{Moment, Uptime};

/// When a recorder wrote something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// By the wall clock.
    pub time: Moment,
    /// By the clock that only rises; `None` where that was not written down.
    pub up: Option<Uptime>,
}

impl Point {
    /// Where the wall clock went back since `other`: the times that may have passed
    /// before that, and those after it.
    #[must_use]
    pub fn went_back(self, other: Self) -> Option<(Span, Span)> {
        match since(other.time, self.time, self.passed(other)?).as_slice() {
            [before, after] if after.0 < before.1 => Some((*before, *after)),
            _ => None,
        }
    }

    /// By how many seconds the two clocks went apart since `other`, rounded up.
    pub fn apart(self, other: Self) -> u64 {
        let shown = self.time.micros().saturating_sub(other.time.micros());
        let passed = self.passed(other).map(|passed| passed.saturating_mul(1_000_000));
        passed.map_or(0, |passed| shown.abs_diff(passed).div_ceil(1_000_000))
    }

    fn passed(self, other: Self) -> Option<u64> {
        self.up.zip(other.up).and_then(|(up, other)| up.since(other))
    }
}

/// From when to when.
pub type Span = (Moment, Moment);

/// What the wall clock showed while it was heard, and while it was not.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ClockCoverage {
    heard: Vec<Span>,
    unheard: Vec<Span>,
}

impl ClockCoverage {
    /// All was heard from one record to the next.
    pub fn heard(&mut self, from: Moment, to: Moment) {
        push(&mut self.heard, (from, to));
    }

    /// Nobody heard what passed since the record before; since the boot began, where there is none.
    pub fn unheard(&mut self, before: Option<Point>, at: Point) {
        let passed = match before {
            Some(before) => at.passed(before),
            None => at.up.and_then(|up| up.since(Uptime::default())),
        };
        match (before, passed) {
            (Some(before), Some(passed)) => {
                since(before.time, at.time, passed)
                    .into_iter()
                    .for_each(|span| push(&mut self.unheard, span));
            }
            (Some(before), None) => self.between(before.time, at.time),
            (None, Some(up)) => self.between(at.time.before(up), at.time),
            (None, None) => {}
        }
    }

    /// Events were lost from then to then.
    pub fn between(&mut self, from: Moment, to: Moment) {
        push(&mut self.unheard, (from.min(to), from.max(to)));
    }

    /// What lies uncovered in a span of time: rising, without overlaps. What was heard at one of the times
    /// that the clock showed twice is not covered, where it was not heard at the other.
    #[must_use]
    pub fn gaps(&self, from: Moment, to: Moment) -> Vec<Span> {
        let mut gaps = Vec::new();
        let mut at = from;
        for (begin, end) in without(&union(self.heard.clone()), &union(self.unheard.clone())) {
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
}

/// Adds a span; one that goes on where the last one ended makes that longer.
fn push(spans: &mut Vec<Span>, (from, to): Span) {
    match spans.last_mut() {
        Some(last) if last.0 <= from && from <= last.1 => last.1 = last.1.max(to),
        _ if from < to => spans.push((from, to)),
        _ => {}
    }
}

/// What is left of these without those; both rise and do not overlap.
fn without(spans: &[Span], holes: &[Span]) -> Vec<Span> {
    let mut left = Vec::new();
    for &(mut from, to) in spans {
        let first = holes.partition_point(|hole| hole.1 <= from);
        for hole in holes.iter().skip(first).take_while(|hole| hole.0 < to) {
            if hole.0 > from {
                left.push((from, hole.0));
            }
            from = hole.1;
        }
        if from < to {
            left.push((from, to));
        }
    }
    left
}

/// The times of these in rising spans that do not touch.
fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|(from, to)| from < to);
    spans.sort_unstable();
    let mut all: Vec<Span> = Vec::new();
    for (from, to) in spans {
        match all.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => all.push((from, to)),
        }
    }
    all
}

/// The times that passed between two records so many seconds apart.
fn since(from: Moment, to: Moment, passed: u64) -> Vec<Span> {
    let second = 1_000_000;
    let apart = to.micros().saturating_sub(from.micros()).abs_diff(passed.saturating_mul(second));
    if from <= to && apart <= 2 * second {
        // Too little to be told from that clock's whole seconds; it may have been a step as small.
        let apart = apart.div_ceil(second);
        return vec![(from.before(apart), to.after(apart))];
    }
    // The clock stepped. It went on from there before that, and came to here after it; a second more, because
    // those that were counted are whole ones.
    vec![(from, from.after(passed + 1)), (to.before(passed + 1), to)]
}
