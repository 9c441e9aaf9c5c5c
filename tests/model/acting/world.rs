//! The kernel's PCI core, pciback and Xen, as far as an operation can tell: which
//! write does what, and with which errno it is refused. Each rule was seen on a
//! real Xen dom0 with the real xen-pciback.

use super::fuse::Entry;
use std::collections::{BTreeMap, BTreeSet};

pub const EIO: i32 = 5;
pub const ENODEV: i32 = 19;
pub const EBUSY: i32 = 16;
pub const EINVAL: i32 = 22;
pub const ENOENT: i32 = 2;

/// Who owns a function in Xen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    Dom0,
    Quarantine,
    Domain(u16),
}

/// A driver of dom0 and what its devices show when they work.
#[derive(Clone, Debug)]
pub struct Driver {
    /// The modalias of a function it takes begins so.
    pub takes: &'static str,
    /// What appears below the function's folder: name and text of files.
    pub sign: &'static [(&'static str, &'static str)],
    /// The errno of its probe, where it fails.
    pub fails: Option<i32>,
    /// Whether it cannot be taken off its devices.
    pub clings: bool,
}

/// A module, loaded or not.
#[derive(Clone, Debug)]
pub struct Module {
    pub drivers: &'static [&'static str],
    pub loaded: bool,
}

/// A function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    pub modalias: String,
    /// Attributes that never change.
    pub fixed: BTreeMap<String, Vec<u8>>,
    pub config: Vec<u8>,
    /// The physical function it is a virtual function of.
    pub physical: Option<&'static str>,
    pub methods: Option<String>,
    pub driver: Option<String>,
    pub pinned: Option<String>,
    pub slot: bool,
    pub owner: Owner,
    /// Its ROM; `None` where it has none, empty where it cannot be read.
    pub rom: Option<Vec<u8>>,
    pub rom_open: bool,
    /// Firmware left bus mastering on: what pciback gives back.
    pub firmware_mastered: bool,
    /// What its driver made appear.
    pub sign: BTreeMap<String, String>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct World {
    pub devices: BTreeMap<String, Device>,
    pub drivers: BTreeMap<String, Driver>,
    pub modules: BTreeMap<String, Module>,
    pub globals: BTreeMap<&'static str, String>,
    pub domains: BTreeSet<u16>,
    pub iommu: bool,
    pub xen_log: String,
    /// Lines for the kernel's log that were not taken yet.
    pub said: Vec<String>,
}

/// An entry and, of a file, its text.
pub type Tree = BTreeMap<String, (Entry, Vec<u8>)>;

pub const AUTHORIZED: &str = "module/usbcore/parameters/authorized_default";
pub const NO_PART_SCAN: &str = "module/block/parameters/no_part_scan";

impl World {
    /// Carries out a write.
    pub fn write(&mut self, path: &str, data: &[u8]) -> Result<(), i32> {
        let text = String::from_utf8_lossy(data).into_owned();
        let word = text.trim_end_matches('\n').to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["devices", _, bdf, "config"] => {
                // The command register is all that is written there.
                let device = self.devices.get_mut(*bdf).ok_or(ENODEV)?;
                device.config.get_mut(4..4 + data.len()).ok_or(EINVAL)?.copy_from_slice(data);
                Ok(())
            }
            ["devices", _, bdf, attribute] => self.attribute(bdf, attribute, &text),
            ["bus", "pci", "drivers", "pciback", "new_slot"] => {
                self.devices.get_mut(&word).ok_or(EINVAL)?.slot = true;
                Ok(())
            }
            ["bus", "pci", "drivers", "pciback", "remove_slot"] => {
                let device = self.devices.get_mut(&word).filter(|device| device.slot).ok_or(ENOENT)?;
                device.slot = false;
                Ok(())
            }
            ["bus", "pci", "drivers", driver, "bind"] => self.bind(driver, &word),
            ["bus", "pci", "drivers", driver, "unbind"] => self.unbind(driver, &word),
            [".xen", "quarantine"] => {
                let device = self.devices.get_mut(&word).ok_or(ENODEV)?;
                if let Owner::Domain(_) = device.owner {
                    return Err(EBUSY);
                }
                device.owner = Owner::Quarantine;
                Ok(())
            }
            [".xen", "dequarantine"] => {
                let device = self.devices.get_mut(&word).filter(|it| it.owner == Owner::Quarantine);
                device.ok_or(ENODEV)?.owner = Owner::Dom0;
                Ok(())
            }
            [".xen", "modprobe"] => self.load(&word),
            [".xen", "udevadm"] => Ok(()),
            _ if self.globals.contains_key(path) => {
                let boolean = path == NO_PART_SCAN;
                let shown = match word.as_str() {
                    "1" | "Y" if boolean => "Y",
                    "0" | "N" if boolean => "N",
                    other => other,
                };
                for (name, value) in &mut self.globals {
                    if *name == path {
                        *value = shown.to_owned();
                    }
                }
                Ok(())
            }
            _ => match parts.split_last() {
                Some((&"authorized_default", folder)) => {
                    let name =
                        format!("{}/authorized_default", folder.get(3..).unwrap_or_default().join("/"));
                    let device = self.devices.get_mut(folder.get(2).copied().unwrap_or("")).ok_or(ENOENT)?;
                    device.sign.insert(name, word);
                    Ok(())
                }
                _ => Err(EIO),
            },
        }
    }

    /// Why a write comes at a wrong moment: nothing refuses it, but DMA is torn from a driver, let out, or lost.
    pub fn untimely(&self, path: &str, data: &[u8]) -> Option<&'static str> {
        let text = String::from_utf8_lossy(data);
        let word = text.trim_end_matches('\n');
        let parts: Vec<&str> = path.split('/').collect();
        let driven = |it: &Device| it.driver.as_deref().is_some_and(|driver| driver != "pciback");
        match parts.as_slice() {
            [".xen", "dequarantine"] => {
                self.devices.get(word)?.driver.is_some().then_some("let out of quarantine under a driver")
            }
            [".xen", "quarantine"] => {
                driven(self.devices.get(word)?).then_some("quarantined under a driver of dom0")
            }
            ["bus", "pci", "drivers", driver, "bind"] if *driver != "pciback" => {
                (self.devices.get(word)?.owner != Owner::Dom0).then_some("bound in quarantine")
            }
            ["devices", _, bdf, "reset"] => {
                self.devices.get(*bdf)?.driver.is_some().then_some("reset under a driver")
            }
            ["devices", _, bdf, "config"] => {
                self.devices.get(*bdf)?.driver.is_some().then_some("config space written under a driver")
            }
            [".xen", "modprobe"] => {
                let free = |it: &Device| it.driver.is_none() && it.pinned.is_none();
                self.devices
                    .values()
                    .any(free)
                    .then_some("a module is loaded beside a function that nobody pinned")
            }
            _ => None,
        }
    }

    /// The errno of a read, where it is refused.
    pub fn unreadable(&self, path: &str) -> Option<i32> {
        let device = self.devices.get(path.strip_suffix("/rom")?.rsplit('/').next()?)?;
        match &device.rom {
            Some(_) if !device.rom_open => Some(EINVAL),
            Some(rom) if rom.is_empty() => Some(EIO),
            _ => None,
        }
    }

    fn attribute(&mut self, bdf: &str, attribute: &str, text: &str) -> Result<(), i32> {
        let device = self.devices.get_mut(bdf).ok_or(ENODEV)?;
        let word = text.trim_end_matches('\n');
        match attribute {
            "driver_override" => {
                device.pinned = (!word.is_empty()).then(|| word.to_owned());
                Ok(())
            }
            "reset" => device.methods.as_ref().map(|_| ()).ok_or(ENOENT),
            "reset_method" => {
                device.methods = Some(word.to_owned());
                Ok(())
            }
            "enable" => Ok(()),
            "rom" => {
                device.rom_open = text != "0\n";
                Ok(())
            }
            "remove" => {
                self.devices.remove(bdf);
                Ok(())
            }
            _ => Err(EIO),
        }
    }

    fn bind(&mut self, driver: &str, bdf: &str) -> Result<(), i32> {
        let known = self.drivers.get(driver).cloned();
        let device = self.devices.get_mut(bdf).ok_or(ENODEV)?;
        if device.driver.is_some() {
            return Err(EBUSY);
        }
        let by_name = device.pinned.as_deref() == Some(driver);
        if driver == "pciback" {
            // It takes what is listed, or pinned to it and nothing else.
            if !(by_name || device.pinned.is_none() && device.slot) {
                return Err(ENODEV);
            }
            device.driver = Some("pciback".to_owned());
            device.slot = true;
            return Ok(());
        }
        let known = known.ok_or(ENOENT)?;
        let by_id = device.pinned.is_none() && device.modalias.starts_with(known.takes);
        if !(by_name || by_id) {
            return Err(ENODEV);
        }
        if let Some(error) = known.fails {
            self.said.push(format!("{driver}: probe of {bdf} failed with error -{error}"));
            return Err(error);
        }
        device.driver = Some(driver.to_owned());
        if device.owner != Owner::Dom0 {
            self.said.push(format!("{driver} {bdf}: xen map irq failed -19 for 32752 domain"));
            self.xen_log
                .push_str(&format!("(XEN) [VT-D]DMAR:[DMA Read] Request device [{bdf}] fault addr 0\n"));
        }
        device.config[4] |= 4;
        let authorized = self.globals.get(AUTHORIZED).cloned().unwrap_or_default();
        for (name, text) in known.sign {
            let text =
                if name.ends_with("authorized_default") { authorized.clone() } else { (*text).to_owned() };
            device.sign.insert((*name).to_owned(), text);
        }
        Ok(())
    }

    fn unbind(&mut self, driver: &str, bdf: &str) -> Result<(), i32> {
        if self.drivers.get(driver).is_some_and(|driver| driver.clings) {
            return Err(EIO);
        }
        let device =
            self.devices.get_mut(bdf).filter(|it| it.driver.as_deref() == Some(driver)).ok_or(ENODEV)?;
        device.driver = None;
        device.sign.clear();
        device.config[4] &= !4;
        if driver == "pciback" {
            device.config[4] |= 4 * u8::from(device.firmware_mastered);
            if let Owner::Domain(id) = device.owner {
                self.said.push(format!(
                    "xen_pciback: ****** removing device {bdf} while still in-use by domain {id}! ******"
                ));
            }
        }
        Ok(())
    }

    /// A module's drivers take every function they can, as at any registration.
    fn load(&mut self, name: &str) -> Result<(), i32> {
        let module = self.modules.get_mut(name).ok_or(ENOENT)?;
        module.loaded = true;
        let drivers = module.drivers;
        let free: Vec<String> =
            self.devices.iter().filter(|(_, it)| it.driver.is_none()).map(|(bdf, _)| bdf.clone()).collect();
        for driver in drivers {
            for bdf in &free {
                let _ = self.bind(driver, bdf);
            }
        }
        Ok(())
    }

    fn registered(&self, driver: &str) -> bool {
        let owner = self.modules.values().find(|module| module.drivers.contains(&driver));
        owner.is_none_or(|module| module.loaded)
    }

    fn owners(&self) -> String {
        let mut dump = String::from("(XEN) ==== PCI devices ====\n(XEN) ==== segment 0000 ====\n");
        for (bdf, device) in &self.devices {
            let owner = match device.owner {
                Owner::Dom0 => "d0".to_owned(),
                Owner::Quarantine => "d[IO]".to_owned(),
                Owner::Domain(id) => format!("d{id}"),
            };
            dump.push_str(&format!("(XEN) {bdf} - {owner} - node -1 \n"));
        }
        dump
    }

    /// The tree of files below `/sys`, and Xen's answers in `.xen`.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        tree.insert(String::new(), (Entry::Folder(Vec::new()), Vec::new()));
        let file = |tree: &mut Tree, path: &str, text: &[u8]| put(tree, path, Entry::File, text.to_vec());
        let line = |text: &str| format!("{text}\n").into_bytes();
        file(&mut tree, "hypervisor/type", b"xen\n");
        file(&mut tree, ".xen/owners", self.owners().as_bytes());
        let domains: String = self.domains.iter().map(|id| format!("{id}\n")).collect();
        file(&mut tree, ".xen/domains", domains.as_bytes());
        file(&mut tree, ".xen/log", self.xen_log.as_bytes());
        for name in ["quarantine", "dequarantine", "modprobe", "udevadm"] {
            file(&mut tree, &format!(".xen/{name}"), b"");
        }
        if !self.iommu {
            file(&mut tree, ".xen/no-iommu", b"");
        }
        for (path, value) in &self.globals {
            file(&mut tree, path, &line(value));
        }
        let slots = self.devices.iter().filter(|(_, it)| it.slot).map(|(bdf, _)| format!("{bdf}\n"));
        let slots: String = slots.collect();
        file(&mut tree, "bus/pci/drivers/pciback/slots", slots.as_bytes());
        file(&mut tree, "bus/pci/drivers/pciback/permissive", b"");
        for name in ["new_slot", "remove_slot", "bind", "unbind"] {
            file(&mut tree, &format!("bus/pci/drivers/pciback/{name}"), b"");
        }
        for driver in self.drivers.keys().filter(|driver| self.registered(driver)) {
            file(&mut tree, &format!("bus/pci/drivers/{driver}/bind"), b"");
            file(&mut tree, &format!("bus/pci/drivers/{driver}/unbind"), b"");
            let owner = self.modules.iter().find(|(_, it)| it.drivers.contains(&driver.as_str()));
            if let Some((module, _)) = owner {
                let target = format!("../../../../module/{module}");
                put(&mut tree, &format!("bus/pci/drivers/{driver}/module"), Entry::Link(target), Vec::new());
                let target = format!("../../../bus/pci/drivers/{driver}");
                let path = format!("module/{module}/drivers/pci:{driver}");
                put(&mut tree, &path, Entry::Link(target), Vec::new());
                file(&mut tree, &format!("module/{module}/initstate"), b"live\n");
            }
        }
        for folder in ["bus/pci/devices", "class/net", "class/block"] {
            put(&mut tree, folder, Entry::Folder(Vec::new()), Vec::new());
        }
        for (bdf, device) in &self.devices {
            let folder = format!("devices/pci0000:00/{bdf}");
            let target = format!("../../../{folder}");
            put(&mut tree, &format!("bus/pci/devices/{bdf}"), Entry::Link(target), Vec::new());
            for (name, text) in &device.fixed {
                file(&mut tree, &format!("{folder}/{name}"), text);
            }
            file(&mut tree, &format!("{folder}/config"), &device.config);
            file(&mut tree, &format!("{folder}/modalias"), &line(&device.modalias));
            let pinned = device.pinned.as_deref().unwrap_or("(null)");
            file(&mut tree, &format!("{folder}/driver_override"), &line(pinned));
            if let Some(physical) = device.physical {
                let target = format!("../{physical}");
                put(&mut tree, &format!("{folder}/physfn"), Entry::Link(target), Vec::new());
            }
            for name in ["remove", "enable"] {
                file(&mut tree, &format!("{folder}/{name}"), b"");
            }
            if let Some(rom) = &device.rom {
                file(&mut tree, &format!("{folder}/rom"), rom);
            }
            if let Some(methods) = &device.methods {
                file(&mut tree, &format!("{folder}/reset"), b"");
                file(&mut tree, &format!("{folder}/reset_method"), &line(methods));
            }
            if let Some(driver) = &device.driver {
                let target = format!("../../../bus/pci/drivers/{driver}");
                put(&mut tree, &format!("{folder}/driver"), Entry::Link(target), Vec::new());
            }
            for (name, text) in &device.sign {
                file(&mut tree, &format!("{folder}/{name}"), &line(text));
                // `net/eth0/flags`: a device of a class is linked there.
                let parts: Vec<&str> = name.split('/').collect();
                let (class, at) = match parts.as_slice() {
                    ["net", interface, "flags"] => ("net", format!("net/{interface}")),
                    ["nvme", controller, disk, "size"] => ("block", format!("nvme/{controller}/{disk}")),
                    _ => continue,
                };
                if class == "block" {
                    file(&mut tree, &format!("{folder}/{at}/dev"), b"259:0\n");
                }
                let name = at.rsplit('/').next().unwrap_or_default();
                let target = format!("../../{folder}/{at}");
                put(&mut tree, &format!("class/{class}/{name}"), Entry::Link(target), Vec::new());
            }
        }
        tree
    }
}

/// Puts an entry and the folders above it.
fn put(tree: &mut Tree, path: &str, entry: Entry, text: Vec<u8>) {
    if tree.insert(path.to_owned(), (entry, text)).is_some() {
        return;
    }
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if !tree.contains_key(folder) {
        put(tree, folder, Entry::Folder(Vec::new()), Vec::new());
    }
    if let Some((Entry::Folder(names), _)) = tree.get_mut(folder) {
        names.push(name.to_owned());
    }
}
