//! `list`: every function that dom0 does not drive.

use super::assessed::{names_of, All, Assessed};
use super::Context;
use crate::error::{Exit, Failure};
use crate::observe::Sources;
use crate::report::text::wrapped;
use crate::report::{device_block, emit, json};
use serde_json::json;

/// Runs it.
///
/// # Errors
/// This is no dom0, or sysfs cannot be read.
pub fn run(context: &Context, all: bool) -> Result<Exit, Failure> {
    let mut sources = Sources::open(&context.root)?;
    // Where Xen cannot be asked, sysfs has to do; what it cannot show is said below.
    let All { dom0, past, assessed } = Assessed::all(context, &mut sources, |dom0, state| {
        let fine =
            if dom0.owners.is_ok() && dom0.uses.is_ok() { state.is_fine() } else { state.looks_fine() };
        all || !fine
    })?;
    let names = names_of(context, assessed.iter().map(|one| &one.function));
    let unseen = Assessed::unseen(&dom0, &past);
    let describe =
        |one: &Assessed| names.describe(one.function.class, one.function.vendor, one.function.device);
    if context.json {
        let functions: Vec<_> =
            assessed.iter().map(|one| one.described(&describe(one), json::device)).collect();
        emit(&json::document(
            "list",
            json!({
                "functions": functions,
                "qubes": Assessed::qubes(&dom0),
                "unseen": unseen,
            }),
        ))?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for one in &assessed {
        text.push_str(&one.described(&describe(one), device_block));
    }
    if assessed.is_empty() && unseen.is_empty() {
        text.push_str("dom0 drives every function.\n");
    }
    text.push_str(&Assessed::of_no_qubes(&dom0));
    for what in unseen {
        text.push_str(&wrapped("not seen: ", &what));
    }
    emit(&text)?;
    Ok(Exit::Done)
}
