//! Records to lanes: when which qube had a function, and when a driver of dom0.

use crate::journal::coverage::Point;
use crate::journal::stays::{StayEnd, Stayed, Stays};
use crate::journal::{DeviceEvent, DeviceRecord, Entry, Moment, Place, RecorderPhase, StayRecord};
use crate::names::Sbdf;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A stay with a qube, as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StaySpan {
    /// When it began, or was first seen.
    pub from: Moment,
    /// When it ended, or was last seen.
    pub to: Moment,
    /// The qube's name, escaped.
    pub qube: Rc<str>,
    /// The qube's label then; empty where not known.
    pub label: Rc<str>,
    /// An import tells of it: no proof of anything else.
    pub imported: bool,
    /// Whether its beginning was seen.
    pub begun: bool,
    /// Whether it ended ...
    pub ended: bool,
    /// ... and whether its end was not seen: it had ended by then.
    pub at_latest: bool,
}

/// One function through time.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DeviceLane {
    /// Who had it, in the order in which the stays began.
    pub stays: Vec<StaySpan>,
    /// When a driver of dom0 had it.
    pub driven: Vec<(Moment, Moment)>,
}

/// The lanes while they are being told.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceLanes {
    readers: BTreeMap<Sbdf, LaneReader>,
    /// Names and labels, each kept once.
    words: BTreeSet<Rc<str>>,
    /// The latest label of each qube that any record names: for stays whose own record names none.
    labels: BTreeMap<Rc<str>, Rc<str>>,
    /// What imports tell, with the time of each.
    imported: Vec<(Moment, StayRecord)>,
    /// The latest record of a recorder in this boot.
    latest: Option<Point>,
}

impl DeviceLanes {
    /// One record that is no import.
    pub(super) fn tell(&mut self, place: Place, time: Moment, entry: &Entry) {
        let before = self.latest;
        self.reach(Point { time, up: place.up });
        match entry {
            Entry::Recorder(it) if it.phase == RecorderPhase::Start => {
                let latest = before.map_or(time, |latest| latest.time);
                self.readers.values_mut().for_each(|reader| reader.stays.doubt(latest));
            }
            Entry::Stay(it) => {
                self.label(&it.qube, &it.label);
                self.readers.entry(it.bdf).or_default().stays.take(place, "", it);
            }
            Entry::Device(it) => self.readers.entry(it.bdf).or_default().device(time, it),
            Entry::Qube(it) => self.label(&it.qube, &it.label),
            Entry::Recorder(_) | Entry::Lost(_) => {}
        }
    }

    /// So far it went; where the clock went back since the record before, what lasted did so at both times.
    pub(super) fn reach(&mut self, at: Point) {
        if let Some((before, after)) = self.latest.and_then(|latest| at.went_back(latest)) {
            self.readers.values_mut().for_each(|reader| reader.stays.went_back(before.1, after.0));
        }
        if at.up.is_some() || self.latest.is_none() {
            self.latest = Some(at);
        }
    }

    /// One record of an import, with the time its source gives.
    pub(super) fn imported(&mut self, at: Option<Moment>, entry: &Entry) {
        match (entry, at) {
            (Entry::Stay(it), Some(at)) => {
                self.label(&it.qube, &it.label);
                self.imported.push((at, it.clone()));
            }
            (Entry::Qube(it), _) => self.label(&it.qube, &it.label),
            _ => {}
        }
    }

    /// Another boot begins: whatever was open ended with the one before.
    pub(super) fn boot(&mut self) {
        if let Some(latest) = self.latest.take() {
            self.close(latest.time);
        }
    }

    /// That is all; what is open lasts to `until`. Functions that have no stay have a lane too.
    pub(super) fn finish(
        mut self,
        until: Moment,
        functions: impl Iterator<Item = Sbdf>,
    ) -> BTreeMap<Sbdf, DeviceLane> {
        self.close(until);
        for bdf in functions {
            self.readers.entry(bdf).or_default();
        }
        // Many have no end: then the moment of their beginning is all that is known.
        let mut imported = std::mem::take(&mut self.imported);
        imported.sort_by_key(|(at, _)| *at);
        for (at, it) in imported {
            let place = Place { seq: 0, time: Some(at), up: None };
            self.readers.entry(it.bdf).or_default().stays.take(place, "", &it);
        }
        self.close(until);
        let labels = self.labels;
        self.readers.into_iter().map(|(bdf, reader)| (bdf, reader.lane(&labels))).collect()
    }

    /// The boot, or the story, is over.
    fn close(&mut self, time: Moment) {
        let words = &mut self.words;
        for reader in self.readers.values_mut() {
            reader.driven(time, false);
            for stayed in reader.stays.finish() {
                reader.lane.stays.extend(spans(&stayed, time, words));
            }
        }
    }

    fn label(&mut self, qube: &str, label: &str) {
        if !label.is_empty() {
            let (qube, label) = (word(&mut self.words, qube), word(&mut self.words, label));
            self.labels.insert(qube, label);
        }
    }
}

fn word(words: &mut BTreeSet<Rc<str>>, text: &str) -> Rc<str> {
    if let Some(word) = words.get(text) {
        return word.clone();
    }
    let word: Rc<str> = text.into();
    words.insert(word.clone());
    word
}

/// A stay as it is drawn: more than once, where the clock was set back while it
/// lasted. `until`: the boot's end.
fn spans(stayed: &Stayed, until: Moment, words: &mut BTreeSet<Rc<str>>) -> Vec<StaySpan> {
    let imported = stayed.is_imported();
    let end = match stayed.to {
        StayEnd::At(time) => time,
        // What no recorder saw may have ended at once.
        StayEnd::By(_) | StayEnd::Open if imported => stayed.from,
        StayEnd::By(time) => time,
        StayEnd::Open => stayed.seen_to,
    };
    let end = end.unwrap_or(until);
    let ended = stayed.to != StayEnd::Open && !(imported && matches!(stayed.to, StayEnd::By(_)));
    let from = stayed.from.unwrap_or(end);
    let mut span = StaySpan {
        from,
        to: end.max(from),
        qube: word(words, &stayed.stay.qube),
        label: word(words, &stayed.stay.label),
        imported,
        begun: stayed.begun,
        ended,
        at_latest: ended && matches!(stayed.to, StayEnd::By(_)),
    };
    let mut drawn = Vec::new();
    for &(to, again) in &stayed.steps {
        drawn.push(StaySpan { to: to.max(span.from), ended: false, at_latest: false, ..span.clone() });
        span = StaySpan { from: again, to: end.max(again), begun: false, ..span };
    }
    drawn.push(span);
    drawn
}

/// A lane while it is being read.
#[derive(Clone, Debug)]
struct LaneReader {
    lane: DeviceLane,
    stays: Stays,
    driven: Option<Moment>,
}

impl Default for LaneReader {
    fn default() -> Self {
        Self { lane: DeviceLane::default(), stays: Stays::all(), driven: None }
    }
}

impl LaneReader {
    fn device(&mut self, time: Moment, it: &DeviceRecord) {
        let gone = it.event == DeviceEvent::Removed;
        self.driven(time, !gone && it.driver.as_ref().is_some_and(|driver| !driver.is_holder()));
        self.stays.device(Some(time), it);
    }

    fn driven(&mut self, time: Moment, driven: bool) {
        match (self.driven, driven) {
            (None, true) => self.driven = Some(time),
            (Some(from), false) => {
                self.lane.driven.push((from, time));
                self.driven = None;
            }
            _ => {}
        }
    }

    fn lane(mut self, labels: &BTreeMap<Rc<str>, Rc<str>>) -> DeviceLane {
        for stay in self.lane.stays.iter_mut().filter(|stay| stay.label.is_empty()) {
            stay.label = labels.get(&stay.qube).unwrap_or(&stay.label).clone();
        }
        self.lane.stays.sort_by_key(|stay| (stay.imported, stay.from));
        self.lane
    }
}
