//! The records of prunes.
//!
//! Members, besides what the journal itself writes: `kept`, `repairs`, `forgotten`.

use audit::Record;

/// What a prune says of what it removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PruneRecord {
    /// Which qubes had which device is not kept: of this prune, or of one before it.
    pub forgotten: bool,
    /// How many losses were accepted there.
    pub repairs: u64,
}

impl PruneRecord {
    /// What a record of kind `pruned` says; one that does not tell what was kept has kept nothing.
    pub(super) fn read(record: &Record) -> Self {
        let number = |key: &str| record.number(key).and_then(|number| u64::try_from(number).ok());
        Self {
            forgotten: number("kept").is_none() || number("forgotten") != Some(0),
            repairs: number("repairs").unwrap_or(0),
        }
    }
}
