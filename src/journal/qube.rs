//! The records of what happened to qubes.
//!
//! Members: `event`, `qube`, `uuid`, `label`, `before`, `port`, `bdf`, `options`, `reason`, `source`, `at`.

use super::members::{address, known, moment, source, text};
use super::{Moment, Source};
use crate::names::{unescape, Sbdf};
use audit::{Draft, Record};

/// What happened to a qube.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QubeEvent {
    /// It is about to start: from now on its devices are taken.
    Starting,
    /// It has started; in older journals and by imports also that it is about to.
    Started,
    /// It did not start, or not all the way.
    StartFailed,
    /// It ended.
    Stopped,
    /// The label changed.
    Label,
    /// The name changed.
    Name,
    /// A device was assigned to it.
    Assigned,
    /// An assignment was taken back.
    Unassigned,
}

words!(QubeEvent {
    Starting = "starting",
    Started = "started",
    StartFailed = "start-failed",
    Stopped = "stopped",
    Label = "label",
    Name = "name",
    Assigned = "assigned",
    Unassigned = "unassigned",
});

/// A record of a qube.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QubeRecord {
    /// What happened.
    pub event: QubeEvent,
    /// The qube's name, escaped.
    pub qube: String,
    /// The qube's uuid.
    pub uuid: String,
    /// The label, or the new one.
    pub label: String,
    /// The label or name before.
    pub before: String,
    /// The device: Qubes' port.
    pub port: String,
    /// The function the port leads to, where there is one.
    pub bdf: Option<Sbdf>,
    /// Options of the assignment.
    pub options: String,
    /// Why it did not start, in Qubes' words, escaped.
    pub reason: String,
    /// Who says so.
    pub source: Source,
    /// When, by an imported source.
    pub at: Option<Moment>,
}

impl QubeRecord {
    /// What happened to a qube (its name escaped) and who says so; nothing else is known.
    #[must_use]
    pub fn new(event: QubeEvent, qube: &str, source: Source) -> Self {
        Self {
            event,
            qube: qube.to_owned(),
            uuid: String::new(),
            label: String::new(),
            before: String::new(),
            port: String::new(),
            bdf: None,
            options: String::new(),
            reason: String::new(),
            source,
            at: None,
        }
    }

    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let draft = Draft::new("qube").text("event", self.event.word()).bytes("qube", &unescape(&self.qube));
        known(
            draft,
            &[
                ("uuid", &self.uuid),
                ("label", &self.label),
                ("before", &self.before),
                ("port", &self.port),
                ("bdf", &self.bdf.map(|bdf| bdf.to_string()).unwrap_or_default()),
                ("options", &self.options),
                ("reason", &self.reason),
                ("source", &self.source.to_string()),
                ("at", &self.at.map(|at| at.to_string()).unwrap_or_default()),
            ],
        )
    }

    /// What a record of kind `qube` says.
    pub(super) fn read(record: &Record) -> Option<Self> {
        Some(Self {
            event: record.text("event").and_then(QubeEvent::parse)?,
            qube: text(record, "qube"),
            uuid: text(record, "uuid"),
            label: text(record, "label"),
            before: text(record, "before"),
            port: text(record, "port"),
            bdf: address(record),
            options: text(record, "options"),
            reason: text(record, "reason"),
            source: source(record),
            at: moment(record, "at"),
        })
    }
}
