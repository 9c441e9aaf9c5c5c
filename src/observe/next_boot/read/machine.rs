//! The machine's functions and what claims them.

use super::files;
use crate::error::Failure;
use crate::names::{ModuleName, Sbdf};
use crate::observe::next_boot::{Device, Module, Release};
use crate::system::modules::Modules;
use crate::system::root::Sysroot;
use crate::system::sysfs::PciSysfs;
use std::collections::{BTreeMap, BTreeSet};

/// Every function.
///
/// # Errors
/// sysfs cannot be read.
pub fn devices(root: &Sysroot, sysfs: &PciSysfs) -> Result<BTreeMap<Sbdf, Device>, Failure> {
    let modules = Modules::open(root).map_err(|failure| failure.message);
    let built_in = listed(root);
    let modules = built_in.as_ref().map_err(Clone::clone).and(modules);
    let built_in = built_in.unwrap_or_default();
    let mut devices = BTreeMap::new();
    for sbdf in sysfs.functions()? {
        let number = |name: &str| -> Result<u32, Failure> {
            let text = sysfs.attribute(sbdf, name)?.unwrap_or_default();
            Ok(u32::from_str_radix(text.strip_prefix("0x").unwrap_or(&text), 16).unwrap_or_default())
        };
        let short = |name: &str| number(name).map(|number| u16::try_from(number).unwrap_or(u16::MAX));
        let modalias = sysfs.attribute(sbdf, "modalias")?.unwrap_or_default();
        let claims = modules.as_ref().map_err(Clone::clone).and_then(|modules| {
            claiming(root, modules, &modalias, &built_in).map_err(|failure| failure.message)
        });
        let device = Device {
            sbdf,
            ids: (short("vendor")?, short("device")?),
            subsystem: (short("subsystem_vendor")?, short("subsystem_device")?),
            class: number("class")?,
            secondary_bus: sysfs.attribute(sbdf, "secondary_bus_number")?.and_then(|text| text.parse().ok()),
            parents: sysfs.parents(sbdf)?,
            driver: sysfs.driver(sbdf)?,
            behind: behind(sysfs, sbdf),
            physical: sysfs.linked_function(sbdf, "physfn")?,
            modules: claims,
        };
        devices.insert(sbdf, device);
    }
    Ok(devices)
}

/// The function of another segment that it stands behind (VMD).
fn behind(sysfs: &PciSysfs, sbdf: Sbdf) -> Option<Sbdf> {
    let real = std::fs::canonicalize(sysfs.folder(sbdf)).ok()?;
    let above = real.ancestors().filter_map(|path| path.file_name()?.to_str()).filter_map(Sbdf::from_sysfs);
    above.into_iter().find(|other| other.segment() != sbdf.segment())
}

fn claiming(
    root: &Sysroot,
    modules: &Modules,
    modalias: &str,
    built_in: &BTreeSet<String>,
) -> Result<Vec<Module>, Failure> {
    let is_built_in = |name: &ModuleName| {
        let folder = root.path(&format!("/sys/module/{name}"));
        built_in.contains(name.as_str()) || folder.exists() && !folder.join("initstate").exists()
    };
    let mut all = Vec::new();
    for name in modules.claiming(modalias)? {
        let drivers = modules.drivers_of(&name)?;
        let mut needs = modules.dependencies(&name)?;
        needs.retain(|other| *other != name && !is_built_in(other));
        let built_in = is_built_in(&name);
        all.push(Module { name, drivers, built_in, needs });
    }
    Ok(all)
}

/// Names of what is built into the kernel, as its modules' folder lists them.
///
/// # Errors
/// The list is there and cannot be read, in words: anything may be built in.
fn listed(root: &Sysroot) -> Result<BTreeSet<String>, String> {
    let release = files::text(root, "/proc/sys/kernel/osrelease")?.unwrap_or_default();
    let list = files::text(root, &format!("/lib/modules/{}/modules.builtin", release.trim()))?;
    let name = |line: &str| {
        let file = line.rsplit('/').next()?;
        Some(file.split(".ko").next()?.replace('-', "_"))
    };
    Ok(list.unwrap_or_default().lines().filter_map(name).collect())
}

/// Which of the drivers that hold devices for others are built in. In Qubes' kernel pci-stub is.
/// What cannot be read is said; then the claims of the devices are not known either.
#[must_use]
pub fn built_in(root: &Sysroot, release: &Release, unseen: &mut Vec<String>) -> BTreeSet<&'static str> {
    let listed = listed(root).unwrap_or_else(|why| {
        unseen.push(why);
        BTreeSet::new()
    });
    let mut found = BTreeSet::new();
    for driver in ["pci-stub", "vfio-pci", "xen-pciback"] {
        let module = driver.replace('-', "_");
        let folder = root.path(&format!("/sys/module/{module}"));
        let is_module = folder.join("initstate").exists();
        let usual = driver == "pci-stub" && matches!(release, Release::Qubes(_)) && !is_module;
        if listed.contains(&module) || usual {
            found.insert(driver);
        }
    }
    found
}
