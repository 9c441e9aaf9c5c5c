//! Which modules and drivers of this kernel claim a function.

use super::{Dom0, Function, Sources};
use crate::error::Failure;
use crate::names::{DriverName, ModuleName, Sbdf};

/// One module whose aliases match the function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The module.
    pub module: ModuleName,
    /// Its PCI drivers, where it is loaded or built in; `None`: known after load.
    pub drivers: Option<Vec<DriverName>>,
    /// Whether it is blacklisted.
    pub blacklisted: bool,
    /// The file that blacklists it, whether it is loaded or not: `/proc/cmdline` or one of modprobe's.
    pub blacklisted_in: Option<String>,
    /// Other functions without driver and override that loading it would bind.
    pub would_take: Vec<Sbdf>,
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
        let mut would_take = Vec::new();
        if drivers.is_none() {
            for other in dom0.functions.values() {
                let free = other.driver.is_none() && other.driver_override.is_none();
                if free && other.sbdf != function.sbdf && modules.claiming(&other.modalias)?.contains(&module)
                {
                    would_take.push(other.sbdf);
                }
            }
        }
        let blacklisted_in = modules.blacklisted_in(&module);
        let blacklisted = drivers.is_none() && blacklisted_in.is_some();
        by_alias.push(Claim { module, drivers, blacklisted, blacklisted_in, would_take });
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

/// `driver_path` of libxl (`tools/libs/light/libxl_pci.c`), written when
/// `xl pci-assignable-add` took the function from its driver.
fn recorded_driver(sources: &mut Sources, sbdf: Sbdf) -> Result<Option<DriverName>, Failure> {
    let Ok(store) = &mut sources.xenstore else { return Ok(None) };
    let path = store.read(&format!("/libxl/pci/{}/driver_path", sbdf.libxl_key()))?;
    let path = path.map(|path| String::from_utf8_lossy(&path).into_owned()).unwrap_or_default();
    let name = path.strip_prefix("/sys/bus/pci/drivers/").and_then(DriverName::parse);
    Ok(name.filter(|driver| !driver.is_holder()))
}
