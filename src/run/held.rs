//! The steps that give a function to pciback.

use super::outcome::Trouble;
use super::Operation;
use crate::names::{DriverName, Step};
use crate::system::worker::Act;

impl Operation<'_> {
    /// Performs one step and says what was proved.
    pub(super) fn hold_step(&mut self, step: Step) -> Result<String, Trouble> {
        match step {
            Step::Load => self.load(),
            Step::Pin => {
                self.nobody_has_it()?;
                self.no_other_driver()?;
                self.set_override(Some("pciback"))?;
                Ok("driver_override is pciback".to_owned())
            }
            Step::Unbind => {
                self.nobody_has_it()?;
                if let Some(use_) = self.sources.dom0_uses(self.function)?.first() {
                    return Err(Trouble::failed(format!("dom0 uses it now: {use_}"), "stop using it first"));
                }
                self.take_from_driver()
            }
            Step::Quarantine => {
                self.nobody_has_it()?;
                // Under a driver that runs it would tear its DMA off.
                self.no_other_driver()?;
                self.quarantine()
            }
            Step::Bind => {
                self.nobody_has_it()?;
                self.no_other_driver()?;
                self.bind_pciback()
            }
            Step::Unpin => {
                self.still_ours()?;
                self.set_override(None)?;
                Ok("driver_override is clear".to_owned())
            }
            other => Err(Trouble::failed(format!("{} is no step of hold", other.name()), "report this")),
        }
    }

    /// Binds pciback, pinned by the override; it then lists the slot by itself.
    pub(super) fn bind_pciback(&mut self) -> Result<String, Trouble> {
        let sbdf = self.plan.sbdf;
        let Some(pciback) = DriverName::parse("pciback") else {
            return Err(Trouble::failed("pciback has no name", "report this"));
        };
        self.left.drivers.push(Some(pciback.clone()));
        self.left.slots = vec![true, false];
        let path = self.sources.sysfs.driver_folder(&pciback).join("bind");
        let answered = self.act(&Act::Write(path, sbdf.to_string()));
        if let Err(hung @ Trouble::Hung(_)) = answered {
            return Err(hung);
        }
        if self.sources.sysfs.driver(sbdf)?.as_ref() != Some(&pciback) {
            answered?;
            return Err(Trouble::failed("pciback did not take it", "see dmesg"));
        }
        self.left.drivers = vec![Some(pciback)];
        if !self.sources.sysfs.slots()?.contains(&sbdf) {
            let path = self.sources.sysfs.pciback_path("new_slot");
            self.act(&Act::Write(path, sbdf.to_string()))?;
        }
        if !self.sources.sysfs.slots()?.contains(&sbdf) {
            return Err(Trouble::failed("pciback does not list its slot", "see dmesg"));
        }
        self.left.slots = vec![true];
        Ok("pciback holds it and lists its slot".to_owned())
    }
}
