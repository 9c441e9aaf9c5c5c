//! `audit`: the journal, for those who review it. Nothing here needs a dom0: it
//! works on copies, owned by anyone.

#![forbid(unsafe_code)]

mod checkpoint;
mod export;
mod import;
mod log;
mod prune;
mod repair;
mod report;
mod show;
mod timeline;
mod verify;

use super::Context;
use crate::cli::audit::{AuditCommand, PruneArgs, ReportArgs};
use crate::cli::JOURNAL;
use crate::error::{Exit, Failure};
use crate::journal::Moment;
use crate::names::Sbdf;
use crate::observe;
use crate::system::confine::{confine, Needs};
use crate::system::lock::OperationLock;
use std::path::Path;

/// The command's name in documents, and how it ended.
pub fn run(context: &Context, command: &AuditCommand) -> (&'static str, Result<Exit, Failure>) {
    // Taken before rights are given up.
    let _lock = match lock(context, command) {
        Ok(lock) => lock,
        Err(failure) => return (name(command), Err(failure)),
    };
    // What cannot be given up stays, as with any program; where somebody wants
    // to know, /proc/PID/status tells.
    let _ = confine(&needs(context, command));
    let result = match command {
        AuditCommand::Log(args) => log::run(context, args),
        AuditCommand::Show { what } => show::run(context, what),
        AuditCommand::Timeline(args) => timeline::run(context, args),
        AuditCommand::Report(args) => report::run(context, args),
        AuditCommand::Verify(args) => verify::run(context, args),
        AuditCommand::Checkpoint { to } => checkpoint::run(context, to),
        AuditCommand::Import(args) => import::run(context, args),
        AuditCommand::Export => export::run(context),
        AuditCommand::Repair => repair::run(context),
        AuditCommand::Prune(args) => prune::run(context, args),
    };
    (name(command), result)
}

/// What takes records away, or accepts that they are gone, does so beside no operation.
fn lock(context: &Context, command: &AuditCommand) -> Result<Option<OperationLock>, Failure> {
    let takes = matches!(command, AuditCommand::Repair | AuditCommand::Prune(PruneArgs { yes: true, .. }));
    // A copy is nobody's.
    let own = context.journal == context.root.path(JOURNAL) && context.journal.exists();
    (takes && own).then(|| OperationLock::take(&context.root, name(command))).transpose()
}

fn name(command: &AuditCommand) -> &'static str {
    match command {
        AuditCommand::Log(_) => "audit-log",
        AuditCommand::Show { .. } => "audit-show",
        AuditCommand::Timeline(_) => "audit-timeline",
        AuditCommand::Report(_) => "audit-report",
        AuditCommand::Verify(_) => "audit-verify",
        AuditCommand::Checkpoint { .. } => "audit-checkpoint",
        AuditCommand::Import(_) => "audit-import",
        AuditCommand::Export => "audit-export",
        AuditCommand::Repair => "audit-repair",
        AuditCommand::Prune(_) => "audit-prune",
    }
}

/// What a command needs: a journal may be a forger's, and so may the logs that are imported.
fn needs(context: &Context, command: &AuditCommand) -> Needs {
    match command {
        AuditCommand::Checkpoint { .. }
        | AuditCommand::Repair
        | AuditCommand::Prune(PruneArgs { yes: true, .. }) => Needs::writing(&context.journal),
        AuditCommand::Import(args) => {
            let reading = if args.dry_run { Needs::reading() } else { Needs::writing(&context.journal) };
            // journalctl.
            Needs { starts_programs: true, ..reading }
        }
        AuditCommand::Report(ReportArgs { html: Some(path), .. }) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Needs::writing(folder.unwrap_or(Path::new(".")))
        }
        _ => Needs::reading(),
    }
}

/// An error of the journal as one of the program.
fn failure(error: &audit::Error) -> Failure {
    Failure::of_journal(error)
}

/// The boot that records of this run belong to.
fn boot(context: &Context) -> String {
    // Repairing and pruning a copy somewhere else must not need this system's boot id.
    let id = observe::boot_id(&context.root).unwrap_or_default();
    id.chars().filter(char::is_ascii_hexdigit).take(8).collect()
}

/// The function a person names; the journal may know it though this machine does not.
fn device(context: &Context, text: &str) -> Result<Sbdf, Failure> {
    observe::address(&context.root, text)?.ok_or_else(|| {
        Failure::usage(
            format!("{} leads to no function of this machine", crate::names::escape(text.as_bytes())),
            "give the address as 0000:00:1f.6",
        )
    })
}

/// What is said of lines that are no records. What tells which they are stands
/// behind "line", and behind "lines".
fn no_records(lines: u64, [one, several]: [&str; 2]) -> String {
    let said = match lines {
        1 => format!("1 line{one} is no record"),
        _ => format!("{lines} lines{several} are no records"),
    };
    said + ": see `audit verify`"
}

/// A time that was given, as the journal writes it, or the beginning of one.
fn moment(text: &str) -> Result<Moment, Failure> {
    Moment::beginning(text).ok_or_else(|| {
        Failure::usage(
            format!("{} is no time", crate::names::escape(text.as_bytes())),
            "give it in UTC, as 2026-11-22T13:47",
        )
    })
}
