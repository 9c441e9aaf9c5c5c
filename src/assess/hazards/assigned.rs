//! Hazards from what Qubes knows: a qube that is assigned the function has it, or will.

use super::{Hazard, HazardId};
use crate::assess::state::{Kind, State};
use crate::observe::qubes::{Assignment, Port, Qube, QubeState, Qubes};
use crate::observe::{Dom0, Function};

/// Qubes that are assigned the function, or were given it, and are not halted: they have it or are about to,
/// whether or not xenstore or Xen shows it yet. Where Qubes does not say which run, the domains that Xen
/// lists do.
pub fn in_use(dom0: &Dom0, function: &Function, state: &State) -> Vec<Hazard> {
    let known = match &dom0.qubes_known {
        Ok(Some(known)) => known,
        Ok(None) => return Vec::new(),
        Err(why) => return assignments_unknown(dom0, why).into_iter().collect(),
    };
    let mut hazards: Vec<Hazard> = Vec::new();
    for (qube, assignment) in known.assigned(function) {
        let Some((sentence, seen)) = runs(dom0, qube) else { continue };
        let unseen = qube.state == QubeState::NotTold && matches!(dom0.live, Some(Err(_)));
        let told = matches!(&state.kind, Kind::InUse(other) if *other == qube.name.to_string());
        if told || hazards.iter().any(|hazard| hazard.sentence == sentence) {
            continue;
        }
        let evidence = evidence(known, assignment) + &seen;
        let hazard = Hazard::new(HazardId::InUse, sentence, evidence).labelled(labels(&[qube]));
        hazards.push(hazard.resting_on_the_unseen(unseen));
    }
    hazards
}

/// Whether a qube with an assignment runs, or may: in words, and what more is seen of it.
fn runs(dom0: &Dom0, qube: &Qube) -> Option<(String, String)> {
    let who = &qube.name;
    if qube.state.is_live() {
        let sentence = format!("{who} is assigned it and is not halted ({})", qube.state.word());
        return Some((sentence, String::new()));
    }
    if qube.state != QubeState::NotTold {
        return None;
    }
    let perhaps = format!("{who} is assigned it, and it cannot be ruled out that it runs");
    let live = match dom0.live.as_ref()? {
        Ok(live) => live,
        Err(why) => return Some((perhaps, format!("; {why}"))),
    };
    if let Some(one) = live.iter().find(|one| one.qube.as_ref() == Some(who)) {
        return Some((
            format!("{who} is assigned it and runs"),
            format!("; domain {} has its name", one.domain),
        ));
    }
    let nameless = live.iter().find(|one| one.qube.is_none())?;
    Some((perhaps, format!("; domain {} has no name in xenstore", nameless.domain)))
}

/// Nobody says what is assigned to whom: any qube that runs may have it.
fn assignments_unknown(dom0: &Dom0, why: &str) -> Option<Hazard> {
    let seen = match dom0.live.as_ref()? {
        Err(unread) => unread.clone(),
        Ok(live) => {
            let one = live.first()?;
            let who = one.qube.as_ref().map_or_else(|| format!("domain {}", one.domain), ToString::to_string);
            match live.len() {
                1 => format!("{who} runs"),
                all => format!("{who} and {} more run", all - 1),
            }
        }
    };
    let sentence = "it cannot be ruled out that a qube that runs is assigned it";
    let hazard = Hazard::new(HazardId::InUse, sentence, format!("{seen}; {why}"));
    Some(hazard.resting_on_the_unseen(true))
}

/// Qubes that take the function again at their next start, whatever dom0 does with it until then.
pub fn still_assigned(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    let known = match &dom0.qubes_known {
        Ok(known) => known.as_ref()?,
        Err(why) => {
            let sentence = "it cannot be ruled out that a qube takes it again at its next start";
            return Some(Hazard::new(HazardId::StillAssigned, sentence, why.clone()));
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
        Hazard::new(HazardId::StillAssigned, sentence, evidence.join("; ")).labelled(labels(&qubes))
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
