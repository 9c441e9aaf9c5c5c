//! Names of kernel drivers and modules.

use std::borrow::Cow;
use std::fmt;

/// The longest name taken: module names end at 55 (`MODULE_NAME_LEN`), driver
/// names have no limit of their own but live in a file name.
const LONGEST: usize = 64;

/// The name of a PCI driver as its directory below `/sys/bus/pci/drivers` has it.
/// It is not the name of its module: `xhci_pci` registers `xhci_hcd`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DriverName(Cow<'static, str>);

impl DriverName {
    /// The driver of xen-pciback.
    pub const PCIBACK: Self = Self(Cow::Borrowed("pciback"));

    /// Takes a name that can be one path component. A space may be in it: some media
    /// drivers have one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'/' && byte != b'\\';
        let dots = text.bytes().all(|byte| byte == b'.');
        (!text.is_empty() && text.len() <= LONGEST && !dots && text.bytes().all(good))
            .then(|| Self(Cow::Owned(text.to_owned())))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this driver only keeps a device for others, so that dom0 does not
    /// use it: Xen's pciback, and the stubs of KVM hosts.
    #[must_use]
    pub fn is_holder(&self) -> bool {
        matches!(self.as_str(), "pciback" | "pci-stub" | "vfio-pci" | "xen-pciback")
    }

    /// Whether it is xen-pciback, whose driver is called `pciback`.
    #[must_use]
    pub fn is_pciback(&self) -> bool {
        *self == Self::PCIBACK
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a kernel module, with `_` for `-` as the kernel folds them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ModuleName(String);

impl ModuleName {
    /// Takes letters, digits, `_` and `-`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let plain = !text.starts_with('-') && text.bytes().all(good);
        (!text.is_empty() && text.len() <= LONGEST && plain).then(|| Self(text.replace('-', "_")))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_that_would_leave_its_folder_is_none() {
        for text in ["", ".", "..", "a/b", "../x", "a\n", "\u{e9}", &"x".repeat(65)] {
            assert_eq!(DriverName::parse(text), None, "{text:?}");
        }
        for text in ["", "-f", "a.b", "a/b", "a b"] {
            assert_eq!(ModuleName::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_module_is_known_by_its_folded_name() {
        assert_eq!(ModuleName::parse("snd-hda-intel").unwrap().as_str(), "snd_hda_intel");
    }
}
