//! Who has the function now, or may have it.

use super::{owner, Hazard, HazardId};
use crate::assess::state::{Kind, State};
use crate::observe::{Dom0, Function};

/// A domain has it or is about to, or that cannot be ruled out.
pub fn in_use(dom0: &Dom0, function: &Function, state: &State) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    if let Kind::InUse(who) = &state.kind {
        let mut evidence = Vec::new();
        if let Ok(uses) = &dom0.uses {
            evidence.extend(uses.of(function.sbdf).filter(|use_| use_.alive).map(|use_| use_.node.clone()));
        }
        if let Some(owner) = owner(dom0, function.sbdf) {
            evidence.push(format!("Xen's owner is {owner}"));
        }
        hazards.push(Hazard::new(HazardId::InUse, format!("{who} has it"), evidence.join("; ")));
    }
    if let Err(why) = &dom0.uses {
        let hazard = Hazard::new(HazardId::InUse, "it cannot be ruled out that a qube has it", why.clone());
        hazards.push(hazard.resting_on_the_unseen(true));
    }
    match &dom0.owners {
        Err(why) => {
            let hazard = Hazard::new(HazardId::OwnerUnknown, "Xen's owner of it is not known", why.clone());
            hazards.push(hazard.resting_on_the_unseen(true));
        }
        Ok(owners) if !owners.contains_key(&function.sbdf) => hazards.push(Hazard::new(
            HazardId::OwnerUnknown,
            "Xen's owner of it is not known",
            match function.sbdf.to_xen() {
                Some(_) => "Xen does not list it",
                None => {
                    "Xen has no name for a segment above ffff (Intel VMD): only its controller can be given"
                }
            },
        )),
        Ok(_) => {}
    }
    hazards
}
