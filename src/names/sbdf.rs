//! The address of a PCI function: segment, bus, device, function.

use std::fmt;

/// Segment, bus, device and function of one PCI function, in full.
///
/// Linux writes it `%04x:%02x:%02x.%d` (`drivers/pci/probe.c`); a segment above
/// `ffff` (Intel VMD) takes more digits there, and Xen cannot name it at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sbdf {
    segment: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl Sbdf {
    /// Builds an address; `None` where device is above 31 or function above 7.
    #[must_use]
    pub fn new(segment: u32, bus: u8, device: u8, function: u8) -> Option<Self> {
        (device < 32 && function < 8).then_some(Self { segment, bus, device, function })
    }

    /// Reads the name sysfs and xenstore use, `0000:00:1f.6`, and nothing else.
    #[must_use]
    pub fn from_sysfs(text: &str) -> Option<Self> {
        let (segment, rest) = text.split_once(':')?;
        if !(4..=8).contains(&segment.len()) {
            return None;
        }
        let (bus, device, function) = bus_device_function(rest, ':')?;
        Self::new(hex(segment)?, bus, device, function)
    }

    /// Segment (PCI domain) number.
    #[must_use]
    pub fn segment(self) -> u32 {
        self.segment
    }

    /// Bus, device and function.
    #[must_use]
    pub fn below_segment(self) -> (u8, u8, u8) {
        (self.bus, self.device, self.function)
    }

    /// Whether both are functions of one slot.
    #[must_use]
    pub fn same_slot(self, other: Self) -> bool {
        (self.segment, self.bus, self.device) == (other.segment, other.bus, other.device)
    }

    /// Whether both are on one bus.
    #[must_use]
    pub fn same_bus(self, other: Self) -> bool {
        (self.segment, self.bus) == (other.segment, other.bus)
    }

    /// Another function of its bus; `None` where there can be no such.
    #[must_use]
    pub fn on_its_bus(self, device: u8, function: u8) -> Option<Self> {
        Self::new(self.segment, self.bus, device, function)
    }

    /// The number Xen's domctls take: segment, bus, device, function packed
    /// (`xen/include/xen/pci.h`, `pci_sbdf_t`). `None` where Xen has no name for
    /// the segment.
    #[must_use]
    pub fn to_xen(self) -> Option<u32> {
        (self.segment <= 0xffff).then(|| {
            self.segment << 16
                | u32::from(self.bus) << 8
                | u32::from(self.device) << 3
                | u32::from(self.function)
        })
    }

    /// The form libxl uses as a key below `/libxl/pci`: `0000-00-1f-6`.
    #[must_use]
    pub fn libxl_key(self) -> String {
        self.to_string().replace([':', '.'], "-")
    }
}

impl fmt::Display for Sbdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.segment, self.bus, self.device, self.function)
    }
}

/// One bridge-relative step of a Qubes 4.3 port path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop {
    /// Bus, counted from the secondary bus of the bridge before it.
    pub bus_offset: u8,
    /// Device on that bus, 0 to 31.
    pub device: u8,
    /// Function of that device, 0 to 7.
    pub function: u8,
}

/// How a person or a script may name a device on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeviceArgument {
    /// An address: `0000:00:1f.6`, `00:1f.6`, `00_1f.6`, `dom0:00_1f.6`, `dom0:0000:00_1f.6`,
    /// `pci_0000_00_1f_6`, or with its identity behind it, `dom0:00_1f.6:0x8086:0x15b8::p020000`.
    Address(Sbdf),
    /// A Qubes 4.3 path below a root-bus function: `00_1c.0-00_00.0`
    /// (core-admin `qubes/utils.py`, `path_to_sbdf`).
    Path(Sbdf, Vec<Hop>),
}

impl DeviceArgument {
    /// Reads any of the accepted spellings; everything else is `None`, so that no
    /// path is ever built from it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 128 {
            return None;
        }
        if let Some(address) = Sbdf::from_sysfs(text) {
            return Some(Self::Address(address));
        }
        // libvirt's name of it.
        if let Some(name) = text.strip_prefix("pci_") {
            return Some(Self::Address(of_libvirt(name)?));
        }
        let text = match text.strip_prefix("dom0:") {
            // As qvm-pci 4.3 writes it: behind the port stands the identity.
            Some(device) => match device.split_once(":0x") {
                Some((port, identity)) if is_identity(identity) => port,
                Some(_) => return None,
                None => device,
            },
            None => text,
        };
        let mut parts = text.split('-');
        let first = parts.next()?;
        let separator = if first.contains('_') { '_' } else { ':' };
        // A segment may stand in front with a colon though the rest is written with `_`: `0000:00_1f.6`.
        let (segment, rest) = match first.split_once([separator, ':']) {
            Some((segment, rest)) if segment.len() >= 4 && segment.len() <= 8 => (hex(segment)?, rest),
            _ => (0, first),
        };
        let (bus, device, function) = bus_device_function(rest, separator)?;
        let root = Sbdf::new(segment, bus, device, function)?;
        let mut hops = Vec::new();
        for part in parts {
            let (bus_offset, device, function) = bus_device_function(part, '_')?;
            Sbdf::new(0, bus_offset, device, function)?;
            hops.push(Hop { bus_offset, device, function });
        }
        match (hops.is_empty(), separator) {
            (true, _) => Some(Self::Address(root)),
            (false, '_') => Some(Self::Path(root, hops)),
            (false, _) => None,
        }
    }
}

/// `0000_00_1f_6`, behind `pci_`.
fn of_libvirt(text: &str) -> Option<Sbdf> {
    let (address, function) = text.rsplit_once('_').filter(|_| !text.contains(':'))?;
    Sbdf::from_sysfs(&format!("{}.{function}", address.replace('_', ":")))
}

/// What follows the first `0x` of `0x8086:0x15b8:SERIAL:p020000`, as Qubes writes the identity of a device.
fn is_identity(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":_.-?*".contains(&byte);
    text.contains(":0x") && text.bytes().all(plain)
}

fn bus_device_function(text: &str, separator: char) -> Option<(u8, u8, u8)> {
    let (bus, rest) = text.split_once(separator)?;
    let (device, function) = rest.split_once('.')?;
    if bus.len() != 2 || device.len() != 2 || function.len() != 1 {
        return None;
    }
    let narrow = |text| hex(text).and_then(|number| u8::try_from(number).ok());
    Some((narrow(bus)?, narrow(device)?, narrow(function)?))
}

/// Hex digits only: `u32::from_str_radix` alone would take a sign.
fn hex(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> String {
        match DeviceArgument::parse(text).unwrap() {
            DeviceArgument::Address(address) => address.to_string(),
            DeviceArgument::Path(..) => panic!("{text} was read as a path"),
        }
    }

    #[test]
    fn every_spelling_of_the_manual_names_the_same_function() {
        for text in [
            "0000:00:1f.6",
            "00:1f.6",
            "dom0:00_1f.6",
            "00_1f.6",
            "0000_00_1f.6",
            "dom0:0000:00_1f.6",
            "0000:00_1f.6",
            "dom0:00_1f.6:0x8086:0x15b8::p020000",
            "pci_0000_00_1f_6",
        ] {
            assert_eq!(address(text), "0000:00:1f.6", "{text}");
        }
        assert_eq!(address("10000:e1:00.0"), "10000:e1:00.0");
    }

    #[test]
    fn a_path_of_qubes_4_3_keeps_its_hops() {
        assert_eq!(
            DeviceArgument::parse("dom0:00_1c.0-00_00.0"),
            Some(DeviceArgument::Path(
                Sbdf::new(0, 0, 0x1c, 0).unwrap(),
                vec![Hop { bus_offset: 0, device: 0, function: 0 }]
            ))
        );
        let with_identity = "dom0:00_1c.0-00_00.0:0x8086:0x2723:0-0:p028000";
        assert_eq!(DeviceArgument::parse(with_identity), DeviceArgument::parse("00_1c.0-00_00.0"));
    }

    #[test]
    fn what_is_no_address_is_refused_before_a_path_is_built() {
        for text in [
            "0000:00:1f.9",
            "../../x",
            "",
            "00:1f",
            "0000:00:20.0",
            "0000:00:1f.6\n",
            " 00:1f.6",
            "00:1f.6-00_00.0",
            "+000:00:1f.6",
            "0000:0:1f.6",
            "000:00:1f.6",
            "00_1f.6-",
            "*",
            "0000:00:1f.*",
            "pci_0000_00_1f.6",
            "pci_0000:00:1f_6",
            "pci_00_1f_6",
            "00_1f.6:0x8086:0x15b8::p020000",
            "dom0:00_1f.6:0x8086",
            "dom0:00_1f.6:0x8086:0x15b8:\x1b",
            "dom0:00_1f.6:",
        ] {
            assert_eq!(DeviceArgument::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn xen_has_no_name_for_a_segment_above_ffff() {
        assert_eq!(Sbdf::from_sysfs("10000:e1:00.0").unwrap().to_xen(), None);
        assert_eq!(Sbdf::from_sysfs("0000:03:1f.6").unwrap().to_xen(), Some(0x03fe));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(segment in 0u32..0x20000, bus: u8, device in 0u8..32, function in 0u8..8) {
            let sbdf = Sbdf::new(segment, bus, device, function).unwrap();
            prop_assert_eq!(Sbdf::from_sysfs(&sbdf.to_string()), Some(sbdf));
            prop_assert_eq!(DeviceArgument::parse(&sbdf.to_string()), Some(DeviceArgument::Address(sbdf)));
        }
    }
}
