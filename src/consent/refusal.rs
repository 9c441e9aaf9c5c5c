//! What nobody can accept, and what is not accepted.

use super::{to_accept, Accepted, Invocation, Review};
use crate::assess::{Case, HazardId, Verdict};
use crate::error::{Code, Exit, Failure};
use crate::names::{escape, Sbdf};

/// Refuses where a stop stands against one of these; the command without those is named.
///
/// # Errors
/// Exit 3.
pub fn refused(cases: &[&Case], called: &Invocation) -> Result<(), Failure> {
    let (bad, good): (Vec<&Case>, Vec<&Case>) =
        cases.iter().partition(|case| matches!(case.verdict, Verdict::Refused(_)));
    let Some(first) = bad.first() else { return Ok(()) };
    let Verdict::Refused(ids) = &first.verdict else { return Ok(()) };
    let why = |case: &Case| {
        let stop = case.stop();
        stop.map(|hazard| format!("{} ({})", hazard.sentence, hazard.evidence)).unwrap_or_default()
    };
    let code = ids.first().map_or(Code::Refused, |id| Code::Stop(id.word()));
    let failure =
        |message: String, hint: String| Err(Failure::new(Exit::Refused, code, message, hint).untouched());
    if cases.len() == 1 {
        let message = format!("refused ({}): {}", HazardId::list(ids), why(first));
        return failure(message, hint(first, ids, called));
    }
    let all: Vec<String> = bad.iter().map(|case| format!("{}: {}", case.sbdf(), why(case))).collect();
    let message = format!("refused ({}): {}", HazardId::list(ids), all.join("; "));
    let left: Vec<Sbdf> = good.iter().map(|case| case.sbdf()).collect();
    if left.is_empty() {
        return failure(message, hint(first, ids, called));
    }
    let without = called.of(left).line(called.command);
    failure(message, format!("without what is refused: `qubes-dom0-pci {without}`"))
}

fn hint(case: &Case, ids: &[HazardId], called: &Invocation) -> String {
    let command = called.command;
    match ids.first() {
        Some(id @ HazardId::InUse) if case.way_out(*id) == id.way_out() && case.shut_down().is_some() => {
            let (first, again) = (case.shut_down().unwrap_or_default(), called.line(command));
            format!("{}: {first} && sudo qubes-dom0-pci {again}", case.way_out(*id))
        }
        Some(HazardId::Policy) => {
            format!(
                "{}: sudo qubes-dom0-pci policy check; {}",
                case.way_out(HazardId::Policy),
                case.reboot.words()
            )
        }
        Some(id) if command == "hold" => case.way_out(*id).to_owned(),
        Some(id @ HazardId::InUse) => format!("{}; then run `plan`", case.way_out(*id)),
        Some(id) => {
            format!("{}; {}; `show {}` says more", case.way_out(*id), case.reboot.words(), case.sbdf())
        }
        None => format!("`show {}` says more", case.sbdf()),
    }
}

/// Whether a plan is the one that was reviewed; `again` says how it is reviewed again.
///
/// # Errors
/// It is not.
pub fn is_reviewed(given: Option<&str>, id: &str, again: &str) -> Result<(), Failure> {
    match given {
        Some(given) if given != id => Err(Failure::new(
            Exit::Consent,
            Code::PlanStale,
            format!("the reviewed plan {} no longer holds; it is {id} now", escape(given.as_bytes())),
            format!("review it again{again}; a reboot is recommended"),
        )
        .untouched()),
        _ => Ok(()),
    }
}

/// What a person was shown is not what there is now.
#[must_use]
pub fn stale() -> Failure {
    Failure::new(
        Exit::Consent,
        Code::PlanStale,
        "the device changed while the question was open",
        "review it again with `plan`; a reboot is recommended",
    )
    .untouched()
}

/// What a script has not accepted, and the command that shows it.
#[must_use]
pub fn not_accepted(review: &Review<'_>, accepted: &Accepted, called: &Invocation) -> Failure {
    let accept = to_accept(accepted, &review.missing);
    Failure::new(
        Exit::Consent,
        Code::ConsentMissing,
        format!("not accepted: {}", review.acceptances().join(", ")),
        format!("reboot (recommended), or review `{}` and --accept {accept}", called.line("plan")),
    )
    .untouched()
}
