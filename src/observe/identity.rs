//! What makes a function the same as before, as it reads now: config space and sysfs' list of its resources.
//! Nothing is written to the device: no sizing of base addresses, no reading of its ROM (`run` does that,
//! where it settles).

use super::config_space::{extended, Extended};
use super::resources::{self, NONE};
use super::Function;
use crate::journal::identity::UNREAD;
use crate::journal::Identity;
use crate::system::sysfs::PciSysfs;

/// Reads it. What this user may not see is left empty; a function that does not answer tells only what the
/// kernel read when it found it.
#[must_use]
pub fn of(sysfs: &PciSysfs, function: &Function) -> Identity {
    let sbdf = function.sbdf;
    let resources = sysfs.attribute(sbdf, "resource").ok().flatten();
    let (bars, rom) = resources.as_deref().and_then(resources::list).unwrap_or_default();
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_that_cannot_be_read_is_not_an_absent_one() {
        let ids = ((0x8086, 0x10d3), (0x8086, 0xa01f));
        assert_eq!(id(ids.0, ids.1, 0x02_0000, ""), "8086:10d3 8086:a01f 020000");
        assert_eq!(id(ids.0, ids.1, 0x02_0000, UNREAD), "8086:10d3 8086:a01f 020000 ?");
    }
}
