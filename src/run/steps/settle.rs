//! settle: reset while driverless and in quarantine, bus mastering off, and the same device as before.

use crate::assess::HazardId;
use crate::journal::Details;
use crate::names::escape;
use crate::observe::config_space::{ConfigSpace, CONVENTIONAL_SIZE};
use crate::run::operation::Operation;
use crate::run::outcome::Trouble;
use crate::system::worker::Act;
use nix::errno::Errno;

/// What the kernel answers where a device does not take a reset (`drivers/pci/pci.c`).
const NOT_TAKEN: [Errno; 3] = [Errno::ENOTTY, Errno::ETIMEDOUT, Errno::EIO];

impl Operation<'_> {
    /// The reset methods in force, for the intent, where they are going to be narrowed.
    pub(super) fn settle_details(&self) -> Details {
        match self.function.reset_methods.as_deref() {
            Some(methods) if self.narrows_reset() => Details::Settle { methods: methods.join(" ") },
            _ => Details::None,
        }
    }

    pub(super) fn settle(&mut self) -> Result<String, Trouble> {
        let before = self.config()?;
        let (was_reset, said) = self.reset()?;
        let mut after = self.config()?;
        // Firmware that used it before the kernel did, to boot from it, may have left it so: pciback
        // gives that back. Without a reset it may as well be what a qube left running, which would go on
        // when a driver turns it on again.
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
        // Its class may have differed before: the kernel calls some devices otherwise
        // (`DECLARE_PCI_FIXUP_CLASS_*`).
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
    fn narrows_reset(&self) -> bool {
        let methods = self.function.reset_methods.as_deref().unwrap_or_default();
        methods.iter().any(|method| method == "bus") && !self.accepted.has(HazardId::BusResetOnly)
    }

    /// Resets the function, where the kernel knows how; whether it took it, and in words. Several
    /// methods are tried by the kernel in their order, so "bus", which resets others too, is taken off
    /// its list unless it was accepted.
    fn reset(&mut self) -> Result<(bool, String), Trouble> {
        let Some(methods) = self.function.reset_methods.clone() else {
            return Ok((false, "it cannot be reset".to_owned()));
        };
        let all = methods.join(" ");
        let harmless: Vec<&str> =
            methods.iter().map(String::as_str).filter(|method| *method != "bus").collect();
        let narrowed = self.narrows_reset();
        let used = if narrowed { harmless.join(" ") } else { all };
        if narrowed {
            self.write("reset_method", &used)?;
        }
        // A reset under another's driver would tear it.
        let answered = self.still_driverless().and_then(|()| self.write("reset", "1"));
        self.widen_reset()?;
        let used = escape(used.as_bytes());
        match answered {
            Ok(()) => Ok((true, format!("reset ({used})"))),
            // The device did not take it, as was to be expected; a write that did
            // not get to it is another matter.
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
    pub(in crate::run) fn widen_reset(&mut self) -> Result<(), Trouble> {
        let Some(all) = self.expected.narrowed.clone() else { return Ok(()) };
        self.write("reset_method", &all)?;
        let is = self.sources.sysfs.attribute(self.plan.sbdf, "reset_method")?.unwrap_or_default();
        if is.trim() != all {
            let is = escape(is.as_bytes());
            return Err(Trouble::failed(
                format!("reset_method reads `{is}` after the write"),
                "write it by hand",
            ));
        }
        self.expected.narrowed = None;
        Ok(())
    }

    fn config(&self) -> Result<ConfigSpace, Trouble> {
        let bytes = self.sources.sysfs.config(self.plan.sbdf, CONVENTIONAL_SIZE)?;
        self.function.config_anew(&bytes).ok_or_else(|| {
            Trouble::failed("its config space reads all ones: it does not answer", "power off and start")
        })
    }
}
