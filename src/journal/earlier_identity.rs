//! The records of what devices were in earlier boots, which go on from records that a prune removes.
//!
//! Members: `bdf`, the identity, `at`, `in_boot`.

use super::members::{address, moment, text, with_times};
use super::{Identity, Moment};
use crate::names::Sbdf;
use audit::{Draft, Record};

/// What a device was in an earlier boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EarlierIdentity {
    /// Where it stood.
    pub bdf: Sbdf,
    /// What it was.
    pub identity: Identity,
    /// When.
    pub time: Option<Moment>,
    /// In which boot.
    pub boot: String,
}

impl EarlierIdentity {
    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let draft = self.identity.onto(Draft::new("known").text("bdf", &self.bdf.to_string()));
        with_times(draft, &[("at", self.time)]).text("in_boot", &self.boot)
    }

    /// What a record of kind `known` says.
    pub(super) fn read(record: &Record) -> Option<Self> {
        Some(Self {
            bdf: address(record)?,
            identity: Identity::read(record),
            time: moment(record, "at"),
            boot: text(record, "in_boot"),
        })
    }
}
