//! A PCI function as a test describes it.

/// One PCI function; the methods say what is special about it.
#[derive(Clone, Debug)]
pub struct Function {
    pub bdf: String,
    pub vendor: u16,
    pub device: u16,
    pub class: u32,
    pub config: Vec<u8>,
    pub modalias: Vec<u8>,
    pub driver: Option<String>,
    pub driver_override: Vec<u8>,
    pub reset: Option<String>,
    pub owner: String,
    pub slot: bool,
    pub behind: Vec<String>,
    /// Attributes of its folder that not every function has.
    pub attributes: Vec<(String, String)>,
}

impl Function {
    /// An endpoint on the root bus that nobody drives: PCI Express with a reset of
    /// its own.
    pub fn new(bdf: &str, vendor: u16, device: u16, class: u32) -> Self {
        let mut config = vec![0; 256];
        config[0..2].copy_from_slice(&vendor.to_le_bytes());
        config[2..4].copy_from_slice(&device.to_le_bytes());
        config[8..12].copy_from_slice(&(class << 8 | 1).to_le_bytes());
        config[0x2c..0x30].copy_from_slice(&[0x86, 0x80, 0x01, 0x00]);
        let modalias = format!(
            "pci:v{vendor:08X}d{device:08X}sv00008086sd00000001bc{:02X}sc{:02X}i{:02X}",
            class >> 16,
            class >> 8 & 0xff,
            class & 0xff
        );
        let function = Self {
            bdf: bdf.to_owned(),
            vendor,
            device,
            class,
            config,
            modalias: modalias.into_bytes(),
            driver: None,
            driver_override: b"(null)".to_vec(),
            reset: Some("flr".to_owned()),
            owner: "d0".to_owned(),
            slot: false,
            behind: Vec::new(),
            attributes: Vec::new(),
        };
        function.express(0, 0x1000_0000)
    }

    /// An 82574L, which e1000e drives.
    pub fn nic(bdf: &str) -> Self {
        Self::new(bdf, 0x8086, 0x10d3, 0x02_0000)
    }

    /// A USB controller, which the module xhci_pci claims and the driver xhci_hcd
    /// drives.
    pub fn usb(bdf: &str) -> Self {
        Self::new(bdf, 0x1b36, 0x000d, 0x0c_0330)
    }

    /// A root port.
    pub fn root_port(bdf: &str) -> Self {
        Self::new(bdf, 0x8086, 0x3420, 0x06_0400).bridge().express(4, 0).driven("pcieport")
    }

    /// Bound to pciback, its slot listed.
    pub fn held(self) -> Self {
        Self { slot: true, ..self.driven("pciback") }
    }

    /// Bound to a driver.
    pub fn driven(mut self, driver: &str) -> Self {
        self.driver = Some(driver.to_owned());
        self
    }

    /// Its slot is listed in pciback.
    pub fn slot_listed(mut self) -> Self {
        self.slot = true;
        self
    }

    /// Its owner as Xen prints it: `d0`, `d[IO]`, `d7`.
    pub fn owned_by(mut self, owner: &str) -> Self {
        self.owner = owner.to_owned();
        self
    }

    /// Xen holds it in quarantine.
    pub fn quarantined(self) -> Self {
        self.owned_by("d[IO]")
    }

    /// Pinned to a driver.
    pub fn pinned(mut self, text: impl AsRef<[u8]>) -> Self {
        self.driver_override = text.as_ref().to_vec();
        self
    }

    /// Behind these bridges, the outermost first.
    pub fn behind(mut self, bridges: &[&str]) -> Self {
        self.behind = bridges.iter().map(|&bridge| bridge.to_owned()).collect();
        self
    }

    /// A header of a bridge.
    pub fn bridge(mut self) -> Self {
        self.config[0x0e] = 1;
        self
    }

    /// A PCI Express capability at 0x40: the port's type, the device capabilities.
    pub fn express(mut self, kind: u8, features: u32) -> Self {
        self.config[6] = 0x10;
        self.config[0x34] = 0x40;
        self.config[0x40..0x44].copy_from_slice(&[0x10, 0, 0x02 | kind << 4, 0]);
        self.config[0x44..0x48].copy_from_slice(&features.to_le_bytes());
        self
    }

    /// No capabilities: a function of conventional PCI.
    pub fn conventional(mut self) -> Self {
        self.config[6] = 0;
        self.config[0x34] = 0;
        self
    }

    /// A device serial number, in the extended config space.
    pub fn serial(mut self, serial: u64) -> Self {
        self.config.resize(4096, 0);
        self.config[0x100..0x104].copy_from_slice(&0x0001_0003u32.to_le_bytes());
        self.config[0x104..0x10c].copy_from_slice(&serial.to_le_bytes());
        self
    }

    /// A port that sends all requests from below it up (ACS), with these access control bits switched on.
    pub fn access_control(mut self, control: u8) -> Self {
        self.config.resize(4096, 0);
        self.config[0x100..0x104].copy_from_slice(&0x0001_000du32.to_le_bytes());
        self.config[0x104..0x108].copy_from_slice(&[0x5f, 0, control, 0]);
        self
    }

    /// As a user without rights sees it: 64 bytes.
    pub fn seen_without_root(mut self) -> Self {
        self.config.truncate(64);
        self
    }

    /// It answers nothing.
    pub fn dead(mut self) -> Self {
        self.config.fill(0xff);
        self
    }

    /// The kernel's reset methods.
    pub fn resets_by(mut self, methods: &str) -> Self {
        self.reset = Some(methods.to_owned());
        self
    }

    /// The kernel knows no way to reset it.
    pub fn without_reset(mut self) -> Self {
        self.reset = None;
        self
    }

    /// Another modalias than its ids make.
    pub fn with_modalias(mut self, text: impl AsRef<[u8]>) -> Self {
        self.modalias = text.as_ref().to_vec();
        self
    }

    /// An attribute of its folder.
    pub fn attribute(mut self, name: &str, text: &str) -> Self {
        self.attributes.push((name.to_owned(), text.to_owned()));
        self
    }
}
