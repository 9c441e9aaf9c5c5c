//! The past of several functions, and how far it could be read.

use super::Exposure;
use crate::error::{Exit, Failure};
use crate::journal::{JournalReading, PruneRecord};
use crate::names::Sbdf;
use std::collections::BTreeMap;

/// The past of the functions that were asked for, as far as it could be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Past {
    /// How far the journal could be read.
    pub journal: JournalReading,
    /// Repairs that accepted a loss.
    pub repairs: u64,
    /// What is left of older records that were removed on purpose; `None` where none were.
    pub pruned: Option<PruneRecord>,
    /// By function.
    pub of: BTreeMap<Sbdf, Exposure>,
}

impl Past {
    /// What a changing command would fail with for the journal's sake, before it changes anything.
    ///
    /// # Errors
    /// Exit 7: it is broken; 11, and 10 for root: it cannot be read.
    pub fn is_usable(&self) -> Result<(), Failure> {
        match &self.journal {
            JournalReading::Broken(failure) => Err(failure.clone()),
            JournalReading::Unreadable(failure) if !is_for_root_alone(failure) => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// What of it could not be seen, in words.
    #[must_use]
    pub fn unseen(&self) -> Option<String> {
        match &self.journal {
            JournalReading::Broken(failure) | JournalReading::Unreadable(failure) => {
                Some(format!("the journal: {}", failure.message))
            }
            JournalReading::Read { .. } | JournalReading::Absent => None,
        }
    }

    /// The past of nothing, for what asks nothing of it.
    #[must_use]
    pub fn not_asked() -> Self {
        Self { journal: JournalReading::Absent, repairs: 0, pruned: None, of: BTreeMap::new() }
    }
}

/// Whether only the right to read the journal is missing: without root a changing command would not come that
/// far, in a model neither, and what only shows goes on.
#[must_use]
pub fn is_for_root_alone(failure: &Failure) -> bool {
    failure.exit == Exit::NotDom0 && !nix::unistd::geteuid().is_root()
}
