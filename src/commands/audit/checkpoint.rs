//! `audit checkpoint`: the head, to be kept elsewhere.

use super::{failure, Context};
use crate::error::{Exit, Failure};
use crate::report::{emit, json, warn};
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
        });
        emit(&json::document("audit-checkpoint", members))?;
        return Ok(Exit::Done);
    }
    emit(&format!("{}\n{}\n", statement.lines(), statement.head.short()))?;
    if let Err(error) = remembered {
        warn(&format!("not remembered beside the journal: {}", error.message));
    }
    Ok(Exit::Done)
}
