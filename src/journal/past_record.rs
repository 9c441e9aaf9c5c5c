//! One record, as everything that looks back reads it.

use super::members::{moment, text};
use super::{EarlierIdentity, EarlierStaysRecord, Entry, OperationRecord, Place, PruneRecord, Uptime};
use audit::Record;

/// What a record tells of the past.
// One at a time is held.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PastEvent {
    /// What happened.
    Entry(Entry),
    /// An operation of this program.
    Operation(OperationRecord),
    /// A repair accepted that records are gone or altered here.
    Gap,
    /// Older records were removed on purpose.
    Pruned(PruneRecord),
    /// A qube had a device, say records that were removed.
    EarlierStays(EarlierStaysRecord),
    /// What a device was, say records that were removed.
    EarlierIdentity(EarlierIdentity),
}

/// A record with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastRecord {
    /// Where it stands, and when it was written.
    pub place: Place,
    /// The boot it was written in, as the journal names it.
    pub boot: String,
    /// Of an import: the boot that its source names; empty where it names none.
    pub of_boot: String,
    /// Of an import: its time is that of a neighbour, or has no zone.
    pub approximate: bool,
    /// What it tells.
    pub what: PastEvent,
}

impl PastRecord {
    /// What a record tells; `None` where that is nothing about the past.
    #[must_use]
    pub fn read(record: &Record) -> Option<Self> {
        let what = match record.kind() {
            "gap" => PastEvent::Gap,
            "pruned" => PastEvent::Pruned(PruneRecord::read(record)),
            "had" => PastEvent::EarlierStays(EarlierStaysRecord::read(record)?),
            "known" => PastEvent::EarlierIdentity(EarlierIdentity::read(record)?),
            // It was where others could have written it, or did not verify there.
            "moved" if record.text("why").is_some() => PastEvent::Gap,
            "op" => PastEvent::Operation(OperationRecord::read(record)?),
            _ => PastEvent::Entry(Entry::read(record)?),
        };
        let up = record.number("up").and_then(Uptime::from_record);
        Some(Self {
            place: Place { seq: record.seq(), time: moment(record, "time"), up },
            boot: text(record, "boot"),
            of_boot: text(record, "of_boot"),
            approximate: record.get("approximate").is_some(),
            what,
        })
    }
}

#[cfg(test)]
impl PastRecord {
    /// What a test tells.
    pub fn of(place: Place, boot: &str, what: PastEvent) -> Self {
        Self { place, boot: boot.to_owned(), of_boot: String::new(), approximate: false, what }
    }
}

/// A boot as the journal names it: the first eight digits of the kernel's id of it.
#[must_use]
pub fn journal_boot(boot_id: &str) -> String {
    boot_id.chars().filter(char::is_ascii_hexdigit).take(8).collect()
}
