//! PCI functions as sysfs shows them. It only reads.

#![forbid(unsafe_code)]

use super::root::{absent, names_in, read_optional, Sysroot};
use crate::error::Failure;
use crate::names::{DriverName, Sbdf};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the kernel keeps PCI functions and their drivers.
#[derive(Clone, Debug)]
pub struct PciSysfs {
    root: Sysroot,
}

impl PciSysfs {
    /// A view below this root.
    #[must_use]
    pub fn new(root: &Sysroot) -> Self {
        Self { root: root.clone() }
    }

    /// The folder of a function.
    #[must_use]
    pub fn folder(&self, sbdf: Sbdf) -> PathBuf {
        self.root.path(&format!("/sys/bus/pci/devices/{sbdf}"))
    }

    /// Whether it is still there: a device can be pulled at any moment.
    ///
    /// # Errors
    /// That cannot be told: it counts as there, for a device that is gone is left alone.
    pub fn is_there(&self, sbdf: Sbdf) -> Result<bool, Failure> {
        let folder = self.folder(sbdf);
        folder.try_exists().map_err(|error| Failure::unreadable(&folder, &error))
    }

    /// The path of an attribute of a function.
    #[must_use]
    pub fn attribute_path(&self, sbdf: Sbdf, name: &str) -> PathBuf {
        self.folder(sbdf).join(name)
    }

    /// The folder of a driver, there only while the driver is registered.
    #[must_use]
    pub fn driver_folder(&self, driver: &DriverName) -> PathBuf {
        self.root.path(&format!("/sys/bus/pci/drivers/{driver}"))
    }

    /// The path of a file of xen-pciback's driver folder.
    #[must_use]
    pub fn pciback_path(&self, name: &str) -> PathBuf {
        self.root.path(&format!("/sys/bus/pci/drivers/pciback/{name}"))
    }

    /// Whether xen-pciback is loaded.
    #[must_use]
    pub fn has_pciback(&self) -> bool {
        self.pciback_path("").exists()
    }

    /// Every PCI function, of every segment, in order.
    pub fn functions(&self) -> Result<Vec<Sbdf>, Failure> {
        let folder = self.root.path("/sys/bus/pci/devices");
        let mut all: Vec<Sbdf> =
            names_in(&folder)?.iter().filter_map(|name| Sbdf::from_sysfs(name)).collect();
        all.sort();
        Ok(all)
    }

    /// The text of an attribute; `None` where the function has none of the name.
    pub fn attribute(&self, sbdf: Sbdf, name: &str) -> Result<Option<String>, Failure> {
        read_optional(&self.attribute_path(sbdf, name))
    }

    /// The first `most` bytes of config space, or as many of them as this user may
    /// see. Each four bytes cost an access to the device, so no more are read than
    /// are needed.
    pub fn config(&self, sbdf: Sbdf, most: u64) -> Result<Vec<u8>, Failure> {
        let path = self.attribute_path(sbdf, "config");
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(most).read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(|error| Failure::unreadable(&path, &error))
    }

    /// How much config space a function has, in bytes; `None` where that cannot be seen.
    #[must_use]
    pub fn config_size(&self, sbdf: Sbdf) -> Option<u64> {
        Some(std::fs::metadata(self.attribute_path(sbdf, "config")).ok()?.len())
    }

    /// One 32-bit register of config space; `None` where this user may not see it.
    #[must_use]
    pub fn register(&self, sbdf: Sbdf, at: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        let file = File::open(self.attribute_path(sbdf, "config")).ok()?;
        file.read_exact_at(&mut bytes, at).ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// The driver that is bound; `None` where none is.
    pub fn driver(&self, sbdf: Sbdf) -> Result<Option<DriverName>, Failure> {
        let path = self.attribute_path(sbdf, "driver");
        let Some(name) = link_name(&path)? else { return Ok(None) };
        let odd =
            || Failure::unreadable(&path, &io::Error::new(io::ErrorKind::InvalidData, "an odd driver name"));
        DriverName::parse(&name).map(Some).ok_or_else(odd)
    }

    /// PCI drivers that are registered and built into the kernel, and not to be found by a modalias. The
    /// kernel links such a driver to a module too where that has parameters or a version
    /// (`drivers/base/module.c`), but only one that was loaded has an `initstate`.
    pub fn built_in_drivers(&self) -> Result<Vec<DriverName>, Failure> {
        let names = names_in(&self.root.path("/sys/bus/pci/drivers"))?;
        let built_in = |driver: &DriverName| !self.driver_folder(driver).join("module/initstate").exists();
        let drivers = names.iter().filter_map(|name| DriverName::parse(name));
        Ok(drivers.filter(|driver| !driver.is_holder()).filter(built_in).collect())
    }

    /// The function a link (`physfn`) of this one points at.
    pub fn linked_function(&self, sbdf: Sbdf, name: &str) -> Result<Option<Sbdf>, Failure> {
        Ok(link_name(&self.attribute_path(sbdf, name))?.as_deref().and_then(Sbdf::from_sysfs))
    }

    /// The functions between the root bus and this one, the nearest first.
    pub fn parents(&self, sbdf: Sbdf) -> Result<Vec<Sbdf>, Failure> {
        let folder = self.folder(sbdf);
        let real = match std::fs::canonicalize(&folder) {
            Ok(real) => real,
            Err(error) if absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(Failure::unreadable(&folder, &error)),
        };
        Ok(real
            .ancestors()
            .skip(1)
            .filter_map(|path| path.file_name()?.to_str())
            .map_while(Sbdf::from_sysfs)
            .collect())
    }

    /// Functions listed in pciback's `slots`; none where pciback is not loaded.
    pub fn slots(&self) -> Result<Vec<Sbdf>, Failure> {
        let slots = self.listed("slots")?;
        // One read right after a domain was created was seen to come back empty.
        if slots.is_empty() {
            self.listed("slots")
        } else {
            Ok(slots)
        }
    }

    /// Whether pciback lets every qube write all of config space.
    pub fn all_permissive(&self) -> Result<bool, Failure> {
        let path = self.root.path("/sys/module/xen_pciback/parameters/permissive");
        Ok(read_optional(&path)?.is_some_and(|text| text != "N" && text != "0"))
    }

    /// Functions in pciback's `permissive` list.
    pub fn permissive(&self) -> Result<Vec<Sbdf>, Failure> {
        self.listed("permissive")
    }

    /// Functions pciback holds so that the machine can sleep: Qubes' pciback lists
    /// them in these two attributes (core-admin-linux `startup-misc.sh`).
    pub fn sleep_ports(&self) -> Result<Vec<Sbdf>, Failure> {
        let mut ports = self.listed("qubes_exp_pm_suspend")?;
        ports.extend(self.listed("qubes_exp_pm_suspend_force")?);
        Ok(ports)
    }

    fn listed(&self, file: &str) -> Result<Vec<Sbdf>, Failure> {
        let text = read_optional(&self.pciback_path(file))?.unwrap_or_default();
        Ok(text.lines().filter_map(|line| Sbdf::from_sysfs(line.trim())).collect())
    }

    /// Paths below the function's folder that match a pattern of names, one for
    /// each level; a `*` at the end of a name stands for the rest of it. Functions
    /// behind this one (a bridge's) are not entered.
    #[must_use]
    pub fn below(&self, sbdf: Sbdf, pattern: &[&str]) -> Vec<PathBuf> {
        let mut found = vec![self.folder(sbdf)];
        for (level, wanted) in pattern.iter().enumerate() {
            // A link (`driver`, `subsystem`) leads out of the function's folder.
            let last = level + 1 == pattern.len();
            found = found.iter().flat_map(|folder| matching(folder, wanted)).collect();
            found.retain(|path| last || !path.is_symlink());
        }
        found
    }
}

fn matching(folder: &Path, wanted: &str) -> Vec<PathBuf> {
    let fits = |name: &str| match wanted.strip_suffix('*') {
        Some(start) => name.starts_with(start) && Sbdf::from_sysfs(name).is_none(),
        None => name == wanted,
    };
    let names = names_in(folder).unwrap_or_default();
    names.iter().filter(|name| fits(name)).map(|name| folder.join(name)).collect()
}

/// The last component of what a link points at; `None` where there is no link.
fn link_name(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_link(path) {
        Ok(target) => Ok(target.file_name().and_then(|name| name.to_str()).map(str::to_owned)),
        Err(error) if absent(&error) || error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(Failure::unreadable(path, &error)),
    }
}
