//! The journal's records of this boot.

use crate::error::Failure;
use audit::{Query, Record};
use std::ops::ControlFlow;
use std::path::Path;

/// The beginning of the boot's id, as the journal carries it.
#[must_use]
pub fn short_boot(boot_id: &str) -> String {
    boot_id.chars().filter(char::is_ascii_hexdigit).take(8).collect()
}

/// Gives each record of the boot, in the journal's order.
///
/// # Errors
/// The journal cannot be read.
pub fn read(folder: &Path, boot_id: &str, each: &mut dyn FnMut(&Record)) -> Result<(), Failure> {
    let boot = (Some("boot".to_owned()), short_boot(boot_id));
    let query = Query { values: vec![boot], ..Query::default() };
    let taken = audit::select(folder, &query, &mut |line| {
        if let Some(record) = Record::parse(line) {
            each(&record);
        }
        ControlFlow::Continue(())
    });
    taken.map(drop).map_err(|error| Failure::of_journal(&error))
}
