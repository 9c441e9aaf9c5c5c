//! The steps that bring a function back, one verb each.

use super::outcome::Trouble;
use super::Operation;
use crate::assess::HazardId;
use crate::error::Failure;
use crate::names::{DriverName, ModuleName, Owner, Step};
use crate::observe::config_space::{ConfigSpace, CONVENTIONAL_SIZE};
use crate::plan::Candidate;
use crate::system::worker::Act;
use nix::errno::Errno;

/// What the kernel answers where a device does not take a reset (`drivers/pci/pci.c`).
const NOT_TAKEN: [Errno; 3] = [Errno::ENOTTY, Errno::ETIMEDOUT, Errno::EIO];

impl Operation<'_> {
    /// Performs one step and says what was proved.
    pub(super) fn return_step(&mut self, step: Step) -> Result<String, Trouble> {
        match step {
            Step::Pin => self.pin(),
            Step::Unbind => {
                self.nobody_has_it()?;
                self.take_from_driver()
            }
            Step::Settle => self.settle(),
            Step::RemoveSlot => self.remove_slot(),
            Step::Modalias => self.modalias(),
            Step::Resolve => self.resolve(),
            Step::Load => {
                self.load_takes_no_other()?;
                self.load()
            }
            Step::Guard => self.guard_on(),
            Step::Dequarantine => self.dequarantine(),
            Step::Bind => self.bind(),
            Step::Verify => self.verify(),
            Step::Unguard => self.unguard(),
            Step::Unpin => {
                self.still_driven()?;
                self.set_override(None)?;
                // A driver that gives up late must not end as dom0's without one: this is the last look.
                self.still_driven()?;
                Ok("driver_override is clear".to_owned())
            }
            Step::Quarantine => self.quarantine(),
            Step::Unassign
            | Step::UndoUnbind
            | Step::UndoOwner
            | Step::UndoBind
            | Step::UndoSlot
            | Step::UndoOverride => {
                Err(Trouble::failed(format!("{} is not a step of a plan", step.name()), "report this"))
            }
        }
    }

    /// The driver that was bound is there.
    pub(super) fn still_driven(&mut self) -> Result<(), Trouble> {
        match self.sources.sysfs.driver(self.plan.sbdf)? {
            None => Err(self.let_go()),
            Some(_) => self.still_ours(),
        }
    }

    fn pin(&mut self) -> Result<String, Trouble> {
        self.nobody_has_it()?;
        self.set_override(Some("none"))?;
        Ok("driver_override is none".to_owned())
    }

    fn settle(&mut self) -> Result<String, Trouble> {
        self.still_driverless()?;
        let before = self.config()?;
        let (was_reset, said) = self.reset()?;
        let mut after = self.config()?;
        // Firmware that used it before the kernel did, to boot from it, may have left it so: pciback gives that back. Without
        // a reset it may as well be what a qube left running, which would go on when a driver turns it on again.
        let mastered = after.is_bus_master();
        if mastered && was_reset && before.difference(&after).is_none() {
            self.still_driverless()?;
            let path = self.sources.sysfs.attribute_path(self.plan.sbdf, "config");
            self.act(&Act::Command(path, after.command_without_bus_mastering()))?;
            after = self.config()?;
        }
        let serial = self.sources.serial(self.plan.sbdf);
        if after.is_bus_master() {
            return Err(Trouble::failed(
                format!("bus mastering stays on without a driver (command {:#06x})", after.command),
                "power off and start",
            ));
        }
        let observed = self.function.config.as_ref();
        let changed = before
            .difference(&after)
            .or_else(|| observed.and_then(|config| config.difference(&after)))
            .or_else(|| (self.function.serial != serial).then(|| "its serial number changed".to_owned()));
        if let Some(changed) = changed {
            return Err(Trouble::failed(
                format!("it is not the same device any more: {changed}"),
                "do not use it; power off and look at it",
            ));
        }
        // Its class may have differed before: the kernel calls some devices otherwise (`DECLARE_PCI_FIXUP_CLASS_*`).
        if (self.function.vendor, self.function.device) != (after.vendor, after.device) {
            return Err(Trouble::failed(
                "its config space differs from what it was when the kernel found it",
                "do not use it; power off and look at it",
            ));
        }
        let class = match self.function.class {
            class if class == after.class => String::new(),
            class => format!("; its class reads {:06x}, the kernel calls it {class:06x}", after.class),
        };
        let rom = self.read_rom(after.decodes_memory())?.map(|rom| format!("; {rom}")).unwrap_or_default();
        let mastering = if mastered { "bus mastering was on, now off" } else { "bus mastering off" };
        Ok(format!("{said}; {mastering}; ids unchanged{class}{rom}"))
    }

    /// Whether "bus", which resets others too, has to be taken off the kernel's list.
    pub(super) fn narrows_reset(&self) -> bool {
        let methods = self.function.reset_methods.as_deref().unwrap_or_default();
        methods.iter().any(|method| method == "bus") && !self.accepted.has(HazardId::BusResetOnly)
    }

    /// Resets the function, where the kernel knows how; whether it took it, and in words. Several methods are tried
    /// by the kernel in their order, so "bus", which resets others too, is taken off
    /// its list unless it was accepted.
    fn reset(&mut self) -> Result<(bool, String), Trouble> {
        let Some(methods) = self.function.reset_methods.clone() else {
            return Ok((false, "it cannot be reset".to_owned()));
        };
        let all = methods.join(" ");
        let harmless: Vec<&str> =
            methods.iter().map(String::as_str).filter(|method| *method != "bus").collect();
        let narrowed = self.narrows_reset();
        let used = if narrowed { harmless.join(" ") } else { all.clone() };
        if narrowed {
            self.narrowed = Some(all);
            self.write("reset_method", &used)?;
        }
        // A reset under another's driver would tear it.
        let answered = self.still_driverless().and_then(|()| self.write("reset", "1"));
        self.widen_reset()?;
        let used = crate::names::escape(used.as_bytes());
        match answered {
            Ok(()) => Ok((true, format!("reset ({used})"))),
            // The device did not take it, as was to be expected; a write that did not get to it is another matter.
            Err(Trouble::Failed { message, errno, .. })
                if self.accepted.has(HazardId::ResetDoubtful)
                    && NOT_TAKEN.contains(&Errno::from_raw(errno)) =>
            {
                Ok((false, format!("no reset, as accepted ({used}): {message}")))
            }
            Err(Trouble::Failed { message, errno, .. }) => Err(Trouble::Failed {
                message: format!("it takes no reset ({used}): {message}"),
                hint: "power off and start; or accept reset-doubtful".to_owned(),
                errno,
            }),
            Err(trouble) => Err(trouble),
        }
    }

    /// Gives the kernel its list of reset methods back.
    pub(super) fn widen_reset(&mut self) -> Result<(), Trouble> {
        let Some(all) = self.narrowed.clone() else { return Ok(()) };
        self.write("reset_method", &all)?;
        let is = self.sources.sysfs.attribute(self.plan.sbdf, "reset_method")?.unwrap_or_default();
        if is.trim() != all {
            let is = crate::names::escape(is.as_bytes());
            return Err(Trouble::failed(
                format!("reset_method reads `{is}` after the write"),
                "write it by hand",
            ));
        }
        self.narrowed = None;
        Ok(())
    }

    fn config(&self) -> Result<ConfigSpace, Trouble> {
        let bytes = self.sources.sysfs.config(self.plan.sbdf, CONVENTIONAL_SIZE)?;
        self.function.config_anew(&bytes).ok_or_else(|| {
            Trouble::failed("its config space reads all ones: it does not answer", "power off and start")
        })
    }

    fn remove_slot(&mut self) -> Result<String, Trouble> {
        self.still_ours()?;
        let sbdf = self.plan.sbdf;
        self.left.slots.push(false);
        let path = self.sources.sysfs.pciback_path("remove_slot");
        self.act(&Act::Write(path, sbdf.to_string()))?;
        if self.sources.sysfs.slots()?.contains(&sbdf) {
            return Err(Trouble::failed("pciback still lists its slot", "see dmesg"));
        }
        self.left.slots = vec![false];
        Ok("pciback does not list it".to_owned())
    }

    fn modalias(&mut self) -> Result<String, Trouble> {
        let modalias = self.sources.sysfs.attribute(self.plan.sbdf, "modalias")?.unwrap_or_default();
        if modalias != self.function.modalias {
            return Err(Trouble::failed("its modalias changed", "run `plan` again"));
        }
        Ok(crate::names::escape(modalias.as_bytes()))
    }

    fn resolve(&mut self) -> Result<String, Trouble> {
        let modules = self.sources.modules()?;
        let claiming = modules.claiming(&self.function.modalias)?;
        for candidate in &self.plan.candidates {
            if let Candidate::OfModule(module) = candidate {
                if !claiming.contains(module) {
                    return Err(Trouble::failed(format!("{module} claims it no more"), "run `plan` again"));
                }
            }
        }
        let names: Vec<&str> = claiming.iter().map(ModuleName::as_str).collect();
        Ok(if names.is_empty() { "no module claims it".to_owned() } else { names.join(", ") })
    }

    /// Nothing became driverless since the plan that loading would bind too.
    fn load_takes_no_other(&self) -> Result<(), Trouble> {
        for load in &self.plan.loads {
            if let Some(other) = self.sources.would_take(&load.module, self.plan.sbdf)?.first() {
                return Err(Trouble::failed(
                    format!("loading {} would bind {} too", load.module, other.sbdf),
                    "run `plan` again",
                ));
            }
        }
        Ok(())
    }

    /// Loads what is missing. One of several candidates may fail to load; the
    /// others are tried then.
    pub(super) fn load(&mut self) -> Result<String, Trouble> {
        let (mut loaded, mut refused) = (Vec::new(), None);
        for load in &self.plan.loads {
            let act = Act::Load { module: load.module.clone(), blacklisted_too: load.blacklisted };
            let answered = self.act(&act);
            let drivers = self.sources.modules()?.drivers_of(&load.module)?;
            match (answered, drivers) {
                (Err(hung @ Trouble::Hung(_)), _) => return Err(hung),
                (_, Some(drivers)) if !drivers.is_empty() => {
                    let names: Vec<&str> = drivers.iter().map(DriverName::as_str).collect();
                    loaded.push(format!("{} drives as {}", load.module, names.join(", ")));
                }
                (Err(trouble), _) => refused = Some(trouble),
                (Ok(()), _) => {
                    refused = Some(Trouble::failed(
                        format!("{} registered no PCI driver", load.module),
                        "see dmesg, and whether modprobe.d blacklists or replaces it",
                    ));
                }
            }
        }
        match refused {
            Some(trouble) if loaded.is_empty() && !self.has_driver_elsewhere()? => Err(trouble),
            _ => Ok(loaded.join("; ")),
        }
    }

    fn has_driver_elsewhere(&self) -> Result<bool, Failure> {
        let modules = self.sources.modules()?;
        for candidate in &self.plan.candidates {
            if let Candidate::OfModule(module) = candidate {
                if modules.drivers_of(module)?.is_some_and(|drivers| !drivers.is_empty()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn dequarantine(&mut self) -> Result<String, Trouble> {
        self.nobody_has_it()?;
        self.still_driverless()?;
        self.no_qube_is_beside()?;
        self.left.owners.push(Owner::Dom0);
        self.opened = true;
        self.act(&Act::Dequarantine(self.plan.sbdf))?;
        self.prove_owner(Owner::Dom0)?;
        Ok("Xen's owner is dom0".to_owned())
    }

    fn bind(&mut self) -> Result<String, Trouble> {
        self.nobody_has_it()?;
        self.still_driverless()?;
        self.kernel_log.mark()?;
        self.xen_log = self.sources.xen.as_ref().ok().and_then(|xen| xen.log_end().ok());
        let mut refused = Vec::new();
        for (driver, forced) in self.drivers_to_try()? {
            match self.bind_to(&driver, forced) {
                Ok(()) if refused.is_empty() => return Ok(format!("{driver} is bound")),
                Ok(()) => return Ok(format!("{driver} is bound; before it {}", refused.join("; "))),
                Err(Trouble::Failed { message, .. }) => refused.push(format!("{driver} refused: {message}")),
                Err(trouble) => return Err(trouble),
            }
        }
        let said = if refused.is_empty() {
            "no driver to bind is registered".to_owned()
        } else {
            refused.join("; ")
        };
        Err(Trouble::failed(said, "see dmesg for why the driver refuses it; a reboot is the other way"))
    }

    /// Drivers in their order. One that is its module's only one is forced by the
    /// override, for the module's alias matched; of several, and of a driver that
    /// was named, the kernel's own table decides.
    pub(super) fn drivers_to_try(&self) -> Result<Vec<(DriverName, bool)>, Failure> {
        let modules = self.sources.modules()?;
        let mut drivers = Vec::new();
        for candidate in &self.plan.candidates {
            match candidate {
                Candidate::Named(driver) => drivers.push((driver.clone(), false)),
                Candidate::OfModule(module) => {
                    let registered = modules.drivers_of(module)?.unwrap_or_default();
                    let only = registered.len() == 1;
                    drivers.extend(registered.into_iter().map(|driver| (driver, only)));
                }
            }
        }
        Ok(drivers)
    }

    fn bind_to(&mut self, driver: &DriverName, forced: bool) -> Result<(), Trouble> {
        let sbdf = self.plan.sbdf;
        self.set_override(forced.then_some(driver.as_str()))?;
        self.left.drivers.push(Some(driver.clone()));
        let path = self.sources.sysfs.driver_folder(driver).join("bind");
        let answered = self.act(&Act::Write(path, sbdf.to_string()));
        if let Err(hung @ Trouble::Hung(_)) = answered {
            return Err(hung);
        }
        let bound = self.sources.sysfs.driver(sbdf)?;
        match bound {
            // A driver that probes in the background may have failed by now, or
            // fail later: the next step watches for it.
            Some(bound) if bound == *driver => {
                self.left.drivers = vec![Some(bound), None];
                Ok(())
            }
            Some(other) => Err(Trouble::HandsOff(format!("{other} took it meanwhile"))),
            None => {
                let why = match answered {
                    Ok(()) => self.let_go(),
                    Err(refused) => refused,
                };
                if !forced && !matches!(why, Trouble::HandsOff(_)) {
                    self.set_override(Some("none"))?;
                }
                Err(why)
            }
        }
    }
}
