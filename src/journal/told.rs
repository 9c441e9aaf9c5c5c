//! One thing the journal tells, with its place: for everything that looks back.

use super::carried::{Carried, Prune, Recorded};
use super::{Entry, Moment, OperationPhase, OperationRecord, Uptime};
use crate::names::Sbdf;
use audit::Record;

/// What a record tells of the past of a device.
// One at a time is held.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// Of the history.
    Entry(Entry),
    /// An operation of this program on a function began.
    Operation {
        /// `reattach`, `hold`, ...
        command: String,
        /// The function.
        bdf: Sbdf,
    },
    /// A repair accepted that records are gone or altered here.
    Gap,
    /// Older records were removed on purpose.
    Pruned(Prune),
    /// A qube had a device, say records that were removed.
    Carried(Carried),
    /// What a device was, say records that were removed.
    Recorded(Recorded),
}

/// A record with its place. Places are numbers of the journal, which only rise; times may step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Its number in the journal.
    pub seq: u64,
    /// When it was written; `None` where that is no time.
    pub time: Option<Moment>,
    /// When, by the clock that only rises; when its append began; `None` where no
    /// recorder wrote it, or one that did not write it down yet.
    pub up: Option<Uptime>,
    /// The boot it was written in, as the journal names it.
    pub boot: String,
    /// Of an import: the boot that its source names; empty where it names none.
    pub of_boot: String,
    /// Of an import: its time is that of a neighbour, or has no zone.
    pub approximate: bool,
    /// What it tells.
    pub what: What,
}

impl Told {
    /// What a record tells; `None` where that is nothing about the past.
    #[must_use]
    pub fn read(record: &Record) -> Option<Self> {
        let what = match record.kind() {
            "gap" => What::Gap,
            "pruned" => What::Pruned(Prune::read(record)),
            "had" => What::Carried(Carried::read(record)?),
            "known" => What::Recorded(Recorded::read(record)?),
            // It was where others could have written it, or did not verify there.
            "moved" if record.text("why").is_some() => What::Gap,
            "op" => match OperationRecord::read(record)? {
                OperationRecord { phase: OperationPhase::Start(start), bdf: Some(bdf), .. } => {
                    What::Operation { command: start.command, bdf }
                }
                _ => return None,
            },
            _ => What::Entry(Entry::read(record)?),
        };
        Some(Self {
            seq: record.seq(),
            time: record.text("time").and_then(Moment::parse),
            up: up(record),
            boot: record.text("boot").unwrap_or_default().to_owned(),
            of_boot: record.text("of_boot").unwrap_or_default().to_owned(),
            approximate: record.get("approximate").is_some(),
            what,
        })
    }
}

/// When a recorder wrote a record, by the clock that only rises.
#[must_use]
pub fn up(record: &Record) -> Option<Uptime> {
    record.number("up").and_then(Uptime::from_record)
}

/// A boot as the journal names it: the first eight digits of the kernel's id of it.
#[must_use]
pub fn journal_boot(boot_id: &str) -> String {
    boot_id.chars().filter(char::is_ascii_hexdigit).take(8).collect()
}
