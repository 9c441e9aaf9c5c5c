//! What is told of what was seen: the recorder's decisions, without a machine.
//!
//! Seeing and telling are two things: what a limit kept back is told later as it is then, behind a record
//! that says how much was left out. What was told already is not told again in the same run.

mod devices;
mod qubes;
mod stays;
#[cfg(test)]
mod tests;

use super::limits::{Key, Limits, Now};
use crate::journal::{Entry, Identity, LossCause, LossRecord, Moment, Source, StayRecord, Way};
use crate::names::{DriverName, Owner, Sbdf};
use stays::Waiting;
use std::collections::{BTreeMap, BTreeSet};

/// A function and the domain that has it.
pub type Occupancy = (Sbdf, u16);

/// A function as it is seen now.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Seen {
    /// What it is.
    pub identity: Identity,
    /// The driver.
    pub driver: Option<DriverName>,
    /// Whether it is pinned to pciback.
    pub pinned: bool,
    /// Whether pciback lists its slot.
    pub listed: bool,
    /// Whether `xl` noted the driver it took it from.
    pub xl: bool,
    /// Xen's owner, where it was asked.
    pub owner: Option<Owner>,
}

impl Seen {
    /// By which way pciback got it, as far as that can be told.
    fn way(&self, first: bool) -> Option<Way> {
        match self {
            _ if !self.driver.as_ref().is_some_and(DriverName::is_pciback) => None,
            _ if first => Some(Way::Boot),
            Self { pinned: true, .. } => Some(Way::Override),
            Self { xl: true, .. } => Some(Way::Xl),
            Self { listed: true, .. } => Some(Way::Slot),
            _ => None,
        }
    }
}

/// A function that a qube has, as xenstore says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Using {
    /// Which function, and which domain's.
    pub place: Occupancy,
    /// The qube's stub domain.
    pub stub: Option<u16>,
    /// The qube's name, escaped.
    pub qube: String,
    /// The qube's uuid, where told.
    pub uuid: String,
    /// What the function is.
    pub id: String,
    /// The toolstack's options.
    pub options: String,
}

/// What Qubes says of a qube.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct About {
    /// The qube's uuid; empty where not told.
    pub uuid: String,
    /// The qube's label.
    pub label: String,
    /// The qube's class.
    pub class: String,
    /// Whether it provides network.
    pub network: Option<bool>,
}

/// Everything that is to be seen at one moment.
#[derive(Clone, Default, Debug)]
pub struct Snapshot {
    /// Every function's driver.
    pub drivers: BTreeMap<Sbdf, Option<DriverName>>,
    /// Xen's owner of each, where that can be read.
    pub owners: BTreeMap<Sbdf, Owner>,
    /// The functions that are not dom0's.
    pub held: BTreeMap<Sbdf, Seen>,
    /// Who has what; `None` where that cannot be read.
    pub uses: Option<Vec<Using>>,
    /// What qubes that are gone left behind.
    pub left: Vec<Using>,
    /// Functions that the kernel gave to domains in this boot.
    pub given: BTreeSet<Occupancy>,
    /// Whether no qube can have run in this boot.
    pub first: bool,
}

#[derive(Clone, Default, Debug)]
struct Driver {
    now: Option<DriverName>,
    before: Option<DriverName>,
    /// Xen's owner as it was read last, as long as the driver has it that had it then: while such a
    /// one has it, no qube can be given it. Of what is held it is not kept, that changes without a
    /// word of the kernel.
    owner: Option<Owner>,
}

/// What one run of the recorder has seen and told.
#[derive(Clone, Default, Debug)]
pub struct Story {
    drivers: BTreeMap<Sbdf, Driver>,
    devices: BTreeMap<Sbdf, (Option<DriverName>, Option<Owner>, String)>,
    seen: BTreeMap<Occupancy, Using>,
    told: BTreeMap<Occupancy, StayRecord>,
    /// What was seen of stays whose options were not yet there.
    waiting: BTreeMap<Occupancy, Waiting>,
    /// Every stay that was told in this boot, of stub domains too.
    ever: BTreeSet<Occupancy>,
    /// Stays that an earlier run of this boot left open.
    left_open: BTreeMap<Occupancy, StayRecord>,
    abouts: BTreeMap<String, About>,
    /// What each may have recorded.
    pub limits: Limits,
}

/// What reads a function; `None` where it is gone.
pub type Look<'a> = &'a mut dyn FnMut(Sbdf) -> Option<Seen>;

impl Story {
    /// Everything that is to be seen, because the recorder begins, a source came back, or something was lost.
    /// Only what differs from what was told in this run is told.
    pub fn snapshot(&mut self, snapshot: Snapshot, now: Now) -> Vec<Entry> {
        let Snapshot { drivers, owners, held, uses, left, given, first } = snapshot;
        let mut entries = self.devices_found(&drivers, &owners, held, first);
        if let Some(uses) = uses {
            entries.extend(self.stays_found(uses, left, given, now));
        }
        entries
    }

    /// What limits kept back and may be told now; at the end of the run, all counts.
    pub fn settle(&mut self, look: Look<'_>, now: Now, at_once: bool) -> Vec<Entry> {
        let mut entries = if at_once { self.tell_waiting(&|_, _| true, now) } else { Vec::new() };
        for key in self.limits.owing() {
            if at_once {
                entries.extend(self.limits.lost(&key, now, true).map(Entry::Lost));
            } else if matches!(key, Key::Function(_)) {
                entries.extend(self.catch_up(&key, look, now));
            } else {
                entries.extend(self.tell(&Source::Xenstore, &BTreeSet::new(), now));
                entries.extend(self.limits.lost(&key, now, false).map(Entry::Lost));
            }
        }
        entries
    }

    /// That the kernel's messages did not fit into their buffer. Whatever was lost
    /// may have been with a qube since.
    #[must_use]
    pub fn overflow(&mut self, since: Moment) -> Entry {
        for driver in self.drivers.values_mut() {
            driver.owner = None;
        }
        let (why, since) = (Some(LossCause::Overflow), Some(since));
        Entry::Lost(LossRecord { source: Source::Uevent, qube: String::new(), count: 0, why, since })
    }
}
