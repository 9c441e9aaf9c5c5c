//! `list`: every function that dom0 does not drive.

use super::assessed::{names_of, All, Assessed};
use super::Context;
use crate::error::{Exit, Failure};
use crate::names::escape;
use crate::observe::Sources;
use crate::report::text::wrapped;
use crate::report::{self, device_block, emit, json};
use crate::run::Unsettled;
use serde_json::json;

/// Runs it.
///
/// # Errors
/// This is no dom0, or sysfs cannot be read.
pub fn run(context: &Context, all: bool) -> Result<Exit, Failure> {
    let mut sources = Sources::open(&context.root)?;
    // Where Xen cannot be asked, sysfs has to do; what it cannot show is said below.
    let boot_id = crate::observe::boot_id(&context.root)?;
    let unsettled = Unsettled::read(&context.root, &context.journal, &boot_id);
    let All { dom0, past, assessed } = Assessed::all(context, &mut sources, |dom0, sbdf, state| {
        let fine =
            if dom0.owners.is_ok() && dom0.uses.is_ok() { state.is_fine() } else { state.looks_fine() };
        all || !fine || unsettled.is_of(sbdf)
    })?;
    let assessed: Vec<Assessed> = assessed.into_iter().map(|one| one.beside(&unsettled)).collect();
    let names = names_of(context, assessed.iter().map(|one| &one.function));
    let unseen = Assessed::unseen(&dom0, &past);
    let describe =
        |one: &Assessed| names.describe(one.function.class, one.function.vendor, one.function.device);
    let former = context.former_journal().map(|path| escape(path.as_os_str().as_encoded_bytes()));
    if context.json {
        let functions: Vec<_> =
            assessed.iter().map(|one| one.described(&describe(one), json::device)).collect();
        let (pending, running) = report::unsettled(&unsettled);
        emit(&json::document(
            "list",
            json!({
                "pending": pending,
                "running": running,
                "functions": functions,
                "qubes": Assessed::qubes(&dom0),
                "unseen": unseen,
                "former_journal": former,
            }),
        ))?;
        return Ok(Exit::Done);
    }
    let command = if all { "list --all" } else { "list" };
    let mut text = Assessed::heading(&dom0, &unseen, &unsettled, command);
    for one in &assessed {
        text.push_str(&one.described(&describe(one), device_block));
    }
    if assessed.is_empty() && unseen.is_empty() && matches!(unsettled, Unsettled::Nothing) {
        text.push_str("dom0 drives every function.\n");
    }
    text.push_str(&Assessed::of_no_qubes(&dom0));
    for what in unseen {
        text.push_str(&wrapped("not seen: ", &what));
    }
    if let Some(former) = former {
        let what =
            format!("an older journal is at {former}; what counts is at {}", context.journal.display());
        text.push_str(&wrapped("note: ", &what));
    }
    emit(&text)?;
    Ok(Exit::Done)
}
