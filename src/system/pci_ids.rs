//! Names of vendors, devices and classes from the system's pci.ids.

#![forbid(unsafe_code)]

use super::root::{read_bytes, Sysroot};
use crate::names::escape;
use std::collections::{BTreeMap, BTreeSet};

/// The names that were asked for.
#[derive(Debug, Default)]
pub struct PciIds {
    vendors: BTreeMap<u16, String>,
    devices: BTreeMap<(u16, u16), String>,
    classes: BTreeMap<u16, String>,
    /// Of whole classes, by their first byte.
    base_classes: BTreeMap<u16, String>,
}

impl PciIds {
    /// Reads the names of these devices (vendor, device) and of every class.
    /// Where there is no file, all names are numbers.
    #[must_use]
    pub fn read(root: &Sysroot, wanted: &BTreeSet<(u16, u16)>) -> Self {
        ["/usr/share/hwdata/pci.ids", "/usr/share/misc/pci.ids"]
            .iter()
            .find_map(|path| read_bytes(&root.path(path)).ok())
            .map_or_else(Self::default, |bytes| Self::parse(&bytes, wanted))
    }

    /// The format is described at the head of the file itself: a vendor or class
    /// at the start of a line, its devices or subclasses behind one tab.
    fn parse(bytes: &[u8], wanted: &BTreeSet<(u16, u16)>) -> Self {
        enum Below {
            Vendor(u16),
            Class(u8),
            Nothing,
        }
        let vendors: BTreeSet<u16> = wanted.iter().map(|&(vendor, _)| vendor).collect();
        let mut ids = Self::default();
        let mut below = Below::Nothing;
        for line in bytes.split(|&byte| byte == b'\n') {
            match line {
                [] | [b'#', ..] | [b'\t', b'\t', ..] => {}
                [b'\t', entry @ ..] => match below {
                    Below::Vendor(vendor) => {
                        if let Some((device, name)) = numbered(entry, 4) {
                            if wanted.contains(&(vendor, device)) {
                                ids.devices.insert((vendor, device), name());
                            }
                        }
                    }
                    Below::Class(class) => {
                        if let Some((subclass, name)) = numbered(entry, 2) {
                            ids.classes.insert(u16::from(class) << 8 | (subclass & 0xff), name());
                        }
                    }
                    Below::Nothing => {}
                },
                [b'C', b' ', entry @ ..] => {
                    below = match numbered(entry, 2) {
                        Some((class, name)) => {
                            ids.base_classes.insert(class, name());
                            Below::Class(u8::try_from(class).unwrap_or(0xff))
                        }
                        None => Below::Nothing,
                    };
                }
                entry => {
                    below = Below::Nothing;
                    if let Some((vendor, name)) = numbered(entry, 4) {
                        if vendors.contains(&vendor) {
                            ids.vendors.insert(vendor, name());
                            below = Below::Vendor(vendor);
                        }
                    }
                }
            }
        }
        ids
    }

    /// The name of a class and subclass, else that of the class alone with the number behind it, as lspci has
    /// it.
    fn class_name(&self, class: u16) -> String {
        let below = |name: &String| format!("{name} [{class:04x}]");
        let known = self.classes.get(&class).cloned();
        known
            .or_else(|| self.base_classes.get(&(class >> 8)).map(below))
            .unwrap_or_else(|| format!("class {class:04x}"))
    }

    /// "Ethernet controller: Intel Corporation 82574L Gigabit Network Connection",
    /// with numbers for what has no name.
    #[must_use]
    pub fn describe(&self, class: u32, vendor: u16, device: u16) -> String {
        let class = u16::try_from(class >> 8 & 0xffff).unwrap_or(0);
        let class_name = self.class_name(class);
        let vendor_name = self.vendors.get(&vendor).cloned().unwrap_or_else(|| format!("{vendor:04x}"));
        let device_name =
            self.devices.get(&(vendor, device)).cloned().unwrap_or_else(|| format!("device {device:04x}"));
        format!("{class_name}: {vendor_name} {device_name}")
    }
}

/// `NNNN  name`: the number, and its name when it is wanted.
fn numbered(entry: &[u8], digits: usize) -> Option<(u16, impl Fn() -> String + '_)> {
    let (number, rest) = entry.split_at_checked(digits)?;
    let number = u16::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()?;
    let name = rest.trim_ascii();
    Some((number, move || escape(name)))
}

/// What a file makes of a known card, for the fuzzer.
#[cfg(test)]
pub(super) fn described(bytes: &[u8]) -> String {
    PciIds::parse(bytes, &BTreeSet::from([(0x8086, 0x10d3)])).describe(0x02_0000, 0x8086, 0x10d3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_described_by_class_vendor_and_name() {
        let text = b"# c\n8086  Intel Corporation\n\t10d3  82574L Gigabit\n\t\t8086 0001  sub\n1b36  Red Hat\nC 02  Network controller\n\t00  Ethernet controller\n";
        let ids = PciIds::parse(text, &BTreeSet::from([(0x8086, 0x10d3)]));
        assert_eq!(
            ids.describe(0x02_0000, 0x8086, 0x10d3),
            "Ethernet controller: Intel Corporation 82574L Gigabit"
        );
        assert_eq!(ids.describe(0xff_0000, 0x1b36, 0x0001), "class ff00: 1b36 device 0001");
        assert_eq!(ids.describe(0x02_8000, 0x1b36, 0x0001), "Network controller [0280]: 1b36 device 0001");
        let ids = PciIds::parse(b"C ff  Unassigned class\n", &BTreeSet::new());
        assert_eq!(ids.describe(0xff_0000, 0x10ec, 0x525a), "Unassigned class [ff00]: 10ec device 525a");
    }
}
