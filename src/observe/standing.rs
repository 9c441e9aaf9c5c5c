//! How a function stands now: driver, override, slot and owner, read for an operation.

use super::functions::driver_override;
use super::{Dom0, Function, Sources};
use crate::error::Failure;
use crate::names::{Sbdf, Standing};

impl Standing {
    /// From facts that were just observed; `None` where the owner is not among them.
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
pub fn read(sources: &Sources, sbdf: Sbdf) -> Result<Standing, Failure> {
    Ok(Standing {
        driver: sources.sysfs.driver(sbdf)?,
        driver_override: driver_override(&sources.sysfs, sbdf)?,
        slot: sources.sysfs.slots()?.contains(&sbdf),
        owner: sources.owner(sbdf)?,
    })
}
