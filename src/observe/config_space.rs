//! PCI config space: a pure reader of bytes a device chose.
//!
//! Layout: PCI Local Bus Specification 3.0, section 6; PCI Express Base
//! Specification, section 7; numbers as in Linux
//! `include/uapi/linux/pci_regs.h`.

use std::collections::BTreeSet;

/// Command register: memory space.
const MEMORY: u16 = 1 << 1;
/// Bit 2 of the command register: the device may start DMA.
const BUS_MASTER: u16 = 1 << 2;
/// Bit 4 of the status register: there is a capability list.
const CAPABILITY_LIST: u16 = 1 << 4;
const CAPABILITY_EXPRESS: u8 = 0x10;
const CAPABILITY_ADVANCED_FEATURES: u8 = 0x13;
const EXTENDED_SERIAL_NUMBER: u16 = 0x0003;
const EXTENDED_ACCESS_CONTROL: u16 = 0x000d;
/// Access control that sends requests of one port to another up first: source validation, redirection of
/// requests and of completions, upstream forwarding. What the kernel asks for (`drivers/iommu/iommu.c`,
/// `REQ_ACS_FLAGS`).
const ISOLATION: u32 = 0x1d;

/// What a function's config space says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigSpace {
    /// Vendor id, as it is now and not as sysfs cached it.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// The command register.
    pub command: u16,
    /// Class, subclass and programming interface.
    pub class: u32,
    /// Revision.
    pub revision: u8,
    /// Header type without the multi-function bit: 0 endpoint, 1 bridge.
    pub header: u8,
    /// Subsystem vendor and device (header type 0).
    pub subsystem: (u16, u16),
    /// Whether it has an expansion ROM (header type 0), by its base address: the ROM
    /// itself is never read.
    pub expansion_rom: bool,
    /// Ids of the capabilities, in their order. Empty too where this user may
    /// read only the first 64 bytes.
    pub capabilities: Vec<u8>,
    /// What the PCI Express capability says.
    pub express: Option<Express>,
    /// Whether it offers a function-level reset; `None` where that could not be
    /// seen.
    pub function_level_reset: Option<bool>,
}

/// Config space a PCI driver of the first kind has: what is read of every function.
pub const CONVENTIONAL_SIZE: u64 = 256;

/// The PCI Express capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Express {
    /// Device or port type: 4 root port, 5 and 6 switch ports, 7 a bridge to
    /// conventional PCI.
    pub kind: u8,
    /// Function-number bits it may use for phantom functions, 0 to 3.
    pub phantom_bits: u8,
}

/// What kind of port a PCI Express capability says that a function is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortKind {
    /// Of the root complex, with one device below it.
    Root,
    /// Of a switch, towards the root complex.
    Upstream,
    /// Of a switch, with one device below it.
    Downstream,
    /// A bridge to conventional PCI.
    ToConventional,
}

/// A config space of nothing but ones: the function does not answer.
#[must_use]
pub fn is_all_ones(bytes: &[u8]) -> bool {
    bytes.get(..64).is_none_or(|header| header.iter().all(|&byte| byte == 0xff))
}

impl ConfigSpace {
    /// Reads it. `None` where there are no 64 bytes or the function does not answer.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if is_all_ones(bytes) {
            return None;
        }
        let header = byte(bytes, 0x0e)? & 0x7f;
        let (mut capabilities, mut express, mut reset) = (Vec::new(), None, None);
        if bytes.len() > 64 {
            reset = Some(false);
            for (id, at) in capability_list(bytes) {
                capabilities.push(id);
                if id == CAPABILITY_EXPRESS {
                    let flags = word(bytes, at + 2).unwrap_or(0);
                    let features = double(bytes, at + 4).unwrap_or(0);
                    express = Some(Express {
                        kind: u8::try_from(flags >> 4 & 0xf).unwrap_or(0),
                        phantom_bits: u8::try_from(features >> 3 & 3).unwrap_or(0),
                    });
                    reset = reset.map(|reset| reset || features & 1 << 28 != 0);
                }
                if id == CAPABILITY_ADVANCED_FEATURES {
                    let features = byte(bytes, at + 3).unwrap_or(0);
                    reset = reset.map(|reset| reset || features & 2 != 0);
                }
            }
        }
        Some(Self {
            vendor: word(bytes, 0)?,
            device: word(bytes, 2)?,
            command: word(bytes, 4)?,
            class: double(bytes, 8)? >> 8,
            revision: byte(bytes, 8)?,
            header,
            subsystem: if header == 0 { (word(bytes, 0x2c)?, word(bytes, 0x2e)?) } else { (0, 0) },
            expansion_rom: header == 0 && double(bytes, 0x30)? & !0x7ff != 0,
            capabilities,
            express,
            function_level_reset: reset,
        })
    }

    /// The one of a virtual function, whose vendor and device read ffff:ffff (PCI Express, SR-IOV 3.4.1.1 and
    /// 3.4.1.2): there stand those that the kernel took from its physical function.
    #[must_use]
    pub fn of_virtual_function(self, vendor: u16, device: u16) -> Self {
        match (self.vendor, self.device) {
            (0xffff, 0xffff) => Self { vendor, device, ..self },
            _ => self,
        }
    }

    /// Which kind of port it is; `None` where it is an endpoint, or not of PCI Express.
    #[must_use]
    pub fn port(&self) -> Option<PortKind> {
        match self.express?.kind {
            4 => Some(PortKind::Root),
            5 => Some(PortKind::Upstream),
            6 => Some(PortKind::Downstream),
            7 => Some(PortKind::ToConventional),
            _ => None,
        }
    }

    /// Whether it answers at its memory addresses.
    #[must_use]
    pub fn decodes_memory(&self) -> bool {
        self.command & MEMORY != 0
    }

    /// Whether the function may start DMA.
    #[must_use]
    pub fn is_bus_master(&self) -> bool {
        self.command & BUS_MASTER != 0
    }

    /// What its command register has to be for that to end; the rest of it stays.
    #[must_use]
    pub fn command_without_bus_mastering(&self) -> u16 {
        self.command & !BUS_MASTER
    }

    /// Everything that must stay the same while a driver changes, in words for the
    /// first difference.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let pairs = [
            ("vendor", u64::from(self.vendor), u64::from(other.vendor)),
            ("device", u64::from(self.device), u64::from(other.device)),
            ("class", u64::from(self.class), u64::from(other.class)),
            ("revision", u64::from(self.revision), u64::from(other.revision)),
            ("header type", u64::from(self.header), u64::from(other.header)),
            ("subsystem vendor", u64::from(self.subsystem.0), u64::from(other.subsystem.0)),
            ("subsystem device", u64::from(self.subsystem.1), u64::from(other.subsystem.1)),
        ];
        for (name, was, is) in pairs {
            if was != is {
                return Some(format!("its {name} was {was:#x} and is {is:#x}"));
            }
        }
        (self.capabilities != other.capabilities).then(|| "its capabilities changed".to_owned())
    }
}

/// The conventional capability list, cut at a loop: 48 entries fill all 192 bytes.
fn capability_list(bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut list = Vec::new();
    if word(bytes, 6).unwrap_or(0) & CAPABILITY_LIST == 0 {
        return list;
    }
    let mut at = usize::from(byte(bytes, 0x34).unwrap_or(0) & 0xfc);
    while at >= 0x40 && list.len() < 48 {
        let Some(id) = byte(bytes, at) else { break };
        if id == 0xff {
            break;
        }
        list.push((id, at));
        at = usize::from(byte(bytes, at + 1).unwrap_or(0) & 0xfc);
    }
    list
}

/// What the extended capabilities behind the first 256 bytes say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Extended {
    /// Ids in their order, cut at a loop.
    pub capabilities: Vec<u16>,
    /// The device serial number, where there is one.
    pub serial: Option<u64>,
    /// The access control capability behind its header: what it can do and does, and the register after that.
    pub access_control: Option<(u32, u32)>,
}

impl Extended {
    /// Whether a port sends all requests from below it up to the root complex, where the IOMMU sees them.
    /// What it cannot switch on it does anyway. Root ports of some Intel chipsets have wider registers, in
    /// which the second is what is on (`drivers/pci/quirks.c`, `pci_quirk_intel_spt_pch_acs`).
    #[must_use]
    pub fn isolates(&self, is_intel_root_port: bool) -> bool {
        let Some((first, second)) = self.access_control else { return false };
        let wanted = ISOLATION & first;
        let is_on = |control: u32| control & wanted == wanted;
        is_on(first >> 16) || is_intel_root_port && first >> 16 == 0 && is_on(second)
    }
}

/// Reads them one register at a time, for each costs an access to the device.
/// `None` where one cannot be read.
pub fn extended(mut register: impl FnMut(u64) -> Option<u32>) -> Option<Extended> {
    let mut found = Extended::default();
    let mut at = CONVENTIONAL_SIZE;
    let mut seen = BTreeSet::new();
    while seen.insert(at) {
        let header = register(at)?;
        if header == 0 || header == u32::MAX {
            break;
        }
        let id = u16::try_from(header & 0xffff).ok()?;
        found.capabilities.push(id);
        if id == EXTENDED_SERIAL_NUMBER && found.serial.is_none() {
            let (low, high) = (register(at + 4)?, register(at + 8)?);
            found.serial = Some(u64::from(high) << 32 | u64::from(low));
        }
        if id == EXTENDED_ACCESS_CONTROL && found.access_control.is_none() {
            found.access_control = Some((register(at + 4)?, register(at + 8)?));
        }
        let next = u64::from(header >> 20 & 0xffc);
        if next < CONVENTIONAL_SIZE {
            break;
        }
        at = next;
    }
    Some(found)
}

/// The device serial number alone.
pub fn serial_number(register: impl FnMut(u64) -> Option<u32>) -> Option<u64> {
    extended(register)?.serial
}

fn byte(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn double(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn endpoint() -> Vec<u8> {
        let mut bytes = vec![0; 256];
        bytes[..4].copy_from_slice(&[0x86, 0x80, 0xd3, 0x10]);
        bytes[4] = 0x07;
        bytes[6] = 0x10;
        bytes[8..12].copy_from_slice(&[0x01, 0x00, 0x00, 0x02]);
        bytes[0x34] = 0x40;
        // PCI Express at 0x40: an endpoint with FLR and one phantom bit.
        bytes[0x40..0x48].copy_from_slice(&[0x10, 0, 0x02, 0, 0x08, 0, 0, 0x10]);
        bytes
    }

    #[test]
    fn an_endpoint_is_read_with_its_capabilities() {
        let config = ConfigSpace::parse(&endpoint()).unwrap();
        assert_eq!((config.vendor, config.device, config.class), (0x8086, 0x10d3, 0x02_0000));
        assert_eq!(config.function_level_reset, Some(true));
        assert_eq!(config.express, Some(Express { kind: 0, phantom_bits: 1 }));
        assert!(config.is_bus_master() && config.decodes_memory());
        let mut bytes = endpoint();
        // A switch's upstream port: kind 5; its flags lie behind the capability's head. And its command
        // register is off.
        (bytes[0x42], bytes[4]) = (0x52, 0);
        let config = ConfigSpace::parse(&bytes).unwrap();
        assert_eq!(config.express, Some(Express { kind: 5, phantom_bits: 1 }));
        assert!(!config.is_bus_master() && !config.decodes_memory());
    }

    #[test]
    fn a_conventional_function_tells_of_its_reset_in_advanced_features() {
        let mut bytes = endpoint();
        for (features, resets) in [(0x02, true), (0x03, true), (0x01, false)] {
            bytes[0x40..0x46].copy_from_slice(&[0x13, 0, 0x06, features, 0, 0]);
            let config = ConfigSpace::parse(&bytes).unwrap();
            assert_eq!((config.function_level_reset, config.express), (Some(resets), None));
        }
    }

    #[test]
    fn a_serial_number_is_found_behind_other_extended_capabilities() {
        let registers = [(0x100, 0x1400_0001), (0x140, 0x0001_0003), (0x144, 1), (0x148, 2)];
        let read = |at| registers.iter().find(|(place, _)| *place == at).map(|(_, value)| *value);
        assert_eq!(serial_number(read), Some(0x2_0000_0001));
        assert_eq!(serial_number(|_| Some(0x1000_0001)), None, "a loop ends");
        assert_eq!(serial_number(|_| Some(u32::MAX)), None);
    }

    #[test]
    fn a_port_isolates_where_all_it_can_do_is_on() {
        let isolates = |first, second, intel| {
            let registers = [(0x100, 0x0001_000d), (0x104, first), (0x108, second)];
            let read = |at| registers.iter().find(|(place, _)| *place == at).map(|(_, value)| *value);
            extended(read).unwrap().isolates(intel)
        };
        assert!(isolates(0x001d_005f, 0, false));
        assert!(!isolates(0x000d_005f, 0, false), "no upstream forwarding");
        assert!(isolates(0x0001_0001, 0, false), "what cannot be switched is on");
        assert!(!isolates(0x0000_001f, 0x1f, false) && isolates(0x0000_001f, 0x1f, true));
        assert!(!extended(|_| Some(0)).unwrap().isolates(true), "no such capability");
    }

    #[test]
    fn a_user_without_rights_sees_no_capabilities_and_no_reset() {
        let config = ConfigSpace::parse(&endpoint()[..64]).unwrap();
        assert_eq!((config.function_level_reset, config.capabilities), (None, vec![]));
    }

    #[test]
    fn a_function_that_does_not_answer_is_none() {
        assert_eq!(ConfigSpace::parse(&[0xff; 256]), None);
        assert_eq!(ConfigSpace::parse(&[0; 10]), None);
    }

    #[test]
    fn a_capability_list_that_loops_ends() {
        let mut bytes = endpoint();
        bytes[0x41] = 0x40;
        assert_eq!(ConfigSpace::parse(&bytes).unwrap().capabilities.len(), 48);
    }

    #[test]
    fn a_changed_identity_is_named() {
        let mut bytes = endpoint();
        let before = ConfigSpace::parse(&bytes).unwrap();
        bytes[2] = 0xd4;
        let after = ConfigSpace::parse(&bytes).unwrap();
        assert_eq!(before.difference(&after).unwrap(), "its device was 0x10d3 and is 0x10d4");
        assert_eq!(before.difference(&before), None);
    }
}
