//! How a list of Qubes' boot script names a function.

use crate::names::Sbdf;
use crate::observe::next_boot::{short, Device, ScriptOf};
use std::collections::BTreeMap;

/// The name to write into a list; `None` where the script has none for it.
///
/// An address changes with the next card where a bridge is above the device; the path does not, and 4.3
/// takes it.
#[must_use]
pub fn name_for(
    script: ScriptOf,
    devices: &BTreeMap<Sbdf, Device>,
    device: &Device,
    list: &str,
) -> Option<String> {
    if !device.is_there_early() {
        return None;
    }
    match script {
        ScriptOf::Qubes42 => (device.sbdf.segment() == 0).then(|| short(device.sbdf)),
        ScriptOf::Qubes43 => {
            let by_path = !device.parents.is_empty() || list.contains('_');
            let path = by_path.then(|| path(devices, device)).flatten();
            path.or_else(|| Some(short(device.sbdf)))
        }
    }
}

/// Qubes' name of the place where it is: of 4.3 the path, of 4.2 the address.
#[must_use]
pub fn port(devices: &BTreeMap<Sbdf, Device>, device: &Device, is_42: bool) -> String {
    let path = if is_42 { None } else { path(devices, device) };
    path.unwrap_or_else(|| short(device.sbdf).replace(':', "_"))
}

/// The path, as Qubes 4.3 writes it: `00_1c.0-00_00.0`; `None` where a bridge does not say which bus is
/// below it.
fn path(devices: &BTreeMap<Sbdf, Device>, device: &Device) -> Option<String> {
    let mut way: Vec<&Device> = Vec::new();
    for parent in device.parents.iter().rev() {
        way.push(devices.get(parent)?);
    }
    way.push(device);
    let mut text = String::new();
    let mut above: Option<&Device> = None;
    for one in way {
        let (bus, slot, function) = one.sbdf.below_segment();
        match above {
            None => {
                if one.sbdf.segment() != 0 {
                    text.push_str(&format!("{:04x}_", one.sbdf.segment()));
                }
                text.push_str(&format!("{bus:02x}_{slot:02x}.{function:x}"));
            }
            Some(bridge) => {
                let offset = bus.checked_sub(bridge.secondary_bus?)?;
                text.push_str(&format!("-{offset:02x}_{slot:02x}.{function:x}"));
            }
        }
        above = Some(one);
    }
    Some(text)
}
