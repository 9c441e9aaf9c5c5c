//! What the changing commands share: their connections, the run, the answer.

use super::Context;
use crate::assess::State;
use crate::error::{Code, Exit, Failure};
use crate::journal::Start;
use crate::names::{escape, Sbdf, Standing};
use crate::observe::{Function, Sources};
use crate::report::text::wrapped;
use crate::report::{complain, emit, ending_block, json, note, step_line};
use crate::run::{pending, Ending, Operation, Order, Record, StepReport};
use crate::system::signals::HeldSignals;
use crate::system::who::Who;
use serde_json::json;

/// Opens Xen and xenstore, which a changing command cannot do without; the journal is where only root could have
/// written it.
///
/// # Errors
/// Exit 10; 11 for the journal.
pub fn open_all(context: &Context) -> Result<Sources, Failure> {
    let sources = Sources::open(&context.root)?;
    all_open(&sources)?;
    context.journal_is_safe()?;
    Ok(sources)
}

/// Whether Xen and xenstore can be asked.
///
/// # Errors
/// Exit 10.
pub fn all_open(sources: &Sources) -> Result<(), Failure> {
    sources.xen.as_ref().map_err(Clone::clone)?;
    sources.xenstore.as_ref().map(drop).map_err(Clone::clone)
}

/// Refuses beside an operation that was interrupted and is not settled yet.
///
/// # Errors
/// Exit 8; or the journal cannot be read.
pub fn nothing_pending(context: &Context) -> Result<(), Failure> {
    let Some(found) = pending(&context.journal)? else { return Ok(()) };
    Err(Failure::new(
        Exit::Pending,
        Code::Pending,
        format!("{} was interrupted and is not settled; nothing was changed", found.words()),
        "run `qubes-dom0-pci recover`",
    ))
}

/// What the journal is to know of an operation that begins now, but for the consent.
#[must_use]
pub fn started(
    context: &Context,
    command: &str,
    function: &Function,
    standing: &Standing,
    state: &State,
) -> Start {
    Start {
        command: command.to_owned(),
        standing: Some(standing.clone()),
        device: format!("{:04x}:{:04x}", function.vendor, function.device),
        class: format!("{:06x}", function.class),
        found: escape(state.words().as_bytes()),
        consent: None,
        who: Who::runs(&context.root),
    }
}

/// Says that there is nothing to do.
///
/// # Errors
/// stdout takes no more.
pub fn nothing_to_do(context: &Context, command: &str, sbdf: Sbdf, state: &State) -> Result<Exit, Failure> {
    if context.json {
        let members = json!({ "outcome": "nothing", "exit": 0, "state": state.words(), "steps": [] });
        emit(&json::document(command, members))?;
    } else {
        emit(&wrapped("", &format!("{sbdf}: {}; there is nothing to do", state.words())))?;
    }
    Ok(Exit::Done)
}

/// Runs an operation to its end and says how it ended. Signals are held back until
/// that is said.
///
/// # Errors
/// Something it needs cannot be opened (nothing was changed), or stdout takes no more.
pub fn carry_out(
    context: &Context,
    command: &str,
    sources: &mut Sources,
    order: Order<'_>,
    record: Record,
    follow: impl FnOnce(Operation<'_>) -> Ending,
) -> Result<Exit, Failure> {
    let mut signals = HeldSignals::hold();
    let ending = perform(context, sources, order, record, &mut signals, follow)?;
    conclude(context, command, &ending)
}

/// Runs an operation to its end; says its steps, but not how it ended.
///
/// # Errors
/// Something it needs cannot be opened: nothing was changed.
pub fn perform(
    context: &Context,
    sources: &mut Sources,
    order: Order<'_>,
    record: Record,
    signals: &mut HeldSignals,
    follow: impl FnOnce(Operation<'_>) -> Ending,
) -> Result<Ending, Failure> {
    let json = context.json;
    let mut progress = |report: &StepReport| {
        if !json {
            note(&step_line(report));
        }
    };
    Ok(follow(Operation::prepare(sources, order, record, signals, &mut progress)?))
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
    if command == "recover" && ending.exit == Exit::Done {
        emit(&wrapped("", &ending.message))?;
    }
    emit(&ending_block(ending))?;
    if ending.exit != Exit::Done {
        complain(&Failure::new(ending.exit, ending.code, ending.message.clone(), ending.hint.clone()));
    }
    Ok(ending.exit)
}
