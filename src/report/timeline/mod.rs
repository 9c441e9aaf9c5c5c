//! The history as a picture: one lane a function, time across, each stay with a qube as a letter in the colour of the
//! qube's label. A pure function from records to lines.

mod axis;
mod lanes;
mod picture;

use lanes::Lanes;
pub use lanes::{Lane, Span};
pub use picture::picture;

use crate::journal::coverage::{Coverage, Point, Shown};
use crate::journal::{Entry, Moment, Place};
use crate::names::Sbdf;
use std::collections::{BTreeMap, HashMap};

/// One record of the history, with what the journal says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Where, and when it was written.
    pub place: Place,
    /// In which boot.
    pub boot: String,
    /// What it says.
    pub entry: Entry,
}

/// An operation of this program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// When it began.
    pub time: Moment,
    /// What it was.
    pub command: String,
    /// On which function; `None` where its record names none.
    pub bdf: Option<Sbdf>,
    /// How it ended, as far as it got.
    pub outcome: String,
}

/// What is told, record by record. It grows with the stays and the operations, not with the records.
#[derive(Clone, Debug, Default)]
pub struct Story {
    coverage: Coverage,
    lanes: Lanes,
    boots: Vec<(Moment, String)>,
    operations: Vec<Operation>,
    places: HashMap<String, usize>,
    first: Option<Moment>,
    last: Option<Moment>,
    /// The latest record that is no import.
    latest: Moment,
}

/// All that the picture is drawn from.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The lanes of all functions that the story names.
    pub lanes: BTreeMap<Sbdf, Lane>,
    /// What a recorder covered.
    pub shown: Shown,
    /// The first moment of each boot, but of those that only an import speaks of.
    pub boots: Vec<(Moment, String)>,
    /// The operations in the journal's order.
    pub operations: Vec<Operation>,
    /// From the first to the last moment it speaks of; `None` where nothing is told.
    pub span: Option<(Moment, Moment)>,
}

/// What of it is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// The first moment.
    pub from: Moment,
    /// The last moment.
    pub to: Moment,
    /// Columns of a line.
    pub width: usize,
    /// Only this function.
    pub device: Option<Sbdf>,
    /// Whether colours are wanted.
    pub colours: bool,
}

impl Story {
    /// One record of the history; they come in the journal's order.
    pub fn tell(&mut self, told: &Told) {
        if told.entry.is_import() {
            let at = told.entry.at();
            self.lanes.imported(at, &told.entry);
            self.reach(at);
            return;
        }
        let Some(time) = told.place.time else { return };
        self.reach(Some(time));
        self.latest = self.latest.max(time);
        if self.boots.last().is_none_or(|(_, boot)| *boot != told.boot) {
            self.boots.push((time, told.boot.clone()));
            self.lanes.boot();
        }
        self.coverage.take(told.place, &told.boot, &told.entry);
        self.lanes.tell(told.place, time, &told.entry);
    }

    /// An operation began.
    pub fn began(&mut self, operation: Operation) {
        self.reach(Some(operation.time));
        self.places.insert(operation.id.clone(), self.operations.len());
        self.operations.push(operation);
    }

    /// An operation ended.
    pub fn ended(&mut self, id: &str, outcome: &str) {
        let operation = self.places.get(id).and_then(|place| self.operations.get_mut(*place));
        if let Some(operation) = operation {
            outcome.clone_into(&mut operation.outcome);
        }
    }

    /// The boot that was told of last.
    #[must_use]
    pub fn boot(&self) -> Option<&str> {
        self.boots.last().map(|(_, boot)| boot.as_str())
    }

    /// That is all. `now`, by both clocks, where the last boot still runs: then what is open lasts to now. `holder`: the run
    /// of the recorder that says that it hears now.
    #[must_use]
    pub fn finish(mut self, now: Option<Point>, holder: Option<&str>) -> Drawn {
        if let Some(now) = now {
            self.lanes.reach(now);
        }
        let place = now.map(|now| Place { seq: u64::MAX, time: Some(now.time), up: now.up });
        let shown = std::mem::take(&mut self.coverage).finish(place, holder).shown;
        let until = self.latest.max(now.map(|now| now.time).unwrap_or_default());
        if !self.boots.is_empty() {
            self.reach(Some(until));
        }
        let functions = self.operations.iter().filter_map(|operation| operation.bdf);
        Drawn {
            lanes: self.lanes.finish(until, functions),
            shown,
            boots: self.boots,
            operations: self.operations,
            span: self.first.zip(self.last),
        }
    }

    fn reach(&mut self, moment: Option<Moment>) {
        let Some(moment) = moment else { return };
        self.first = Some(self.first.map_or(moment, |first| first.min(moment)));
        self.last = Some(self.last.map_or(moment, |last| last.max(moment)));
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod one_history;
