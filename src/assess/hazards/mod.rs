//! Which hazards a function has. What could not be read counts as the worse case.

mod assigned;
mod beside;
mod device;
mod drivers;
mod in_use;
mod past;
mod policy;
mod requester;
mod table;
mod topology;

pub use table::{HazardId, Severity};
pub use topology::{are_companions, of_one_requester};

use super::state::state_of;
use crate::names::{DriverName, Owner, Sbdf};
use crate::observe::exposure::Past;
use crate::observe::neighbours::shared_bridge;
use crate::observe::{Dom0, Function, Subject};

/// One hazard of one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hazard {
    /// Which one it is.
    pub id: HazardId,
    /// How bad it is here: the policy can make a warning a stop.
    pub severity: Severity,
    /// The qube it concerns, where it is accepted per qube.
    pub qube: Option<String>,
    /// Labels that qube has or had when it used the device; none where they are not known.
    pub labels: Vec<String>,
    /// One sentence for people.
    pub sentence: String,
    /// What it rests on.
    pub evidence: String,
    /// Whether it rests on nothing but what could not be read.
    pub unseen: bool,
}

impl Hazard {
    /// A hazard as severe as the table has it, of no qube in particular.
    #[must_use]
    pub fn new(id: HazardId, sentence: impl Into<String>, evidence: impl Into<String>) -> Self {
        let (sentence, evidence) = (sentence.into(), evidence.into());
        Self {
            id,
            severity: id.severity(),
            qube: None,
            labels: Vec::new(),
            sentence,
            evidence,
            unseen: false,
        }
    }

    /// Marks it as one that rests on nothing but what could not be read.
    #[must_use]
    pub fn resting_on_the_unseen(self, unseen: bool) -> Self {
        Self { unseen, ..self }
    }

    /// Adds the labels of the qubes it is about.
    #[must_use]
    pub fn labelled(self, labels: Vec<String>) -> Self {
        Self { labels, ..self }
    }

    /// Where it stands among others, the worst first.
    #[must_use]
    pub fn rank(&self) -> (Severity, HazardId) {
        (self.severity, self.id)
    }

    /// What `--accept` takes for it.
    #[must_use]
    pub fn acceptance(&self) -> String {
        match &self.qube {
            Some(qube) => format!("{}:{qube}", self.id),
            None => self.id.to_string(),
        }
    }
}

/// Why dom0 must not go without a function at a boot.
#[must_use]
pub fn needed_by_dom0(dom0: &Dom0, function: &Function, uses: &[String]) -> Vec<Hazard> {
    let mut hazards = topology::not_one_by_one(dom0, function);
    let needed = |use_: &String| Hazard::new(HazardId::Dom0NeedsIt, "dom0 itself uses it", use_.clone());
    hazards.extend(uses.iter().map(needed));
    hazards
}

/// Hazards of giving a function back to dom0. `named` is the driver that the admin wants for it, `together`
/// what goes with it in one operation.
#[must_use]
pub fn of_return(
    dom0: &Dom0,
    past: &Past,
    subject: &Subject,
    named: Option<&DriverName>,
    together: &[Sbdf],
) -> Vec<Hazard> {
    let state = state_of(dom0, &subject.function);
    let hazards = found(dom0, past, subject, named, together);
    if state.is_fine() {
        return hazards;
    }
    policy::under(&dom0.policy, &subject.function, hazards)
}

/// All the program itself finds.
fn found(
    dom0: &Dom0,
    past: &Past,
    subject: &Subject,
    named: Option<&DriverName>,
    together: &[Sbdf],
) -> Vec<Hazard> {
    let function = &subject.function;
    let state = state_of(dom0, function);
    let mut hazards = in_use::in_use(dom0, function, &state);
    if state.is_fine() {
        return hazards;
    }
    hazards.extend(assigned::in_use(dom0, function, &state));
    hazards.extend(assigned::still_assigned(dom0, function));
    hazards.extend(topology::not_one_by_one(dom0, function));
    hazards.extend(topology::shared_dma(dom0, function, together));
    hazards.extend(device::dead(function));
    if !state.needs_driver() {
        return hazards;
    }
    hazards.extend(topology::companion(dom0, function));
    hazards.extend(drivers::drivers(function, &subject.claims, named, together));
    hazards.extend(past::past(dom0, function, &state, past));
    hazards.extend(device::reset(dom0, function));
    hazards.extend(topology::containment(dom0));
    let known = !hazards.iter().any(|hazard| hazard.id == HazardId::UnknownHistory);
    hazards.extend(beside::beside(dom0, function, past, known));
    hazards.extend(device::class(function));
    hazards.extend(device::firmware(function));
    hazards
}

/// Hazards of taking a function from dom0 and giving it to pciback. `dom0_uses` is what dom0 uses it for,
/// `together` what goes with it in one operation.
#[must_use]
pub fn of_hold(dom0: &Dom0, function: &Function, dom0_uses: &[String], together: &[Sbdf]) -> Vec<Hazard> {
    let state = state_of(dom0, function);
    let mut hazards = in_use::in_use(dom0, function, &state);
    hazards.extend(assigned::in_use(dom0, function, &state));
    hazards.extend(topology::not_one_by_one(dom0, function));
    if function.config.is_none() {
        hazards.push(Hazard::new(HazardId::Dead, "it does not answer", "its config space reads all ones"));
    }
    if let Some(bridge) = shared_bridge(dom0, function) {
        let dom0s = dom0.functions.values().find(|other| {
            other.sbdf != function.sbdf
                && other.parents.contains(&bridge)
                && !together.contains(&other.sbdf)
                && owner(dom0, other.sbdf) != Some(Owner::Quarantine)
        });
        if let Some(other) = dom0s {
            hazards.push(Hazard::new(
                HazardId::SharedDma,
                format!("{} behind the same bridge would lose its DMA with it", other.sbdf),
                format!("the bridge {bridge} leads to conventional PCI"),
            ));
        }
    }
    for use_ in dom0_uses {
        hazards.push(Hazard::new(HazardId::Dom0NeedsIt, "dom0 itself uses it", use_.clone()));
    }
    hazards
}

fn owner(dom0: &Dom0, sbdf: Sbdf) -> Option<Owner> {
    dom0.owners.as_ref().ok()?.get(&sbdf).copied()
}
