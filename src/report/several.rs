//! One operation over one or several functions, as it was reviewed and as it ended.

use super::dossier::Size;
use super::text::wrapped;
use super::{
    closing, complain, dossier, dossier_of, emit, ending_block, hazard_line, hazards_block, json, note,
};
use crate::assess::{Case, Hazard};
use crate::error::{Code, Exit, Failure};
use crate::names::Sbdf;
use crate::run::{sum, Ended};
use serde_json::{json, Value};

/// The screen for a person who is asked: of one device its dossier, of several a line each.
#[must_use]
pub fn review_screen(cases: &[&Case], missing: &[&Hazard]) -> String {
    match cases {
        [case] => dossier(case, missing, Size::of_terminal()),
        cases => {
            let title = format!("Return {} devices to dom0:", cases.len());
            dossier_of(&[title], cases, missing, Size::of_terminal())
        }
    }
}

/// Shows what a script has to accept.
pub fn review_block(cases: &[&Case]) {
    if let [case] = cases {
        note(&format!("Hazards of giving {} back to dom0:", case.sbdf()));
        note(hazards_block(&case.hazards).trim_end());
        note(wrapped("", &format!("Recommended: reboot; {}.", case.reboot.words())).trim_end());
        return;
    }
    note(reviewed(cases).trim_end());
}

fn reviewed(cases: &[&Case]) -> String {
    let mut text = String::from("To give back to dom0:\n");
    for case in cases {
        let what = format!("{}; {}", case.subject.description, case.state.words());
        text.push_str(&wrapped(&format!("  {}  ", case.sbdf()), &what));
    }
    text.push_str(&common_hazards(cases));
    text.push_str("Recommended: reboot; `show BDF` says for each whether that returns it.\n");
    text
}

/// The hazards of several functions, each once; those that are not of all name whose they are.
#[must_use]
pub fn common_hazards(cases: &[&Case]) -> String {
    let mut all: Vec<(&Hazard, Vec<Sbdf>)> = Vec::new();
    for case in cases {
        for hazard in &case.hazards {
            match all.iter_mut().find(|(known, _)| *known == hazard) {
                Some((_, of)) => of.push(case.sbdf()),
                None => all.push((hazard, vec![case.sbdf()])),
            }
        }
    }
    all.sort_by_key(|(hazard, _)| hazard.rank());
    let mut text = String::new();
    for (hazard, of) in all {
        let bdfs: Vec<String> = of.iter().map(ToString::to_string).collect();
        let whose = if of.len() == cases.len() { String::new() } else { format!(" [{}]", bdfs.join(", ")) };
        text.push_str(&hazard_line(hazard, &whose));
    }
    text
}

/// Says how an operation ended. What is not in `ended` had nothing to do; the rest is in the order of the
/// cases.
///
/// # Errors
/// The one function there is could not be begun, or stdout takes no more.
pub fn answer(
    as_json: bool,
    command: &str,
    cases: &[&Case],
    ended: Vec<(Sbdf, Ended)>,
) -> Result<Exit, Failure> {
    if let [case] = cases {
        return match ended.into_iter().next().map(|(_, ended)| ended) {
            None => nothing_to_do(as_json, command, case),
            Some(Ended::Came(ending)) => super::conclude(as_json, command, Some(case), &ending),
            Some(Ended::Failed(failure)) => Err(failure),
            Some(Ended::NotBegun(why)) => {
                Err(Failure::new(Exit::Undone, Code::Undone, why, "review it again with `plan`"))
            }
        };
    }
    let all: Vec<(&Case, Option<&Ended>)> = cases
        .iter()
        .map(|case| (*case, ended.iter().find(|(sbdf, _)| *sbdf == case.sbdf()).map(|(_, ended)| ended)))
        .collect();
    let exit = sum(all.iter().map(|(_, ended)| *ended));
    let failure = failure(exit, command, &all);
    if as_json {
        emit(&document(command, exit, &all, failure.as_ref()))?;
        return Ok(exit);
    }
    let mut text = String::new();
    for (case, ended) in &all {
        let sbdf = case.sbdf();
        match ended {
            None => text
                .push_str(&wrapped("", &format!("{sbdf}: {}; there is nothing to do", case.state.words()))),
            Some(Ended::Came(ending)) => text.push_str(&match ending.code {
                Code::Done => closing(command, case, ending),
                _ => format!("{sbdf}\n{}", ending_block(ending)),
            }),
            Some(Ended::NotBegun(_) | Ended::Failed(_)) => {}
        }
    }
    emit(&text)?;
    if let Some(failure) = &failure {
        complain(failure);
    }
    Ok(exit)
}

/// All that did not come to the wanted end, and why.
fn failure(exit: Exit, command: &str, all: &[(&Case, Option<&Ended>)]) -> Option<Failure> {
    let why: Vec<String> = all
        .iter()
        .filter_map(|(case, ended)| Some((case, (*ended)?)))
        .filter(|(_, ended)| !ended.is_done())
        .map(|(case, ended)| format!("{} ({})", case.sbdf(), ended.why()))
        .collect();
    let unwritten =
        || all.iter().find_map(|(_, ended)| ended.and_then(Ended::ending).filter(|it| it.exit == exit));
    match (exit, why.is_empty()) {
        (Exit::Done, _) => None,
        (_, true) => {
            unwritten().map(|it| Failure::new(exit, Code::Journal, it.message.clone(), it.hint.clone()))
        }
        (_, false) => {
            let code = if exit == Exit::Partly { Code::Partly } else { Code::NotReturned };
            let verb = if command == "hold" { "not held" } else { "not given back" };
            let hint = "`show BDF` says what state each is in; a reboot is recommended";
            Some(Failure::new(exit, code, format!("{verb}: {}", why.join("; ")), hint))
        }
    }
}

fn document(command: &str, exit: Exit, all: &[(&Case, Option<&Ended>)], failure: Option<&Failure>) -> String {
    let one = |(case, ended): &(&Case, Option<&Ended>)| {
        let members = match ended {
            None => nothing(case),
            Some(Ended::Came(ending)) => json::ending(ending),
            Some(Ended::NotBegun(why)) => not_begun(case, why),
            Some(Ended::Failed(failure)) => not_begun(case, &failure.message),
        };
        json::with(members, json!({ "bdf": case.sbdf().to_string() }))
    };
    let functions: Vec<Value> = all.iter().map(one).collect();
    let done = all.iter().any(|(_, ended)| ended.is_some());
    let outcome = failure.map_or(if done { "done" } else { "nothing" }, |failure| failure.code.word());
    let members = json!({ "outcome": outcome, "exit": exit.status(), "functions": functions });
    json::document(command, json::with(members, failure.map_or(json!({}), json::error)))
}

fn nothing(case: &Case) -> Value {
    json!({ "outcome": "nothing", "exit": 0, "state": case.state.words(), "steps": [] })
}

fn not_begun(case: &Case, why: &str) -> Value {
    json!({ "outcome": "not-begun", "exit": null, "why": why, "state": case.state.words(), "steps": [] })
}

fn nothing_to_do(as_json: bool, command: &str, case: &Case) -> Result<Exit, Failure> {
    if as_json {
        emit(&json::document(command, nothing(case)))?;
    } else {
        let words = format!("{}: {}; there is nothing to do", case.sbdf(), case.state.words());
        emit(&wrapped("", &words))?;
    }
    Ok(Exit::Done)
}
