//! `audit export`: all records, byte for byte.

use super::{failure, Context};
use crate::error::{Code, Exit, Failure};
use std::io::{ErrorKind, Write};

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
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::Io,
            Code::Stdout,
            format!("cannot write to stdout: {error}"),
            "free space where the output goes",
        )),
        _ => Ok(Exit::Done),
    }
}
