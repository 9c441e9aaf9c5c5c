//! `audit export`: all records, byte for byte.

use super::{failure, Context};
use crate::error::{Exit, Failure};
use crate::report::taken;
use std::io::Write;

/// Runs it.
///
/// # Errors
/// There is no journal, or it cannot be read, or stdout takes no more.
pub fn run(context: &Context) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    let mut written: std::io::Result<()> = Ok(());
    audit::export(&context.journal, &mut |bytes| {
        if written.is_ok() {
            written = out.write_all(bytes);
        }
        Ok(())
    })
    .map_err(|error| failure(&error))?;
    taken(written.and_then(|()| out.flush()))?;
    Ok(Exit::Done)
}
