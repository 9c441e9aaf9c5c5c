//! `policy check`: is the policy file good, and what does it forbid here?

use super::Context;
use crate::assess::{HazardId, Severity};
use crate::error::{Code, Exit, Failure};
use crate::names::escape;
use crate::observe::{check_policy, Policy, Problem, Says, Sources, POLICY};
use crate::report::text::wrapped;
use crate::report::{complain, emit, json};
use crate::system::root::{read_bytes, read_guarded};
use crate::system::sysfs::PciSysfs;
use serde_json::{json, Value};
use std::path::Path;

/// Checks the file: the one that counts here, or a draft.
///
/// # Errors
/// It cannot be read, or somebody else could have written it.
pub fn run(context: &Context, file: Option<&Path>) -> Result<Exit, Failure> {
    let bytes = match file {
        Some(path) => Some(read_bytes(path).map_err(|error| Failure::unreadable(path, &error))?),
        None => read_guarded(&context.root, POLICY)?,
    };
    let (policy, problems) = check_policy(bytes.as_deref().unwrap_or_default());
    let place = file.map_or(POLICY.to_owned(), |path| escape(path.as_os_str().as_encoded_bytes()));
    let wrong = wrong(&policy, &problems);
    let failure = (!wrong.is_empty()).then(|| {
        let lines: Vec<String> = wrong.iter().map(|(line, what)| format!("line {line} {what}")).collect();
        let hint = format!("until that is corrected every return is refused: sudo nano {place}");
        Failure::new(Exit::Refused, Code::Stop(HazardId::Policy.word()), lines.join("; "), hint).untouched()
    });
    if context.json {
        let members = json!({
            "file": place,
            "there": bytes.is_some(),
            "good": wrong.is_empty(),
            "rules": policy.rules.iter().map(|rule| json!({
                "line": rule.line,
                "rule": rule.says.words(),
                "here": here(context, &rule.says),
            })).collect::<Vec<_>>(),
            "problems": wrong.iter().map(problem).collect::<Vec<_>>(),
        });
        emit(&json::document("policy-check", members))?;
        return Ok(failure.map_or(Exit::Done, |failure| failure.exit));
    }
    emit(&text(context, &place, bytes.is_some(), &policy))?;
    if let Some(failure) = failure {
        complain(&failure);
        return Ok(failure.exit);
    }
    Ok(Exit::Done)
}

fn problem((line, what): &(usize, String)) -> Value {
    json!({ "line": line, "what": what })
}

fn text(context: &Context, place: &str, there: bool, policy: &Policy) -> String {
    if !there {
        return format!("{place} is not there: this machine has no rules of its own\n");
    }
    let mut text = match policy.rules.len() {
        1 => format!("{place}: 1 rule\n"),
        all => format!("{place}: {all} rules\n"),
    };
    for rule in &policy.rules {
        let here = here(context, &rule.says).map(|what| format!(" ({what})")).unwrap_or_default();
        text.push_str(&wrapped(
            &format!("  line {:<4} ", rule.line),
            &format!("{}{here}", rule.says.words()),
        ));
    }
    text
}

/// What a rule means on this machine, where that can be said.
fn here(context: &Context, says: &Says) -> Option<String> {
    let sysfs = PciSysfs::new(&context.root);
    match says {
        Says::NeverReturnAddress(sbdf) if sysfs.folder(*sbdf).exists() => {
            Some("a device is there".to_owned())
        }
        Says::NeverReturnAddress(_) => Some("no device is there".to_owned()),
        Says::NeverReturnKind { vendor, device } => {
            let found = Sources::of_kind(&context.root, *vendor, *device).ok()?;
            let names: Vec<String> = found.iter().map(ToString::to_string).collect();
            Some(if names.is_empty() { "no such device is here".to_owned() } else { names.join(", ") })
        }
        Says::UntrustedLabel(_) | Says::Stop(_) => None,
    }
}

/// Every line that cannot be followed, and why.
fn wrong(policy: &Policy, problems: &[Problem]) -> Vec<(usize, String)> {
    let mut wrong: Vec<(usize, String)> = problems
        .iter()
        .map(|problem| {
            let meant = problem.meant.map(|word| format!("; did you mean {word}?")).unwrap_or_default();
            (problem.line, format!("is not a rule: `{}`{meant}", problem.text))
        })
        .collect();
    for rule in &policy.rules {
        let Says::Stop(id) = &rule.says else { continue };
        if HazardId::parse(id).filter(|id| id.severity() == Severity::Warn).is_none() {
            wrong.push((rule.line, format!("names no warning: `{id}`; `man qubes-dom0-pci` lists them")));
        }
    }
    wrong.sort();
    wrong
}
