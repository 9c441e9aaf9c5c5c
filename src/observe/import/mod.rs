//! What older logs tell of functions and qubes: history from before the recorder.
//!
//! None of them is an audit trail: lines are missing, times are local or a neighbour's, names can be
//! anyone's. What is found is marked by its source and is never proof that a function was not with a
//! qube. The parsers are pure: lines in, entries out; a line that is too long, or that looks like one of
//! theirs and is none, is counted.

#![forbid(unsafe_code)]

pub mod backups;
mod console;
mod journald;
mod libvirt;
mod lines;

pub use console::Console;
pub use journald::Journald;
pub use libvirt::Libvirt;
pub use lines::each_line;

use crate::journal::{Entry, Source};
use crate::names::hex;
use audit::Draft;
use sha2::{Digest, Sha256};

/// As many entries are taken from one import: a log that is longer is told to be cut.
pub const MOST: usize = 100_000;

/// One thing an older log tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// What it tells.
    pub entry: Entry,
    /// What it is known by wherever and whenever it is found again: sixteen hexadecimal digits.
    pub key: String,
    /// Whether its time is that of a neighbour, or has no zone; said beside `at`.
    pub approximate: bool,
    /// The boot it belongs to, where the source says so.
    pub of_boot: String,
}

/// What came of one source.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// What was found, in the source's order.
    pub found: Vec<Found>,
    /// Lines that should have been understood and were not.
    pub unreadable: u64,
}

/// A parser that is given one line after the other.
pub trait Reader {
    /// One line without its line feed; `None` for one that is too long.
    fn line(&mut self, untrusted_line: Option<&[u8]>);
    /// There are no more.
    fn finish(self) -> Tally;
}

impl Tally {
    fn push(&mut self, found: Found) {
        if self.found.len() < MOST {
            self.found.push(found);
        }
    }
}

impl Found {
    /// An entry with the key of its source and its content.
    #[must_use]
    pub fn new(entry: Entry, content: &[&[u8]]) -> Self {
        let source = entry.source().map(Source::to_string).unwrap_or_default();
        Self { key: key(&source, content), entry, approximate: false, of_boot: String::new() }
    }

    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let draft = self.entry.draft().text("key", &self.key);
        let draft = if self.approximate { draft.flag("approximate", true) } else { draft };
        if self.of_boot.is_empty() {
            draft
        } else {
            draft.text("of_boot", &self.of_boot)
        }
    }
}

fn key(source: &str, content: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in std::iter::once(&source.as_bytes()).chain(content) {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()).chars().take(16).collect()
}

#[cfg(test)]
mod tests;
