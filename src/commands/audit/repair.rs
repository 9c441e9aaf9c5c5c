//! `audit repair`: a break is accepted, and stays told.

use super::{boot, failure, Context};
use crate::error::{Exit, Failure};
use crate::report::{emit, json};
use serde_json::json;

/// Runs it.
///
/// # Errors
/// The journal cannot be read or written.
pub fn run(context: &Context) -> Result<Exit, Failure> {
    let head = audit::repair(&context.journal, &boot(context)).map_err(|error| failure(&error))?;
    if context.json {
        let members = json!({ "repaired": head.is_some(), "gap": head.map(|head| head.seq), "head": head.map(|head| head.short()) });
        emit(&json::document("audit-repair", members))?;
        return Ok(Exit::Done);
    }
    emit(&match head {
        None => "nothing is broken; nothing was changed\n".to_owned(),
        Some(head) => format!(
            "the journal goes on behind the break; record {} says what was wrong\n\
             verifying stays red there; hold what follows with\n  \
             audit verify --from {}\nhead {}\n",
            head.seq,
            audit::last_repair(&context.journal)
                .ok()
                .flatten()
                .map_or_else(String::new, |from| from.to_string()),
            head.short()
        ),
    })?;
    Ok(Exit::Done)
}
