//! An assignment in Qubes that an operation took back: every ending that is not the wanted one names it.

use crate::names::escape;

/// An assignment that this run took back, or may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// Port and qube, in words.
    pub what: String,
    /// The command that assigns it again; empty where none can be named.
    pub again: String,
    /// Whether Qubes was seen not to list it any more.
    pub proved: bool,
}

impl Lost {
    /// As a later ending says it.
    #[must_use]
    pub fn words(&self) -> String {
        let how = if self.proved { "stays taken back" } else { "may be taken back" };
        format!("the assignment {} {how}", escape(self.what.as_bytes()))
    }

    /// How it is made again.
    #[must_use]
    pub fn advice(&self) -> String {
        let again = if self.again.is_empty() { "qvm-pci" } else { self.again.as_str() };
        format!("assign {} again:  {}", escape(self.what.as_bytes()), escape(again.as_bytes()))
    }
}
