//! The stays of one function: those of this boot one by one, those of earlier boots by qube.

use crate::journal::stays::{Stayed, Stays};
use crate::journal::{DeviceRecord, EarlierStays, Place, StayRecord};
use std::collections::BTreeMap;

/// How many qubes of earlier boots are kept.
const MOST_QUBES: usize = 256;
/// How many labels are kept of one.
const MOST_LABELS: usize = 8;

/// A qube that had it in earlier boots.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EarlierQube {
    /// What it did with it.
    pub had: EarlierStays,
    /// It stood at another address then.
    pub moved: bool,
    /// It may have been a twin of this device.
    pub perhaps: bool,
    place: u64,
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
    before: BTreeMap<String, EarlierQube>,
    more_before: u64,
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
        dropped.into_iter().for_each(|stayed| self.add(&stayed));
    }

    fn flush(&mut self) {
        self.earlier.finish().into_iter().for_each(|stayed| self.add(&stayed));
    }

    fn add(&mut self, stayed: &Stayed) {
        let how = self.flags.remove(&stayed.seq).unwrap_or(Earlier { moved: false, perhaps: false });
        let Some(one) = self.adds(&EarlierStays::of(stayed), how) else { return };
        if stayed.latest.0 >= one.place {
            one.place = stayed.latest.0;
            one.had.boot.clone_from(&stayed.boot);
        }
    }

    /// Adds stays to those of their qube; `None` where it is not kept.
    pub(super) fn adds(&mut self, more: &EarlierStays, how: Earlier) -> Option<&mut EarlierQube> {
        if self.before.len() >= MOST_QUBES && !self.before.contains_key(&more.qube) {
            self.more_before += 1;
            return None;
        }
        let one = self.before.entry(more.qube.clone()).or_insert_with(|| {
            let (qube, boot) = (more.qube.clone(), more.boot.clone());
            let had = EarlierStays { qube, boot, imported: true, ..EarlierStays::default() };
            EarlierQube { had, moved: true, perhaps: true, place: 0 }
        });
        one.had.add(more, MOST_LABELS);
        one.had.options.retain(|option| is_loose(option));
        one.moved &= how.moved;
        one.perhaps &= how.perhaps;
        Some(one)
    }

    /// A qube got another label: those of its stays that were told are of one that has it.
    pub fn relabelled(&mut self, qube: &str, label: &str) {
        for stays in [&mut self.now, &mut self.earlier, &mut self.imported] {
            stays.relabelled(qube, label);
        }
        if let Some(one) = self.before.get_mut(qube) {
            one.had.label(label, MOST_LABELS);
        }
    }

    /// Stays of this boot, those not kept, earlier boots with the latest first, and stays not kept there.
    pub fn finish(mut self) -> (Vec<Stayed>, u64, Vec<EarlierQube>, u64) {
        self.flush();
        self.imported.finish().into_iter().for_each(|stayed| self.add(&stayed));
        let mut before: Vec<EarlierQube> = self.before.into_values().collect();
        before.sort_by_key(|one| std::cmp::Reverse(one.place));
        (self.now.finish(), self.more, before, self.more_before)
    }
}

/// Options that leave something in the device: the others are defaults.
pub fn is_loose(option: &str) -> bool {
    ["permissive=1", "rdm_policy=relaxed", "no-strict-reset=True", "permissive=True"].contains(&option)
}
