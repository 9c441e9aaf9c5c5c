//! Report: all output, for people and for scripts.

#![forbid(unsafe_code)]

pub mod account;
mod device;
mod dossier;
mod history;
pub mod json;
mod list;
pub mod next_boot;
mod operation;
mod progress;
mod remedy;
pub mod sentence;
mod several;
pub mod status;
pub mod text;
pub mod timeline;
mod unseen;
mod unsettled;

pub use device::{device_block, hazard_line, hazards_block, plan_block, reboot_block};
pub use dossier::{dossier, dossier_of, reboot_instead, Size};
pub use history::history_block;
pub use list::{device_status, table, ListOrder};
pub use operation::{closing, conclude, conclude_all, ending_block, step_line};
pub use progress::Steps;
pub use remedy::next_block;
pub use several::{answer, common_hazards, review_block, review_screen};
pub use unseen::{no_qubes, qubes_asked, unseen_block};
pub use unsettled::{heading, unsettled};

use crate::error::{Code, Exit, Failure};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// When there are colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Colours {
    /// On a terminal that shows them.
    Auto,
    /// Always, also in a pipe.
    Always,
    /// Never.
    Never,
}

/// What was asked for comes first, then NO_COLOR (<https://no-color.org>), then CLICOLOR_FORCE, then whether
/// there is a terminal that shows them. The program says it once, at its start.
pub fn choose_colours(wanted: Colours) {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let forced = set("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    let shows = set("TERM").is_some_and(|term| term != "dumb");
    let choose = |terminal: bool| match wanted {
        Colours::Always => true,
        Colours::Never => false,
        Colours::Auto => set("NO_COLOR").is_none() && (forced || shows && terminal),
    };
    console::set_colors_enabled(choose(std::io::stdout().is_terminal()));
    console::set_colors_enabled_stderr(choose(std::io::stderr().is_terminal()));
}

/// Whether only errors are said. The program says it once, at its start.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on nothing is written but why a command failed.
pub fn keep_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Writes a whole answer to stdout. A reader that went away is no error.
///
/// # Errors
/// stdout takes no more (a full disk).
pub fn emit(text: &str) -> Result<(), Failure> {
    if is_quiet() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    taken(written).map_err(|failure| Failure {
        hint: format!("{}; run `list` for the device's state", failure.hint),
        ..failure
    })
}

/// Writes bytes to stdout as they are, for a program.
///
/// # Errors
/// stdout takes no more (a full disk).
pub fn emit_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    taken(out.write_all(bytes).and_then(|()| out.flush()))
}

/// What came of writing to stdout. A reader that went away is no error.
///
/// # Errors
/// stdout takes no more (a full disk).
pub fn taken(written: std::io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::Io,
            Code::Stdout,
            format!("cannot write to stdout: {error}"),
            "free space where the output goes",
        )),
        _ => Ok(()),
    }
}

/// Whether nobody reads stdout any more: a pipe whose other end is closed.
#[must_use]
pub fn reader_is_gone() -> bool {
    let out = std::io::stdout();
    let mut descriptors = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let polled = poll(&mut descriptors, PollTimeout::ZERO);
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    polled.is_ok()
        && descriptors.iter().any(|one| one.revents().is_some_and(|events| events.intersects(gone)))
}

/// Writes a line about progress; nobody has to read it.
pub fn note(line: &str) {
    if is_quiet() {
        return;
    }
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Shows a screen to the person who is asked, beside the question.
pub fn show(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Says why a command failed, where people look for it.
pub fn complain(failure: &Failure) {
    let mut text = format!("{} {}\n", console::style("error:").red().bold().for_stderr(), failure);
    if !failure.hint.is_empty() {
        text.push_str(&format!("hint: {}\n", failure.hint));
    }
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Says something that is no failure of the command, where people look for it.
pub fn warn(line: &str) {
    if is_quiet() {
        return;
    }
    let _ = writeln!(std::io::stderr().lock(), "{} {line}", console::style("note:").yellow().for_stderr());
}
