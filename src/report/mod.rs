//! Report: all output, for people and for scripts.

#![forbid(unsafe_code)]

mod device;
mod history;
pub mod json;
mod operation;
pub mod sentence;
pub mod text;
pub mod timeline;

pub use device::{device_block, hazards_block, plan_block, Described};
pub use history::history_block;
pub use operation::{ending_block, step_line};

use crate::error::{Exit, Failure};
use std::io::{ErrorKind, Write};

/// Writes a whole answer to stdout. A reader that went away is no error.
///
/// # Errors
/// stdout takes no more (a full disk).
pub fn emit(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::Io,
            "stdout",
            format!("cannot write to stdout: {error}"),
            "free space where the output goes; run `list` for the device's state",
        )),
        _ => Ok(()),
    }
}

/// Writes a line about progress; nobody has to read it.
pub fn note(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Says why a command failed, where people look for it.
pub fn complain(failure: &Failure) {
    let mut text = format!("{} {}\n", console::style("error:").red().bold().for_stderr(), failure.message);
    if !failure.hint.is_empty() {
        text.push_str(&format!("hint: {}\n", failure.hint));
    }
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Says something that is no failure of the command, where people look for it.
pub fn warn(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{} {line}", console::style("note:").yellow().for_stderr());
}
