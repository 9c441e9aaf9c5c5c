//! One PCI function, as far as the next boot asks for it.

use crate::names::{DriverName, ModuleName, Sbdf};

/// The facts of one function that the next boot decides by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The address.
    pub sbdf: Sbdf,
    /// Vendor and device id.
    pub ids: (u16, u16),
    /// Subsystem's vendor and device id.
    pub subsystem: (u16, u16),
    /// Class, subclass and programming interface.
    pub class: u32,
    /// The number of the bus below it, where it is a bridge.
    pub secondary_bus: Option<u8>,
    /// Bridges above it, the nearest first.
    pub parents: Vec<Sbdf>,
    /// The driver bound to it now.
    pub driver: Option<DriverName>,
    /// The VMD controller it stands behind: it is not there before that has its driver.
    pub behind: Option<Sbdf>,
    /// The function that it is a virtual function of.
    pub physical: Option<Sbdf>,
    /// The modules that claim it, in the order of `modprobe -R`; why that is not known.
    pub modules: Result<Vec<Module>, String>,
}

/// A module that claims a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// The name.
    pub name: ModuleName,
    /// The PCI drivers, where it is loaded or built in.
    pub drivers: Option<Vec<DriverName>>,
    /// Whether it is built into the kernel: then nothing keeps it away, and no module comes before it.
    pub built_in: bool,
    /// Modules that it cannot do without and that are not built in.
    pub needs: Vec<ModuleName>,
}

impl Device {
    /// Whether Qubes' boot script takes it for a network device.
    #[must_use]
    pub fn is_network(&self) -> bool {
        self.class >> 16 == 0x02
    }

    /// Whether Qubes' boot script takes it for a USB controller.
    #[must_use]
    pub fn is_usb(&self) -> bool {
        self.class >> 8 == 0x0c03
    }

    /// The address without a segment 0, as `lspci` writes it.
    #[must_use]
    pub fn short(&self) -> String {
        short(self.sbdf)
    }

    /// Whether it is there before any driver is loaded.
    #[must_use]
    pub fn is_there_early(&self) -> bool {
        self.behind.is_none() && self.physical.is_none()
    }
}

/// An address without a segment 0, as `lspci` writes it.
#[must_use]
pub fn short(sbdf: Sbdf) -> String {
    let whole = sbdf.to_string();
    whole.strip_prefix("0000:").map_or_else(|| whole.clone(), str::to_owned)
}
