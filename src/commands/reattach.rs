//! `reattach`: the guarded sequence for one function.

use super::assessed::{named_driver, Assessed};
use super::Context;
use crate::assess::{Severity, Verdict};
use crate::cli::ReattachArgs;
use crate::consent::{ask, Accepted, Asked};
use crate::error::{Exit, Failure};
use crate::names::{escape, DriverName, Sbdf};
use crate::observe::{Snapshot, Sources};
use crate::plan::{plan_return, Plan};
use crate::report::{complain, emit, ending_block, hazards_block, json, note, step_line};
use crate::run::{new_operation_id, Ending, Operation, Order, Record, StepReport};
use crate::system::lock::OperationLock;
use serde_json::json;
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
    let lock = OperationLock::take(&context.root)?;
    let one = Assessed::of(&mut sources, sbdf, driver.as_ref())?;
    let plan = plan_return(&one.dom0, &one.function, &one.state, &one.hazards, &one.claims, driver.as_ref());
    let mut record = Record::open(&context.journal, &one.dom0.boot_id, new_operation_id(&sources)?)?;
    if one.verdict == Verdict::Nothing {
        let message = format!("dom0 drives {sbdf} ({}); there is nothing to do", one.state.words());
        if context.json {
            let members = json!({ "outcome": "nothing", "exit": 0, "state": one.state.words(), "steps": [] });
            emit(&json::document("reattach", members))?;
        } else {
            emit(&format!("{message}\n"))?;
        }
        return Ok(Exit::Done);
    }
    check_plan(args, &plan)?;
    let accepted = consent(context, &one, accepted)?;
    still_holds(&mut sources, &one, driver.as_ref(), &plan, &accepted, &args.plan.accept)?;

    let function = &one.function;
    record.start("reattach", sbdf, |draft| {
        draft
            .text("device", &format!("{:04x}:{:04x}", function.vendor, function.device))
            .text("class", &format!("{:06x}", function.class))
            .text("found", &one.state.words())
            .text("driver", function.driver.as_ref().map_or("", |driver| driver.as_str()))
            .text("override", function.driver_override.as_deref().unwrap_or(""))
            .flag("slot", one.state.slot)
            .flag("quarantined", one.state.quarantined)
            .text("plan", &plan.id)
            .list("accepted", accepted.words())
    });
    let order = Order {
        function,
        start: Snapshot::observed(&one.dom0, function).ok_or_else(|| gone(sbdf))?,
        plan: &plan,
        accepted: &accepted,
        timeout: Duration::from_secs(args.timeout),
    };
    let json = context.json;
    let mut progress = |report: &StepReport| {
        if !json {
            note(&step_line(report));
        }
    };
    let ending = Operation::prepare(&mut sources, order, record, &mut progress)?.reattach();
    drop(lock);
    conclude(context, "reattach", &ending)
}

/// A function that is not there any more, or that Xen does not list.
pub fn gone(sbdf: Sbdf) -> Failure {
    Failure::new(Exit::Usage, "no-such-device", format!("{sbdf} is gone"), "run `list --all`")
}

/// A person at a prompt takes time: what was shown is held against the machine
/// once more before anything is done.
fn still_holds(
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
    let now = Assessed::of(sources, one.function.sbdf, driver)?;
    let again = plan_return(&now.dom0, &now.function, &now.state, &now.hazards, &now.claims, driver);
    if again.id == plan.id {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Consent,
        "plan-stale",
        "the device changed while the question was open; nothing was changed by this program",
        "review it again with `plan`; a reboot is recommended",
    ))
}

/// Opens Xen and xenstore, which a changing command cannot do without.
///
/// # Errors
/// Exit 10.
pub fn open_all(context: &Context) -> Result<Sources, Failure> {
    let sources = Sources::open(&context.root)?;
    if let Err(failure) = &sources.xen {
        return Err(failure.clone());
    }
    if let Err(failure) = &sources.xenstore {
        return Err(failure.clone());
    }
    Ok(sources)
}

fn check_plan(args: &ReattachArgs, plan: &Plan) -> Result<(), Failure> {
    match &args.plan_id {
        Some(id) if *id != plan.id => Err(Failure::new(
            Exit::Consent,
            "plan-stale",
            format!("the reviewed plan {} no longer holds; it is {} now", escape(id.as_bytes()), plan.id),
            "review it again with `plan`; a reboot is recommended",
        )),
        _ => Ok(()),
    }
}

/// Refuses what nobody can accept, and asks for the rest.
fn consent(context: &Context, one: &Assessed, accepted: Accepted) -> Result<Accepted, Failure> {
    let sbdf = one.function.sbdf;
    if let Verdict::Refused(ids) = &one.verdict {
        let stop = one.hazards.iter().find(|hazard| hazard.severity == Severity::Stop);
        let why = stop.map(|hazard| format!("{} ({})", hazard.sentence, hazard.evidence)).unwrap_or_default();
        let hint = match ids.first() {
            Some(&"in-use") => "shut the qube down first; then run `plan`".to_owned(),
            _ => format!("{}; `show {sbdf}` says more", one.reboot.words()),
        };
        return Err(Failure::new(
            Exit::Refused,
            ids.first().copied().unwrap_or("refused"),
            format!("refused ({}): {why}; nothing was changed", ids.join(", ")),
            hint,
        ));
    }
    let missing = accepted.missing(&one.hazards);
    if !missing.is_empty() && !context.json {
        note(&format!("Hazards of giving {sbdf} back to dom0:"));
        note(hazards_block(&one.hazards).trim_end());
        note(&format!("Recommended: reboot; {}.", one.reboot.words()));
    }
    let latest = missing.iter().find_map(|hazard| hazard.qube.clone());
    let word = latest.unwrap_or_else(|| sbdf.to_string());
    match ask(&missing, &word, context.json)? {
        Asked::GoOn => Ok(accepted.with(&missing)),
        Asked::Reboot => Err(Failure::new(
            Exit::Consent,
            "reboot-chosen",
            "nothing was changed",
            format!("reboot; {}", one.reboot.words()),
        )),
        Asked::NoTerminal => {
            let words: Vec<String> = missing.iter().map(|hazard| hazard.acceptance()).collect();
            Err(Failure::new(
                Exit::Consent,
                "consent-missing",
                format!("not accepted: {}; nothing was changed", words.join(", ")),
                format!("reboot (recommended), or review `plan {sbdf}` and --accept {}", words.join(",")),
            ))
        }
    }
}

/// Says how an operation ended.
///
/// # Errors
/// stdout takes no more.
pub fn conclude(context: &Context, command: &str, ending: &Ending) -> Result<Exit, Failure> {
    if context.json {
        emit(&json::document(command, json::ending(ending)))?;
        return Ok(ending.exit);
    }
    emit(&ending_block(ending))?;
    if ending.exit != Exit::Done {
        complain(&Failure::new(ending.exit, ending.code, ending.message.clone(), ending.hint.clone()));
    }
    Ok(ending.exit)
}
