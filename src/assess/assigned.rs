//! Hazards from what Qubes knows: a qube that is assigned the function has it, or will.

use super::hazard::{Hazard, Severity};
use super::state::{Kind, State};
use crate::observe::qubes::{Assignment, Port, Qube, Qubes};
use crate::observe::{Dom0, Function};

/// Qubes that are assigned the function, or were given it, and are not halted: they have it or are about to, whether
/// or not xenstore or Xen shows it yet.
pub fn in_use(dom0: &Dom0, function: &Function, state: &State) -> Vec<Hazard> {
    let Ok(Some(known)) = &dom0.qubes_known else { return Vec::new() };
    let mut hazards: Vec<Hazard> = Vec::new();
    for (qube, assignment) in known.assigned(function).into_iter().filter(|(qube, _)| qube.state.is_live()) {
        let who = qube.name.to_string();
        let told = matches!(&state.kind, Kind::InUse(other) if *other == who);
        let sentence = format!("{who} is assigned it and is not halted ({})", qube.state.word());
        if told || hazards.iter().any(|hazard| hazard.sentence == sentence) {
            continue;
        }
        let evidence = evidence(known, assignment);
        hazards.push(hazard("in-use", Severity::Stop, sentence, evidence, labels(&[qube])));
    }
    hazards
}

/// Qubes that take the function again at their next start, whatever dom0 does with it until then.
pub fn still_assigned(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    let known = match &dom0.qubes_known {
        Ok(known) => known.as_ref()?,
        Err(why) => {
            let sentence = "it cannot be ruled out that a qube takes it again at its next start";
            return Some(hazard(
                "still-assigned",
                Severity::Warn,
                sentence.to_owned(),
                why.clone(),
                Vec::new(),
            ));
        }
    };
    let mut lasting = known.assigned(function);
    lasting.retain(|(_, assignment)| assignment.lasts());
    let mut qubes: Vec<&Qube> = lasting.iter().map(|(qube, _)| *qube).collect();
    qubes.dedup();
    let names: Vec<String> = qubes.iter().map(|qube| qube.name.to_string()).collect();
    let evidence: Vec<String> =
        lasting.iter().map(|(qube, one)| format!("{}: {}", qube.name, evidence(known, one))).collect();
    (!names.is_empty()).then(|| {
        let sentence = match &names[..] {
            [name] => format!("{name} takes it again at its next start"),
            names => format!("{} take it again at their next start", names.join(", ")),
        };
        hazard("still-assigned", Severity::Warn, sentence, evidence.join("; "), labels(&qubes))
    })
}

fn labels(qubes: &[&Qube]) -> Vec<String> {
    qubes.iter().map(|qube| qube.label.clone()).collect()
}

fn evidence(known: &Qubes, assignment: &Assignment) -> String {
    let what = match &assignment.port {
        Port::Any => "any device of its identity is assigned".to_owned(),
        Port::At(port) => format!("{port} is assigned"),
        Port::Unreadable(text) => format!("an assignment that is not understood: {text}"),
    };
    let options =
        [(assignment.is_permissive(), "permissive"), (assignment.is_no_strict_reset(), "no-strict-reset")];
    let options: Vec<&str> = options.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
    let with = if options.is_empty() { String::new() } else { format!(" with {}", options.join(", ")) };
    format!("{what}{with} ({})", known.source.words())
}

fn hazard(
    id: &'static str,
    severity: Severity,
    sentence: String,
    evidence: String,
    labels: Vec<String>,
) -> Hazard {
    Hazard { id, severity, qube: None, labels, sentence, evidence }
}
