//! What a reading may show if only this run touched the function.

use crate::names::{DriverName, Owner, Standing};

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
    pub fn as_found(found: &Standing) -> Self {
        Self {
            drivers: vec![found.driver.clone()],
            overrides: vec![found.driver_override.clone()],
            slots: vec![found.slot],
            owners: vec![found.owner],
        }
    }

    /// What another set of values allows is allowed too.
    pub fn or(&mut self, other: &Self) {
        self.drivers.extend(other.drivers.iter().cloned());
        self.overrides.extend(other.overrides.iter().cloned());
        self.slots.extend(&other.slots);
        self.owners.extend(&other.owners);
    }

    /// Whether a driver of dom0 may have the function.
    #[must_use]
    pub fn is_driven(&self) -> bool {
        self.drivers.iter().flatten().any(|driver| !driver.is_holder())
    }

    /// Who else took the function, in words; `None` where nobody did. Override and
    /// slot alone take nothing: another's are left as they are when their turn comes.
    #[must_use]
    pub fn foreign(&self, now: &Standing) -> Option<String> {
        if !self.owners.contains(&now.owner) {
            return Some(format!("Xen's owner is {}", now.owner));
        }
        // A driver of dom0 may let it go by itself: then nobody has it.
        let let_go = now.driver.is_none() && self.is_driven();
        if !let_go && !self.drivers.contains(&now.driver) {
            let driver = now.driver.as_ref().map_or("no driver", DriverName::as_str);
            return Some(format!("{driver} is bound"));
        }
        None
    }
}
