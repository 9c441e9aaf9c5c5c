//! Which hazards a function has. What could not be read counts as the worse case.

mod beside;
mod device;
mod drivers;
mod in_use;
mod past;
mod topology;

pub use topology::shared_bridge;

use super::assigned;
use super::exposure::Past;
use super::hazard::{Hazard, Severity};
use super::policy;
use super::state::State;
use crate::names::{DriverName, Owner, Sbdf};
use crate::observe::{Claims, Dom0, Function};

fn stop(id: &'static str, sentence: impl Into<String>, evidence: impl Into<String>) -> Hazard {
    Hazard {
        id,
        severity: Severity::Stop,
        qube: None,
        labels: Vec::new(),
        sentence: sentence.into(),
        evidence: evidence.into(),
        unseen: false,
    }
}

fn warn(id: &'static str, sentence: impl Into<String>, evidence: impl Into<String>) -> Hazard {
    Hazard {
        id,
        severity: Severity::Warn,
        qube: None,
        labels: Vec::new(),
        sentence: sentence.into(),
        evidence: evidence.into(),
        unseen: false,
    }
}

/// Hazards of giving a function back to dom0. `driver` is the one the admin named.
#[must_use]
pub fn of_return(
    dom0: &Dom0,
    function: &Function,
    state: &State,
    claims: &Claims,
    past: &Past,
    driver: Option<&DriverName>,
) -> Vec<Hazard> {
    let hazards = found(dom0, function, state, claims, past, driver);
    if state.is_fine() {
        return hazards;
    }
    policy::under(&dom0.policy, function, hazards)
}

/// Those the program itself finds.
fn found(
    dom0: &Dom0,
    function: &Function,
    state: &State,
    claims: &Claims,
    past: &Past,
    driver: Option<&DriverName>,
) -> Vec<Hazard> {
    let mut hazards = in_use::in_use(dom0, function, state);
    if state.is_fine() {
        return hazards;
    }
    hazards.extend(assigned::in_use(dom0, function, state));
    hazards.extend(assigned::still_assigned(dom0, function));
    hazards.extend(topology::not_one_by_one(dom0, function));
    hazards.extend(topology::shared_dma(dom0, function));
    hazards.extend(device::dead(function));
    if !state.needs_driver() {
        return hazards;
    }
    hazards.extend(drivers::drivers(function, claims, driver));
    hazards.extend(past::past(dom0, function, state, past));
    hazards.extend(device::reset(dom0, function));
    hazards.extend(topology::containment(dom0));
    let known = !hazards.iter().any(|hazard| hazard.id == "unknown-history");
    hazards.extend(beside::beside(dom0, function, past, known));
    hazards.extend(device::class(function));
    hazards.extend(device::firmware(function));
    hazards
}

/// Hazards of taking a function from dom0 and giving it to pciback.
#[must_use]
pub fn of_hold(dom0: &Dom0, function: &Function, state: &State, dom0_uses: &[String]) -> Vec<Hazard> {
    let mut hazards = in_use::in_use(dom0, function, state);
    hazards.extend(assigned::in_use(dom0, function, state));
    hazards.extend(topology::not_one_by_one(dom0, function));
    if function.config.is_none() {
        hazards.push(stop("dead", "it does not answer", "its config space reads all ones"));
    }
    if let Some(bridge) = shared_bridge(dom0, function) {
        let dom0s = dom0.functions.values().find(|other| {
            other.sbdf != function.sbdf
                && other.parents.contains(&bridge)
                && owner(dom0, other.sbdf) != Some(Owner::Quarantine)
        });
        if let Some(other) = dom0s {
            hazards.push(stop(
                "shared-dma",
                format!("{} behind the same bridge would lose its DMA with it", other.sbdf),
                format!("the bridge {bridge} leads to conventional PCI"),
            ));
        }
    }
    for use_ in dom0_uses {
        hazards.push(stop("dom0-needs-it", "dom0 itself uses it", use_.clone()));
    }
    hazards
}

fn owner(dom0: &Dom0, sbdf: Sbdf) -> Option<Owner> {
    dom0.owners.as_ref().ok()?.get(&sbdf).copied()
}
