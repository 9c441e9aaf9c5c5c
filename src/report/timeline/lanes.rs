//! Records to lanes: when which qube had a function, and when a driver of dom0.

use crate::assess::Point;
use crate::journal::{DeviceEvent, Entry, Moment, RecorderPhase, Stay, StayEvent};
use crate::names::Sbdf;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A stay with a qube, as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// When it began, or was first seen.
    pub from: Moment,
    /// When it ended, or was last seen.
    pub to: Moment,
    /// The qube's name, escaped.
    pub qube: Rc<str>,
    /// Its label then; empty where not known.
    pub label: Rc<str>,
    /// An import tells of it: no proof of anything else.
    pub imported: bool,
    /// Whether its beginning was seen.
    pub begun: bool,
    /// Whether its end was seen.
    pub ended: bool,
}

/// One function through time.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Lane {
    /// Its stays, in the order in which they began.
    pub stays: Vec<Span>,
    /// When a driver of dom0 had it.
    pub driven: Vec<(Moment, Moment)>,
}

/// The lanes while they are being told.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    readers: BTreeMap<Sbdf, Reader>,
    /// Names and labels, each kept once.
    words: BTreeSet<Rc<str>>,
    /// The latest label of each qube that any record names: for stays whose own record names none.
    labels: BTreeMap<Rc<str>, Rc<str>>,
    /// What imports tell: moment, function, event, and the span as far as it is known.
    imported: Vec<(Sbdf, StayEvent, Span)>,
    /// The latest record of a recorder in this boot.
    latest: Option<Point>,
}

impl Lanes {
    /// One record that is no import.
    pub(super) fn tell(&mut self, at: Point, entry: &Entry) {
        let time = at.time;
        let before = self.latest;
        self.reach(at);
        match entry {
            Entry::Recorder(it) if it.phase == RecorderPhase::Start => {
                let latest = before.map_or(time, |latest| latest.time);
                self.readers.values_mut().for_each(|reader| reader.doubt(latest));
            }
            Entry::Stay(it) => {
                let span = self.span(time, it);
                self.readers.entry(it.bdf).or_default().stay(it, span);
            }
            Entry::Device(it) => {
                let gone = it.event == DeviceEvent::Removed;
                let driven = !gone && !it.driver.is_empty() && it.driver != "pciback";
                self.readers.entry(it.bdf).or_default().driven(time, driven);
            }
            Entry::Qube(it) => self.label(&it.qube, &it.label),
            Entry::Recorder(_) | Entry::Lost(_) => {}
        }
    }

    /// So far it went; where the clock went back since the record before, what lasted did so at both times.
    pub(super) fn reach(&mut self, at: Point) {
        if let Some((before, after)) = self.latest.and_then(|latest| at.went_back(latest)) {
            self.readers.values_mut().for_each(|reader| reader.went_back(before.1, after.0));
        }
        if at.up.is_some() || self.latest.is_none() {
            self.latest = Some(at);
        }
    }

    /// One record of an import, with the time its source gives.
    pub(super) fn imported(&mut self, at: Option<Moment>, entry: &Entry) {
        match (entry, at) {
            (Entry::Stay(it), Some(at)) => {
                let span = Span { imported: true, ..self.span(at, it) };
                self.imported.push((it.bdf, it.event, span));
            }
            (Entry::Qube(it), _) => self.label(&it.qube, &it.label),
            _ => {}
        }
    }

    /// Another boot begins: whatever was open ended with the one before.
    pub(super) fn boot(&mut self) {
        if let Some(latest) = self.latest.take() {
            self.readers.values_mut().for_each(|reader| reader.close(latest.time));
        }
    }

    /// That is all; what is open lasts to `until`. Functions that have no stay have a lane too.
    pub(super) fn finish(
        mut self,
        until: Moment,
        functions: impl Iterator<Item = Sbdf>,
    ) -> BTreeMap<Sbdf, Lane> {
        self.readers.values_mut().for_each(|reader| reader.close(until));
        for bdf in functions {
            self.readers.entry(bdf).or_default();
        }
        let Self { mut readers, labels, imported, .. } = self;
        join(imported, &mut readers);
        readers.into_iter().map(|(bdf, reader)| (bdf, reader.lane(&labels))).collect()
    }

    fn word(&mut self, text: &str) -> Rc<str> {
        if let Some(word) = self.words.get(text) {
            return word.clone();
        }
        let word: Rc<str> = text.into();
        self.words.insert(word.clone());
        word
    }

    fn label(&mut self, qube: &str, label: &str) {
        if !label.is_empty() {
            let (qube, label) = (self.word(qube), self.word(label));
            self.labels.insert(qube, label);
        }
    }

    fn span(&mut self, time: Moment, it: &Stay) -> Span {
        self.label(&it.qube, &it.label);
        Span {
            from: time,
            to: time,
            qube: self.word(&it.qube),
            label: self.word(&it.label),
            imported: false,
            begun: it.event == StayEvent::Begin,
            ended: false,
        }
    }
}

/// A lane while it is being read.
#[derive(Clone, Debug, Default)]
struct Reader {
    lane: Lane,
    open: Option<Open>,
    driven: Option<Moment>,
}

#[derive(Clone, Debug)]
struct Open {
    span: Span,
    domain: i64,
    /// Since a new run of the recorder began nobody has seen it: then it lasted to here.
    last_seen: Option<Moment>,
}

impl Reader {
    fn stay(&mut self, it: &Stay, span: Span) {
        let same = self.open.as_ref().is_some_and(|open| {
            let domain = open.domain == it.domain || open.domain < 0 || it.domain < 0;
            open.span.qube == span.qube && domain
        });
        match it.event {
            StayEvent::Begin | StayEvent::Present => {
                if let Some(open) = self.open.as_mut().filter(|_| same) {
                    open.last_seen = None;
                    return;
                }
                self.finish(span.from, false);
                self.open = Some(Open { span, domain: it.domain, last_seen: None });
            }
            StayEvent::End if same => {
                if let Some(open) = &mut self.open {
                    open.last_seen = None;
                }
                self.finish(span.from, true);
            }
            // Its beginning was missed.
            StayEvent::End => self.lane.stays.push(Span { ended: true, ..span }),
        }
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

    fn doubt(&mut self, latest: Moment) {
        if let Some(open) = self.open.as_mut().filter(|open| open.last_seen.is_none()) {
            open.last_seen = Some(latest.max(open.span.from));
        }
    }

    /// The clock went back: the stay lasted to `to` by the one time, and since `from` by the other.
    fn went_back(&mut self, to: Moment, from: Moment) {
        let Some(open) = self.open.clone() else { return };
        self.finish(to, false);
        let span = Span { from, to: from, begun: false, ..open.span };
        self.open = Some(Open { span, last_seen: open.last_seen.map(|_| from), ..open });
    }

    fn finish(&mut self, time: Moment, ended: bool) {
        if let Some(open) = self.open.take() {
            let to = open.last_seen.unwrap_or(time).max(open.span.from);
            self.lane.stays.push(Span { to, ended, ..open.span });
        }
    }

    /// The boot, or the story, is over.
    fn close(&mut self, time: Moment) {
        self.finish(time, false);
        self.driven(time, false);
    }

    fn lane(mut self, labels: &BTreeMap<Rc<str>, Rc<str>>) -> Lane {
        for stay in self.lane.stays.iter_mut().filter(|stay| stay.label.is_empty()) {
            stay.label = labels.get(&stay.qube).unwrap_or(&stay.label).clone();
        }
        self.lane.stays.sort_by_key(|stay| (stay.imported, stay.from));
        self.lane
    }
}

/// The stays that imports tell of. Many have no end: then the moment of their beginning is all that is known.
fn join(mut imported: Vec<(Sbdf, StayEvent, Span)>, readers: &mut BTreeMap<Sbdf, Reader>) {
    imported.sort_by_key(|(_, _, span)| span.from);
    let mut open: BTreeMap<(Sbdf, Rc<str>), Span> = BTreeMap::new();
    for (bdf, event, span) in imported {
        let place = (bdf, span.qube.clone());
        let done = if event == StayEvent::End {
            let to = span.from;
            let begun = open.remove(&place).unwrap_or(span);
            Some(Span { to, ended: true, ..begun })
        } else {
            open.insert(place, span)
        };
        readers.entry(bdf).or_default().lane.stays.extend(done);
    }
    for ((bdf, _), span) in open {
        readers.entry(bdf).or_default().lane.stays.push(span);
    }
}
