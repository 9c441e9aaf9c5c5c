//! `plan`: the verdict, the steps and the equal commands; it changes nothing and
//! exits as `reattach` would.

use super::assessed::{named_driver, names_of, Assessed};
use super::history::{is_for_root_alone, takes_records, usable};
use super::operation::all_open;
use super::script::{command, to_accept};
use super::Context;
use crate::assess::{HazardId, Verdict};
use crate::cli::PlanArgs;
use crate::consent::Accepted;
use crate::error::{Exit, Failure};
use crate::observe::Sources;
use crate::plan::plan_return;
use crate::report::text::wrapped;
use crate::report::{self, device_block, emit, hazards_block, json, plan_block, reboot_block};
use crate::run::Unsettled;
use serde_json::json;

/// Runs it.
///
/// # Errors
/// There is no such device, this is no dom0, or something cannot be read.
pub fn run(context: &Context, args: &PlanArgs) -> Result<Exit, Failure> {
    let accepted = Accepted::parse(&args.accept)?;
    let sbdf = Sources::find(&context.root, &args.device)?;
    let driver = named_driver(context, args.driver.as_deref())?;
    let mut sources = Sources::open(&context.root)?;
    // Without root nobody could change anything; what only shows goes on.
    let lacking = all_open(&sources).err().filter(|_| nix::unistd::geteuid().is_root());
    let one = Assessed::of(context, &mut sources, sbdf, driver.as_ref());
    let one = one.map_err(|failure| lacking.clone().unwrap_or(failure))?;
    if lacking.is_none() {
        takes_records(context)?;
        usable(&one.past)?;
    }
    let unsettled = Unsettled::read(&context.root, &context.journal, &one.dom0.boot_id);
    match &unsettled {
        Unsettled::Unknown(why) if lacking.is_none() && !is_for_root_alone(why) => return Err(why.clone()),
        _ => {}
    }
    let one = one.beside(&unsettled);
    let plan = plan_return(&one.dom0, &one.function, &one.state, &one.hazards, &one.claims, driver.as_ref());
    let missing = accepted.missing(&one.hazards);
    let exit = match (&lacking, &one.verdict) {
        (Some(failure), _) => failure.exit,
        _ if matches!(unsettled, Unsettled::Pending { .. }) => Exit::Pending,
        // Somebody else's turn: a return would wait, and then be refused.
        _ if matches!(unsettled, Unsettled::Running { .. }) => Exit::Undone,
        (None, Verdict::Nothing) => Exit::Done,
        (None, Verdict::Refused(_)) => Exit::Refused,
        (None, Verdict::Ask(_)) if missing.is_empty() => Exit::Done,
        (None, Verdict::Ask(_)) => Exit::Consent,
        (None, Verdict::Unknown) => Exit::NotDom0,
        (None, Verdict::Pending) => Exit::Pending,
        (None, Verdict::Running) => Exit::Undone,
    };
    let names = names_of(context, std::iter::once(&one.function));
    let description = names.describe(one.function.class, one.function.vendor, one.function.device);
    if context.json {
        let (pending, running) = report::unsettled(&unsettled);
        let members = json!({
            "device": one.described(&description, json::device),
            "accept": missing.iter().map(|hazard| hazard.acceptance()).collect::<Vec<_>>(),
            "plan": json::plan(&plan, &one.reboot),
            "pending": pending,
            "running": running,
            "exit": exit.status(),
            "qubes": Assessed::qubes(&one.dom0),
            "unseen": Assessed::unseen(&one.dom0, &one.past),
        });
        emit(&json::document("plan", members))?;
        return Ok(exit);
    }
    let unseen = Assessed::unseen(&one.dom0, &one.past);
    let mut text = Assessed::heading(&one.dom0, &unseen, &unsettled, &format!("plan {sbdf}"));
    text.push_str(&one.described(&description, device_block));
    text.push('\n');
    if !one.hazards.is_empty() {
        text.push_str("Hazards\n");
        text.push_str(&hazards_block(&one.hazards));
        text.push('\n');
    }
    match (&lacking, &one.verdict) {
        (Some(failure), _) => {
            let why = format!("It would fail: {}; {}.", failure.message, failure.hint);
            text.push_str(&wrapped("", &why));
        }
        (None, Verdict::Nothing) => text.push_str("dom0 drives it; there is nothing to do.\n"),
        (None, Verdict::Refused(ids)) => {
            let way_out = ids.first().map_or("", |id| one.way_out(*id));
            let mut refused = format!("It would be refused: {}; {way_out}.", HazardId::list(ids));
            if !ids.contains(&HazardId::InUse) {
                refused.push_str(&format!(" What a reboot would do: {}.", one.reboot.words()));
            }
            text.push_str(&wrapped("", &refused));
            text.push_str(&reboot_block(&one.reboot));
        }
        (None, Verdict::Ask(_)) => {
            text.push_str(&wrapped("", &format!("Recommended: reboot; {}.", one.reboot.words())));
            text.push_str(&reboot_block(&one.reboot));
            text.push('\n');
            text.push_str(&plan_block(&plan));
            let accept = to_accept(&accepted, &missing);
            let what = if accept.is_empty() { "do it" } else { "take the risk" };
            text.push_str(&format!("\nTo {what} in a script:\n"));
            text.push_str(&command(context, sbdf, args, &plan.id, &accept));
        }
        (None, Verdict::Unknown) => {
            let words = format!(
                "What `reattach` would do rests on what only root sees: run this with sudo. What a reboot would do: {}.",
                one.reboot.words()
            );
            text.push_str(&wrapped("", &words));
            text.push_str(&reboot_block(&one.reboot));
        }
        (None, Verdict::Pending) => {
            text.push_str("An operation on it was interrupted: run `recover` first.\n");
        }
        (None, Verdict::Running) => {
            text.push_str("An operation on it is running: plan again when it has ended.\n");
        }
    }
    let no_qubes = Assessed::of_no_qubes(&one.dom0);
    if !unseen.is_empty() || !no_qubes.is_empty() {
        text.push('\n');
    }
    text.push_str(&no_qubes);
    for what in unseen {
        text.push_str(&wrapped("not seen: ", &what));
    }
    emit(&text)?;
    Ok(exit)
}
