//! `status`: one screen that says how this dom0 stands, and what to type next.

use super::list::{hidden_line, Away};
use super::Context;
use crate::assess::{Case, Kind};
use crate::cli::StatusArgs;
use crate::error::{Exit, Failure};
use crate::names::Sbdf;
use crate::observe::overview::{JournalState, RecorderState, System};
use crate::observe::qubes::Mode;
use crate::observe::{Dom0, Sources};
use crate::plan::next_boot::unassigning;
use crate::report::status::{journal, policy, recorder, redacted, screen, Screen, Taking};
use crate::report::{self, device_status, emit, json, qubes_asked, ListOrder};
use serde_json::json;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Shows it.
///
/// # Errors
/// This is no dom0, or sysfs cannot be read.
pub fn run(context: &Context, args: &StatusArgs) -> Result<Exit, Failure> {
    if args.redact && !context.json {
        return Err(Failure::usage("--redact needs --json", "run `status --json --redact`"));
    }
    let mut sources = Sources::open(&context.root)?;
    let dom0 = Rc::new(sources.observe()?);
    let unsettled = context.unsettled(&dom0);
    let mut away = Away::read(context, &mut sources, &dom0, &unsettled, false)?;
    ListOrder::Action.sort(&mut away.cases);
    let taking = taking(&mut sources, &dom0)?;
    let system = System::read(&context.root);
    let recorder_state = RecorderState::read(&context.root, &context.journal, &dom0);
    let journal_state = JournalState::read(&context.journal);
    let mut not_seen = dom0.unseen();
    not_seen.extend(away.cases.first().and_then(|case| case.past.unseen()));
    let shown = Screen {
        dom0: &dom0,
        system: &system,
        recorder: &recorder_state,
        journal: &journal_state,
        unsettled: &unsettled,
        cases: &away.cases,
        hidden: hidden_line(away.hidden),
        taking: &taking,
        unseen: &not_seen,
    };
    if !context.json {
        emit(&screen(&shown))?;
        return Ok(Exit::Done);
    }
    let (pending, running) = report::unsettled(&unsettled);
    let members = json!({
        "system": { "qubes": system.qubes, "xen": system.xen },
        "recorder": recorder(&recorder_state),
        "pending": pending,
        "running": running,
        "journal": journal(&journal_state),
        "policy": policy(&dom0.policy),
        "devices": away.cases.iter().map(device_status).collect::<Vec<_>>(),
        "hidden": away.hidden,
        "taken_at_next_start": taking.iter().map(report::status::taking).collect::<Vec<_>>(),
        "qubes": qubes_asked(&dom0),
        "unseen": not_seen,
    });
    let members = if args.redact { redacted(members, &names(&dom0, &away.cases)) } else { members };
    emit(&json::document("status", members))?;
    Ok(Exit::Done)
}

/// The devices that dom0 drives and that some qube takes at its next start.
fn taking(sources: &mut Sources, dom0: &Dom0) -> Result<Vec<Taking>, Failure> {
    let Some(known) = dom0.qubes_said() else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    let driven = |sbdf: &Sbdf| {
        let function = dom0.functions.get(sbdf)?;
        let state = crate::assess::state_of(dom0, function);
        matches!(state.kind, Kind::Driven(_)).then_some(function)
    };
    for function in dom0.functions.keys().filter_map(driven) {
        let mut qubes = BTreeSet::new();
        for (qube, assignment) in known.assigned(function) {
            if !assignment.lasts()
                || assignment.mode == Mode::AskToAttach
                || !qubes.insert(qube.name.to_string())
            {
                continue;
            }
            let subject = sources.subjects(dom0, &[function.sbdf])?.into_iter().next();
            all.push(Taking {
                sbdf: function.sbdf,
                description: subject.map(|subject| subject.description).unwrap_or_default(),
                qube: qube.name.to_string(),
                keep: unassigning(known, qube, assignment, &function.port()),
            });
        }
    }
    Ok(all)
}

/// Every name of a qube that may stand in the answer.
fn names(dom0: &Dom0, cases: &[Case]) -> BTreeSet<String> {
    let known = dom0.qubes_said().into_iter().flat_map(|known| &known.qubes);
    let mut names: BTreeSet<String> = known.map(|qube| qube.name.to_string()).collect();
    for case in cases {
        names.extend(case.qube());
        names.extend(case.had().into_iter().flat_map(|one| [one.name, one.who]));
        names.extend(case.exposure().into_iter().flat_map(|it| &it.before).map(|one| one.had.qube.clone()));
    }
    names.retain(|name| !name.is_empty() && name != "dom0" && !name.starts_with("domain "));
    names
}
