//! What dom0 is kept from acting on while a device comes up.

use crate::observe::Function;

/// What a device brings that dom0 would act on by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guarded {
    /// USB devices.
    Usb,
    /// Disks: their partitions and file systems.
    Storage,
}

impl Guarded {
    const ALL: [Self; 2] = [Self::Usb, Self::Storage];

    /// What a device of this class brings; `None` where a driver alone makes no use of it.
    #[must_use]
    pub fn of(function: &Function) -> Option<Self> {
        if function.is_usb() {
            return Some(Self::Usb);
        }
        function.storage().map(|_| Self::Storage)
    }

    /// The setting for all devices that the guard changes.
    #[must_use]
    pub fn setting(self) -> &'static str {
        match self {
            Self::Usb => "/sys/module/usbcore/parameters/authorized_default",
            Self::Storage => "/sys/module/block/parameters/no_part_scan",
        }
    }

    /// What the guard sets it to.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Self::Usb => "0",
            Self::Storage => "1",
        }
    }

    /// Whether the setting reads as the guard left it. A boolean parameter reads as Y or N.
    #[must_use]
    pub fn is_set(self, is: &str) -> bool {
        is == self.value() || (self == Self::Storage && is == "Y")
    }

    /// Whose setting it is; `None` where it is none that the guard changes.
    #[must_use]
    pub fn by(setting: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.setting() == setting)
    }
}
