//! `audit export`: all records, byte for byte; on a terminal nothing that it would act on.

use super::{failure, Context};
use crate::error::{Exit, Failure};
use crate::names::harmless;
use crate::report::taken;
use std::io::{IsTerminal, Write};

/// Writes every record to the output, as it stands in the journal.
///
/// # Errors
/// There is no journal, or it cannot be read, or stdout takes no more.
pub fn run(context: &Context) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    let shows = out.is_terminal();
    let mut written: std::io::Result<()> = Ok(());
    audit::export(&context.journal, &mut |bytes| {
        if written.is_ok() {
            written = match shows {
                true => out.write_all(harmless(bytes).as_bytes()),
                false => out.write_all(bytes),
            };
        }
        Ok(())
    })
    .map_err(|error| failure(&error))?;
    taken(written.and_then(|()| out.flush()))?;
    Ok(Exit::Done)
}
