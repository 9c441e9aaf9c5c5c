//! `audit checkpoint`: the head, to be kept elsewhere.

use super::{failure, Context};
use crate::error::{Code, Exit, Failure};
use crate::report::{emit, json, warn};
use audit::{Against, Checkpoint, Verdict};
use serde_json::json;

/// Writes a checkpoint.
///
/// # Errors
/// Nobody would see it, there is no journal, it is broken, or it cannot be read.
pub fn run(context: &Context, to: &str) -> Result<Exit, Failure> {
    if context.quiet {
        return Err(Failure::usage(
            "a head that is not printed cannot be kept elsewhere",
            "leave out --quiet",
        ));
    }
    let from = verified(context)?;
    let statement = audit::head(&context.journal).map_err(|error| failure(&error))?;
    // A copy, or a journal somebody else owns, cannot remember; the head is as good.
    let remembered = match context.journal_is_safe() {
        Ok(()) => audit::remember(&context.journal, statement.head, to).map_err(|error| failure(&error)),
        Err(failure) => Err(failure),
    };
    if context.json {
        let members = json!({
            "journal": statement.journal,
            "seq": statement.head.seq,
            "hash": statement.head.hex(),
            "short": statement.head.short(),
            "text": statement.lines(),
            "remembered": remembered.is_ok(),
            "verified_from": from.as_ref().map(ToString::to_string),
        });
        emit(&json::document("audit-checkpoint", members))?;
        return Ok(Exit::Done);
    }
    emit(&format!("{}\n{}\n", statement.lines(), statement.head.short()))?;
    if let Some(from) = from {
        warn(&format!("verified behind the last repair only: audit verify --from {from}"));
    }
    if let Err(error) = remembered {
        warn(&format!("not remembered beside the journal: {}", error.message));
    }
    Ok(Exit::Done)
}

/// Verifies it: whole, or where a repair accepted a break, what follows that; the head behind which that is.
///
/// # Errors
/// Exit 7: it does not verify, and a head of it is worth nothing.
fn verified(context: &Context) -> Result<Option<Checkpoint>, Failure> {
    let sound = |from: Option<Checkpoint>| {
        let against = Against { from, ..Against::default() };
        let report =
            audit::verify(&context.journal, &against, &|_, _| ()).map_err(|error| failure(&error))?;
        Ok::<bool, Failure>(report.verdict() != Verdict::Altered)
    };
    if sound(None)? {
        return Ok(None);
    }
    if let Some(from) = audit::last_repair(&context.journal).map_err(|error| failure(&error))? {
        if sound(Some(from.clone()))? {
            return Ok(Some(from));
        }
    }
    let message = "the journal does not verify: a checkpoint of it would be worth nothing";
    let hint = "`audit verify` says where it was altered";
    Err(Failure::new(Exit::JournalBroken, Code::JournalBroken, message, hint))
}
