//! Keyboards that dom0 has now, and which USB devices usbguard lets in.

use super::files;
use crate::error::Failure;
use crate::names::{escape, Sbdf};
use crate::observe::dom0_use::is_keyboard;
use crate::observe::next_boot::Keyboard;
use crate::observe::Reading;
use crate::system::root::{names_in, read_text, Sysroot};
use std::path::Path;

/// All keyboards of `/proc/bus/input/devices` that are not a program's.
///
/// # Errors
/// It cannot be read, in words.
pub fn all(root: &Sysroot) -> Reading<Vec<Keyboard>> {
    let text = files::text(root, "/proc/bus/input/devices")?.unwrap_or_default();
    let mut all: Vec<Keyboard> = Vec::new();
    for device in text.split("\n\n").filter(|device| is_keyboard(device)) {
        let field = |name: &str| device.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let place = field("S: Sysfs=");
        // What a program types (uinput) is not plugged in.
        if place.starts_with("/devices/virtual/") {
            continue;
        }
        let folder = root.path(&format!("/sys{place}"));
        let names = Path::new(place).components().filter_map(|part| part.as_os_str().to_str());
        let on = names.filter_map(Sbdf::from_sysfs).next_back();
        let name = escape(field("N: Name=").trim_matches('"').as_bytes());
        all.push(Keyboard { name, on, interfaces: interfaces(&folder) });
    }
    Ok(all)
}

/// The interfaces of the USB device that an input device is part of, as usbguard writes them.
///
/// # Errors
/// One of them cannot be read, in words.
fn interfaces(folder: &Path) -> Reading<Vec<String>> {
    let usb = folder.ancestors().find(|path| path.join("bDeviceClass").exists());
    let Some(usb) = usb else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for name in names_in(usb).map_err(|failure| failure.message)?.iter().filter(|name| name.contains(':')) {
        let mut parts = Vec::new();
        for file in ["bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"] {
            let path = usb.join(name).join(file);
            let text = read_text(&path).map_err(|error| Failure::unreadable(&path, &error).message)?;
            parts.push(text.trim().to_owned());
        }
        found.push(parts.join(":"));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Rules of usbguard.
///
/// # Errors
/// They cannot be read, in words.
pub fn usb_rules(root: &Sysroot) -> Reading<Vec<String>> {
    const FOLDER: &str = "/etc/usbguard/rules.d";
    let mut texts = vec![files::text(root, "/etc/usbguard/rules.conf")?.unwrap_or_default()];
    for name in names_in(&root.path(FOLDER)).map_err(|failure| failure.message)? {
        texts.push(files::text(root, &format!("{FOLDER}/{name}"))?.unwrap_or_default());
    }
    let rules = texts.iter().flat_map(|text| text.lines());
    let rules = rules.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(rules.map(str::to_owned).collect())
}
