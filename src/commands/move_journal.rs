//! `move-journal`: what the package's update runs. Older versions kept the journal below a folder that a
//! group can write.

use super::Context;
use crate::cli::FORMER_JOURNAL;
use crate::error::{Code, Exit, Failure};
use crate::journal::journal_boot;
use crate::observe::boot_id;
use crate::report::text::wrapped;
use crate::report::{emit, json, warn};
use crate::system::lock::{OperationLock, RecorderMark};
use crate::system::unit::Unit;
use audit::{Kind, Relocation};
use serde_json::json;

/// Runs the move.
///
/// # Errors
/// Exit 10: not root; 1: an operation or a recorder runs; 7: it was moved, but could have been written by
/// others or does not verify; 11: it cannot be copied.
pub fn run(context: &Context) -> Result<Exit, Failure> {
    context.must_be_root()?;
    context.journal_is_safe()?;
    // Where there is a journal already, the recorder goes on.
    let begun = !matches!(audit::head(&context.journal), Err(error) if error.kind() == Kind::Absent);
    let moved = match context.former_journal() {
        Some(_) if !begun => moved(context)?,
        _ => Relocation::Nothing,
    };
    let doubts = match &moved {
        Relocation::Done { doubts, .. } => doubts.as_slice(),
        Relocation::Nothing | Relocation::Occupied => &[],
    };
    let to = context.journal.display();
    let head = match &moved {
        Relocation::Done { head, .. } => Some(head.short()),
        Relocation::Nothing | Relocation::Occupied => None,
    };
    if context.json {
        let members = json!({ "moved": head.is_some(), "head": head, "doubts": doubts });
        emit(&json::document("move-journal", members))?;
    } else if let Some(head) = head {
        let said = format!("the journal is now at {to}; what is at {FORMER_JOURNAL} is kept, read-only");
        emit(&format!("{}head {head}\n", wrapped("", &said)))?;
    } else {
        emit("there is no journal to move; nothing was changed\n")?;
    }
    if doubts.is_empty() {
        return Ok(Exit::Done);
    }
    if !context.json {
        warn(&format!("devices have the hazard journal-broken from now on: {}", doubts.join("; ")));
    }
    Ok(Exit::JournalBroken)
}

/// Moves it while nobody writes it.
fn moved(context: &Context) -> Result<Relocation, Failure> {
    let _lock = OperationLock::take(&context.root, "move-journal")?;
    let recorder = Unit::recorder(&context.root);
    let ran = recorder.stop();
    let result = match RecorderMark::holder(&context.root) {
        Some(_) => Err(Failure::new(
            Exit::Undone,
            Code::Busy,
            "a recorder writes the journal",
            "stop it, then run `qubes-dom0-pci move-journal`",
        )
        .untouched()),
        None => {
            let boot = journal_boot(&boot_id(&context.root).unwrap_or_default());
            let from = context.root.path(FORMER_JOURNAL);
            audit::relocate(&from, &context.journal, &boot).map_err(|error| Failure::of_journal(&error))
        }
    };
    if ran {
        recorder.start();
    }
    result
}
