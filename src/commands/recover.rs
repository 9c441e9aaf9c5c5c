//! `recover`: settle what a crash or a power cut interrupted.

use super::Context;
use crate::cli::RecoverArgs;
use crate::consent::Accepted;
use crate::error::{Code, Exit, Failure};
use crate::journal::journal_boot;
use crate::names::{Sbdf, Standing};
use crate::observe::{boot_id, Sources};
use crate::plan::plan_recovery;
use crate::report::{conclude_all, emit, json, Steps};
use crate::run::{pending, settle, settle_gone, Ending, Interrupted, Operation, Order, Progress, Writer};
use crate::system::lock::OperationLock;
use crate::system::signals::HeldSignals;
use serde_json::json;

/// Settles what is pending; a command over several devices may have left an operation of each.
///
/// # Errors
/// It is not possible here, or a write is still in flight; nothing was changed.
pub fn run(context: &Context, args: &RecoverArgs) -> Result<Exit, Failure> {
    context.must_be_root()?;
    let mut sources = context.open_all()?;
    let _lock = OperationLock::take(&context.root, "recover")?;
    let mut signals = HeldSignals::hold();
    let mut endings: Vec<(Option<Sbdf>, Ending)> = Vec::new();
    let mut tried: Vec<String> = Vec::new();
    while let Some(found) = pending(&context.journal)? {
        // Whatever kept it from being settled would keep it so.
        if tried.contains(&found.id) {
            break;
        }
        tried.push(found.id.clone());
        let sbdf = found.sbdf;
        let ending = match settled(context, args, &mut sources, &mut signals, found) {
            Ok(ending) => ending,
            // What was settled before is said all the same.
            Err(failure) if endings.is_empty() => return Err(failure),
            Err(failure) => Ending::of(&failure),
        };
        let goes_on = matches!(ending.exit, Exit::Done | Exit::NotUndone | Exit::Undone);
        endings.push((sbdf, ending));
        if !goes_on || signals.came() {
            break;
        }
    }
    if endings.is_empty() {
        return nothing(context);
    }
    conclude_all(context.json, "recover", &endings)
}

/// Settles one operation.
fn settled(
    context: &Context,
    args: &RecoverArgs,
    sources: &mut Sources,
    signals: &mut HeldSignals,
    found: Interrupted,
) -> Result<Ending, Failure> {
    let boot = boot_id(&context.root)?;
    let mut writer = Writer::resume(&context.journal, &boot, found.id.clone(), found.sbdf)?;
    let words = found.words();
    if journal_boot(&boot) != found.boot {
        let unseen = Unseen {
            exit: Exit::Done,
            code: Code::Rebooted,
            message: format!("{words} was ended by a reboot; the device was not touched"),
            state: "not read: it began in another boot",
        };
        return Ok(unseen.close(context, &mut writer, &found));
    }
    let sbdf = found.clear()?;
    let timeout = args.timeout.duration();
    let dom0 = sources.observe()?;
    let Some(function) = dom0.functions.get(&sbdf) else {
        let guard = unguarded(settle_gone(&context.root, &found, &mut writer, timeout));
        let unseen = Unseen {
            exit: Exit::NotUndone,
            code: Code::Gone,
            message: format!("{words} was interrupted, and the device is gone{guard}"),
            state: "gone",
        };
        return Ok(unseen.close(context, &mut writer, &found));
    };
    let Some(start) = Standing::observed(&dom0, function) else {
        return Err(Failure::new(
            Exit::Io,
            Code::OwnerUnknown,
            format!("Xen does not say who owns {sbdf}"),
            "try again; if it stays, reboot",
        )
        .untouched());
    };
    let plan = plan_recovery(sbdf, found.direction(), args.keep);
    let accepted = Accepted::default();
    let qubes = dom0.qubes_said();
    let beside = Vec::new();
    let order =
        Order { function, start, plan: &plan, accepted: &accepted, known_rom: None, qubes, beside, timeout };
    let mut steps = Steps::new(context.json);
    let mut progress = |progress: &Progress<'_>| steps.tell(progress);
    let operation = Operation::prepare(sources, order, writer, signals, &mut progress)?;
    Ok(settle(operation, found, args.keep))
}

/// What became of the setting for all devices where the device is gone, behind what is said of it.
fn unguarded(result: Result<Option<String>, Failure>) -> String {
    match result {
        Ok(said) => said.map(|said| format!("; {said}")).unwrap_or_default(),
        Err(failure) => {
            format!("; what was set for all devices is not put back: {}; {}", failure.message, failure.hint)
        }
    }
}

fn nothing(context: &Context) -> Result<Exit, Failure> {
    if context.json {
        emit(&json::document("recover", json!({ "outcome": "nothing", "exit": 0, "steps": [] })))?;
    } else {
        emit("no operation is pending; there is nothing to do\n")?;
    }
    Ok(Exit::Done)
}

/// How an operation ends whose device was not looked at.
struct Unseen {
    exit: Exit,
    code: Code,
    message: String,
    state: &'static str,
}

impl Unseen {
    fn close(self, context: &Context, writer: &mut Writer, found: &Interrupted) -> Ending {
        let (lost, advice): (Vec<String>, Vec<String>) = found.lost().into_iter().unzip();
        let message = lost.iter().fold(self.message, |message, lost| format!("{message}; {lost}"));
        let head = writer.finish(&context.root, found.sbdf, self.code.word(), self.state);
        let (exit, message, hint) = match &head {
            Err(failure) => (Exit::Io, format!("{message}; but {}", failure.message), failure.hint.clone()),
            Ok(_) => (self.exit, message, String::new()),
        };
        let (code, state) = (self.code, self.state.to_owned());
        Ending { exit, code, message, hint, state, steps: Vec::new(), head: head.ok(), advice }
    }
}
