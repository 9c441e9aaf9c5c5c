//! The id of a plan: what was reviewed is what is run.

use super::{Plan, Planned};
use crate::assess::{Hazard, State};
use crate::names::hex;
use crate::observe::config_space::ConfigSpace;
use crate::observe::{Dom0, Function};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Hashes everything a reviewer saw that may change: identity, state, owner,
/// hazards with their evidence, steps and the boot; never time.
pub fn identity(
    dom0: &Dom0,
    function: &Function,
    state: &State,
    hazards: &[Hazard],
    steps: &[Planned],
) -> String {
    let mut text = String::new();
    let owner = dom0.owners.as_ref().map(|owners| owners.get(&function.sbdf));
    let _ = writeln!(text, "boot {}", dom0.boot_id);
    let _ = writeln!(text, "function {} {}", function.sbdf, function.modalias);
    let _ = writeln!(
        text,
        "identity {:04x}:{:04x} {:06x} {:?}",
        function.vendor, function.device, function.class, function.serial
    );
    let _ = writeln!(text, "config {:?}", function.config.as_ref().map(stable));
    let _ = writeln!(text, "state {}", state.words());
    let _ = writeln!(text, "override {:?} slot {}", function.driver_override, state.slot);
    let _ = writeln!(text, "owner {owner:?}");
    let policy = dom0.policy.as_ref().map(|policy| &policy.digest);
    let _ = writeln!(text, "policy {policy:?}");
    for hazard in hazards {
        let _ =
            writeln!(text, "hazard {} {} {}", hazard.severity.word(), hazard.acceptance(), hazard.evidence);
    }
    for planned in steps {
        let _ = writeln!(text, "step {} {:?} {}", planned.step.name(), planned.skip, planned.what);
    }
    hex(&Sha256::digest(text.as_bytes())).chars().take(16).collect()
}

/// Puts the id into a plan.
pub fn identified(plan: Plan, dom0: &Dom0, function: &Function, state: &State, hazards: &[Hazard]) -> Plan {
    let id = identity(dom0, function, state, hazards, &plan.steps);
    Plan { id, ..plan }
}

/// Config space without the command register, which drivers and resets change.
fn stable(config: &ConfigSpace) -> ConfigSpace {
    ConfigSpace { command: 0, ..config.clone() }
}
