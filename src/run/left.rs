//! What a reading may show if only this run touched the function.

use crate::names::DriverName;
use crate::observe::{Owner, Snapshot};

/// Values this run left, or may have left where a change got no clear answer.
/// Any other value is another actor's.
#[derive(Clone, Debug)]
pub struct Left {
    /// Drivers.
    pub drivers: Vec<Option<DriverName>>,
    /// Overrides.
    pub overrides: Vec<Option<String>>,
    /// Whether pciback lists the slot.
    pub slots: Vec<bool>,
    /// Owners.
    pub owners: Vec<Owner>,
}

impl Left {
    /// Before anything was changed.
    #[must_use]
    pub fn as_found(found: &Snapshot) -> Self {
        Self {
            drivers: vec![found.driver.clone()],
            overrides: vec![found.driver_override.clone()],
            slots: vec![found.slot],
            owners: vec![found.owner],
        }
    }

    /// What somebody else changed, in words; `None` where nobody did.
    #[must_use]
    pub fn foreign(&self, now: &Snapshot) -> Option<String> {
        if !self.owners.contains(&now.owner) {
            return Some(format!("Xen's owner is {}", now.owner));
        }
        if !self.drivers.contains(&now.driver) {
            let driver = now.driver.as_ref().map_or("no driver", DriverName::as_str);
            return Some(format!("{driver} is bound"));
        }
        if !self.overrides.contains(&now.driver_override) {
            return Some("driver_override was changed".to_owned());
        }
        (!self.slots.contains(&now.slot)).then(|| "pciback's list of slots was changed".to_owned())
    }
}
