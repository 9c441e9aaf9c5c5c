//! `reattach`: the guarded sequence; several functions are one operation.

use super::{Context, Purpose};
use crate::assess::{Case, HazardId, Verdict};
use crate::cli::ReattachArgs;
use crate::consent::{is_reviewed, not_accepted, refused, stale, Accepted, Asked, Review};
use crate::error::{Exit, Failure};
use crate::journal::Consent;
use crate::names::{DriverName, Sbdf};
use crate::observe::Sources;
use crate::plan::{id_of_all, Proposal};
use crate::report::{answer, json, reboot_instead, review_block, review_screen, show};
use crate::run::{new_operation_ids, Aim, Order, Task, Turn, Writer};
use crate::system::signals::HeldSignals;
use serde_json::json;
use std::rc::Rc;

/// Returns the devices.
///
/// # Errors
/// It is refused, not consented to, or not possible here; nothing was changed.
pub fn run(context: &Context, args: &ReattachArgs) -> Result<Exit, Failure> {
    let accepted = Accepted::parse(&args.plan.accept)?;
    let wanted = context.wanted(&args.plan.devices.device, Purpose::Return)?;
    let driver = Sources::driver(&context.root, args.plan.driver.as_deref())?;
    context.must_be_root()?;
    let mut sources = context.open_all()?;
    let mut turn = Turn::take(&context.root, &context.journal, "reattach")?;
    let proposals = propose(context, &mut sources, &wanted, driver.as_ref())?;
    let id = id_of_all(&proposals);
    turn.is_free(&sources)?;
    is_reviewed(args.plan_id.as_deref(), &id, " with `plan`")?;
    let called = context.called("reattach", &wanted, args.plan.driver.as_ref());
    let cases: Vec<&Case> = proposals.iter().map(|one| &one.case).collect();
    refused(&cases, &called)?;
    let to_do: Vec<&Proposal> = proposals.iter().filter(|one| one.case.verdict != Verdict::Nothing).collect();
    let review = Review::of(&cases, &accepted);
    // A person thinks as long as they like; what may change in that time is looked at again below.
    let asked = review.asks(context.script());
    if asked {
        turn.give_back();
    }
    let accepted = match consent(context, &review, &to_do, accepted) {
        Ok(accepted) => accepted,
        Err(Asked::NoTerminal) => {
            let failure = not_accepted(&review, &Accepted::parse(&args.plan.accept)?, &called);
            return unaccepted(context, &review, &id, failure);
        }
        Err(asked) => return Ok(left(asked, &to_do)),
    };
    if turn.take_again()? && id_of_all(&propose(context, &mut sources, &wanted, driver.as_ref())?) != id {
        return Err(stale());
    }
    let mut tasks = Vec::new();
    let ids = new_operation_ids(&sources, to_do.len())?;
    for (Proposal { case, plan }, id) in to_do.iter().zip(ids) {
        let mut writer = Writer::open(&context.journal, &case.dom0.boot_id, id)?;
        let words = accepted.words().to_vec();
        let consent = Consent { plan: plan.id.clone(), act: None, accepted: words, asked };
        writer.start(&context.root, "reattach", case, Some(consent));
        let order = Order::of(case, plan, &accepted, args.timeout.duration())?;
        tasks.push(Task { order, writer, aim: Aim::Return });
    }
    let mut against = |sources: &mut Sources, sbdf: Sbdf| {
        let now = propose(context, sources, &wanted, driver.as_ref());
        against(now, sbdf, &accepted)
    };
    let mut signals = HeldSignals::hold();
    let ended = context.carry_out(&mut sources, tasks, &mut signals, &mut against);
    answer(context.json, "reattach", &cases, ended)
}

fn propose(
    context: &Context,
    sources: &mut Sources,
    wanted: &[Sbdf],
    driver: Option<&DriverName>,
) -> Result<Vec<Proposal>, Failure> {
    let dom0 = Rc::new(sources.observe()?);
    let named: Vec<_> = wanted.iter().map(|sbdf| (*sbdf, driver.cloned())).collect();
    let cases = context.returns(sources, &dom0, &named, wanted)?;
    for case in &cases {
        case.subject.is_known()?;
    }
    Ok(cases.into_iter().map(Proposal::to_return).collect())
}

/// What speaks against going on with one: a stop, or a hazard that was not accepted.
fn against(now: Result<Vec<Proposal>, Failure>, sbdf: Sbdf, accepted: &Accepted) -> Option<String> {
    let now = match now {
        Ok(now) => now,
        Err(failure) => return Some(failure.message),
    };
    let case = now.iter().map(|one| &one.case).find(|case| case.sbdf() == sbdf)?;
    if let Verdict::Refused(ids) = &case.verdict {
        return Some(format!("refused now: {}", HazardId::list(ids)));
    }
    let new: Vec<String> = accepted.missing(&case.hazards).iter().map(|hazard| hazard.acceptance()).collect();
    (!new.is_empty()).then(|| format!("new since it was reviewed: {}", new.join(", ")))
}

/// Shows what is to be decided, and asks where somebody can be asked.
fn consent(
    context: &Context,
    review: &Review<'_>,
    to_do: &[&Proposal],
    accepted: Accepted,
) -> Result<Accepted, Asked> {
    let cases: Vec<&Case> = to_do.iter().map(|one| &one.case).collect();
    let screen =
        if review.asks(context.script()) { review_screen(&cases, &review.missing) } else { String::new() };
    if screen.is_empty() && !review.missing.is_empty() && !context.json {
        review_block(&cases);
    }
    match review.ask(&screen, context.script()) {
        Asked::GoOn => Ok(accepted.with(&review.missing)),
        other => Err(other),
    }
}

/// A person has chosen not to go on: that is not an error.
fn left(asked: Asked, to_do: &[&Proposal]) -> Exit {
    let cases: Vec<&Case> = to_do.iter().map(|one| &one.case).collect();
    match asked {
        Asked::Reboot => show(&reboot_instead(&cases)),
        _ => show("Nothing was changed.\n"),
    }
    Exit::Consent
}

/// Ends with an error that carries what a script has to accept.
fn unaccepted(context: &Context, review: &Review<'_>, id: &str, failure: Failure) -> Result<Exit, Failure> {
    if !context.json {
        return Err(failure);
    }
    let members = json!({ "error": json::failure(&failure), "accept": review.acceptances(), "plan": id });
    crate::report::emit(&json::document("reattach", members))?;
    Ok(failure.exit)
}
