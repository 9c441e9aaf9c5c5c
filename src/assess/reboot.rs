//! Would a reboot give the function back to dom0?

use super::hazard::{Hazard, Severity};
use crate::names::DeviceArgument;
use crate::observe::{Dom0, Function};

/// What a reboot would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reboot {
    /// Why it would not return the function; empty where it would.
    pub obstacles: Vec<String>,
    /// A warm reboot does not clear the device: power off and start.
    pub power_off: bool,
}

impl Reboot {
    /// One sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let verb = if self.power_off { "powering off and starting" } else { "a reboot" };
        if self.obstacles.is_empty() {
            format!("{verb} returns it")
        } else {
            format!("{verb} does not return it, until this changes: {}", self.obstacles.join("; "))
        }
    }

    /// The note that says so.
    #[must_use]
    pub fn note(&self) -> Option<Hazard> {
        (!self.obstacles.is_empty()).then(|| Hazard {
            id: "reboot-would-not-return",
            severity: Severity::Note,
            qube: None,
            labels: Vec::new(),
            sentence: "a reboot would not give it back to dom0".to_owned(),
            evidence: self.obstacles.join("; "),
        })
    }
}

/// Whether an entry of a list names the function. One that is no plain address (a
/// wildcard, a path) may.
fn may_name(entry: &str, function: &Function) -> bool {
    match DeviceArgument::parse(entry) {
        Some(DeviceArgument::Address(sbdf)) => sbdf == function.sbdf,
        Some(DeviceArgument::Path(..)) => true,
        None => !entry.is_empty(),
    }
}

/// Derives it from the command line, the class and the hazards that outlast a warm
/// reboot.
#[must_use]
pub fn advice(dom0: &Dom0, function: &Function, hazards: &[Hazard]) -> Reboot {
    let mut obstacles = Vec::new();
    for word in dom0.cmdline.split_whitespace() {
        let Some((name, list)) = word.split_once('=').or(Some((word, ""))) else { continue };
        // The kernel takes `-` and `_` in a parameter's name for the same.
        match name.replace('-', "_").as_str() {
            // core-admin-linux, dracut module 90qubes-pciback: a list of addresses.
            "rd.qubes.hide_pci" if list.split(',').any(|entry| may_name(entry, function)) => {
                obstacles.push("rd.qubes.hide_pci names it".to_owned());
            }
            "rd.qubes.hide_all_usb" if function.is_usb() => {
                obstacles.push("rd.qubes.hide_all_usb hides every USB controller".to_owned());
            }
            // xen-pciback's own parameter: (0000:00:19.0)(00:1a.*)
            "xen_pciback.hide" if list.split(['(', ')']).any(|entry| may_name(entry, function)) => {
                obstacles.push("xen-pciback.hide names it".to_owned());
            }
            _ => {}
        }
    }
    if dom0.qubes && function.base_class() == 0x02 {
        obstacles.push("Qubes hides every network device from dom0 at boot".to_owned());
    }
    let lasting = ["permissive", "no-strict-reset", "no-reset", "reset-doubtful"];
    let power_off = hazards.iter().any(|hazard| lasting.contains(&hazard.id));
    Reboot { obstacles, power_off }
}
