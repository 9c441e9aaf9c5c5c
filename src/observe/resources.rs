//! What a function has in the machine's address space, by sysfs' list of its resources.

use crate::names::Sbdf;
use crate::system::sysfs::PciSysfs;

/// What stands for "known to have none", so that an empty list can mean "not known".
pub const NONE: &str = "none";

/// Flags of a resource, Linux `include/linux/ioport.h`.
const IO: u64 = 0x100;
const MEMORY: u64 = 0x200;
const PREFETCH: u64 = 0x2000;
const MEMORY_64: u64 = 0x10_0000;
/// The ROM is the copy that the firmware made in memory, which programs may have changed since
/// (`IORESOURCE_ROM_SHADOW`).
const SHADOW: u64 = 2;
/// Base addresses of a function; the line behind them is the expansion ROM's.
const BARS: usize = 6;

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

/// Base addresses in use and the size of the expansion ROM, from lines of `start end flags`
/// (`drivers/pci/pci-sysfs.c`, `resource_show`). `None` where a line is something else.
pub fn list(text: &str) -> Option<(Vec<String>, String)> {
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
        let (bars, rom) = list(text).unwrap();
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
        assert_eq!(list(&line.repeat(7)), Some((vec!["none".to_owned()], "0".to_owned())));
        assert_eq!(list("nonsense\n"), None);
    }

    proptest! {
        #[test]
        fn no_list_makes_the_reader_panic(text in "((0x[0-9a-f]{0,17}[ \n]?)|.){0,30}") {
            let _ = list(&text);
        }
    }
}
