//! A place in the journal.

use super::{Moment, Uptime};

/// A place in the journal. Its numbers only rise; times may step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The record's number.
    pub seq: u64,
    /// When it was written, by the wall clock.
    pub time: Option<Moment>,
    /// And by the clock that only rises, where a recorder wrote it.
    pub up: Option<Uptime>,
}
