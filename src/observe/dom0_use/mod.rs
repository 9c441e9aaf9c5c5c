//! What dom0 itself uses a function for: taking it away would take that away.

mod blocks;

use super::Function;
use crate::error::Failure;
use crate::names::{escape, Sbdf};
use crate::system::root::{names_in, read_optional, read_text, Sysroot};
use crate::system::sysfs::PciSysfs;
use std::path::{Path, PathBuf};

/// Reads it, in words.
pub fn read(root: &Sysroot, sysfs: &PciSysfs, function: &Function) -> Result<Vec<String>, Failure> {
    uses(root, sysfs, function, true)
}

/// What dom0 cannot boot or be used without, in words: its disks, its screen, the only keyboard.
pub fn boots_by(root: &Sysroot, sysfs: &PciSysfs, function: &Function) -> Result<Vec<String>, Failure> {
    uses(root, sysfs, function, false)
}

fn uses(
    root: &Sysroot,
    sysfs: &PciSysfs,
    function: &Function,
    network: bool,
) -> Result<Vec<String>, Failure> {
    let folder = sysfs.folder(function.sbdf);
    let folder = std::fs::canonicalize(&folder).map_err(|error| Failure::unreadable(&folder, &error))?;
    let mut uses = Vec::new();
    if function.boot_display {
        uses.push("the display the machine booted with is on it".to_owned());
    }
    uses.extend(blocks::read(root, &folder)?);
    if network {
        uses.extend(interfaces(root, &folder)?);
    }
    uses.extend(only_keyboard(root, &folder)?);
    Ok(uses)
}

/// The devices of a class whose real path lies below the function, by name.
fn of_class(root: &Sysroot, class: &str, folder: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let class = root.path(&format!("/sys/class/{class}"));
    let mut found = Vec::new();
    for name in names_in(&class)? {
        // A device that went meanwhile is not one dom0 uses.
        let Ok(real) = std::fs::canonicalize(class.join(&name)) else { continue };
        if real.starts_with(folder) || is_path_to(&real, folder) {
            found.push((name, real));
        }
    }
    Ok(found)
}

/// A disk or partition of a function that has a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    /// As in `/sys/class/block`.
    pub name: String,
    /// `major:minor`.
    pub number: String,
}

/// The disks and partitions of a function that are there now, with multipath too. A path of such a disk has
/// no node.
#[must_use]
pub fn disks_of(root: &Sysroot, sysfs: &PciSysfs, sbdf: Sbdf) -> Vec<Disk> {
    let Ok(folder) = std::fs::canonicalize(sysfs.folder(sbdf)) else { return Vec::new() };
    let found = of_class(root, "block", &folder).unwrap_or_default();
    found
        .into_iter()
        .filter_map(|(name, real)| read_text(&real.join("dev")).ok().map(|number| Disk { name, number }))
        .collect()
}

/// With multipath an NVMe disk hangs below a virtual subsystem
/// (`/sys/devices/virtual/nvme-subsystem/nvme-subsysN`) that links its controllers.
fn is_path_to(real: &Path, folder: &Path) -> bool {
    let subsystem = real.ancestors().find(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("nvme-subsys"))
            && path.parent().is_some_and(|parent| parent.ends_with("nvme-subsystem"))
    });
    let Some(subsystem) = subsystem else { return false };
    let names = names_in(subsystem).unwrap_or_default();
    names.iter().any(|name| {
        std::fs::canonicalize(subsystem.join(name)).is_ok_and(|controller| controller.starts_with(folder))
    })
}

fn interfaces(root: &Sysroot, folder: &Path) -> Result<Vec<String>, Failure> {
    const IFF_UP: u32 = 1;
    let mut uses = Vec::new();
    for (name, real) in of_class(root, "net", folder)? {
        let flags = read_text(&real.join("flags")).unwrap_or_default();
        let flags = u32::from_str_radix(flags.strip_prefix("0x").unwrap_or(&flags), 16);
        // Flags that cannot be read count as up.
        if flags.map_or(true, |flags| flags & IFF_UP != 0) {
            uses.push(format!("the network interface {} is up", escape(name.as_bytes())));
        }
    }
    Ok(uses)
}

/// `/proc/bus/input/devices`: what has key repeat may be a keyboard, what has the keys of one is.
fn only_keyboard(root: &Sysroot, folder: &Path) -> Result<Option<String>, Failure> {
    let path = root.path("/proc/bus/input/devices");
    let Some(text) = read_optional(&path)? else { return Ok(None) };
    let (mut here, mut elsewhere) = (false, false);
    for device in text.split("\n\n") {
        let field = |name: &str| device.lines().find_map(|line| line.strip_prefix(name));
        let events = field("B: EV=").and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        if events.unwrap_or(0) & KEY_REPEAT == 0 {
            continue;
        }
        let place = root.path(&format!("/sys{}", field("S: Sysfs=").unwrap_or_default()));
        let real = std::fs::canonicalize(&place).unwrap_or(place);
        if real.starts_with(folder) {
            here = true;
        } else {
            // The hotkeys of a laptop repeat too, and nobody can type with them.
            elsewhere |= field("B: KEY=").is_some_and(can_type);
        }
    }
    Ok((here && !elsewhere).then(|| "the only keyboard is on it".to_owned()))
}

/// Whether a device of `/proc/bus/input/devices` is one to type with.
#[must_use]
pub fn is_keyboard(device: &str) -> bool {
    let field = |name: &str| device.lines().find_map(|line| line.strip_prefix(name));
    let events = field("B: EV=").and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    events.unwrap_or(0) & KEY_REPEAT != 0 && field("B: KEY=").is_some_and(can_type)
}

/// `EV_REP` (Linux `include/uapi/linux/input-event-codes.h`).
const KEY_REPEAT: u64 = 1 << 20;
/// `KEY_ESC` to `KEY_D` there: by these udev, too, tells a keyboard (systemd `udev-builtin-input_id.c`).
const KEYS_OF_A_KEYBOARD: u64 = 0xffff_fffe;

/// Whether these bits, in words of 64 with the lowest last, hold the keys of a keyboard.
fn can_type(bits: &str) -> bool {
    let lowest = bits.split_whitespace().next_back().and_then(|word| u64::from_str_radix(word, 16).ok());
    lowest.is_some_and(|keys| keys & KEYS_OF_A_KEYBOARD == KEYS_OF_A_KEYBOARD)
}
