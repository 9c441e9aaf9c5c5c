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
use crate::observe::{self, journals};
use crate::report::{complain, emit, json};
use crate::system::confine::{confine, Needs};
use crate::system::lock::OperationLock;
use crate::system::scratch::Scratch;
use std::path::Path;

/// The command's name in documents, and how it ended.
pub fn run(context: &Context, command: &AuditCommand) -> (&'static str, Result<Exit, Failure>) {
    (name(command), confined(context, command))
}

fn confined(context: &Context, command: &AuditCommand) -> Result<Exit, Failure> {
    // Taken before rights are given up.
    let _lock = lock(context, command)?;
    let room = (reads(command) && journals::is_stream(&context.journal)).then(journals::room).transpose()?;
    // What cannot be given up stays, as with any program; where somebody wants
    // to know, /proc/PID/status tells.
    let _ = confine(&needs(context, command, room.as_ref()));
    let Some(room) = room else { return one(context, command) };
    let all = journals::unpacked(&context.journal, &room)?;
    if all.len() > 1 && is_of_one(command) {
        return Err(Failure::usage(
            format!("this needs one journal, and the archive holds {}", all.len()),
            "unpack the archive, and name one of its folders with --journal",
        ));
    }
    let several = all.len() > 1;
    let mut worst = Exit::Done;
    for (number, journal) in all.into_iter().enumerate() {
        if let (Some(name), false) = (&journal.name, context.json) {
            let gap = if number > 0 { "\n" } else { "" };
            emit(&format!("{gap}Journal {name}\n"))?;
        }
        let context = Context {
            root: context.root.clone(),
            journal: journal.folder,
            shown_journal: journal.name.or_else(|| Some(shown(&context.journal))),
            ..*context
        };
        let exit = match one(&context, command) {
            // It does not hide the others.
            Err(failure) if several => {
                tell(&context, name(command), &failure)?;
                failure.exit
            }
            other => other?,
        };
        if badness(exit) > badness(worst) {
            worst = exit;
        }
    }
    Ok(worst)
}

fn one(context: &Context, command: &AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Log(args) => log::run(context, args),
        AuditCommand::Show { what } => show::run(context, what),
        AuditCommand::Timeline(args) => timeline::run(context, args),
        AuditCommand::Report(args) => report::run(context, args),
        AuditCommand::Verify(args) => verify::run(context, args),
        AuditCommand::Checkpoint { to } => checkpoint::run(context, to),
        AuditCommand::Import(args) => import::run(context, args),
        AuditCommand::Export => export::run(context),
        AuditCommand::Repair { yes } => repair::run(context, *yes),
        AuditCommand::Prune(args) => prune::run(context, args),
    }
}

/// Whether a command only reads, so that a stream does as well as a folder.
fn reads(command: &AuditCommand) -> bool {
    match command {
        AuditCommand::Log(args) => !args.follow,
        AuditCommand::Show { .. }
        | AuditCommand::Timeline(_)
        | AuditCommand::Report(_)
        | AuditCommand::Verify(_)
        | AuditCommand::Export => true,
        _ => false,
    }
}

/// Whether a command makes sense for one journal only.
fn is_of_one(command: &AuditCommand) -> bool {
    match command {
        AuditCommand::Report(args) => args.csv || args.html.is_some() || !args.checkpoints.is_empty(),
        AuditCommand::Verify(args) => !args.checkpoints.is_empty() || args.from.is_some(),
        AuditCommand::Show { .. } | AuditCommand::Export => true,
        _ => false,
    }
}

/// What went wrong with one journal of several.
fn tell(context: &Context, command: &str, failure: &Failure) -> Result<(), Failure> {
    if context.json {
        return emit(&json::document(command, json::error(failure)));
    }
    complain(failure);
    Ok(())
}

/// Which exit status of several journals is the worst.
fn badness(exit: Exit) -> u8 {
    match exit {
        Exit::Done => 0,
        Exit::TornTail => 1,
        Exit::JournalBroken => 3,
        _ => 2,
    }
}

/// A path for people.
fn shown(path: &Path) -> String {
    crate::names::escape(path.as_os_str().as_encoded_bytes())
}

/// What takes records away, or accepts that they are gone, does so beside no operation.
fn lock(context: &Context, command: &AuditCommand) -> Result<Option<OperationLock>, Failure> {
    let takes = matches!(
        command,
        AuditCommand::Repair { yes: true } | AuditCommand::Prune(PruneArgs { yes: true, .. })
    );
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
        AuditCommand::Repair { .. } => "audit-repair",
        AuditCommand::Prune(_) => "audit-prune",
    }
}

/// What a command needs: a journal may be a forger's, and so may the logs that are imported.
fn needs(context: &Context, command: &AuditCommand, room: Option<&Scratch>) -> Needs {
    let mut needs = match command {
        AuditCommand::Checkpoint { .. }
        | AuditCommand::Repair { .. }
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
    };
    if let Some(room) = room {
        needs.writes.push(room.path().to_path_buf());
        needs.clears = room.path().parent().map(Path::to_path_buf);
    }
    needs
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
