//! Disks of a function that dom0 uses, or gives to a qube. What is used is not always mounted: the second
//! disk of a btrfs, a mount of another mount namespace, a volume group show in no list. So the kernel is
//! asked for each disk, too.

use super::of_class;
use crate::error::{Code, Exit, Failure};
use crate::names::escape;
use crate::system::root::{names_in, read_text, Sysroot};
use crate::system::xenstore::Xenstore;
use nix::errno::Errno;
use nix::libc::{O_EXCL, O_NONBLOCK};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where backends of block devices stand; each disk has `physical-device`, its numbers in hexadecimal (Xen
/// `docs/misc/xenstore-paths.pandoc`).
const BACKENDS: &str = "/local/domain/0/backend/vbd";

/// What uses the disks and partitions below the function's folder, in words.
pub fn read(root: &Sysroot, folder: &Path) -> Result<Vec<String>, Failure> {
    let text = |path: &str| {
        let path = root.path(path);
        read_text(&path).map_err(|error| Failure::unreadable(&path, &error))
    };
    let devices = of_class(root, "block", folder)?;
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    let (mounts, swaps) = (text("/proc/self/mountinfo")?, text("/proc/swaps")?);
    let given = given_to_qubes(root)?;
    let mut uses = Vec::new();
    for (name, real) in devices {
        let number_path = real.join("dev");
        // A path of an NVMe disk with multipath: it has no number and no node, so nobody can use it but the
        // disk above.
        if !number_path.exists() && read_text(&real.join("hidden")).is_ok_and(|hidden| hidden == "1") {
            continue;
        }
        let number = read_text(&number_path).map_err(|error| Failure::unreadable(&number_path, &error))?;
        // sysfs cannot have a slash in a name, and writes `!`.
        let node = format!("/dev/{}", name.replace('!', "/"));
        let before = uses.len();
        let mut say = |how: &str| uses.push(format!("{} {how}", escape(node.as_bytes())));
        // mountinfo(5): the third field is major:minor; the source follows " - ".
        let mounted = |line: &str| {
            line.split(' ').nth(2) == Some(number.as_str())
                || line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').nth(1)) == Some(node.as_str())
        };
        if mounts.lines().any(mounted) {
            say("is mounted");
        }
        if swaps.lines().any(|line| line.split_whitespace().next() == Some(node.as_str())) {
            say("is swap");
        }
        if let Some(holder) = names_in(&real.join("holders"))?.first() {
            say(&format!("is held by {}", escape(holder.as_bytes())));
        }
        let of_disk = numbers(&number, 10).ok_or_else(|| no_device(&number_path.to_string_lossy()))?;
        if let Some((_, domain)) = given.iter().find(|(given, _)| *given == of_disk) {
            say(&format!("is given to domain {}", escape(domain.as_bytes())));
        }
        if uses.len() == before && is_claimed(&root.path(&node))? {
            uses.push(format!("{} is in use (the kernel refuses it as busy)", escape(node.as_bytes())));
        }
    }
    Ok(uses)
}

/// Numbers of block devices that qubes have of dom0, and the qubes' domains.
fn given_to_qubes(root: &Sysroot) -> Result<Vec<(Numbers, String)>, Failure> {
    let mut store = Xenstore::open(root)?;
    let mut given = Vec::new();
    for domain in store.list(BACKENDS)? {
        for disk in store.list(&format!("{BACKENDS}/{domain}"))? {
            let node = format!("{BACKENDS}/{domain}/{disk}/physical-device");
            // Not written yet, or no longer: then the qube does not have it.
            let Some(value) = store.read(&node)? else { continue };
            let numbers = numbers(&String::from_utf8_lossy(&value), 16).ok_or_else(|| no_device(&node))?;
            given.push((numbers, domain.clone()));
        }
    }
    Ok(given)
}

/// What names a device makes no sense: then nobody knows which it is.
fn no_device(place: &str) -> Failure {
    let message = format!("{} names no block device", escape(place.as_bytes()));
    Failure::new(Exit::Io, Code::Unreadable, message, "try again; if it stays, reboot")
}

/// Major and minor number of a device.
type Numbers = (u32, u32);

/// `major:minor`.
fn numbers(text: &str, radix: u32) -> Option<Numbers> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((u32::from_str_radix(major, radix).ok()?, u32::from_str_radix(minor, radix).ok()?))
}

/// Whether somebody has a block device for himself alone, as each file system, volume group or RAID does
/// (open(2), `O_EXCL` without `O_CREAT`). Opened for reading and closed at once, nothing is read.
fn is_claimed(node: &Path) -> Result<bool, Failure> {
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(O_EXCL | O_NONBLOCK).open(node);
    match opened.map_err(|error| (error.raw_os_error().map(Errno::from_raw), error)) {
        Ok(_) => Ok(false),
        Err((Some(Errno::EBUSY), _)) => Ok(true),
        // No such node, or no disk in it: nobody can have it open.
        Err((Some(Errno::ENOENT | Errno::ENXIO | Errno::ENOMEDIUM), _)) => Ok(false),
        Err((_, error)) => Err(Failure::unreadable(node, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_disk_are_decimal_in_sysfs_and_hexadecimal_in_xenstore() {
        assert_eq!(numbers("259:10\n", 10), Some((259, 10)));
        assert_eq!(numbers("103:a", 16), Some((259, 10)));
        for text in ["", ":", "8", "8:", "8:0:0", "8:-1", "g:0"] {
            assert_eq!(numbers(text, 16), None, "{text}");
        }
    }
}
