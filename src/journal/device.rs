//! The records of what happened to PCI functions.
//!
//! Members: `event`, `bdf`, the identity, `driver`, `before`, `way`, `owner`, `source`, `at`.

use super::members::{address, known, moment, source};
use super::{Identity, Moment, Source};
use crate::names::{DriverName, Owner, Sbdf};
use audit::{Draft, Record};

/// What happened to a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceEvent {
    /// Found so by a snapshot.
    Present,
    /// It appeared.
    Added,
    /// It went away.
    Removed,
    /// pciback took it.
    Seized,
    /// Another driver took it.
    Bound,
    /// The driver let it go.
    Unbound,
}

words!(DeviceEvent {
    Present = "present",
    Added = "added",
    Removed = "removed",
    Seized = "seized",
    Bound = "bound",
    Unbound = "unbound",
});

/// By which way pciback got a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// It had it when the recorder began, before any qube ran.
    Boot,
    /// `driver_override`: libvirt.
    Override,
    /// pciback's own list of slots.
    Slot,
    /// `xl`.
    Xl,
    /// `hold`, a command of this program.
    Hold,
}

words!(Way { Boot = "boot", Override = "override", Slot = "slot", Xl = "xl", Hold = "hold" });

/// A record of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceRecord {
    /// What happened.
    pub event: DeviceEvent,
    /// Where it stands.
    pub bdf: Sbdf,
    /// What it is.
    pub identity: Identity,
    /// The driver now.
    pub driver: Option<DriverName>,
    /// Seized, bound or unbound: the driver it had before, where it is known.
    pub before: Option<DriverName>,
    /// By which way pciback got it, as far as can be told.
    pub way: Option<Way>,
    /// Xen's owner, where it was asked; seized: the one it had before.
    pub owner: Option<Owner>,
    /// Who says so.
    pub source: Source,
    /// When, by an imported source.
    pub at: Option<Moment>,
}

impl DeviceRecord {
    /// What happened to a function and who says so; nothing else is known.
    #[must_use]
    pub fn new(event: DeviceEvent, bdf: Sbdf, source: Source) -> Self {
        let identity = Identity::default();
        Self { event, bdf, identity, driver: None, before: None, way: None, owner: None, source, at: None }
    }

    /// The driver of dom0 that it had last: till it was seized, or now.
    #[must_use]
    pub fn of_dom0(&self) -> Option<&DriverName> {
        let driver = if self.event == DeviceEvent::Seized { &self.before } else { &self.driver };
        driver.as_ref().filter(|driver| !driver.is_holder())
    }

    /// Whether it shows the function with a driver of dom0 and dom0 as its owner in
    /// Xen: now, or till it was seized.
    #[must_use]
    pub fn is_dom0s(&self) -> bool {
        self.of_dom0().is_some() && self.owner == Some(Owner::Dom0) && !self.source.is_import()
    }

    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let name = |driver: &Option<DriverName>| driver.as_ref().map(ToString::to_string).unwrap_or_default();
        let draft = Draft::new("device").text("event", self.event.word()).text("bdf", &self.bdf.to_string());
        let draft = self.identity.onto(draft).text("driver", &name(&self.driver));
        known(
            draft,
            &[
                ("before", &name(&self.before)),
                ("way", self.way.map_or("", Way::word)),
                ("owner", &self.owner.map(|owner| owner.to_string()).unwrap_or_default()),
                ("source", &self.source.to_string()),
                ("at", &self.at.map(|at| at.to_string()).unwrap_or_default()),
            ],
        )
    }

    /// What a record of kind `device` says.
    pub(super) fn read(record: &Record) -> Option<Self> {
        Some(Self {
            event: record.text("event").and_then(DeviceEvent::parse)?,
            bdf: address(record)?,
            identity: Identity::read(record),
            driver: record.text("driver").and_then(DriverName::parse),
            before: record.text("before").and_then(DriverName::parse),
            way: record.text("way").and_then(Way::parse),
            owner: record.text("owner").and_then(Owner::parse),
            source: source(record),
            at: moment(record, "at"),
        })
    }
}
