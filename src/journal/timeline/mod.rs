//! Who had which function when: told record by record, for the picture. What is kept grows with the stays and
//! the operations, not with the records.

mod lanes;

use lanes::DeviceLanes;
pub use lanes::{DeviceLane, StaySpan};

use super::coverage::{ClockCoverage, Coverage, Point};
use super::{Entry, Moment, OperationPhase, OperationRecord, PastEvent, PastRecord, Place};
use crate::names::Sbdf;
use std::collections::{BTreeMap, HashMap};

/// An operation of this program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastOperation {
    /// The operation's id.
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
pub struct TimelineFold {
    coverage: Coverage,
    lanes: DeviceLanes,
    boots: Vec<(Moment, String)>,
    operations: Vec<PastOperation>,
    places: HashMap<String, usize>,
    first: Option<Moment>,
    last: Option<Moment>,
    /// The latest record that is no import.
    latest: Moment,
}

/// All that the picture is drawn from.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The lanes of all functions that the story names.
    pub lanes: BTreeMap<Sbdf, DeviceLane>,
    /// What a recorder covered.
    pub shown: ClockCoverage,
    /// The first moment of each boot, but of those that only an import speaks of.
    pub boots: Vec<(Moment, String)>,
    /// The operations in the journal's order.
    pub operations: Vec<PastOperation>,
    /// From the first to the last moment it speaks of; `None` where nothing is told.
    pub span: Option<(Moment, Moment)>,
}

impl TimelineFold {
    /// Takes one record; they come in the journal's order. Where a function is wanted,
    /// what is about others is left out.
    pub fn take(&mut self, record: PastRecord, wanted: Option<Sbdf>) {
        let PastRecord { place, boot, what, .. } = record;
        let Some(time) = place.time else { return };
        match what {
            PastEvent::Entry(entry) if is_about(&entry, wanted) => self.entry(place, &boot, &entry),
            PastEvent::Operation(OperationRecord { id, bdf, phase }) => match phase {
                OperationPhase::Start(start) if wanted.is_none() || bdf == wanted => {
                    let command = Some(start.command).filter(|command| !command.is_empty());
                    let command = command.unwrap_or_else(|| "operation".to_owned());
                    self.began(PastOperation { id, time, command, bdf, outcome: "not finished".to_owned() });
                }
                OperationPhase::End { outcome, .. } => self.ended(&id, outcome),
                _ => {}
            },
            _ => {}
        }
    }

    fn entry(&mut self, place: Place, boot: &str, entry: &Entry) {
        if entry.is_import() {
            self.lanes.imported(entry.at(), entry);
            self.reach(entry.at());
            return;
        }
        let Some(time) = place.time else { return };
        self.reach(Some(time));
        self.latest = self.latest.max(time);
        if self.boots.last().is_none_or(|(_, latest)| latest != boot) {
            self.boots.push((time, boot.to_owned()));
            self.lanes.boot();
        }
        self.coverage.take(place, boot, entry);
        self.lanes.tell(place, time, entry);
    }

    fn began(&mut self, operation: PastOperation) {
        self.reach(Some(operation.time));
        self.places.insert(operation.id.clone(), self.operations.len());
        self.operations.push(operation);
    }

    fn ended(&mut self, id: &str, outcome: String) {
        let operation = self.places.get(id).and_then(|place| self.operations.get_mut(*place));
        if let Some(operation) = operation {
            operation.outcome = if outcome.is_empty() { "ended".to_owned() } else { outcome };
        }
    }

    /// The boot that was told of last.
    #[must_use]
    pub fn boot(&self) -> Option<&str> {
        self.boots.last().map(|(_, boot)| boot.as_str())
    }

    /// That is all. `now`, by both clocks, where the last boot still runs: then what is open lasts to now.
    /// `holder`: the run of the recorder that says that it hears now.
    #[must_use]
    pub fn finish(mut self, now: Option<Point>, holder: Option<&str>) -> Timeline {
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
        Timeline {
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

/// Whether an entry belongs to the picture of this function, or of all.
fn is_about(entry: &Entry, wanted: Option<Sbdf>) -> bool {
    let of_device = matches!(entry, Entry::Device(_) | Entry::Stay(_));
    !of_device || wanted.is_none() || entry.bdf() == wanted
}
