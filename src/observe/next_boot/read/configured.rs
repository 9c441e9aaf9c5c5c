//! What an admin configures: the source of the boot configuration, modprobe's files, driverctl's.

use super::files::{bytes, real, text};
use crate::names::Sbdf;
use crate::observe::next_boot::{Decider, File, ModuleFiles, Override, Release, Source, Unknown};
use crate::system::modprobe::FOLDERS;
use crate::system::root::{names_in, Sysroot};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const GRUB: &str = "/etc/default/grub";
const DRIVERCTL: &str = "/etc/driverctl.d";

/// The source of the boot configuration.
#[must_use]
pub fn source(root: &Sysroot, release: &Release) -> Source {
    let mut source = Source { appends: *release != Release::Debian, ..Source::default() };
    if *release == Release::XcpNg {
        return source;
    }
    let mut paths = vec![GRUB.to_owned()];
    // Debian's grub-mkconfig reads these too.
    let folder = format!("{GRUB}.d");
    if *release == Release::Debian {
        match names_in(&root.path(&folder)) {
            Ok(names) => paths.extend(
                names.iter().filter(|name| name.ends_with(".cfg")).map(|name| format!("{folder}/{name}")),
            ),
            Err(failure) => source.unread = Some(Unknown::because(failure.message)),
        }
    }
    for path in paths {
        match file(root, &path) {
            Ok(found) => source.files.extend(found),
            Err(why) => source.unread = Some(Unknown::because(why)),
        }
    }
    let mut wanted: Vec<String> = source.files.iter().flat_map(|file| included(file)).collect();
    while let Some(path) = wanted.pop() {
        if source.more.len() > 16 || source.more.iter().any(|file| file.path == path) {
            continue;
        }
        if let Ok(Some(file)) = file(root, &path) {
            wanted.extend(included(&file));
            source.more.push(file);
        }
    }
    source
}

/// A file under the path that its links lead to, which is the one that can be patched.
fn file(root: &Sysroot, path: &str) -> Result<Option<Rc<File>>, String> {
    let Some(bytes) = bytes(root, path)? else { return Ok(None) };
    let real = real(root, path).unwrap_or_else(|| path.to_owned());
    Ok(Some(File::new(&real, bytes)))
}

/// Files that a file runs with `.`, by their plain paths.
fn included(file: &File) -> Vec<String> {
    let text = String::from_utf8_lossy(&file.bytes);
    let path = |line: &str| {
        let line = line.trim();
        let path = line.strip_prefix(". ").or(line.strip_prefix("source "))?.split_whitespace().next()?;
        path.starts_with('/').then(|| path.trim_end_matches(';').to_owned())
    };
    text.lines().filter_map(path).collect()
}

/// modprobe's configuration, and why some of it could not be read: of several files with one name the
/// first counts, and all are read in the order of their names.
#[must_use]
pub fn modules(root: &Sysroot) -> (ModuleFiles, Option<String>) {
    let mut unread = None;
    let mut paths: BTreeMap<String, String> = BTreeMap::new();
    let mut seen: BTreeSet<std::path::PathBuf> = BTreeSet::new();
    for folder in FOLDERS {
        // Where /lib is a link to /usr/lib, a folder is not read twice.
        if std::fs::canonicalize(root.path(folder)).is_ok_and(|real| !seen.insert(real)) {
            continue;
        }
        match names_in(&root.path(folder)) {
            Ok(names) => {
                for name in names.into_iter().filter(|name| name.ends_with(".conf")) {
                    let path = format!("{folder}/{name}");
                    paths.entry(name).or_insert(path);
                }
            }
            Err(failure) => unread = Some(failure.message),
        }
    }
    let mut files = Vec::new();
    for path in paths.values() {
        match file(root, path) {
            Ok(found) => files.extend(found),
            Err(why) => unread = Some(why),
        }
    }
    (ModuleFiles::parse(files), unread)
}

/// Words with a say that dracut builds into the initramfs, where its option reader finds them beside the
/// command line.
#[must_use]
pub fn initramfs_words(root: &Sysroot) -> Option<Decider> {
    const FOLDERS: [&str; 2] = ["/etc/dracut.conf.d", "/usr/lib/dracut/dracut.conf.d"];
    let mut paths = vec!["/etc/dracut.conf".to_owned()];
    for folder in FOLDERS {
        match names_in(&root.path(folder)) {
            Ok(names) => paths.extend(
                names.iter().filter(|name| name.ends_with(".conf")).map(|name| format!("{folder}/{name}")),
            ),
            Err(failure) => return Some(Decider::Unread(failure.message)),
        }
    }
    for path in paths {
        let file = match file(root, &path) {
            Ok(Some(file)) => file,
            Ok(None) => continue,
            Err(why) => return Some(Decider::Unread(why)),
        };
        let mut at = 0;
        for line in file.bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            if !text.trim_start().starts_with('#') && text.contains("kernel_cmdline") {
                // A value may go over several lines.
                let rest = String::from_utf8_lossy(file.bytes.get(at..).unwrap_or_default());
                let says = ["rd.qubes.", "usbcore.", "rd.driver."].iter().any(|word| rest.contains(word));
                if says || text.contains(['$', '`', '\\']) {
                    return Some(Decider::Dracut(file.place(at).to_string()));
                }
            }
            at += line.len();
        }
    }
    None
}

/// Whether driverctl's udev rule asks for files named by the device alone, as older versions do, or for
/// those that begin with the bus; `None` where that is not known: then either may count.
fn asked_for(root: &Sysroot) -> Option<bool> {
    const FOLDERS: [&str; 3] = ["/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"];
    let rule = FOLDERS
        .iter()
        .find_map(|folder| text(root, &format!("{folder}/05-driverctl.rules")).ok().flatten())?;
    let by_bus = rule.contains("driverctl.d/$env{SUBSYSTEM}-");
    let by_device = rule.contains("driverctl.d/$kernel") || rule.contains("driverctl.d/%k");
    (by_bus != by_device).then_some(by_device)
}

/// Drivers that driverctl binds functions to; it names its files `BUS-DEVICE` or by the device alone.
/// What cannot be read may be any driver.
#[must_use]
pub fn overrides<'a>(
    root: &Sysroot,
    devices: impl Iterator<Item = &'a Sbdf>,
    unseen: &mut Vec<String>,
) -> BTreeMap<Sbdf, Override> {
    let mut overrides = BTreeMap::new();
    let names = match names_in(&root.path(DRIVERCTL)) {
        Ok(names) => names,
        Err(failure) => {
            unseen.push(failure.message);
            let any = Override { file: DRIVERCTL.to_owned(), driver: String::new() };
            return devices.map(|sbdf| (*sbdf, any.clone())).collect();
        }
    };
    let asks = asked_for(root);
    for name in names {
        let bare = name.strip_prefix("pci-").is_none();
        let Some(sbdf) = Sbdf::from_sysfs(name.strip_prefix("pci-").unwrap_or(&name)) else { continue };
        if asks.is_some_and(|by_device| by_device != bare) {
            continue;
        }
        let file = format!("{DRIVERCTL}/{name}");
        let driver = text(root, &file).unwrap_or_else(|why| {
            unseen.push(why);
            None
        });
        let driver = driver.unwrap_or_default().trim().to_owned();
        overrides.insert(sbdf, Override { file, driver });
    }
    overrides
}
