//! What would drive it in dom0.

use super::{Hazard, HazardId};
use crate::names::{escape, DriverName, Sbdf};
use crate::observe::{Claim, Claims, Function, Taken, TakenBy};

/// No driver, several, or another than before.
pub fn drivers(
    function: &Function,
    claims: &Claims,
    named: Option<&DriverName>,
    together: &[Sbdf],
) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    if let Some(failure) = &claims.unreadable {
        hazards.push(Hazard::new(
            HazardId::NoDriver,
            "it cannot be told which module drives it",
            failure.message.clone(),
        ));
        return hazards;
    }
    let recorded = claims.recorded.as_ref().is_some_and(|recorded| recorded.registered);
    if named.is_none() && !recorded && !claims.by_alias.iter().any(Claim::can_drive) {
        hazards.push(nothing_drives(function, claims));
    }
    // A driver named by the admin is registered: no module is loaded.
    for claim in claims.by_alias.iter().filter(|claim| named.is_none() && claim.can_drive()) {
        hazards.extend(takes_others(claim, together));
        if claim.blacklisted {
            hazards.push(Hazard::new(
                HazardId::DriverBlacklisted,
                format!("the module {} is blacklisted and would be loaded all the same", claim.module),
                "modprobe.d or modprobe.blacklist=",
            ));
        }
    }
    if named.is_none() && claims.by_alias.len() > 1 {
        let names: Vec<&str> = claims.by_alias.iter().map(|claim| claim.module.as_str()).collect();
        hazards.push(Hazard::new(
            HazardId::DriverAmbiguous,
            "several modules claim it; they are tried in this order",
            names.join(", "),
        ));
    }
    if let (Some(recorded), None) = (&claims.recorded, named) {
        let known: Vec<&DriverName> =
            claims.by_alias.iter().filter_map(|claim| claim.drivers.as_ref()).flatten().collect();
        if !known.is_empty() && !known.contains(&&recorded.driver) {
            hazards.push(Hazard::new(
                HazardId::DriverDiffers,
                format!("it had the driver {} before", recorded.driver),
                "driver_path in xenstore",
            ));
        }
    }
    hazards
}

/// Loading its module would bind another function too; what goes with it is pinned before.
fn takes_others(claim: &Claim, together: &[Sbdf]) -> Option<Hazard> {
    let Taken { sbdf, by } = claim.would_take.iter().find(|taken| !together.contains(&taken.sbdf))?;
    let evidence = match by {
        TakenBy::Override(name) => {
            format!("{sbdf} has no driver, and its driver_override is {}", escape(name.as_bytes()))
        }
        TakenBy::Alias(module) if *module == claim.module => {
            format!("{sbdf} has no driver and no driver_override")
        }
        TakenBy::Alias(module) => {
            format!("{sbdf} has no driver and no driver_override; modprobe loads {module} with it")
        }
    };
    let sentence =
        format!("loading {} would bind {sbdf} too; give that one to pciback first (hold)", claim.module);
    Some(Hazard::new(HazardId::LoadTakesOthers, sentence, evidence))
}

/// Nothing claims it, or what does has no driver and will have none.
fn nothing_drives(function: &Function, claims: &Claims) -> Hazard {
    if claims.by_alias.is_empty() {
        let names: Vec<&str> = claims.built_in.iter().map(DriverName::as_str).collect();
        let built_in =
            if names.is_empty() { "is none".to_owned() } else { format!("are {}", names.join(", ")) };
        return Hazard::new(
            HazardId::NoDriver,
            "no module of this kernel drives it; a driver built into the kernel must be named with --driver",
            format!("nothing claims {}; built in {built_in}", escape(function.modalias.as_bytes())),
        );
    }
    let why = |claim: &Claim| match &claim.barred {
        Some(barred) if claim.drivers.is_none() => barred.to_string(),
        _ => format!("{} is loaded and registers no PCI driver", claim.module),
    };
    let why: Vec<String> = claims.by_alias.iter().map(why).collect();
    Hazard::new(
        HazardId::NoDriver,
        "no module that claims it would give it a driver; one that is registered can be named with --driver",
        why.join("; "),
    )
}
