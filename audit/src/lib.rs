//! A hash-chained journal of one line a record, that an auditor can verify by hand.
//!
//! The format is described in one place, the manual page `qubes-dom0-pci-journal(5)`
//! (`man/qubes-dom0-pci-journal.5` in the source): files, record, hash, recovery, verification. This crate is
//! one implementation of it. It knows nothing of what the records are about.
//!
//! ```no_run
//! # fn main() -> Result<(), audit::Error> {
//! use audit::{Draft, Journal};
//! let mut journal = Journal::open("/var/lib/example/journal".as_ref(), "1c0ffee0")?;
//! journal.append(&[Draft::new("step").op("9616d76e").text("phase", "intent").text("step", "unbind")])?;
//! // … act, only now …
//! let step = Draft::new("step").op("9616d76e").text("phase", "done").text("step", "unbind");
//! let head = journal.append(&[step])?;
//! println!("{}", head.short());
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod chain;
mod checkpoint;
mod clock;
mod error;
mod follow;
mod form;
mod hash;
mod head;
mod journal;
mod lanes;
mod mend;
mod operations;
mod pieces;
mod place;
mod query;
mod record;
mod relocate;
mod report;
mod snapshot;
mod store;
mod tail;
mod unpack;
mod verify;

pub use checkpoint::{head, last_given, remember, Checkpoint, Given, Statement};
pub use clock::text as time_text;
pub use error::{Error, Kind, Result};
pub use follow::{boots, numbered, Follow};
pub use head::Head;
pub use journal::{appendable, Journal, RESERVED_BYTES, SEGMENT_BYTES};
pub use mend::{last_repair, prunable, prune, repair, repairable, Keep, Prune};
pub use operations::{operations, Operation};
pub use place::{doubt, Doubt};
pub use query::{export, newest_first, select, Query, Skipped};
pub use record::{escape, Draft, Record};
pub use relocate::{relocate, Relocation};
pub use report::{Comparison, Finding, Outcome, Place, Report, Verdict, Witness, Wrong};
pub use unpack::{unpack, Unpacked};
pub use verify::{verify, Against};
