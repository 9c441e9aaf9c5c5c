//! The records of functions with qubes.
//!
//! Members: `event`, `bdf`, `id`, `qube`, `uuid`, `label`, `class`, `options`, `source`,
//! `at`, `network`, `domain`, `stub`.

use super::members::{address, flag, known, moment, source, text};
use super::{Moment, Source};
use crate::names::Sbdf;
use audit::{Draft, Record};

/// A function's stay with a qube.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StayEvent {
    /// The toolstack gave it.
    Begin,
    /// Found so by a snapshot.
    Present,
    /// The toolstack took it back, or the qube is gone. Without a begin in the same boot, all that is
    /// left of a stay that nobody saw.
    End,
}

words!(StayEvent { Begin = "begin", Present = "present", End = "end" });

/// A record of a stay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StayRecord {
    /// Begin, present or end.
    pub event: StayEvent,
    /// Where the function stands.
    pub bdf: Sbdf,
    /// What it is, as an [`Identity`](super::Identity) has it.
    pub id: String,
    /// The qube's name, escaped; `domain-7` where it has none.
    pub qube: String,
    /// The qube's uuid.
    pub uuid: String,
    /// The qube's label then.
    pub label: String,
    /// `AppVM`, `DispVM`, ...
    pub class: String,
    /// Whether it provides network to others; `None` where not known.
    pub network: Option<bool>,
    /// The domain, where it is known: that of the qube, not of its stub domain. The
    /// journal has -1 where it is not.
    pub domain: Option<u16>,
    /// The stub domain that holds it for the qube; `None` where there is none, or it is not known.
    pub stub: Option<u16>,
    /// The toolstack's options: `permissive=1,rdm_policy=relaxed`.
    pub options: String,
    /// Who says so.
    pub source: Source,
    /// When, by an imported source.
    pub at: Option<Moment>,
}

impl StayRecord {
    /// A qube (its name escaped) with a function, and who says so; nothing else is known.
    #[must_use]
    pub fn new(event: StayEvent, bdf: Sbdf, qube: &str, source: Source) -> Self {
        Self {
            event,
            bdf,
            id: String::new(),
            qube: qube.to_owned(),
            uuid: String::new(),
            label: String::new(),
            class: String::new(),
            network: None,
            domain: None,
            stub: None,
            options: String::new(),
            source,
            at: None,
        }
    }

    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let draft = Draft::new("stay").text("event", self.event.word()).text("bdf", &self.bdf.to_string());
        let draft = known(
            draft,
            &[
                ("id", &self.id),
                ("qube", &self.qube),
                ("uuid", &self.uuid),
                ("label", &self.label),
                ("class", &self.class),
                ("options", &self.options),
                ("source", &self.source.to_string()),
                ("at", &self.at.map(|at| at.to_string()).unwrap_or_default()),
            ],
        );
        let draft = self.network.into_iter().fold(draft, |draft, network| draft.flag("network", network));
        let draft = draft.number("domain", self.domain.map_or(-1, i64::from));
        self.stub.into_iter().fold(draft, |draft, stub| draft.number("stub", i64::from(stub)))
    }

    /// What a record of kind `stay` says.
    pub(super) fn read(record: &Record) -> Option<Self> {
        let domain = |key: &str| record.number(key).and_then(|number| u16::try_from(number).ok());
        Some(Self {
            event: record.text("event").and_then(StayEvent::parse)?,
            bdf: address(record)?,
            id: text(record, "id"),
            qube: text(record, "qube"),
            uuid: text(record, "uuid"),
            label: text(record, "label"),
            class: text(record, "class"),
            network: flag(record, "network"),
            domain: domain("domain"),
            stub: domain("stub"),
            options: text(record, "options"),
            source: source(record),
            at: moment(record, "at"),
        })
    }
}
