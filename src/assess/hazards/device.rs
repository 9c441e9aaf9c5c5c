//! What the function is: how it is reset, what its class and its firmware can do.

use super::{Hazard, HazardId};
use crate::names::escape;
use crate::observe::neighbours::siblings;
use crate::observe::{reset_method_in_force, Dom0, Function, Storage};

/// Whether it answers, and as what the kernel found. A class that differs proves nothing: the kernel calls
/// some devices otherwise.
pub fn dead(function: &Function) -> Option<Hazard> {
    let Some(config) = &function.config else {
        let sentence = "it does not answer: powered down, or gone";
        return Some(Hazard::new(HazardId::Dead, sentence, "its config space reads all ones"));
    };
    let (is, found) = ((config.vendor, config.device), (function.vendor, function.device));
    let words = |(vendor, device): (u16, u16)| format!("{vendor:04x}:{device:04x}");
    let evidence = format!("its config space reads {}, the kernel found {}", words(is), words(found));
    (is != found)
        .then(|| Hazard::new(HazardId::Dead, "it answers as another device: altered, or not well", evidence))
}

/// How far a reset clears what a qube did to it.
pub fn reset(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    let conventional = !function.parents.is_empty()
        && function.config.as_ref().is_some_and(|config| config.express.is_none());
    let Some(methods) = &function.reset_methods else {
        return Some(Hazard::new(
            HazardId::NoReset,
            "the kernel knows no way to reset it: whatever a qube did to it may still be in it",
            "it has no reset file in sysfs",
        ));
    };
    let named = format!("reset_method: {}", escape(methods.join(" ").as_bytes()));
    match reset_method_in_force(methods) {
        Some("bus" | "cxl_bus") => {
            let beside: Vec<String> =
                siblings(dom0, function).iter().map(|other| other.sbdf.to_string()).collect();
            let with =
                if beside.is_empty() { String::new() } else { format!("; with it: {}", beside.join(", ")) };
            let sentence = "it can be reset only together with everything on its bus";
            Some(Hazard::new(HazardId::BusResetOnly, sentence, format!("{named}{with}")))
        }
        // From D3hot to D0: what keeps power through that is not cleared.
        Some("pm") => Some(Hazard::new(
            HazardId::ResetDoubtful,
            "its only reset is a change of its power state, which may leave what a qube put into it",
            named,
        )),
        None => {
            Some(Hazard::new(HazardId::ResetDoubtful, "the kernel does not say how it would reset it", named))
        }
        Some(_) if conventional => Some(Hazard::new(
            HazardId::ResetDoubtful,
            "it may not take a reset though the kernel offers one",
            named,
        )),
        Some(_) => None,
    }
}

/// What a device of its class can do to dom0.
pub fn class(function: &Function) -> Option<Hazard> {
    let evidence = format!("class {:06x}", function.class);
    match (function.base_class(), function.class_and_subclass()) {
        (_, 0x0c03) => Some(Hazard::new(HazardId::Usb, plugged(function), evidence)),
        (0x02 | 0x0d, _) => Some(Hazard::new(
            HazardId::Network,
            "dom0 has no network on purpose; this gives it one",
            evidence,
        )),
        // 00.01 is VGA from before there were classes.
        (0x03, _) | (_, 0x0001) => Some(Hazard::new(
            HazardId::Display,
            "it sees and draws what dom0 shows, passphrases and the colours of windows among it",
            evidence,
        )),
        _ => function.storage().map(|storage| {
            Hazard::new(HazardId::Storage, format!("{}; {GUARDED}", brings(storage)), evidence)
        }),
    }
}

/// Subclass 03 is USB of every kind: controllers, USB4 hosts, devices. What is guarded is `plan`'s step
/// `guard`.
fn plugged(function: &Function) -> &'static str {
    if function.is_usb4() {
        "what is plugged into it can bring dom0 PCI and USB devices, a keyboard among them, through tunnels \
         that are not guarded"
    } else if function.is_usb_host() {
        "what is plugged into it can act as a keyboard in dom0; its devices stay unauthorized until allowed"
    } else {
        "what is plugged into it can act as a keyboard in dom0; its devices stay unauthorized until \
         allowed, but not those of a bus that it makes later"
    }
}

/// What the guard of disks keeps away, and what it does not.
const GUARDED: &str = "udev leaves its disks alone until allowed; not guarded are the kernel's look at the \
    partition tables of disks that come late, and programs that look at every disk, such as LVM's commands";

fn brings(storage: Storage) -> &'static str {
    match storage {
        Storage::Own => {
            "what is on it was written by others: dom0 would parse its partitions and file systems, and the \
             machine's firmware may start from it"
        }
        Storage::FibreChannel => {
            "the disks it reaches were written by others: dom0 would parse their partitions and file \
             systems, and the machine's firmware may start from them"
        }
        Storage::FireWire => {
            "what is plugged into it may read and write dom0's memory; its disks were written by others, \
             and dom0 would parse their partitions and file systems"
        }
        Storage::Unsaid => {
            "its class does not say what it is: it may bring disks that were written by others, and dom0 \
             would parse their partitions and file systems"
        }
    }
}

/// Code that runs before dom0 does, or outside of it, and that a qube may have changed.
pub fn firmware(function: &Function) -> Option<Hazard> {
    let mut evidence = Vec::new();
    if function.config.as_ref().is_some_and(|config| config.expansion_rom) {
        evidence.push("the expansion ROM base address is set".to_owned());
    }
    let leads_to = match function.class_and_subclass() {
        0x0601 => Some("a bridge to LPC or eSPI, behind which is the machine's flash"),
        0x0c05 => Some("an SMBus, on which are memory modules and clock chips"),
        0x0c80 => Some("a controller of other serial buses; the machine's flash may be on it"),
        0x0780 => Some("a controller that talks to the management engine"),
        _ => None,
    };
    evidence.extend(leads_to.map(|what| format!("class {:06x}: {what}", function.class)));
    let sentence = if leads_to.is_some() {
        "it leads to the machine's own firmware, which a qube could have changed and which a reboot does \
         not restore"
    } else {
        "it has an expansion ROM, which the machine's firmware may run at the next start"
    };
    (!evidence.is_empty()).then(|| Hazard::new(HazardId::Firmware, sentence, evidence.join("; ")))
}
