//! `reattach`: the guarded sequence for one function.

use super::assessed::{gone, named_driver, names_of, Assessed};
use super::operation::{carry_out, nothing_pending, nothing_to_do, open_all, started};
use super::script::{options, to_accept};
use super::Context;
use crate::assess::{HazardId, Severity, Verdict};
use crate::cli::{PlanArgs, ReattachArgs};
use crate::consent::{ask, can_ask, Accepted, Asked};
use crate::error::{Code, Exit, Failure};
use crate::journal::{Consent, Start};
use crate::names::{escape, DriverName, Standing};
use crate::observe::Sources;
use crate::plan::{plan_return, Plan};
use crate::report::text::wrapped;
use crate::report::{dossier, hazards_block, note, show};
use crate::run::{new_operation_id, Order, Record};
use crate::system::lock::OperationLock;
use crate::system::terminal;
use std::time::Duration;

/// Runs it.
///
/// # Errors
/// It is refused, not consented to, or not possible here; nothing was changed.
pub fn run(context: &Context, args: &ReattachArgs) -> Result<Exit, Failure> {
    let accepted = Accepted::parse(&args.plan.accept)?;
    let sbdf = Sources::find(&context.root, &args.plan.device)?;
    let driver = named_driver(context, args.plan.driver.as_deref())?;
    context.must_be_root()?;
    let mut sources = open_all(context)?;
    let lock = OperationLock::take(&context.root, "reattach")?;
    let one = Assessed::of(context, &mut sources, sbdf, driver.as_ref())?;
    let plan = plan_return(&one.dom0, &one.function, &one.state, &one.hazards, &one.claims, driver.as_ref());
    let mut record = Record::open(&context.journal, &one.dom0.boot_id, new_operation_id(&sources)?)?;
    nothing_pending(context)?;
    check_plan(args, &plan)?;
    if one.verdict == Verdict::Nothing {
        return nothing_to_do(context, "reattach", sbdf, &one.state);
    }
    let asks = !accepted.missing(&one.hazards).is_empty() && can_ask(context.script());
    // A person thinks as long as they like; what may change meanwhile is looked at again below.
    let lock = if asks {
        lock.let_go();
        None
    } else {
        Some(lock)
    };
    let accepted = consent(context, &one, accepted, &args.plan)?;
    let _lock = match lock {
        Some(lock) => lock,
        None => {
            let lock = OperationLock::take(&context.root, "reattach")?;
            nothing_pending(context)?;
            lock
        }
    };
    still_holds(context, &mut sources, &one, driver.as_ref(), &plan, &accepted, &args.plan.accept)?;

    let function = &one.function;
    let start = Standing::observed(&one.dom0, function).ok_or_else(|| gone(sbdf))?;
    let consent =
        Consent { plan: plan.id.clone(), act: None, accepted: accepted.words().to_vec(), asked: asks };
    let started = started(context, "reattach", function, &start, &one.state);
    record.start(sbdf, Start { consent: Some(consent), ..started });
    let order = Order {
        function,
        start,
        plan: &plan,
        accepted: &accepted,
        known_rom: one.known_rom(),
        qubes: one.dom0.qubes_said(),
        timeout: Duration::from_secs(args.timeout),
    };
    carry_out(context, "reattach", &mut sources, order, record, |operation| operation.reattach())
}

/// A person at a prompt takes time: what was shown is held against the machine
/// once more before anything is done.
fn still_holds(
    context: &Context,
    sources: &mut Sources,
    one: &Assessed,
    driver: Option<&DriverName>,
    plan: &Plan,
    accepted: &Accepted,
    given: &[String],
) -> Result<(), Failure> {
    if accepted.words().len() == given.len() {
        return Ok(());
    }
    let now = Assessed::of(context, sources, one.function.sbdf, driver)?;
    let again = plan_return(&now.dom0, &now.function, &now.state, &now.hazards, &now.claims, driver);
    if again.id == plan.id {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Consent,
        Code::PlanStale,
        "the device changed while the question was open; nothing was changed by this program",
        "review it again with `plan`; a reboot is recommended",
    ))
}

fn check_plan(args: &ReattachArgs, plan: &Plan) -> Result<(), Failure> {
    match &args.plan_id {
        Some(id) if *id != plan.id => Err(Failure::new(
            Exit::Consent,
            Code::PlanStale,
            format!("the reviewed plan {} no longer holds; it is {} now", escape(id.as_bytes()), plan.id),
            "review it again with `plan`; a reboot is recommended",
        )),
        _ => Ok(()),
    }
}

/// Refuses what nobody can accept, and asks for the rest.
fn consent(
    context: &Context,
    one: &Assessed,
    accepted: Accepted,
    args: &PlanArgs,
) -> Result<Accepted, Failure> {
    let sbdf = one.function.sbdf;
    if let Verdict::Refused(ids) = &one.verdict {
        let stop = one.hazards.iter().find(|hazard| hazard.severity == Severity::Stop);
        let why = stop.map(|hazard| format!("{} ({})", hazard.sentence, hazard.evidence)).unwrap_or_default();
        let hint = match ids.first() {
            Some(id @ HazardId::InUse) => format!("{}; then run `plan`", one.way_out(*id)),
            Some(id) => format!("{}; {}; `show {sbdf}` says more", one.way_out(*id), one.reboot.words()),
            None => format!("`show {sbdf}` says more"),
        };
        return Err(Failure::new(
            Exit::Refused,
            ids.first().map_or(Code::Refused, |id| Code::Stop(id.word())),
            format!("refused ({}): {why}; nothing was changed", HazardId::list(ids)),
            hint,
        ));
    }
    let missing = accepted.missing(&one.hazards);
    if !missing.is_empty() && can_ask(context.script()) {
        let names = names_of(context, std::iter::once(&one.function));
        let description = names.describe(one.function.class, one.function.vendor, one.function.device);
        let rows = terminal::rows();
        show(&one.described(&description, |described| dossier(described, &one.reboot, &missing, rows)));
    } else if !missing.is_empty() && !context.json {
        note(&format!("Hazards of giving {sbdf} back to dom0:"));
        note(hazards_block(&one.hazards).trim_end());
        note(wrapped("", &format!("Recommended: reboot; {}.", one.reboot.words())).trim_end());
    }
    let latest = missing.iter().find_map(|hazard| hazard.qube.clone());
    let word = latest.unwrap_or_else(|| sbdf.to_string());
    match ask(&missing, &word, context.script()) {
        Asked::GoOn => Ok(accepted.with(&missing)),
        Asked::Reboot => Err(Failure::new(
            Exit::Consent,
            Code::RebootChosen,
            "nothing was changed",
            format!("reboot; {}", one.reboot.words()),
        )),
        Asked::NoTerminal => {
            let words: Vec<String> = missing.iter().map(|hazard| hazard.acceptance()).collect();
            Err(Failure::new(
                Exit::Consent,
                Code::ConsentMissing,
                format!("not accepted: {}; nothing was changed", words.join(", ")),
                format!(
                    "reboot (recommended), or review `{}` and --accept {}",
                    [vec![format!("plan {sbdf}")], options(context, args)].concat().join(" "),
                    to_accept(&accepted, &missing)
                ),
            ))
        }
    }
}
