//! Which modules and drivers of this kernel claim a function.

use super::functions::driver_override;
use super::{Dom0, Function, Sources};
use crate::error::Failure;
use crate::names::{DriverName, ModuleName, Sbdf};
use crate::system::modprobe::Barred;

/// One module whose aliases match the function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The module.
    pub module: ModuleName,
    /// The PCI drivers, where it is loaded or built in; `None`: known after load.
    pub drivers: Option<Vec<DriverName>>,
    /// Whether it is blacklisted.
    pub blacklisted: bool,
    /// The file that blacklists it, whether it is loaded or not: `/proc/cmdline` or one of modprobe's.
    pub blacklisted_in: Option<String>,
    /// What keeps it from being loaded, whether it is loaded or not.
    pub barred: Option<Barred>,
    /// Other functions that loading it would bind.
    pub would_take: Vec<Taken>,
}

impl Claim {
    /// Whether it has a driver, or may have one once it is loaded.
    #[must_use]
    pub fn can_drive(&self) -> bool {
        match &self.drivers {
            Some(drivers) => !drivers.is_empty(),
            None => self.barred.is_none(),
        }
    }
}

/// A driverless function that a driver of a module to be loaded would bind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The function.
    pub sbdf: Sbdf,
    /// Why it would.
    pub by: TakenBy,
}

/// How the kernel finds a driver for a function when one is registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TakenBy {
    /// By an alias of this module, which may be one that is loaded together with the other.
    Alias(ModuleName),
    /// By `driver_override`, whatever the aliases say: how a driver is called is known only after load.
    Override(String),
}

/// A driver that was named otherwise than by an alias.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The driver.
    pub driver: DriverName,
    /// Whether it is registered now.
    pub registered: bool,
}

/// Everything that can say which driver a function belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Claims {
    /// By the aliases, in the order of `modprobe -R`.
    pub by_alias: Vec<Claim>,
    /// By the toolstack: the driver it had when `xl` took it.
    pub recorded: Option<Named>,
    /// Drivers built into the kernel; read where nothing else claims it.
    pub built_in: Vec<DriverName>,
    /// Why the modules could not be asked; then nothing is known to claim it.
    pub unreadable: Option<Failure>,
}

/// Reads what claims a function.
pub fn read(sources: &mut Sources, dom0: &Dom0, function: &Function) -> Result<Claims, Failure> {
    let modules = sources.modules()?;
    let mut by_alias = Vec::new();
    for module in modules.claiming(&function.modalias)? {
        let drivers = modules.drivers_of(&module)?;
        let would_take =
            if drivers.is_none() { would_take(sources, &module, function.sbdf)? } else { Vec::new() };
        let blacklisted_in = modules.blacklisted_in(&module)?;
        let blacklisted = drivers.is_none() && blacklisted_in.is_some();
        let barred = modules.barred(&module)?;
        by_alias.push(Claim { module, drivers, blacklisted, blacklisted_in, barred, would_take });
    }
    // A store that could not be read already is not asked again: the function is
    // refused anyhow, and what only shows goes on.
    let recorded = if dom0.uses.is_ok() { recorded_driver(sources, function.sbdf)? } else { None };
    let recorded = match recorded {
        Some(driver) => {
            let registered = sources.sysfs.driver_folder(&driver).exists();
            Some(Named { driver, registered })
        }
        None => None,
    };
    let built_in = if by_alias.is_empty() { sources.sysfs.built_in_drivers()? } else { Vec::new() };
    Ok(Claims { by_alias, recorded, built_in, unreadable: None })
}

/// What loading a module would bind besides `sbdf`, read anew.
pub fn would_take(sources: &Sources, module: &ModuleName, sbdf: Sbdf) -> Result<Vec<Taken>, Failure> {
    let modules = sources.modules()?;
    let mut loaded = vec![module.clone()];
    loaded.extend(modules.loaded_with(module)?);
    let mut taken = Vec::new();
    for other in sources.sysfs.functions()? {
        if other == sbdf || sources.sysfs.driver(other)?.is_some() {
            continue;
        }
        let by = match driver_override(&sources.sysfs, other)? {
            Some(name) => may_appear(sources, &name).then_some(TakenBy::Override(name)),
            None => {
                let modalias = sources.sysfs.attribute(other, "modalias")?.unwrap_or_default();
                let claiming = modules.claiming(&modalias)?;
                loaded.iter().find(|one| claiming.contains(one)).cloned().map(TakenBy::Alias)
            }
        };
        taken.extend(by.map(|by| Taken { sbdf: other, by }));
    }
    Ok(taken)
}

/// Whether a driver that dom0 uses may be registered by this name: not where one is, for a name is free once.
fn may_appear(sources: &Sources, untrusted_name: &str) -> bool {
    let Some(driver) = DriverName::parse(untrusted_name) else { return false };
    untrusted_name != "none" && !driver.is_holder() && !sources.sysfs.driver_folder(&driver).exists()
}

/// `driver_path` of libxl (`tools/libs/light/libxl_pci.c`), written when
/// `xl pci-assignable-add` took the function from its driver.
fn recorded_driver(sources: &mut Sources, sbdf: Sbdf) -> Result<Option<DriverName>, Failure> {
    let Ok(store) = &mut sources.xenstore else { return Ok(None) };
    let path = store.read(&format!("/libxl/pci/{}/driver_path", sbdf.libxl_key()))?;
    let path = path.map(|path| String::from_utf8_lossy(&path).into_owned()).unwrap_or_default();
    let name = path.strip_prefix("/sys/bus/pci/drivers/").and_then(DriverName::parse);
    Ok(name.filter(|driver| !driver.is_holder()))
}
