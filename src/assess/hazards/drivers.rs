//! What would drive it in dom0.

use super::{stop, warn};
use crate::assess::hazard::Hazard;
use crate::names::{escape, DriverName};
use crate::observe::{Claims, Function};

/// No driver, several, or another than before.
pub fn drivers(function: &Function, claims: &Claims, named: Option<&DriverName>) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    if let Some(failure) = &claims.unreadable {
        hazards.push(stop("no-driver", "it cannot be told which module drives it", failure.message.clone()));
        return hazards;
    }
    let nothing_known =
        claims.by_alias.is_empty() && claims.recorded.as_ref().is_none_or(|recorded| !recorded.registered);
    if named.is_none() && nothing_known {
        let built_in: Vec<&str> = claims.built_in.iter().map(DriverName::as_str).collect();
        hazards.push(stop(
            "no-driver",
            "no module of this kernel drives it; a driver built into the kernel must be named with --driver",
            format!(
                "nothing claims {}; built in are {}",
                escape(function.modalias.as_bytes()),
                built_in.join(", ")
            ),
        ));
    }
    // A driver named by the admin is registered: no module is loaded.
    for claim in claims.by_alias.iter().filter(|_| named.is_none()) {
        if let Some(other) = claim.would_take.first() {
            hazards.push(stop(
                "load-takes-others",
                format!(
                    "loading {} would bind {other} too; give that one to pciback first (hold)",
                    claim.module
                ),
                format!("{other} has no driver and no driver_override"),
            ));
        }
        if claim.blacklisted {
            hazards.push(warn(
                "driver-blacklisted",
                format!("the module {} is blacklisted and would be loaded all the same", claim.module),
                "modprobe.d or modprobe.blacklist=",
            ));
        }
    }
    if named.is_none() && claims.by_alias.len() > 1 {
        let names: Vec<&str> = claims.by_alias.iter().map(|claim| claim.module.as_str()).collect();
        hazards.push(warn(
            "driver-ambiguous",
            "several modules claim it; they are tried in this order",
            names.join(", "),
        ));
    }
    if let (Some(recorded), None) = (&claims.recorded, named) {
        let known: Vec<&DriverName> =
            claims.by_alias.iter().filter_map(|claim| claim.drivers.as_ref()).flatten().collect();
        if !known.is_empty() && !known.contains(&&recorded.driver) {
            hazards.push(warn(
                "driver-differs",
                format!("it had the driver {} before", recorded.driver),
                "driver_path in xenstore",
            ));
        }
    }
    hazards
}
