//! What passed without being heard, in times of the wall clock, which may have passed the same times before and may pass
//! them again.

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
    /// Whether at most so many seconds lie between the two. What was not measured counts as too long.
    pub fn follows(self, other: Self, seconds: u64) -> bool {
        self.passed(other).is_some_and(|passed| passed <= seconds)
    }

    /// Where the wall clock went back since `other`: the times that may have passed before that, and those after it.
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
type Span = (Moment, Moment);

/// All of it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Unheard {
    /// For good.
    spans: Vec<Span>,
    /// Of this boot: another run of the recorder may turn out to have heard it.
    doubtful: Vec<(Option<Uptime>, Vec<Span>)>,
    /// The latest record of a recorder in this boot.
    last: Option<Point>,
}

impl Unheard {
    /// Nobody is known to have heard what passed since the latest record; `deaf`: nor will anybody turn out to have.
    pub fn until(&mut self, at: Point, deaf: bool) {
        let last = self.last.replace(at);
        // A boot begins when that clock does.
        let begun = last.map_or(Some(Uptime::default()), |last| last.up);
        let spans = match last {
            None => {
                at.up.and_then(|up| up.since(Uptime::default())).map(|up| vec![(at.time.before(up), at.time)])
            }
            Some(last) => at.passed(last).map(|passed| since(last.time, at.time, passed)),
        };
        let unknown = || last.map(|last| (last.time.min(at.time), last.time.max(at.time)));
        let spans = spans.unwrap_or_else(|| unknown().into_iter().collect());
        // What was not measured by that clock nobody turns out to have heard either.
        let settled = |up: &Option<Uptime>| deaf || up.is_none() && begun.is_none();
        let goes_on = |(up, earlier): &&mut (_, Vec<Span>)| match (earlier.as_slice(), spans.as_slice()) {
            ([one], [next]) => settled(up) && one.0 <= next.0 && next.0 <= one.1,
            _ => false,
        };
        match (self.doubtful.last_mut().filter(goes_on), spans.first()) {
            (Some((_, earlier)), Some(next)) => earlier.iter_mut().for_each(|one| one.1 = one.1.max(next.1)),
            _ => self.doubtful.push((begun, spans)),
        }
    }

    /// A run heard what passed between two records of it.
    pub fn heard(&mut self, before: Point, at: Point) {
        self.doubtful.retain(|(up, _)| *up < before.up);
        self.last = Some(at);
    }

    /// Events were lost from then to then.
    pub fn between(&mut self, from: Moment, to: Moment) {
        self.spans.push((from.min(to), from.max(to)));
    }

    /// The boot is over.
    pub fn boot(&mut self) {
        self.spans.extend(self.doubtful.drain(..).flat_map(|(_, spans)| spans));
        self.last = None;
    }

    /// What is left of these without it, in order.
    pub fn taken_from(&self, covered: Vec<Span>) -> Vec<Span> {
        let holes = union(self.spans.clone());
        let mut left = Vec::new();
        for (mut from, to) in union(covered) {
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
}

/// The same times in rising spans that do not touch.
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
    // The clock stepped. It went on from there before that, and came to here after it; a second more, because those that
    // were counted are whole ones.
    vec![(from, from.after(passed + 1)), (to.before(passed + 1), to)]
}
