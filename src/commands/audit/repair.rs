//! `audit repair`: a break is accepted, and stays told.

use super::{boot, failure, Context};
use crate::error::{Code, Exit, Failure};
use crate::report::text::wrapped;
use crate::report::{complain, emit, json};
use crate::run::nothing_pending;
use audit::Head;
use serde_json::json;

/// Accepts the break in the journal where `yes` says so, and says from where it verifies again; else it says
/// what it would accept.
///
/// # Errors
/// Exit 8: an operation is pending, and can be settled. The journal cannot be read or written.
pub fn run(context: &Context, yes: bool) -> Result<Exit, Failure> {
    if yes {
        context.journal_is_safe()?;
    }
    // Where no record can be written, `recover` cannot settle anything before this has mended it.
    if !matches!(audit::head(&context.journal), Err(error) if error.kind() == audit::Kind::Broken) {
        nothing_pending(&context.journal)?;
    }
    let why = audit::repairable(&context.journal).map_err(|error| failure(&error))?;
    let head = match &why {
        Some(_) if yes => audit::repair(&context.journal, &boot(context)).map_err(|error| failure(&error))?,
        _ => None,
    };
    say(context, why.as_deref(), head)?;
    if why.is_none() || head.is_some() {
        return Ok(Exit::Done);
    }
    if !context.json {
        let hint =
            "copy the journal's folder to where dom0 cannot reach it, then run: sudo qubes-dom0-pci audit \
                    repair --yes";
        let failure = Failure::new(Exit::Consent, Code::ConsentMissing, "not confirmed", hint);
        complain(&failure.untouched());
    }
    Ok(Exit::Consent)
}

fn say(context: &Context, why: Option<&str>, head: Option<Head>) -> Result<(), Failure> {
    if context.json {
        let members = json!({
            "why": why,
            "repaired": head.is_some(),
            "gap": head.map(|head| head.seq),
            "head": head.map(|head| head.short()),
        });
        return emit(&json::document("audit-repair", members));
    }
    let from = audit::last_repair(&context.journal).ok().flatten();
    let behind = from.map_or_else(String::new, |from| {
        format!(
            "verification keeps failing at that point; to verify what follows, run\n\
             \x20 audit verify --from {from}\n"
        )
    });
    emit(&match (why, head) {
        (None, _) if behind.is_empty() => "nothing is broken; nothing was changed\n".to_owned(),
        (None, _) => format!("nothing is broken behind the last repair; nothing was changed\n{behind}"),
        (Some(why), None) => {
            let what = format!("would accept this break, for good, and go on behind it: {why}");
            wrapped("", &what)
        }
        (Some(_), Some(head)) => format!(
            "the journal goes on behind the break; record {} says what was wrong\n{behind}head {}\n",
            head.seq,
            head.short()
        ),
    })
}
