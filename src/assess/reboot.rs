//! Would a reboot give the function back to dom0?

use super::hazard::{Hazard, Severity};
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
            sentence: "a reboot would not give it back to dom0".to_owned(),
            evidence: self.obstacles.join("; "),
        })
    }
}

/// Derives it from the command line, the class and the hazards that outlast a warm
/// reboot.
#[must_use]
pub fn advice(dom0: &Dom0, function: &Function, hazards: &[Hazard]) -> Reboot {
    let mut obstacles = Vec::new();
    let short = function.sbdf.to_string();
    let short = short.strip_prefix("0000:").unwrap_or(&short).to_owned();
    for word in dom0.cmdline.split_whitespace() {
        // core-admin-linux, dracut module 90qubes-pciback: a list of addresses.
        if let Some(list) = word.strip_prefix("rd.qubes.hide_pci=") {
            let named = |entry: &str| entry == short || entry == function.sbdf.to_string();
            if list.split(',').any(named) {
                obstacles.push(format!("rd.qubes.hide_pci names it ({short})"));
            }
        }
        if word.starts_with("rd.qubes.hide_all_usb") && function.is_usb() {
            obstacles.push("rd.qubes.hide_all_usb hides every USB controller".to_owned());
        }
        // xen-pciback's own parameter: (0000:00:19.0)(00:1a.0)
        if let Some(list) = word.strip_prefix("xen-pciback.hide=") {
            let named = |entry: &str| entry == short || entry == function.sbdf.to_string();
            if list.split(['(', ')']).any(named) {
                obstacles.push(format!("xen-pciback.hide names it ({short})"));
            }
        }
    }
    if dom0.qubes && function.base_class() == 0x02 {
        obstacles.push("Qubes hides every network device from dom0 at boot".to_owned());
    }
    let lasting = ["permissive", "no-reset", "reset-doubtful"];
    let power_off = hazards.iter().any(|hazard| lasting.contains(&hazard.id));
    Reboot { obstacles, power_off }
}
