//! The journal's records of this boot.

use crate::error::Failure;
use crate::journal::journal_boot;
use audit::{Query, Record};
use std::ops::ControlFlow;
use std::path::Path;

/// Gives each record of the boot, in the journal's order.
///
/// # Errors
/// The journal cannot be read.
pub fn read(folder: &Path, boot_id: &str, each: &mut dyn FnMut(&Record)) -> Result<(), Failure> {
    let boot = (Some("boot".to_owned()), journal_boot(boot_id));
    let query = Query { values: vec![boot], ..Query::default() };
    let taken = audit::select(folder, &query, &mut |line| {
        if let Some(record) = Record::parse(line) {
            each(&record);
        }
        ControlFlow::Continue(())
    });
    taken.map(drop).map_err(|error| Failure::of_journal(&error))
}
