//! `list`: every function that dom0 does not drive.

use super::Context;
use crate::assess::{state_of, Case};
use crate::error::{Exit, Failure};
use crate::names::escape;
use crate::observe::Sources;
use crate::report::text::wrapped;
use crate::report::{self, device_block, emit, json, no_qubes, qubes_asked, unseen_block};
use crate::run::Unsettled;
use serde_json::json;
use std::rc::Rc;

/// Lists them; `all`: those that dom0 drives too.
///
/// # Errors
/// This is no dom0, or sysfs cannot be read.
pub fn run(context: &Context, all: bool) -> Result<Exit, Failure> {
    let mut sources = Sources::open(&context.root)?;
    let dom0 = Rc::new(sources.observe()?);
    let unsettled = context.unsettled(&dom0);
    // Where Xen cannot be asked, sysfs has to do; what it cannot show is said below.
    let sees = dom0.owners.is_ok() && dom0.uses.is_ok();
    let wanted: Vec<_> = dom0
        .functions
        .values()
        .filter(|function| {
            let state = state_of(&dom0, function);
            let fine = if sees { state.is_fine() } else { state.looks_fine() };
            all || !fine || unsettled.is_of(function.sbdf)
        })
        .map(|function| (function.sbdf, None))
        .collect();
    let cases = context.returns(&mut sources, &dom0, &wanted, &[])?;
    let cases: Vec<Case> = cases
        .into_iter()
        .map(|case| {
            let verdict = unsettled.verdict(case.sbdf());
            case.beside(verdict)
        })
        .collect();
    let mut not_seen = dom0.unseen();
    not_seen.extend(cases.first().and_then(|case| case.past.unseen()));
    let former = context.former_journal().map(|path| escape(path.as_os_str().as_encoded_bytes()));
    if context.json {
        let (pending, running) = report::unsettled(&unsettled);
        emit(&json::document(
            "list",
            json!({
                "pending": pending,
                "running": running,
                "functions": cases.iter().map(json::device).collect::<Vec<_>>(),
                "former_journal": former,
                "qubes": qubes_asked(&dom0),
                "unseen": not_seen,
            }),
        ))?;
        return Ok(Exit::Done);
    }
    let command = if all { "list --all" } else { "list" };
    let mut text = report::heading(dom0.by_root, &not_seen, &unsettled, command);
    text.extend(cases.iter().map(device_block));
    if cases.is_empty() && not_seen.is_empty() && matches!(unsettled, Unsettled::Nothing) {
        text.push_str("dom0 drives every function.\n");
    }
    text.push_str(&no_qubes(&dom0));
    text.push_str(&unseen_block(&not_seen));
    if let Some(former) = former {
        let what =
            format!("an older journal is at {former}; what counts is at {}", context.journal.display());
        text.push_str(&wrapped("note: ", &what));
    }
    emit(&text)?;
    Ok(Exit::Done)
}
