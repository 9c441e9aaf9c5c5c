//! What makes a function the same as before, as it reads now: config space and sysfs' list of its resources. Nothing
//! is written to the device: no sizing of base addresses, no reading of its ROM (`run` does that, where it settles).

use super::config_space::{extended, Extended};
use super::Function;
use crate::journal::Identity;
use crate::names::Sbdf;
use crate::system::sysfs::PciSysfs;

/// What stands for "known to have none", so that an empty list can mean "not known".
pub const NONE: &str = "none";
/// What stands for a serial number that this user may not see: it is not an absent one.
pub const UNREAD: &str = "?";

/// Flags of a resource, Linux `include/linux/ioport.h`.
const IO: u64 = 0x100;
const MEMORY: u64 = 0x200;
const PREFETCH: u64 = 0x2000;
const MEMORY_64: u64 = 0x10_0000;
/// The ROM is the copy that the firmware made in memory, which programs may have changed since (`IORESOURCE_ROM_SHADOW`).
const SHADOW: u64 = 2;
/// Base addresses of a function; the line behind them is the expansion ROM's.
const BARS: usize = 6;

/// Reads it. What this user may not see is left empty; a function that does not answer tells only what the kernel
/// read when it found it.
#[must_use]
pub fn of(sysfs: &PciSysfs, function: &Function) -> Identity {
    let sbdf = function.sbdf;
    let resources = sysfs.attribute(sbdf, "resource").ok().flatten();
    let (bars, rom) = resources.as_deref().and_then(resources_of).unwrap_or_default();
    let Some(config) = &function.config else {
        let hex = |name: &str| {
            let text = sysfs.attribute(sbdf, name).ok().flatten().unwrap_or_default();
            u16::from_str_radix(text.strip_prefix("0x").unwrap_or(&text), 16).unwrap_or(0)
        };
        let subsystem = (hex("subsystem_vendor"), hex("subsystem_device"));
        let id = id((function.vendor, function.device), subsystem, function.class, UNREAD);
        return Identity { id, bars, rom, ..Identity::default() };
    };
    let whole = config.function_level_reset.is_some();
    let extended = match sysfs.config_size(sbdf) {
        Some(size) if size > super::config_space::CONVENTIONAL_SIZE => {
            extended(|at| sysfs.register(sbdf, at))
        }
        // A function without extended config space has no serial number to tell.
        Some(_) => Some(Extended::default()),
        None => None,
    };
    let serial = match &extended {
        Some(Extended { serial: Some(serial), .. }) => format!("{serial:016x}"),
        Some(_) => String::new(),
        None => UNREAD.to_owned(),
    };
    let mut capabilities: Vec<String> = config.capabilities.iter().map(|id| format!("{id:02x}")).collect();
    match &extended {
        Some(extended) if whole => {
            capabilities.extend(extended.capabilities.iter().map(|id| format!("{id:04x}")));
            if capabilities.is_empty() {
                capabilities.push(NONE.to_owned());
            }
        }
        _ => capabilities.clear(),
    }
    Identity {
        id: id((config.vendor, config.device), config.subsystem, config.class, &serial),
        revision: format!("{:02x}", config.revision),
        header: format!("{:02x}", config.header),
        bars,
        capabilities,
        rom,
        rom_sha256: String::new(),
    }
}

/// Whether there is an expansion ROM to read on the device itself; nothing of it is read here.
#[must_use]
pub fn has_rom(sysfs: &PciSysfs, sbdf: Sbdf) -> bool {
    let resources = || sysfs.attribute(sbdf, "resource").ok().flatten().unwrap_or_default();
    sysfs.attribute_path(sbdf, "rom").exists() && !is_shadow(&resources())
}

/// Whether the line of the ROM says that it is a copy in memory.
fn is_shadow(resources: &str) -> bool {
    let flags = || {
        let word = resources.lines().nth(BARS)?.split_whitespace().nth(2)?;
        u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
    };
    flags().is_some_and(|flags| flags & SHADOW != 0)
}

/// The id without looking for a serial number: enough to tell which functions may be alike.
#[must_use]
pub fn rough(function: &Function) -> String {
    let Some(config) = &function.config else {
        return id((function.vendor, function.device), (0, 0), function.class, UNREAD);
    };
    id((config.vendor, config.device), config.subsystem, config.class, UNREAD)
}

fn id(ids: (u16, u16), subsystem: (u16, u16), class: u32, serial: &str) -> String {
    let text =
        format!("{:04x}:{:04x} {:04x}:{:04x} {class:06x} {serial}", ids.0, ids.1, subsystem.0, subsystem.1);
    text.trim_end().to_owned()
}

/// Base addresses in use and the size of the expansion ROM, from lines of `start end flags`
/// (`drivers/pci/pci-sysfs.c`, `resource_show`). `None` where a line is something else.
fn resources_of(text: &str) -> Option<(Vec<String>, String)> {
    let mut bars = Vec::new();
    let mut rom = "0".to_owned();
    for (index, line) in text.lines().take(BARS + 1).enumerate() {
        let mut numbers =
            line.split_whitespace().map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        let (start, end, flags) = (numbers.next()??, numbers.next()??, numbers.next()??);
        if flags == 0 {
            continue;
        }
        let size = end.checked_sub(start)?.wrapping_add(1);
        if index == BARS {
            rom = format!("{size:x}");
            continue;
        }
        let kind = match flags {
            _ if flags & IO != 0 => "io",
            _ if flags & MEMORY == 0 => "other",
            _ if flags & MEMORY_64 != 0 => "mem64",
            _ => "mem32",
        };
        let prefetch = if flags & PREFETCH != 0 { "p" } else { "" };
        bars.push(format!("{index} {kind}{prefetch} {size:x}"));
    }
    if bars.is_empty() {
        bars.push(NONE.to_owned());
    }
    Some((bars, rom))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_kinds_are_taken_from_the_kernels_list() {
        let text = "0x00000000feb80000 0x00000000feb9ffff 0x0000000000040200\n\
            0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
            0x000000000000c000 0x000000000000c01f 0x0000000000040101\n\
            0x000000fe00000000 0x000000fe00003fff 0x000000000014220c\n\
            0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
            0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
            0x00000000feb00000 0x00000000feb3ffff 0x0000000000046200\n\
            0x0000000000000000 0x0000000000000fff 0x0000000000000200\n";
        let (bars, rom) = resources_of(text).unwrap();
        assert_eq!(bars, ["0 mem32 20000", "2 io 20", "3 mem64p 4000"]);
        assert_eq!(rom, "40000");
    }

    #[test]
    fn a_rom_that_firmware_copied_into_memory_is_not_the_devices() {
        let none = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n".repeat(BARS);
        assert!(is_shadow(&format!("{none}0x00000000000c0000 0x00000000000dffff 0x0000000000000212\n")));
        assert!(!is_shadow(&format!("{none}0x00000000feb00000 0x00000000feb3ffff 0x0000000000046200\n")));
        assert!(!is_shadow("") && !is_shadow("nonsense\n"));
    }

    #[test]
    fn none_is_not_the_same_as_not_known() {
        let line = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
        assert_eq!(resources_of(&line.repeat(7)), Some((vec!["none".to_owned()], "0".to_owned())));
        assert_eq!(resources_of("nonsense\n"), None);
    }

    #[test]
    fn a_serial_number_that_cannot_be_read_is_not_an_absent_one() {
        let ids = ((0x8086, 0x10d3), (0x8086, 0xa01f));
        assert_eq!(id(ids.0, ids.1, 0x02_0000, ""), "8086:10d3 8086:a01f 020000");
        assert_eq!(id(ids.0, ids.1, 0x02_0000, UNREAD), "8086:10d3 8086:a01f 020000 ?");
    }

    proptest! {
        #[test]
        fn no_list_makes_the_reader_panic(text in "((0x[0-9a-f]{0,17}[ \n]?)|.){0,30}") {
            let _ = resources_of(&text);
        }
    }
}
