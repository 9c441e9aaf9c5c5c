//! The dom0s the matrix runs on.

use crate::model::acting::{Device, Driver, Machine, Module, Owner, World, AUTHORIZED, NO_PART_SCAN};
use crate::model::Function;
use audit::{Draft, Journal};
use std::collections::{BTreeMap, BTreeSet};

pub const BDF: &str = "0000:00:07.0";

/// What the network card has in its ROM.
pub const ROM: &[u8] = b"\x55\xaa of the card";

/// A kind of device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Nic,
    Usb,
    Nvme,
}

/// How it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// By pciback, after a qube had it.
    Held,
    /// By pciback, pinned to it, never used.
    Pinned,
    /// By dom0's driver.
    Driven,
    /// By dom0's driver, in quarantine: the recipe was followed.
    Broken,
    /// By nobody, in quarantine, the slot listed.
    Driverless,
    /// By nobody, and dom0's.
    Loose,
}

/// One operation on one device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scenario {
    pub command: &'static str,
    pub kind: Kind,
    pub found: Found,
}

/// Every one the matrix runs.
pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for kind in [Kind::Nic, Kind::Usb, Kind::Nvme] {
        for found in [Found::Held, Found::Pinned, Found::Broken, Found::Driverless] {
            all.push(Scenario { command: "reattach", kind, found });
        }
        all.push(Scenario { command: "hold", kind, found: Found::Driven });
        all.push(Scenario { command: "rollback", kind, found: Found::Held });
    }
    all
}

impl Kind {
    pub fn driver(self) -> &'static str {
        match self {
            Self::Nic => "e1000e",
            Self::Usb => "xhci_hcd",
            Self::Nvme => "nvme",
        }
    }

    fn function(self) -> Function {
        match self {
            Self::Nic => Function::nic(BDF).resets_by("flr bus"),
            Self::Usb => Function::usb(BDF),
            Self::Nvme => Function::new(BDF, 0x1b36, 0x0010, 0x01_0802),
        }
    }
}

impl Scenario {
    pub fn world(self) -> World {
        let function = self.kind.function();
        let modalias = String::from_utf8(function.modalias).unwrap();
        let fixed = [
            ("vendor", format!("0x{:04x}\n", function.vendor)),
            ("device", format!("0x{:04x}\n", function.device)),
            ("class", format!("0x{:06x}\n", function.class)),
        ];
        let fixed = fixed.map(|(name, text)| (name.to_owned(), text.into_bytes()));
        let (driver, owner) = match self.found {
            Found::Held => (Some("pciback"), Owner::Quarantine),
            Found::Pinned => (Some("pciback"), Owner::Dom0),
            Found::Driven => (Some(self.kind.driver()), Owner::Dom0),
            Found::Broken => (Some(self.kind.driver()), Owner::Quarantine),
            Found::Driverless => (None, Owner::Quarantine),
            Found::Loose => (None, Owner::Dom0),
        };
        let mut config = function.config;
        config[4] |= 2; // memory, as pciback and drivers leave it
        let mut device = Device {
            modalias,
            fixed: BTreeMap::from(fixed),
            config,
            physical: None,
            methods: function.reset,
            driver: driver.map(str::to_owned),
            pinned: (self.found == Found::Pinned).then(|| "pciback".to_owned()),
            slot: matches!(self.found, Found::Held | Found::Pinned | Found::Driverless),
            owner,
            rom: (self.kind == Kind::Nic).then(|| ROM.to_vec()),
            rom_open: false,
            firmware_mastered: self.kind == Kind::Nvme && self.found == Found::Held,
            sign: BTreeMap::new(),
        };
        let drivers = [
            ("e1000e", "pci:v00008086d000010D3", &[("net/eth0/flags", "0x1002")][..]),
            ("xhci_hcd", "pci:v00001B36d0000000D", &[("usb1/authorized_default", "1")]),
            ("nvme", "pci:v00001B36d00000010", &[("nvme/nvme0/nvme0n1/size", "8")]),
            ("uio_pci_generic", "pci:none", &[]),
        ];
        let drivers = drivers
            .map(|(name, takes, sign)| (name.to_owned(), Driver { takes, sign, fails: None, clings: false }));
        let drivers = BTreeMap::from(drivers);
        if driver == Some(self.kind.driver()) {
            let sign = drivers[self.kind.driver()].sign.iter();
            device.sign = sign.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        }
        let loaded = |it: &str| self.kind != Kind::Nvme || it != "nvme";
        let modules = [("e1000e", &["e1000e"][..]), ("xhci_pci", &["xhci_hcd"]), ("nvme", &["nvme"])];
        let modules = modules.map(|(name, drivers)| {
            (name.to_owned(), Module { drivers, loaded: loaded(name) || driver == Some("nvme") })
        });
        World {
            devices: BTreeMap::from([(BDF.to_owned(), device)]),
            drivers,
            modules: BTreeMap::from(modules),
            globals: BTreeMap::from([(AUTHORIZED, "1".to_owned()), (NO_PART_SCAN, "N".to_owned())]),
            domains: BTreeSet::from([0]),
            iommu: true,
            xen_log: String::new(),
            said: Vec::new(),
        }
    }

    pub fn machine(self) -> Machine {
        let machine = Machine::new(self.world(), BDF);
        if self.command == "rollback" {
            self.misattached(&machine);
        }
        machine
    }

    /// Whether its reads go wrong too: in the others the same code reads.
    pub fn tries_reads(self) -> bool {
        self.kind == Kind::Nic && matches!(self.found, Found::Held | Found::Driven)
    }

    /// The recorder saw how a qube got it.
    fn misattached(self, machine: &Machine) {
        let seized = Draft::new("device").text("event", "seized").text("bdf", BDF).text("driver", "pciback");
        let seized = seized.text("before", self.kind.driver()).text("source", "uevent");
        let started =
            Draft::new("qube").text("event", "started").text("qube", "sys-net").text("source", "qubesd");
        let given = Draft::new("stay").text("event", "begin").text("bdf", BDF).text("qube", "sys-net");
        let given = given.number("domain", 3).text("source", "xenstore");
        let mut journal = Journal::open(&machine.dom0.journal(), "11111111").unwrap();
        journal.append(&[started, seized, given]).unwrap();
    }

    pub fn arguments(self) -> Vec<&'static str> {
        let mut arguments = vec![self.command, BDF, "--timeout", "70"];
        if self.command != "hold" {
            arguments.extend(["--accept", self.accepts()]);
        }
        arguments
    }

    fn accepts(self) -> &'static str {
        match self.kind {
            Kind::Nic => "exposed:sys-net,unknown-history,network",
            Kind::Usb => "exposed:sys-net,unknown-history,usb",
            Kind::Nvme => "exposed:sys-net,unknown-history,storage",
        }
    }
}
