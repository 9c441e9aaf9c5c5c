//! Plan: pure functions from facts and hazards to steps. Nothing is read or
//! changed here.

#![forbid(unsafe_code)]

mod guarded;
mod hold;
mod identity;
pub mod next_boot;
mod planned;
mod steps;
#[cfg(test)]
mod tests;

pub use guarded::Guarded;
pub use hold::plan_hold;
pub use identity::id_of_all;
pub use planned::Planned;
pub use steps::plan_return;

use crate::assess::Case;
use crate::names::{Direction, DriverName, ModuleName, Sbdf, Step};

/// The steps that come after bind: all that `recover` goes forward by. Who keeps the device wants it off
/// pciback's list too, where another put it since.
#[must_use]
pub fn plan_recovery(sbdf: Sbdf, direction: Direction, keep: bool) -> Plan {
    // Kept in dom0: that is a return.
    let direction = if keep { Direction::Return } else { direction };
    let mut steps = vec![
        Planned::run(Step::Verify, "prove what was bound before the interruption", Vec::new()),
        Planned::run(Step::Unguard, "put the guard's global values back", Vec::new()),
        Planned::run(Step::Unpin, "clear driver_override", Vec::new()),
    ];
    if keep {
        steps.insert(1, Planned::run(Step::RemoveSlot, "take it off pciback's list of slots", Vec::new()));
    }
    Plan { sbdf, direction, steps, guard: None, candidates: Vec::new(), loads: Vec::new(), id: String::new() }
}

/// Where the driver to bind comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Candidate {
    /// The driver a module registers; known after it is loaded.
    OfModule(ModuleName),
    /// A driver by name. The kernel's own table of ids decides whether it takes
    /// the function: it is never forced on it.
    Named(DriverName),
}

/// A module that has to be loaded first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Load {
    /// The module.
    pub module: ModuleName,
    /// Whether it is blacklisted, and loaded all the same.
    pub blacklisted: bool,
}

/// One function of a command: what was found, and what would be done to it.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// What was found.
    pub case: Case,
    /// What would be done.
    pub plan: Plan,
}

impl Proposal {
    /// Proposes to give it back to dom0.
    #[must_use]
    pub fn to_return(case: Case) -> Self {
        let plan = plan_return(&case);
        Self { case, plan }
    }

    /// Proposes to give it to pciback.
    #[must_use]
    pub fn to_hold(case: Case) -> Self {
        let plan = plan_hold(&case);
        Self { case, plan }
    }
}

/// What would be done to one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The function.
    pub sbdf: Sbdf,
    /// Where it leads.
    pub direction: Direction,
    /// What the guard keeps dom0 from; `None` where it is not needed.
    pub guard: Option<Guarded>,
    /// The steps in their order, those to be skipped too.
    pub steps: Vec<Planned>,
    /// Drivers to try, in this order.
    pub candidates: Vec<Candidate>,
    /// Modules to load.
    pub loads: Vec<Load>,
    /// Names a plan: the same facts give the same id.
    pub id: String,
}
