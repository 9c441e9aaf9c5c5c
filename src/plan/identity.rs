//! The id of a plan: what was reviewed is what is run.

use super::{Plan, Planned, Proposal};
use crate::assess::Case;
use crate::names::hex;
use crate::observe::config_space::ConfigSpace;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Hashes everything a reviewer saw that may change: identity, state, owner,
/// hazards with their evidence, steps and the boot; never time.
pub fn identity(case: &Case, steps: &[Planned]) -> String {
    let (dom0, function, state) = (&case.dom0, &case.subject.function, &case.state);
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
    for hazard in &case.hazards {
        let _ =
            writeln!(text, "hazard {} {} {}", hazard.severity.word(), hazard.acceptance(), hazard.evidence);
    }
    for planned in steps {
        let _ = writeln!(text, "step {} {:?} {}", planned.step.name(), planned.skip, planned.what);
    }
    short(&text)
}

fn short(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())).chars().take(16).collect()
}

/// The id of all that is proposed for several functions; of one it is that of its plan.
#[must_use]
pub fn id_of_all(proposals: &[Proposal]) -> String {
    match proposals {
        [one] => one.plan.id.clone(),
        all => {
            short(&all.iter().map(|one| format!("{} {}\n", one.plan.sbdf, one.plan.id)).collect::<String>())
        }
    }
}

/// Puts the id into a plan.
pub fn identified(plan: Plan, case: &Case) -> Plan {
    let id = identity(case, &plan.steps);
    Plan { id, ..plan }
}

/// Config space without the command register, which drivers and resets change.
fn stable(config: &ConfigSpace) -> ConfigSpace {
    ConfigSpace { command: 0, ..config.clone() }
}
