//! What the function has been through, as far as this boot shows it.

use super::warn;
use crate::assess::hazard::{Hazard, Severity};
use crate::assess::state::State;
use crate::observe::{Dom0, Function, Use};

/// Who had it, and with which options.
pub fn past(dom0: &Dom0, function: &Function, state: &State) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    let mut permissive = dom0.permissive.contains(&function.sbdf) || dom0.all_permissive;
    let mut relaxed = false;
    let mut uses: Vec<&Use> =
        dom0.uses.as_ref().map(|uses| uses.of(function.sbdf).collect()).unwrap_or_default();
    // Ids rise with time: the latest first.
    uses.sort_by_key(|use_| std::cmp::Reverse(use_.domain));
    for use_ in uses {
        permissive |= use_.is_permissive();
        relaxed |= use_.is_relaxed();
        // What is accepted by name must be typable.
        let typable = use_.qube.as_ref().and_then(|name| name.as_qube_name());
        let qube = typable.map_or_else(|| format!("domain-{}", use_.domain), str::to_owned);
        if hazards.iter().any(|hazard: &Hazard| hazard.qube.as_ref() == Some(&qube)) {
            continue;
        }
        hazards.push(Hazard {
            id: "exposed",
            severity: Severity::Warn,
            sentence: format!("{} had it in this boot and could have turned it against dom0", use_.who()),
            evidence: use_.node.clone(),
            qube: Some(qube),
            labels: Vec::new(),
        });
    }
    if relaxed {
        hazards.push(warn(
            "no-strict-reset",
            "a qube was given it without a reset being required",
            "rdm_policy=relaxed in xenstore",
        ));
    }
    let quarantined = if state.quarantined {
        "Xen holds it in quarantine, as it does when a qube that had it has ended"
    } else {
        "no record covers the time since it was taken from dom0"
    };
    hazards.push(warn("unknown-history", "which qubes had it is not known for sure", quarantined));
    if permissive {
        hazards.push(warn(
            "permissive",
            "a qube could write all of its config space",
            "pciback's permissive mode",
        ));
    }
    hazards
}
