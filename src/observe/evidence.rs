//! What a working device leaves in sysfs, by its class. A bound driver alone
//! proves nothing: in quarantine it binds without a word and moves no data.

use super::Function;
use crate::system::root::read_text;
use crate::system::sysfs::PciSysfs;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// The class's own sign of life, in words.
    Found(String),
    /// The sign is not there yet; what is awaited, in words.
    Awaited(&'static str),
    /// Nothing is attached that could show itself; said in words.
    NothingAttached(&'static str),
    /// No sign is known for this class.
    NotKnown,
}

/// Looks for the sign once.
#[must_use]
pub fn look(sysfs: &PciSysfs, function: &Function) -> Evidence {
    let below = |pattern: &[&str]| sysfs.below(function.sbdf, pattern);
    let awaited = |patterns: &[&[&str]], what: &'static str| -> Evidence {
        let found = patterns.iter().find_map(|pattern| below(pattern).first().map(|path| shown(path)));
        found.map_or(Evidence::Awaited(what), Evidence::Found)
    };
    const SOUND: [&[&str]; 5] = [
        &["hdaudioC*"],
        &["ehdaudio*"],
        &["sound", "card*"],
        &["*", "sound", "card*"],
        &["*", "*", "sound", "card*"],
    ];
    match function.class_and_subclass() {
        0x0200 | 0x0280 => awaited(&[&["net", "*"], &["virtio*", "net", "*"]], "a network interface"),
        0x0106 => sata(sysfs, function),
        0x0108 => nvme(sysfs, function),
        0x0100..=0x01ff => awaited(
            &[&["host*"], &["*", "host*"], &["block", "*"], &["virtio*", "block", "*"]],
            "a storage host or disk",
        ),
        0x0300..=0x03ff => awaited(&[&["drm", "card*"], &["graphics", "fb*"]], "a graphics device"),
        0x0401 | 0x0403 => awaited(&SOUND, "an audio codec or sound card"),
        0x0805 => awaited(&[&["mmc_host", "mmc*"]], "a card slot"),
        0x0c03 if function.is_usb_host() => awaited(&[&["usb*"]], "a root hub"),
        0x0c05 => awaited(&[&["i2c-*"]], "an I2C bus"),
        0x0700 => awaited(&[&["tty", "tty*"], &["*", "*", "tty", "tty*"]], "a serial port"),
        _ => {
            let found = below(&["virtio*", "driver"]);
            found.first().map_or(Evidence::NotKnown, |path| Evidence::Found(shown(path)))
        }
    }
}

/// A namespace, or a controller that answers and has none.
fn nvme(sysfs: &PciSysfs, function: &Function) -> Evidence {
    let spaces = sysfs.below(function.sbdf, &["nvme", "nvme*", "nvme*"]);
    if let Some(space) = spaces.first() {
        return Evidence::Found(shown(space));
    }
    let states = sysfs.below(function.sbdf, &["nvme", "nvme*", "state"]);
    if states.iter().any(|state| read_text(state).is_ok_and(|state| state == "live")) {
        return Evidence::NothingAttached("its controller is live and has no namespace");
    }
    Evidence::Awaited("an NVMe namespace")
}

/// Disks hang below `ataN/hostN/targetN:0:0/N:0:0:0/block/sdX`. An empty port says
/// so in `ata_link/linkN/sata_spd` only after its link was tried.
fn sata(sysfs: &PciSysfs, function: &Function) -> Evidence {
    let disks = sysfs.below(function.sbdf, &["ata*", "host*", "target*", "*", "block", "*"]);
    if let Some(disk) = disks.first() {
        return Evidence::Found(shown(disk));
    }
    // An optical drive has a SCSI device and no disk below it.
    let drives = sysfs.below(function.sbdf, &["ata*", "host*", "target*", "*", "scsi_device"]);
    if let Some(drive) = drives.first().and_then(|path| path.parent()) {
        return Evidence::Found(shown(drive));
    }
    let links = sysfs.below(function.sbdf, &["ata*", "link*", "ata_link", "link*", "sata_spd"]);
    let up = |path: &PathBuf| read_text(path).is_ok_and(|speed| speed != "<unknown>");
    if !links.is_empty() && !links.iter().any(up) {
        return Evidence::NothingAttached("no disk is attached to it");
    }
    Evidence::Awaited("a disk")
}

fn shown(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    crate::names::escape(name.unwrap_or_default().as_bytes())
}
