//! What the function is: how it is reset, what its class and its firmware can do.

use super::warn;
use crate::assess::hazard::Hazard;
use crate::names::escape;
use crate::observe::{reset_method_in_force, Function};

/// How far a reset clears what a qube did to it.
pub fn reset(function: &Function) -> Option<Hazard> {
    let conventional = !function.parents.is_empty()
        && function.config.as_ref().is_some_and(|config| config.express.is_none());
    match &function.reset_methods {
        None => Some(warn(
            "no-reset",
            "the kernel knows no way to reset it: whatever a qube did to it may still be in it",
            "it has no reset file in sysfs",
        )),
        Some(methods) if reset_method_in_force(methods) == Some("bus") => Some(warn(
            "bus-reset-only",
            "it can be reset only together with everything on its bus",
            "reset_method is bus",
        )),
        Some(methods) if methods.is_empty() || conventional => Some(warn(
            "reset-doubtful",
            "it may not take a reset though the kernel offers one",
            format!("reset_method: {}", escape(methods.join(" ").as_bytes())),
        )),
        Some(_) => None,
    }
}

/// What a device of its class can do to dom0.
pub fn class(function: &Function) -> Option<Hazard> {
    let evidence = format!("class {:06x}", function.class);
    match (function.base_class(), function.class_and_subclass()) {
        (_, 0x0c03) => Some(warn(
            "usb",
            "what is plugged into it can act as a keyboard in dom0; its devices stay unauthorized until allowed",
            evidence,
        )),
        (0x02 | 0x0d, _) => Some(warn("network", "dom0 has no network on purpose; this gives it one", evidence)),
        (0x01, _) | (_, 0x0805) => Some(warn(
            "storage",
            "what is on it was written by others; dom0 would parse its partitions and file systems",
            evidence,
        )),
        (0x03, _) => Some(warn("display", "it sees and draws what dom0 shows", evidence)),
        _ => None,
    }
}

/// Code of its own that runs before dom0 does.
pub fn firmware(function: &Function) -> Option<Hazard> {
    function.config.as_ref().is_some_and(|config| config.expansion_rom).then(|| {
        warn(
            "firmware",
            "it has an expansion ROM, which the machine's firmware may run at the next start",
            "the expansion ROM base address is set",
        )
    })
}
