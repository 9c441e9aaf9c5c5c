//! Records to lanes: when which qube had a function, and when a driver of dom0.

use super::{at, is_import, Story};
use crate::history::{DeviceEvent, Entry, Moment, RecorderPhase, Stay, StayEvent};
use crate::names::Sbdf;
use std::collections::BTreeMap;

/// A stay with a qube, as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// When it began, or was first seen.
    pub from: Moment,
    /// When it ended, or was last seen.
    pub to: Moment,
    /// The qube's name, escaped.
    pub qube: String,
    /// Its label then; empty where not known.
    pub label: String,
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

/// The lanes of all functions that the story names.
#[must_use]
pub fn lanes(story: &Story) -> BTreeMap<Sbdf, Lane> {
    let mut readers: BTreeMap<Sbdf, Reader> = BTreeMap::new();
    let (mut boot, mut latest) = ("", Moment::default());
    for told in story.told.iter().filter(|told| !is_import(&told.entry)) {
        if told.boot != boot {
            readers.values_mut().for_each(|reader| reader.close(latest));
            boot = &told.boot;
        }
        match &told.entry {
            Entry::Recorder(it) if it.phase == RecorderPhase::Start => {
                readers.values_mut().for_each(|reader| reader.doubt(latest));
            }
            Entry::Stay(it) => readers.entry(it.bdf).or_default().stay(told.time, it),
            Entry::Device(it) => {
                let gone = it.event == DeviceEvent::Removed;
                let driven = !gone && !it.driver.is_empty() && it.driver != "pciback";
                readers.entry(it.bdf).or_default().driven(told.time, driven);
            }
            _ => {}
        }
        latest = latest.max(told.time);
    }
    readers.values_mut().for_each(|reader| reader.close(latest.max(story.until)));
    imported(story, &mut readers);
    for operation in &story.operations {
        readers.extend(
            operation.bdf.filter(|bdf| !readers.contains_key(bdf)).map(|bdf| (bdf, Reader::default())),
        );
    }
    let labels = labels(story);
    readers.into_iter().map(|(bdf, reader)| (bdf, reader.lane(&labels))).collect()
}

/// A lane while it is being read.
#[derive(Default)]
struct Reader {
    lane: Lane,
    open: Option<Open>,
    driven: Option<Moment>,
}

struct Open {
    span: Span,
    domain: i64,
    /// Since a new run of the recorder began nobody has seen it: then it lasted to here.
    last_seen: Option<Moment>,
}

impl Reader {
    fn stay(&mut self, time: Moment, it: &Stay) {
        let same = self.open.as_ref().is_some_and(|open| {
            let domain = open.domain == it.domain || open.domain < 0 || it.domain < 0;
            open.span.qube == it.qube && domain
        });
        match it.event {
            StayEvent::Begin | StayEvent::Present => {
                if let Some(open) = self.open.as_mut().filter(|_| same) {
                    open.last_seen = None;
                    return;
                }
                self.finish(time, false);
                let begun = it.event == StayEvent::Begin;
                let span = span(time, it, begun);
                self.open = Some(Open { span, domain: it.domain, last_seen: None });
            }
            StayEvent::End if same => {
                if let Some(open) = &mut self.open {
                    open.last_seen = None;
                }
                self.finish(time, true);
            }
            // Its beginning was missed.
            StayEvent::End => self.lane.stays.push(Span { ended: true, ..span(time, it, false) }),
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

    fn lane(mut self, labels: &BTreeMap<&str, &str>) -> Lane {
        for stay in self.lane.stays.iter_mut().filter(|stay| stay.label.is_empty()) {
            stay.label = labels.get(stay.qube.as_str()).map(|label| (*label).to_owned()).unwrap_or_default();
        }
        self.lane.stays.sort_by_key(|stay| (stay.imported, stay.from));
        self.lane
    }
}

fn span(time: Moment, it: &Stay, begun: bool) -> Span {
    Span {
        from: time,
        to: time,
        qube: it.qube.clone(),
        label: it.label.clone(),
        imported: false,
        begun,
        ended: false,
    }
}

/// The stays that an import tells of. Many have no end: then the moment of their beginning is all that is known.
fn imported(story: &Story, readers: &mut BTreeMap<Sbdf, Reader>) {
    let imports = story.told.iter().filter(|told| is_import(&told.entry));
    let mut stays: Vec<(Moment, &Stay)> = imports
        .filter_map(|told| match &told.entry {
            Entry::Stay(it) => Some((at(&told.entry)?, it)),
            _ => None,
        })
        .collect();
    stays.sort_by_key(|(time, _)| *time);
    let mut open: BTreeMap<(Sbdf, &str), Span> = BTreeMap::new();
    for (time, it) in stays {
        let place = (it.bdf, it.qube.as_str());
        let begun = it.event == StayEvent::Begin;
        let fresh = Span { imported: true, ..span(time, it, begun) };
        let done = match it.event {
            StayEvent::End => {
                let begun = open.remove(&place).unwrap_or(fresh);
                Some(Span { to: time, ended: true, ..begun })
            }
            _ => open.insert(place, fresh),
        };
        readers.entry(it.bdf).or_default().lane.stays.extend(done);
    }
    for ((bdf, _), span) in open {
        readers.entry(bdf).or_default().lane.stays.push(span);
    }
}

/// The latest label of each qube that any record names: for stays whose own record names none.
fn labels(story: &Story) -> BTreeMap<&str, &str> {
    let mut labels = BTreeMap::new();
    for told in &story.told {
        let (qube, label) = match &told.entry {
            Entry::Stay(it) => (&it.qube, &it.label),
            Entry::Qube(it) => (&it.qube, &it.label),
            _ => continue,
        };
        if !label.is_empty() {
            labels.insert(qube.as_str(), label.as_str());
        }
    }
    labels
}
