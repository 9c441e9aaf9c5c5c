//! modalias, resolve and load: which modules drive the device, and that they are
//! loaded. A loaded module stays loaded.

use crate::error::Failure;
use crate::names::{DriverName, ModuleName};
use crate::plan::Candidate;
use crate::run::operation::Operation;
use crate::run::outcome::Trouble;
use crate::system::worker::Act;

impl Operation<'_> {
    pub(super) fn modalias(&mut self) -> Result<String, Trouble> {
        let modalias = self.sources.sysfs.attribute(self.plan.sbdf, "modalias")?.unwrap_or_default();
        if modalias != self.function.modalias {
            return Err(Trouble::failed("its modalias changed", "run `plan` again"));
        }
        Ok(crate::names::escape(modalias.as_bytes()))
    }

    pub(super) fn resolve(&mut self) -> Result<String, Trouble> {
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
    pub(super) fn load_takes_no_other(&self) -> Result<(), Trouble> {
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
}
