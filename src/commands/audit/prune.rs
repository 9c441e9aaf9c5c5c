//! `audit prune`: old segments go, and a record says which. What they tell of devices
//! goes on in records of its own.

use super::{boot, failure, Context};
use crate::cli::audit::PruneArgs;
use crate::error::{Code, Exit, Failure};
use crate::journal::{PastRecord, Sum};
use crate::report::{complain, emit, json};
use crate::run::nothing_pending;
use audit::{Head, Keep, Prune, Query, Record};
use serde_json::json;
use std::ops::ControlFlow;

/// Removes the segments that are old enough, or shows which.
///
/// # Errors
/// Exit 8: an operation is pending. The journal cannot be read or written, or its files are append-only.
pub fn run(context: &Context, args: &PruneArgs) -> Result<Exit, Failure> {
    if args.yes {
        context.journal_is_safe()?;
    }
    nothing_pending(&context.journal)?;
    let this_boot = first_of_this_boot(context)?;
    let before = this_boot.map_or(args.before, |first| args.before.min(first));
    let plan = audit::prunable(&context.journal, before).map_err(|error| failure(&error))?;
    let done = match &plan {
        Some(plan) if args.yes => Some(remove(context, plan)?),
        _ => None,
    };
    let stays = this_boot.filter(|first| *first < args.before);
    say(context, plan.as_ref(), done.as_ref(), stays)?;
    if plan.is_none() || done.is_some() {
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

/// The first record of this boot: what covers it, and what has to be accepted qube by qube, stays.
fn first_of_this_boot(context: &Context) -> Result<Option<u64>, Failure> {
    let mut first = None;
    let query = Query { values: vec![(Some("boot".to_owned()), boot(context))], ..Query::default() };
    audit::select(&context.journal, &query, &mut |line| {
        first = Record::parse(line).map(|record| record.seq());
        if first.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .map_err(|error| failure(&error))?;
    Ok(first)
}

/// Adds up what the records tell that go, and removes them.
fn remove(context: &Context, plan: &Prune) -> Result<(Head, usize), Failure> {
    let mut sum = Sum::default();
    audit::select(&context.journal, &Query::default(), &mut |line| {
        let Some(record) = Record::parse(line) else { return ControlFlow::Continue(()) };
        if record.seq() > plan.last {
            return ControlFlow::Break(());
        }
        if let Some(told) = PastRecord::read(&record) {
            sum.tell(&told);
        }
        ControlFlow::Continue(())
    })
    .map_err(|error| failure(&error))?;
    let (records, numbers) = sum.finish();
    let kept = records.len();
    let keep = Keep { records, numbers: numbers.to_vec() };
    // What was added up, and nothing that became old since.
    let before = plan.last.saturating_add(1);
    let pruned = audit::prune(&context.journal, &boot(context), before, keep);
    match pruned.map_err(|error| failure(&error))? {
        Some((_, head)) => Ok((head, kept)),
        None => Err(Failure::new(
            Exit::Io,
            Code::Journal,
            "the segments are gone already; another prune was quicker",
            "see `audit log --kind pruned`",
        )),
    }
}

fn say(
    context: &Context,
    plan: Option<&Prune>,
    done: Option<&(Head, usize)>,
    this_boot: Option<u64>,
) -> Result<(), Failure> {
    if context.json {
        let members = json!({
            "files": plan.map(|plan| plan.files.clone()).unwrap_or_default(),
            "first": plan.map(|plan| plan.first),
            "last": plan.map(|plan| plan.last),
            "pruned": done.is_some(),
            "kept": done.map(|(_, kept)| kept),
            "head": done.map(|(head, _)| head.short()),
        });
        return emit(&json::document("audit-prune", members));
    }
    let mut text = match (plan, done) {
        (None, _) => "no whole segment is that old; nothing was changed\n".to_owned(),
        (Some(plan), None) => {
            format!("would remove records {} to {}: {}\n", plan.first, plan.last, plan.files.join(" "))
        }
        (Some(plan), Some((head, kept))) => format!(
            "removed records {} to {}; record {} says so\n\
             {kept} records keep what they told of devices\n\
             head {}\n",
            plan.first,
            plan.last,
            head.seq,
            head.short()
        ),
    };
    if let Some(first) = this_boot {
        text.push_str(&format!("records of this boot stay: the first is {first}\n"));
    }
    emit(&text)
}
