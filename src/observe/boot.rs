//! What decides at the next boot who gets a function, besides the kernel's command line of this one.

use crate::error::Failure;
use crate::names::Sbdf;
use crate::system::modprobe;
use crate::system::root::{names_in, read_optional, Sysroot};
use std::collections::BTreeMap;

const DRIVERCTL: &str = "/etc/driverctl.d";
const GRUB: &str = "/etc/default/grub";

/// Which boot script hides devices: that of 4.3 knows segments and paths, that of 4.2 compares texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// Qubes 4.2 or before.
    Qubes42,
    /// Qubes 4.3 or later, and what is not known to be older.
    Qubes43,
}

/// An `options xen-pciback hide=...` of modprobe's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HideOption {
    /// The file it stands in.
    pub file: String,
    /// Its list, `(0000:00:07.0)(00:06.*)`.
    pub list: String,
}

/// What the files say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Boot {
    /// Whose boot script runs.
    pub release: Release,
    /// What `/etc/default/grub` has; empty where there is no such file.
    pub grub: String,
    /// Functions that xen-pciback is told to hide when it is loaded.
    pub hidden: Vec<HideOption>,
    /// Drivers that driverctl binds functions to, as they are written.
    pub overrides: BTreeMap<Sbdf, String>,
    /// What could not be read, in words.
    pub unread: Vec<String>,
}

/// Reads it.
#[must_use]
pub fn read(root: &Sysroot) -> Boot {
    let mut boot = Boot {
        release: Release::Qubes43,
        grub: String::new(),
        hidden: Vec::new(),
        overrides: BTreeMap::new(),
        unread: Vec::new(),
    };
    let text = |path: &str| read_optional(&root.path(path)).map(Option::unwrap_or_default);
    let mut unread = Vec::new();
    let mut noted = |result: Result<String, Failure>| {
        result.unwrap_or_else(|failure| {
            unread.push(failure.message);
            String::new()
        })
    };
    let release = noted(text("/etc/qubes-release"));
    if ["4.0", "4.1", "4.2"].iter().any(|old| release.contains(&format!("release {old}"))) {
        boot.release = Release::Qubes42;
    }
    boot.grub = noted(text(GRUB));
    for folder in modprobe::FOLDERS {
        let names = names_in(&root.path(folder)).unwrap_or_else(|failure| {
            noted(Err(failure));
            Vec::new()
        });
        for name in names.iter().filter(|name| name.ends_with(".conf")) {
            let file = format!("{folder}/{name}");
            let lists: Vec<String> = noted(text(&file)).lines().filter_map(hide_option).collect();
            boot.hidden.extend(lists.into_iter().map(|list| HideOption { file: file.clone(), list }));
        }
    }
    let names = names_in(&root.path(DRIVERCTL)).unwrap_or_else(|failure| {
        noted(Err(failure));
        Vec::new()
    });
    for name in names {
        // driverctl names its files BUS-DEVICE.
        let Some(sbdf) = Sbdf::from_sysfs(name.strip_prefix("pci-").unwrap_or(&name)) else { continue };
        boot.overrides.insert(sbdf, noted(text(&format!("{DRIVERCTL}/{name}"))).trim().to_owned());
    }
    boot.unread = unread;
    boot
}

/// The list of `options xen-pciback hide=LIST`; the kernel takes `-` and `_` in a module's name for the same.
fn hide_option(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let is_it = words.next() == Some("options") && words.next()?.replace('-', "_") == "xen_pciback";
    let list = words.find_map(|word| word.strip_prefix("hide="))?;
    is_it.then(|| list.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_xen_pcibacks_hide_option_counts() {
        assert_eq!(
            hide_option("options xen-pciback passthrough=1 hide=(00:07.0)").as_deref(),
            Some("(00:07.0)")
        );
        assert_eq!(hide_option("options xen_pciback hide=\"(00:07.0)\"").as_deref(), Some("(00:07.0)"));
        for line in ["# options xen-pciback hide=(00:07.0)", "options e1000e hide=(00:07.0)", "options", ""] {
            assert_eq!(hide_option(line), None, "{line}");
        }
    }
}
