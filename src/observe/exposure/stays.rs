//! The stays of one function: those of this boot one by one, those of earlier boots by qube.

use crate::journal::stays::{add, Ended, Stayed, Stays};
use crate::journal::{Carried, DeviceRecord, Moment, Place, StayRecord};
use std::collections::{BTreeMap, BTreeSet};

/// How many qubes of earlier boots are kept.
pub(super) const MOST_QUBES: usize = 256;

/// What a qube of earlier boots did with it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Before {
    /// The qube, escaped.
    pub qube: String,
    /// The labels it had then, and those it got later.
    pub labels: BTreeSet<String>,
    /// Of a stay of it no label was recorded, or more than are kept.
    pub unlabelled: bool,
    /// Whether it once provided network; `None` where that was never recorded.
    pub network: Option<bool>,
    /// Options other than the defaults.
    pub options: BTreeSet<String>,
    /// How many stays.
    pub stays: u64,
    /// The first and the last time that is recorded.
    pub first: Option<Moment>,
    /// The last.
    pub last: Option<Moment>,
    /// The last boot, as the journal names it; empty where an import does not tell.
    pub boot: String,
    /// It stood at another address then.
    pub moved: bool,
    /// It may have been a twin of this device.
    pub perhaps: bool,
    /// All of it was imported.
    pub imported: bool,
    place: u64,
}

impl Before {
    /// Of records that were removed: older than all that is told one by one. What it adds up to is added by
    /// the caller.
    pub(super) fn kept(it: &Carried, moved: bool, perhaps: bool) -> Self {
        let (qube, boot) = (it.qube.clone(), it.boot.clone());
        Self { qube, boot, moved, perhaps, imported: it.imported, ..Self::default() }
    }
}

/// Whether a record of an earlier boot is surely of this function, and stood at its address then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Earlier {
    /// It stood at another address.
    pub moved: bool,
    /// It may be of a twin.
    pub perhaps: bool,
}

/// All of them, as they are told.
#[derive(Default)]
pub struct Lives {
    now: Stays,
    more: u64,
    /// The earlier boot that is being told of; imports, which may be of any. The flags are of their stays, by
    /// number.
    boot: String,
    earlier: Stays,
    imported: Stays,
    flags: BTreeMap<u64, Earlier>,
    pub(super) before: BTreeMap<String, Before>,
    pub(super) more_before: u64,
}

impl Lives {
    /// A record of this boot.
    pub fn now(&mut self, place: Place, boot: &str, it: &StayRecord) {
        let (_, dropped) = self.now.take(place, boot, it);
        self.more += u64::from(dropped.is_some());
    }

    /// What was recorded of the function itself in this boot.
    pub fn device(&mut self, place: Place, it: &DeviceRecord) {
        self.now.device(place.time, it);
    }

    /// A record of an earlier boot.
    pub fn earlier(&mut self, place: Place, boot: &str, it: &StayRecord, how: Earlier) {
        let imported = it.source.is_import();
        if !imported && self.boot != boot {
            self.flush();
            boot.clone_into(&mut self.boot);
        }
        let stays = if imported { &mut self.imported } else { &mut self.earlier };
        let (of, dropped) = stays.take(place, boot, it);
        if let Some(of) = of {
            let flags = self.flags.entry(of.seq).or_insert(how);
            flags.moved &= how.moved;
            flags.perhaps &= how.perhaps;
        }
        dropped.into_iter().for_each(|stayed| self.add(stayed));
    }

    fn flush(&mut self) {
        self.earlier.finish().into_iter().for_each(|stayed| self.add(stayed));
    }

    fn add(&mut self, stayed: Stayed) {
        let how = self.flags.remove(&stayed.seq).unwrap_or(Earlier { moved: false, perhaps: false });
        let imported = stayed.is_imported();
        let Stayed { stay, relabelled, from, to, boot, latest, .. } = stayed;
        if self.before.len() >= MOST_QUBES && !self.before.contains_key(&stay.qube) {
            self.more_before += 1;
            return;
        }
        let one = self.before.entry(stay.qube.clone()).or_insert_with(|| Before {
            qube: stay.qube.clone(),
            imported: true,
            perhaps: true,
            moved: true,
            ..Before::default()
        });
        let end = match to {
            Ended::At(time) => time,
            Ended::By(_) | Ended::Open => None,
        };
        let times = || from.into_iter().chain(latest.1).chain(end);
        one.first = one.first.into_iter().chain(times()).min();
        one.last = one.last.into_iter().chain(times()).max();
        one.stays += 1;
        if latest.0 >= one.place {
            one.place = latest.0;
            one.boot = boot;
        }
        one.imported &= imported;
        one.perhaps &= how.perhaps;
        one.moved &= how.moved;
        one.network = match (one.network, stay.network) {
            (Some(was), Some(is)) => Some(was || is),
            (was, is) => was.or(is),
        };
        one.unlabelled |= stay.label.is_empty();
        for label in std::iter::once(&stay.label).chain(&relabelled) {
            one.unlabelled |= !add(&mut one.labels, label);
        }
        for option in stay.options.split(',').filter(|option| is_loose(option)) {
            add(&mut one.options, option);
        }
    }

    /// A qube got another label: those of its stays that were told are of one that has it.
    pub fn relabelled(&mut self, qube: &str, label: &str) {
        for stays in [&mut self.now, &mut self.earlier, &mut self.imported] {
            stays.relabelled(qube, label);
        }
        if let Some(one) = self.before.get_mut(qube) {
            one.unlabelled |= !add(&mut one.labels, label);
        }
    }

    /// Stays of this boot, those not kept, earlier boots with the latest first, and stays not kept there.
    pub fn finish(mut self) -> (Vec<Stayed>, u64, Vec<Before>, u64) {
        self.flush();
        self.imported.finish().into_iter().for_each(|stayed| self.add(stayed));
        let mut before: Vec<Before> = self.before.into_values().collect();
        before.sort_by_key(|one| std::cmp::Reverse(one.place));
        (self.now.finish(), self.more, before, self.more_before)
    }
}

/// Options that leave something in the device: the others are defaults.
pub fn is_loose(option: &str) -> bool {
    ["permissive=1", "rdm_policy=relaxed", "no-strict-reset=True", "permissive=True"].contains(&option)
}
