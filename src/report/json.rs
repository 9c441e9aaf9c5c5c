//! The --json documents.

use crate::assess::{Case, Hazard, Reboot, Verdict};
use crate::error::Failure;
use crate::names::escape;
use crate::plan::Plan;
use crate::run::Ending;
use serde_json::{json, Value};

/// A document of one command, version 1, on one line.
#[must_use]
pub fn document(command: &str, members: Value) -> String {
    format!("{}\n", with(members, json!({ "schema": format!("qubes-dom0-pci/{command}/1") })))
}

/// An object with the members of another added.
#[must_use]
pub fn with(mut members: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (members.as_object_mut(), more) {
        object.extend(more);
    }
    members
}

/// The member that an error is.
#[must_use]
pub fn error(failure: &Failure) -> Value {
    json!({ "error": self::failure(failure) })
}

/// An error.
#[must_use]
pub fn failure(failure: &Failure) -> Value {
    json!({ "code": failure.code.word(), "message": failure.to_string(), "hint": failure.hint })
}

/// One device.
#[must_use]
pub fn device(case: &Case) -> Value {
    let function = &case.subject.function;
    json!({
        "bdf": function.sbdf.to_string(),
        "description": case.subject.description,
        "vendor": format!("{:04x}", function.vendor),
        "device": format!("{:04x}", function.device),
        "class": format!("{:06x}", function.class),
        "driver": function.driver.as_ref().map(ToString::to_string),
        "driver_override": function.driver_override.as_ref().map(|text| escape(text.as_bytes())),
        "owner": case.owner(),
        "qube": case.qube(),
        "history": super::history::history(case),
        "slot": case.state.slot,
        "quarantined": case.state.quarantined,
        "state": case.state.words(),
        "state_word": case.state.word().word(),
        "siblings": case.siblings(),
        "verdict": verdict(&case.verdict),
        "hazards": hazards(&case.hazards),
    })
}

/// The verdict, by a word of a fixed set.
#[must_use]
pub fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Nothing => json!({ "word": "nothing" }),
        Verdict::Refused(ids) => {
            json!({ "word": "refused", "stops": ids.iter().map(|id| id.word()).collect::<Vec<_>>() })
        }
        Verdict::Ask(accept) => json!({ "word": "ask", "accept": accept }),
        Verdict::Unknown => json!({ "word": "unknown" }),
        Verdict::Pending => json!({ "word": "pending" }),
        Verdict::Running => json!({ "word": "running" }),
    }
}

/// Hazards.
#[must_use]
pub fn hazards(hazards: &[Hazard]) -> Value {
    hazards
        .iter()
        .map(|hazard| {
            json!({
                "id": hazard.id.word(),
                "severity": hazard.severity.word(),
                "accept": (hazard.severity == crate::assess::Severity::Warn).then(|| hazard.acceptance()),
                "sentence": hazard.sentence,
                "evidence": hazard.evidence,
            })
        })
        .collect()
}

/// A plan.
#[must_use]
pub fn plan(plan: &Plan, reboot: &Reboot) -> Value {
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|planned| {
            json!({
                "step": planned.step.name(),
                "skipped": planned.skip,
                "what": planned.what,
                "shell": planned.shell,
            })
        })
        .collect();
    json!({ "id": plan.id, "steps": steps, "reboot": self::reboot(reboot) })
}

/// What a reboot would do.
#[must_use]
pub fn reboot(reboot: &Reboot) -> Value {
    // One edit is for all of them: the first has it.
    let mut commands = std::iter::once(reboot.commands.join(" && ")).chain(std::iter::repeat(String::new()));
    let obstacle = |what: &String| json!({ "what": what, "command": commands.next() });
    let obstacles: Vec<Value> = reboot.obstacles.iter().map(obstacle).collect();
    json!({
        "returns": reboot.obstacles.is_empty(),
        "words": reboot.words(),
        "obstacles": obstacles,
        "power_off": reboot.power_off,
    })
}

/// How an operation ended.
#[must_use]
pub fn ending(ending: &Ending) -> Value {
    let steps: Vec<Value> = ending
        .steps
        .iter()
        .map(|step| {
            json!({
                "step": step.step.name(),
                "outcome": step.outcome.word(),
                "detail": step.detail,
                "microseconds": u64::try_from(step.took.as_micros()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    let members = json!({
        "outcome": ending.code.word(),
        "exit": ending.exit.status(),
        "state": ending.state,
        "steps": steps,
        "head": ending.head,
        "advice": ending.advice,
    });
    let failed = ending.exit != crate::error::Exit::Done;
    with(members, if failed { error(&ending.failure()) } else { json!({}) })
}
