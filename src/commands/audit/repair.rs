//! `audit repair`: a break is accepted, and stays told.

use super::{boot, failure, Context};
use crate::error::{Exit, Failure};
use crate::report::{emit, json};
use crate::run::nothing_pending;
use serde_json::json;

/// Accepts the break in the journal, and says from where it verifies again.
///
/// # Errors
/// Exit 8: an operation is pending, and can be settled. The journal cannot be read or written.
pub fn run(context: &Context) -> Result<Exit, Failure> {
    context.journal_is_safe()?;
    // Where no record can be written, `recover` cannot settle anything before this has mended it.
    if !matches!(audit::head(&context.journal), Err(error) if error.kind() == audit::Kind::Broken) {
        nothing_pending(&context.journal)?;
    }
    let head = audit::repair(&context.journal, &boot(context)).map_err(|error| failure(&error))?;
    if context.json {
        let members = json!({
            "repaired": head.is_some(),
            "gap": head.map(|head| head.seq),
            "head": head.map(|head| head.short()),
        });
        emit(&json::document("audit-repair", members))?;
        return Ok(Exit::Done);
    }
    let from = audit::last_repair(&context.journal).ok().flatten();
    let behind = from.map_or_else(String::new, |from| {
        format!(
            "verification keeps failing at that point; to verify what follows, run\n\
             \x20 audit verify --from {from}\n"
        )
    });
    emit(&match head {
        None if behind.is_empty() => "nothing is broken; nothing was changed\n".to_owned(),
        None => format!("nothing is broken behind the last repair; nothing was changed\n{behind}"),
        Some(head) => format!(
            "the journal goes on behind the break; record {} says what was wrong\n{behind}head {}\n",
            head.seq,
            head.short()
        ),
    })?;
    Ok(Exit::Done)
}
