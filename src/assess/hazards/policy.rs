//! The admin's own rules, put on the hazards the program found. They only make the verdict stricter: nothing
//! here takes a hazard away or makes one milder.

use super::{Hazard, HazardId, Severity};
use crate::observe::{Function, Policy, Reading, Rule, Says};

/// Applies the policy to the hazards of a function's return.
#[must_use]
pub fn under(policy: &Reading<Policy>, function: &Function, mut hazards: Vec<Hazard>) -> Vec<Hazard> {
    let policy = match policy {
        Ok(policy) => policy,
        Err(why) => {
            hazards.push(forbidden("the policy file cannot be followed", why.clone()));
            return hazards;
        }
    };
    for Rule { line, says } in &policy.rules {
        match says {
            Says::UntrustedLabel(label) => {
                let rule = format!("line {line} of the policy: untrusted-label {label}");
                for hazard in hazards.iter_mut().filter(|hazard| may_be_of(hazard, label)) {
                    harden(hazard, &rule);
                }
            }
            Says::NeverReturnAddress(sbdf) if *sbdf == function.sbdf => {
                let rule = format!("line {line} of the policy: never-return {sbdf}");
                hazards.push(forbidden("this device is never to be returned", rule));
            }
            Says::NeverReturnKind { vendor, device } if is_kind(function, *vendor, *device) => {
                let rule = format!("line {line} of the policy: never-return {vendor:04x}:{device:04x}");
                hazards.push(forbidden("this kind of device is never to be returned", rule));
            }
            Says::NeverReturnAddress(_) | Says::NeverReturnKind { .. } => {}
            Says::Stop(id) => {
                let known = HazardId::parse(id).filter(|id| id.severity() == Severity::Warn);
                if known.is_none() {
                    let why = format!("line {line} of the policy: stop {id}: no warning has that id");
                    hazards.push(forbidden("the policy file cannot be followed", why));
                }
                let rule = format!("line {line} of the policy: stop {id}");
                for hazard in hazards.iter_mut().filter(|hazard| Some(hazard.id) == known) {
                    harden(hazard, &rule);
                }
            }
        }
    }
    hazards
}

fn forbidden(sentence: &str, evidence: String) -> Hazard {
    Hazard::new(HazardId::Policy, sentence, evidence)
}

/// Whether a hazard may come from a qube of this label: one whose label is not known, or qubes nobody knows.
/// `Red` means `red`: a rule that was written in other letters is meant all the same.
fn may_be_of(hazard: &Hazard, label: &str) -> bool {
    let not_known = hazard.labels.is_empty();
    match hazard.id {
        HazardId::Exposed | HazardId::ExposedBefore | HazardId::SiblingsElsewhere => {
            not_known || hazard.labels.iter().any(|one| one.eq_ignore_ascii_case(label))
        }
        HazardId::UnknownHistory | HazardId::JournalBroken => true,
        _ => false,
    }
}

/// The ids the kernel read when it found the function, and those it tells now: a device can change them.
fn is_kind(function: &Function, vendor: u16, device: u16) -> bool {
    let now = function.config.as_ref().map(|config| (config.vendor, config.device));
    (function.vendor, function.device) == (vendor, device) || now == Some((vendor, device))
}

/// A warning that nobody can accept any more.
fn harden(hazard: &mut Hazard, rule: &str) {
    if hazard.severity != Severity::Warn {
        return;
    }
    hazard.severity = Severity::Stop;
    if !hazard.evidence.is_empty() {
        hazard.evidence.push_str("; ");
    }
    hazard.evidence.push_str(rule);
}
