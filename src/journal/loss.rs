//! The records of what was lost.
//!
//! Members: `source`, `count`, `qube`, `why`, `since`.

use super::members::{known, moment, source, text};
use super::{Moment, Source};
use audit::{Draft, Record};

/// Why something was not recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LossCause {
    /// The kernel's messages did not fit into their buffer.
    Overflow,
    /// It was too short to see whose it was.
    Brief,
    /// One qube or one function caused too many records.
    Rate,
    /// The file system is full.
    Space,
    /// Somebody else held the journal.
    Busy,
    /// The journal could not be written.
    Journal,
}

words!(LossCause {
    Overflow = "overflow",
    Brief = "brief",
    Rate = "rate",
    Space = "space",
    Busy = "busy",
    Journal = "journal",
});

/// Something that happened and was not recorded: the time since counts as uncovered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LossRecord {
    /// Where it was lost: `uevent`, `xenstore`, `qubesd`, `journal`.
    pub source: Source,
    /// Of this qube only; empty: of all.
    pub qube: String,
    /// How many; 0 where nobody knows.
    pub count: i64,
    /// Why, where it is known.
    pub why: Option<LossCause>,
    /// Since when.
    pub since: Option<Moment>,
}

impl LossRecord {
    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let draft = Draft::new("lost").text("source", &self.source.to_string()).number("count", self.count);
        known(
            draft,
            &[
                ("qube", &self.qube),
                ("why", self.why.map_or("", LossCause::word)),
                ("since", &self.since.map(|since| since.to_string()).unwrap_or_default()),
            ],
        )
    }

    /// What a record of kind `lost` says.
    pub(super) fn read(record: &Record) -> Self {
        Self {
            source: source(record),
            qube: text(record, "qube"),
            count: record.number("count").unwrap_or(0),
            why: record.text("why").and_then(LossCause::parse),
            since: moment(record, "since"),
        }
    }
}
