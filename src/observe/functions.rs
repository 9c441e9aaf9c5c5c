//! One PCI function, as sysfs and its config space show it.

use super::config_space::{extended, ConfigSpace, PortKind, CONVENTIONAL_SIZE};
use crate::error::Failure;
use crate::names::{DriverName, Hop, Sbdf};
use crate::system::sysfs::PciSysfs;
use std::path::PathBuf;

/// Class `0604`: a bridge from PCI to PCI.
const CLASS_PCI_BRIDGE: u32 = 0x0604;

/// A USB4 host interface, also of Thunderbolt.
const CLASS_USB4: u32 = 0x0c_0340;

/// The facts of one function.
#[derive(Clone, Debug)]
pub struct Function {
    /// The address.
    pub sbdf: Sbdf,
    /// Vendor id as the kernel read it when it found the function.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Class, subclass and programming interface.
    pub class: u32,
    /// What modules are matched against.
    pub modalias: String,
    /// The driver bound to it.
    pub driver: Option<DriverName>,
    /// The driver it is pinned to; `None` also where the text `(null)` was
    /// written, which reads the same.
    pub driver_override: Option<String>,
    /// The config space now; `None` where it reads all ones.
    pub config: Option<ConfigSpace>,
    /// The serial number it tells; read only of the function that a command is about.
    pub serial: Option<u64>,
    /// Whether it has an expansion ROM of its own that can be read.
    pub has_rom: bool,
    /// Reset methods in the order the kernel tries them; `None` where the kernel
    /// knows no way to reset it.
    pub reset_methods: Option<Vec<String>>,
    /// Bridges above it, the nearest first.
    pub parents: Vec<Sbdf>,
    /// Whether it keeps what is below it from reaching others past the IOMMU; `None` where it is not a port
    /// with one device below it.
    pub isolates: Option<bool>,
    /// Whether the firmware's screen is on it.
    pub boot_display: bool,
    /// SR-IOV virtual functions that are switched on.
    pub virtual_functions: u32,
    /// The physical function it is a virtual function of.
    pub physical_function: Option<Sbdf>,
}

/// How a function may bring dom0 disks, by its class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Storage {
    /// A disk, or a controller of disks or cards.
    Own,
    /// Disks of other machines, over Fibre Channel.
    FibreChannel,
    /// What is plugged into it, disks (SBP-2) among it.
    FireWire,
    /// The class was made before there were classes (base class 00), is in no table (ff, the common PCIe card
    /// readers among them) or says "other peripheral" (08.80, older readers): nothing is known, and the worst
    /// is taken.
    Unsaid,
}

impl Function {
    /// The config space, read anew; `None` where it reads all ones.
    #[must_use]
    pub fn config_anew(&self, bytes: &[u8]) -> Option<ConfigSpace> {
        config_of(bytes, self.physical_function.is_some(), (self.vendor, self.device))
    }

    /// Class and subclass, `0x0200` for Ethernet.
    #[must_use]
    pub fn class_and_subclass(&self) -> u32 {
        self.class >> 8
    }

    /// The base class, `0x02` for network.
    #[must_use]
    pub fn base_class(&self) -> u32 {
        self.class >> 16
    }

    /// Whether it is a bridge of any kind by its class or header.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        let header = self.config.as_ref().map_or(0, |config| config.header);
        // Host bridges and bridges between PCI buses carry other functions; the
        // rest of class 06 (an LPC bridge to ISA) is an endpoint for a driver.
        matches!(self.class_and_subclass(), 0x0600 | CLASS_PCI_BRIDGE | 0x0607 | 0x0609 | 0x060a)
            || header != 0
    }

    /// Whether it is a USB host controller: UHCI, OHCI, EHCI or xHCI. Its buses are its own.
    #[must_use]
    pub fn is_usb_host(&self) -> bool {
        matches!(self.class, 0x0c_0300 | 0x0c_0310 | 0x0c_0320 | 0x0c_0330)
    }

    /// Whether USB buses may come up below it: a host controller, or what says "unspecified" or "device": a
    /// controller of both roles is one too, and the kernel calls some host controllers so, that dwc3 may have
    /// them (`quirk_amd_dwc_class`). Not a USB4 host interface, whose tunnels lead to other functions.
    #[must_use]
    pub fn is_usb(&self) -> bool {
        self.class_and_subclass() == 0x0c03 && !self.is_usb4()
    }

    /// Whether it is a USB4 host interface.
    #[must_use]
    pub fn is_usb4(&self) -> bool {
        self.class == CLASS_USB4
    }

    /// The way to it: a function of the root bus, and from there each device on its bridge's own bus.
    #[must_use]
    pub fn way(&self) -> (Sbdf, Vec<Hop>) {
        let mut all = self.parents.iter().rev().copied().chain([self.sbdf]);
        let root = all.next().unwrap_or(self.sbdf);
        let hop = |sbdf: Sbdf| {
            let (_, device, function) = sbdf.below_segment();
            Hop { bus_offset: 0, device, function }
        };
        (root, all.map(hop).collect())
    }

    /// The port as Qubes 4.3 writes it: `00_1c.0-00_00.0`, with the segment in front where it is not 0.
    #[must_use]
    pub fn port(&self) -> String {
        let (root, hops) = self.way();
        let (bus, device, function) = root.below_segment();
        let segment = if root.segment() == 0 { String::new() } else { format!("{:04x}_", root.segment()) };
        let mut port = format!("{segment}{bus:02x}_{device:02x}.{function:x}");
        for hop in hops {
            port.push_str(&format!("-{:02x}_{:02x}.{:x}", hop.bus_offset, hop.device, hop.function));
        }
        port
    }

    /// How it may bring dom0 disks; `None` where its class says that it is something else.
    #[must_use]
    pub fn storage(&self) -> Option<Storage> {
        match (self.base_class(), self.class_and_subclass()) {
            (0x01, _) | (_, 0x0805) => Some(Storage::Own),
            (_, 0x0c04) => Some(Storage::FibreChannel),
            (_, 0x0c00) => Some(Storage::FireWire),
            (0x00 | 0xff, _) | (_, 0x0880) => Some(Storage::Unsaid),
            _ => None,
        }
    }
}

/// Reads one function.
pub fn read(sysfs: &PciSysfs, sbdf: Sbdf) -> Result<Function, Failure> {
    let number = |name: &str| -> Result<u32, Failure> {
        let text = sysfs.attribute(sbdf, name)?.unwrap_or_default();
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        u32::from_str_radix(digits, 16).map_err(|error| {
            let path = sysfs.attribute_path(sbdf, name);
            Failure::unreadable(&path, &std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        })
    };
    let short = |name: &str| number(name).map(|number| u16::try_from(number).unwrap_or(u16::MAX));
    let bytes = sysfs.config(sbdf, CONVENTIONAL_SIZE)?;
    let (vendor, device) = (short("vendor")?, short("device")?);
    let physical_function = sysfs.linked_function(sbdf, "physfn")?;
    let config = config_of(&bytes, physical_function.is_some(), (vendor, device));
    let vfs = sysfs.attribute(sbdf, "sriov_numvfs")?;
    let isolates = config.as_ref().and_then(|config| isolates(sysfs, sbdf, config));
    Ok(Function {
        sbdf,
        vendor,
        device,
        class: number("class")?,
        modalias: sysfs.attribute(sbdf, "modalias")?.unwrap_or_default(),
        driver: sysfs.driver(sbdf)?,
        driver_override: driver_override(sysfs, sbdf)?,
        config,
        serial: None,
        has_rom: super::resources::has_rom(sysfs, sbdf),
        reset_methods: reset_methods(sysfs, sbdf)?,
        parents: sysfs.parents(sbdf)?,
        isolates,
        boot_display: sysfs.attribute(sbdf, "boot_vga")?.as_deref() == Some("1"),
        // A number that cannot be read counts as some.
        virtual_functions: vfs.map_or(0, |text| text.parse().unwrap_or(u32::MAX)),
        physical_function,
    })
}

/// Whether a port keeps what is below it apart. What cannot be read does not.
fn isolates(sysfs: &PciSysfs, sbdf: Sbdf, config: &ConfigSpace) -> Option<bool> {
    let is_root = match config.port()? {
        PortKind::Root => true,
        PortKind::Downstream => false,
        PortKind::Upstream | PortKind::ToConventional => return None,
    };
    let is_seen = sysfs.config_size(sbdf).is_some_and(|size| size > CONVENTIONAL_SIZE);
    let found = is_seen.then(|| extended(|at| sysfs.register(sbdf, at))).flatten();
    Some(found.is_some_and(|found| found.isolates(is_root && config.vendor == 0x8086)))
}

/// What says of each USB bus below it whether its devices are taken. A bus is right below its host
/// controller, which dwc3 makes two levels below the function (`dwc3.0.auto/xhci-hcd.1.auto/usb1`).
#[must_use]
pub fn usb_defaults(sysfs: &PciSysfs, sbdf: Sbdf) -> Vec<PathBuf> {
    let levels: [&[&str]; 3] = [&[], &["*"], &["*", "*"]];
    let below = |folders: &[&str]| sysfs.below(sbdf, &[folders, &["usb*", "authorized_default"]].concat());
    levels.into_iter().flat_map(below).collect()
}

/// Config space with the ids that count; `None` where it reads all ones.
fn config_of(bytes: &[u8], is_virtual: bool, (vendor, device): (u16, u16)) -> Option<ConfigSpace> {
    let config = ConfigSpace::parse(bytes)?;
    Some(if is_virtual { config.of_virtual_function(vendor, device) } else { config })
}

/// The override, with the kernel's text for "none" taken as none.
pub fn driver_override(sysfs: &PciSysfs, sbdf: Sbdf) -> Result<Option<String>, Failure> {
    let text = sysfs.attribute(sbdf, "driver_override")?;
    Ok(text.filter(|text| !text.is_empty() && text != "(null)"))
}

fn reset_methods(sysfs: &PciSysfs, sbdf: Sbdf) -> Result<Option<Vec<String>>, Failure> {
    if !sysfs.attribute_path(sbdf, "reset").exists() {
        return Ok(None);
    }
    // Kernels before 5.15 have `reset` without saying how.
    let methods = sysfs.attribute(sbdf, "reset_method")?.unwrap_or_default();
    Ok(Some(methods.split_whitespace().map(str::to_owned).collect()))
}

/// The method the kernel would use first; `None` where it does not say.
#[must_use]
pub fn reset_method_in_force(methods: &[String]) -> Option<&str> {
    methods.first().map(String::as_str)
}

/// Follows a Qubes 4.3 port path: each hop counts its bus from the secondary bus
/// of the bridge before it.
pub fn follow_path(sysfs: &PciSysfs, first: Sbdf, hops: &[Hop]) -> Result<Option<Sbdf>, Failure> {
    let mut here = first;
    for hop in hops {
        let secondary = sysfs.attribute(here, "secondary_bus_number")?;
        let Some(secondary) = secondary.and_then(|text| text.parse::<u8>().ok()) else {
            return Ok(None);
        };
        let Some(bus) = secondary.checked_add(hop.bus_offset) else { return Ok(None) };
        let Some(next) = Sbdf::new(here.segment(), bus, hop.device, hop.function) else {
            return Ok(None);
        };
        here = next;
    }
    Ok(Some(here))
}
