//! The document for scripts.

use super::{identity, removal, Answer, Edit, Shown};
use crate::assess::next_boot::{Because, Fate, Next, Prediction};
use crate::observe::next_boot::{CommandLine, Unknown};
use crate::report::json;
use serde_json::{json, Value};

/// The whole document.
#[must_use]
pub fn document(answer: &Answer<'_>) -> String {
    let mut boot = boot(answer.prediction, answer.line);
    let differs: Vec<Value> = answer
        .differs
        .iter()
        .map(|one| json!({ "file": one.file, "what": one.kind.word(), "has": one.has, "lacks": one.lacks }))
        .collect();
    if let Some(members) = boot.as_object_mut() {
        members.insert("differs".to_owned(), Value::from(differs));
    }
    let functions: Vec<Value> = answer.functions.iter().map(shown).collect();
    let dead: Vec<Value> = answer
        .dead
        .iter()
        .map(|one| {
            json!({
                "qube": one.qube.name.to_string(),
                "port": one.assignment.port.text(),
                "identity": identity(one),
                "there": one.there.map(|sbdf| sbdf.to_string()),
                "command": removal(answer, one),
            })
        })
        .collect();
    let mut members = json!({
        "boot": boot,
        "functions": functions,
        "dead_assignments": dead,
        "unseen": answer.facts.unseen,
    });
    if let (Some(edit), Some(object)) = (answer.edit, members.as_object_mut()) {
        object.insert("edit".to_owned(), self::edit(edit));
    }
    json::document("next-boot", members)
}

fn boot(prediction: &Prediction, line: Result<&CommandLine, &Unknown>) -> Value {
    let known = |value: Value| if prediction.known { value } else { Value::Null };
    json!({
        "stops": known(Value::Bool(prediction.stops.is_some())),
        "usbguard": known(json!({ "enabled": prediction.usbguard, "starts": prediction.usbguard_starts })),
        "line": line.map_or(Value::Null, |line| Value::String(crate::names::escape(line.text().as_bytes()))),
        "from": line.map_or(Value::Null, |line| Value::String(line.from.clone())),
        "why": match (line, &prediction.stops) {
            (Err(unknown), _) => Value::String(unknown.to_string()),
            (Ok(_), Some(stop)) => Value::String(stop.why.clone()),
            (Ok(_), None) => Value::Null,
        },
    })
}

fn shown(shown: &Shown<'_>) -> Value {
    let mut value = function(&shown.sbdf.to_string(), shown.fate);
    if let Some(members) = value.as_object_mut() {
        members.insert("returns".to_owned(), Value::from(shown.returns.word()));
    }
    value
}

fn function(bdf: &str, fate: &Fate) -> Value {
    let driver = match &fate.next {
        Next::Driver(driver) => driver.as_ref().map(ToString::to_string),
        _ => None,
    };
    let takers = fate.takers.as_ref().ok();
    let because: Vec<Value> = fate.because.iter().map(reason).collect();
    json!({
        "bdf": bdf,
        "next": fate.next.word(),
        "driver": driver,
        "because": because,
        "taken_by": takers.map(|all| all.iter().map(|one| one.qube.clone()).collect::<Vec<String>>()),
    })
}

fn reason(because: &Because) -> Value {
    let place = because.place.as_ref();
    json!({
        "rule": because.rule.name(),
        "file": place.map(|place| place.file.clone()),
        "line": place.map(|place| place.line),
    })
}

fn edit(edit: &Edit) -> Value {
    let hazards: Vec<Value> = edit
        .hazards
        .iter()
        .map(|(sbdf, hazards)| json!({ "bdf": sbdf.to_string(), "hazards": json::hazards(hazards) }))
        .collect();
    let Some(proposal) = &edit.proposal else {
        return json!({
            "needed": false,
            "files": [],
            "commands": [],
            "notes": [],
            "hazards": hazards,
            "way_out": null,
            "after": null,
        });
    };
    let files: Vec<Value> = proposal
        .files
        .iter()
        .map(|file| json!({ "path": file.path, "diff": String::from_utf8_lossy(&file.diff()) }))
        .collect();
    let after: Vec<Value> = proposal
        .after
        .functions
        .iter()
        .map(|(sbdf, fate)| {
            let mut value = function(&sbdf.to_string(), fate);
            let returns = match fate.returns() {
                Some(true) => "yes",
                Some(false) => "no",
                None => "unknown",
            };
            if let Some(members) = value.as_object_mut() {
                members.insert("returns".to_owned(), Value::from(returns));
            }
            value
        })
        .collect();
    json!({
        "needed": !proposal.is_empty(),
        "files": files,
        "commands": proposal.commands,
        "notes": proposal.notes,
        "hazards": hazards,
        "way_out": proposal.way_out,
        "after": { "boot": boot(&proposal.after, Ok(&proposal.line)), "functions": after },
    })
}
