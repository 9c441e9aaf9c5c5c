//! The lists by which drivers are told what to take: `xen-pciback.hide=` by address, `pci-stub.ids=` and
//! `vfio-pci.ids=` by what a device is.

use crate::names::Sbdf;
use crate::observe::next_boot::Device;

/// An entry of `xen-pciback.hide`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HideEntry {
    /// How it is written, brackets among it.
    pub text: String,
    segment: u32,
    bus: u32,
    device: Option<u32>,
    function: Option<u32>,
}

impl HideEntry {
    /// Whether it names a function.
    #[must_use]
    pub fn names(&self, sbdf: Sbdf) -> bool {
        let (bus, device, function) = sbdf.below_segment();
        self.segment == sbdf.segment()
            && self.bus == u32::from(bus)
            && self.device.is_none_or(|it| it == u32::from(device))
            && self.function.is_none_or(|it| it == u32::from(function))
    }

    /// Whether it may name more than one.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.function.is_none()
    }
}

/// Reads `(0000:01:00.0)(01:00.*)(02:*.*)` as xen-pciback does when it loads (`pcistub_init`); `None`
/// where it refuses the list, and with it to load.
#[must_use]
pub fn hide_list(text: &str) -> Option<Vec<HideEntry>> {
    let mut entries = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (entry, behind) = rest.trim_start().strip_prefix('(')?.split_once(')')?;
        entries.push(hide_entry(entry)?);
        rest = behind.trim_start();
    }
    Some(entries)
}

fn hide_entry(text: &str) -> Option<HideEntry> {
    let (place, function) = text.rsplit_once('.')?;
    let mut parts: Vec<&str> = place.split(':').collect();
    let device = parts.pop()?;
    let bus = hex(parts.pop()?)?;
    let segment = parts.pop().map_or(Some(0), hex)?;
    let device = if device == "*" { None } else { Some(hex(device)?) };
    let function = if function == "*" { None } else { Some(hex(function)?) };
    // `*` for the device asks for `*` for its function.
    let good = parts.is_empty()
        && (device.is_some() || function.is_none())
        && bus <= 0xff
        && device.is_none_or(|it| it < 32)
        && function.is_none_or(|it| it < 8);
    good.then(|| HideEntry { text: format!("({text})"), segment, bus, device, function })
}

/// A number as `sscanf` takes it for `%x`.
fn hex(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X")).unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| plain)
}

/// Whether an entry of `ids=` matches a function:
/// `VENDOR:DEVICE[:SUBVENDOR[:SUBDEVICE[:CLASS[:CLASS_MASK]]]]` (`pci_add_dynid`, as pci-stub and
/// vfio-pci read it). One that cannot be read matches nothing.
#[must_use]
pub fn id_matches(entry: &str, device: &Device) -> bool {
    const ANY: u32 = u32::MAX;
    let parts: Vec<&str> = entry.split(':').collect();
    let mut numbers = [0, 0, ANY, ANY, 0, 0];
    if parts.len() < 2 {
        return false;
    }
    for (place, part) in numbers.iter_mut().zip(&parts) {
        // sscanf ends at the first part that is no number.
        let Some(number) = hex(part) else { break };
        *place = number;
    }
    let [vendor, id, subvendor, subdevice, class, mask] = numbers;
    let is = |wanted: u32, it: u16| wanted == ANY || wanted == u32::from(it);
    hex(parts.first().copied().unwrap_or_default()).is_some()
        && hex(parts.get(1).copied().unwrap_or_default()).is_some()
        && is(vendor, device.ids.0)
        && is(id, device.ids.1)
        && is(subvendor, device.subsystem.0)
        && is(subdevice, device.subsystem.1)
        && (class ^ device.class) & mask == 0
}

/// Entries of an `ids=` list.
pub fn ids(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(list: &str, address: &str) -> Option<bool> {
        let sbdf = Sbdf::from_sysfs(address).unwrap();
        hide_list(list).map(|entries| entries.iter().any(|entry| entry.names(sbdf)))
    }

    #[test]
    fn one_entry_that_cannot_be_read_refuses_the_whole_list() {
        assert_eq!(names("(0b:00.0)(0b::00.1)", "0000:0b:00.0"), None);
        assert_eq!(names("(0000:82.0.0)", "0000:82:00.0"), None);
        for bad in ["0b:00.0", "(0b:00.0", "(0b:20.0)", "(0b:00.8)", "(0b:*.0)", "()", "(0b:00.0),(0b:00.1)"]
        {
            assert_eq!(hide_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn patterns_name_all_functions_and_all_devices() {
        assert_eq!(names("(07:08.0)(0000:01:00.*)", "0000:01:00.1"), Some(true));
        assert_eq!(names("(01:*.*)", "0000:01:1f.7"), Some(true));
        assert_eq!(names("(01:*.*)", "0001:01:1f.7"), Some(false));
        assert_eq!(names("(1:0.0) (0x2:0.0)", "0000:02:00.0"), Some(true));
        assert_eq!(names("", "0000:02:00.0"), Some(false));
    }
}
