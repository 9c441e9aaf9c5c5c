//! `audit prune`: old segments go, and a record says which.

use super::{boot, failure, Context};
use crate::cli::audit::PruneArgs;
use crate::error::{Code, Exit, Failure};
use crate::report::{complain, emit, json};
use serde_json::json;

/// Runs it.
///
/// # Errors
/// The journal cannot be read or written, or its files are append-only.
pub fn run(context: &Context, args: &PruneArgs) -> Result<Exit, Failure> {
    let (plan, head) = if args.yes {
        context.journal_is_safe()?;
        match audit::prune(&context.journal, &boot(context), args.before).map_err(|error| failure(&error))? {
            Some((plan, head)) => (Some(plan), Some(head)),
            None => (None, None),
        }
    } else {
        (audit::prunable(&context.journal, args.before).map_err(|error| failure(&error))?, None)
    };
    if context.json {
        let members = json!({
            "files": plan.as_ref().map(|plan| plan.files.clone()).unwrap_or_default(),
            "first": plan.as_ref().map(|plan| plan.first),
            "last": plan.as_ref().map(|plan| plan.last),
            "pruned": head.is_some(),
            "head": head.map(|head| head.short()),
        });
        emit(&json::document("audit-prune", members))?;
    } else {
        emit(&match (&plan, head) {
            (None, _) => "no whole segment is that old; nothing was changed\n".to_owned(),
            (Some(plan), None) => {
                format!("would remove records {} to {}: {}\n", plan.first, plan.last, plan.files.join(" "))
            }
            (Some(plan), Some(head)) => {
                format!(
                    "removed records {} to {}; record {} says so\nhead {}\n",
                    plan.first,
                    plan.last,
                    head.seq,
                    head.short()
                )
            }
        })?;
    }
    if plan.is_none() || head.is_some() {
        return Ok(Exit::Done);
    }
    if !context.json {
        let hint = "copy the journal's folder to where dom0 cannot reach it, then go on with --yes";
        complain(&Failure::new(
            Exit::Consent,
            Code::ConsentMissing,
            "not confirmed: nothing was removed",
            hint,
        ));
    }
    Ok(Exit::Consent)
}
