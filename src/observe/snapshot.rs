//! The state of a function that an operation changes and has to put back.

use super::functions::driver_override;
use super::{Dom0, Function, Owner, Sources};
use crate::error::Failure;
use crate::names::{escape, DriverName, Sbdf};
use std::fmt;

/// Driver, override, slot and owner: all an operation changes of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The driver bound to it.
    pub driver: Option<DriverName>,
    /// The driver it is pinned to.
    pub driver_override: Option<String>,
    /// Whether pciback lists it in `slots`.
    pub slot: bool,
    /// Xen's owner.
    pub owner: Owner,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_ref().map_or("none", DriverName::as_str);
        let pinned =
            self.driver_override.as_deref().map_or("none set".to_owned(), |it| escape(it.as_bytes()));
        let slot = if self.slot { "listed" } else { "not listed" };
        write!(f, "driver {driver}, driver_override {pinned}, slot {slot}, Xen's owner {}", self.owner)
    }
}

impl Snapshot {
    /// The same from facts that were just observed; `None` where the owner is not
    /// among them.
    #[must_use]
    pub fn observed(dom0: &Dom0, function: &Function) -> Option<Self> {
        Some(Self {
            driver: function.driver.clone(),
            driver_override: function.driver_override.clone(),
            slot: dom0.slots.contains(&function.sbdf),
            owner: *dom0.owners.as_ref().ok()?.get(&function.sbdf)?,
        })
    }
}

/// Reads it; nothing is remembered from an earlier reading.
pub fn read(sources: &Sources, sbdf: Sbdf) -> Result<Snapshot, Failure> {
    Ok(Snapshot {
        driver: sources.sysfs.driver(sbdf)?,
        driver_override: driver_override(&sources.sysfs, sbdf)?,
        slot: sources.sysfs.slots()?.contains(&sbdf),
        owner: sources.owner(sbdf)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_that_a_terminal_would_act_on_is_shown_escaped() {
        let driver_override = Some("e1000e\x1b[31m\n".to_owned());
        let state = Snapshot { driver: None, driver_override, slot: false, owner: Owner::Dom0 };
        assert!(state.to_string().contains("driver_override e1000e\\x1b[31m\\x0a, slot"), "{state}");
    }
}
