//! unbind and bind: dom0's driver or pciback. undo-unbind takes off what bind bound,
//! undo-bind binds what was bound before.

use crate::error::Failure;
use crate::journal::Details;
use crate::names::{Direction, DriverName, Owner, Standing, Step};
use crate::observe::kernel_lines::is_torn_from_a_domain;
use crate::plan::Candidate;
use crate::run::operation::Operation;
use crate::run::outcome::Trouble;
use crate::system::worker::Act;

impl Operation<'_> {
    /// Dom0 does not use what is going to be taken from its driver.
    pub(super) fn can_do_without(&self) -> Result<(), Trouble> {
        match self.sources.dom0_uses(self.function)?.first() {
            Some(used) => Err(Trouble::failed(format!("dom0 uses it now: {used}"), "stop using it first")),
            None => Ok(()),
        }
    }

    /// Takes the function from the driver that holds it and proves it.
    pub(super) fn take_from_driver(&mut self) -> Result<String, Trouble> {
        let sbdf = self.plan.sbdf;
        let Some(driver) = self.sources.sysfs.driver(sbdf)? else {
            // The one that was there was this run's to take.
            self.expected.drivers = vec![None];
            return Ok("no driver is bound".to_owned());
        };
        if !self.expected.drivers.contains(&Some(driver.clone())) {
            return Err(Trouble::HandsOff(format!("{driver} took it meanwhile")));
        }
        let path = self.sources.sysfs.driver_folder(&driver).join("unbind");
        self.act(&Act::Write(path, sbdf.to_string()))?;
        if let Some(still) = self.sources.sysfs.driver(sbdf)? {
            // mutant: unbind-not-proved
            return Err(Trouble::failed(
                format!("{still} still holds it after the unbind"),
                "see the kernel's log (dmesg)",
            ));
        }
        self.expected.drivers = vec![None];
        let (lines, overrun) = self.kernel_log.read()?;
        if overrun {
            return Err(Trouble::failed(
                "the kernel's log ran over; a warning may have been missed",
                "try again",
            ));
        }
        if lines.iter().any(|line| is_torn_from_a_domain(line, sbdf)) {
            return Err(Trouble::HandsOff("a domain was still using it (kernel log)".to_owned()));
        }
        Ok(format!("{driver} let it go"))
    }

    /// What may be bound, for the intent.
    pub(super) fn bind_details(&self) -> Result<Details, Trouble> {
        let drivers = self.drivers_to_try()?.into_iter().map(|(driver, _)| driver).collect();
        let xen_log = self.sources.xen.as_ref().ok().and_then(|xen| xen.log_end().ok());
        Ok(Details::Bind { drivers, xen_log })
    }

    pub(super) fn bind(&mut self) -> Result<String, Trouble> {
        match self.plan.direction {
            Direction::Return => self.bind_driver(),
            Direction::Hold => self.bind_pciback(),
        }
    }

    fn bind_driver(&mut self) -> Result<String, Trouble> {
        self.kernel_log.mark()?;
        self.expected.xen_log = self.sources.xen.as_ref().ok().and_then(|xen| xen.log_end().ok());
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
    fn drivers_to_try(&self) -> Result<Vec<(DriverName, bool)>, Failure> {
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
                self.expected.drivers = vec![Some(bound), None];
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

    /// Binds pciback, pinned by the override; it then lists the slot by itself.
    fn bind_pciback(&mut self) -> Result<String, Trouble> {
        let sbdf = self.plan.sbdf;
        let pciback = DriverName::PCIBACK;
        let path = self.sources.sysfs.driver_folder(&pciback).join("bind");
        let answered = self.act(&Act::Write(path, sbdf.to_string()));
        if let Err(hung @ Trouble::Hung(_)) = answered {
            return Err(hung);
        }
        if self.sources.sysfs.driver(sbdf)?.as_ref() != Some(&pciback) {
            answered?;
            return Err(Trouble::failed("pciback did not take it", "see dmesg"));
        }
        self.expected.drivers = vec![Some(pciback)];
        if !self.sources.sysfs.slots()?.contains(&sbdf) {
            let path = self.sources.sysfs.pciback_path("new_slot");
            self.act(&Act::Write(path, sbdf.to_string()))?;
        }
        if !self.sources.sysfs.slots()?.contains(&sbdf) {
            return Err(Trouble::failed("pciback does not list its slot", "see dmesg"));
        }
        self.expected.slots = vec![true];
        Ok("pciback holds it and lists its slot".to_owned())
    }

    /// Takes off the driver this run bound, where another or none belongs there; one
    /// that gave up by itself is off.
    pub(super) fn undo_unbind(&mut self, goal: &Standing) -> Result<Option<String>, Trouble> {
        let sbdf = self.plan.sbdf;
        let bound = self.sources.sysfs.driver(sbdf)?;
        let Some(driver) = bound.filter(|bound| goal.driver.as_ref() != Some(bound)) else { return Ok(None) };
        self.no_other_driver()?;
        if driver.is_holder() {
            self.nobody_takes_it()?;
        } else {
            self.dom0_does_not_use_it()?;
        }
        self.expected.begin_undo(Step::UndoUnbind, goal);
        match self.take_from_driver() {
            Ok(proof) => Ok(Some(proof)),
            Err(Trouble::Failed { .. }) if self.sources.sysfs.driver(sbdf)?.is_none() => {
                self.expected.drivers = vec![None];
                Ok(Some("its driver let it go by itself".to_owned()))
            }
            Err(trouble) => Err(trouble),
        }
    }

    pub(super) fn undo_bind(&mut self, goal: &Standing) -> Result<Option<String>, Trouble> {
        let sbdf = self.plan.sbdf;
        let bound = self.sources.sysfs.driver(sbdf)?;
        let Some(driver) = goal.driver.clone().filter(|_| bound != goal.driver) else { return Ok(None) };
        self.nobody_takes_it()?;
        let owner = self.sources.owner(sbdf)?;
        if !driver.is_holder() && owner != Owner::Dom0 {
            return Err(Trouble::failed(format!("{driver} cannot work in quarantine"), "reboot"));
        }
        self.override_is_ours()?;
        self.expected.begin_undo(Step::UndoBind, goal);
        self.set_override(Some(driver.as_str()))?;
        if driver.is_pciback() {
            return self.bind_pciback().map(Some);
        }
        let path = self.sources.sysfs.driver_folder(&driver).join("bind");
        self.act(&Act::Write(path, sbdf.to_string()))?;
        if self.sources.sysfs.driver(sbdf)?.as_ref() != Some(&driver) {
            return Err(Trouble::failed(format!("{driver} does not take it back"), "see dmesg"));
        }
        self.expected.drivers = vec![Some(driver.clone())];
        Ok(Some(format!("{driver} has it again")))
    }
}
