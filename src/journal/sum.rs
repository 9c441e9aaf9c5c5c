//! What the records that a prune removes tell of devices, added up: a pure fold. What goes on from it makes
//! no device look cleaner than the records did.

use super::stays::{Stayed, Stays};
use super::{
    DeviceRecord, EarlierIdentity, EarlierStays, EarlierStaysRecord, Entry, PastEvent, PastRecord, Place,
    PruneRecord, QubeEvent, StayRecord,
};
use crate::names::Sbdf;
use audit::Draft;
use std::collections::BTreeMap;

/// So many qubes of devices, and so many identities, are carried over. Where there were
/// more, all counts as forgotten.
const MOST: usize = 4096;

/// The sum.
#[derive(Default)]
pub struct Sum {
    /// The boot that is being told of; imports, which may be of any.
    boot: String,
    earlier: Stays,
    imported: Stays,
    had: BTreeMap<(String, Sbdf, String), EarlierStaysRecord>,
    known: BTreeMap<(Sbdf, String), EarlierIdentity>,
    prune: PruneRecord,
}

impl Sum {
    /// Takes one record, in the journal's order.
    pub fn tell(&mut self, told: &PastRecord) {
        match &told.what {
            PastEvent::Gap => self.prune.repairs += 1,
            PastEvent::Pruned(before) => {
                self.prune.repairs += before.repairs;
                self.prune.forgotten |= before.forgotten;
            }
            PastEvent::EarlierStays(it) => self.carried(it),
            PastEvent::EarlierIdentity(it) => {
                let key = (it.bdf, it.identity.id.clone());
                if self.has_room(self.known.contains_key(&key), self.known.len()) {
                    self.known.entry(key).or_insert_with(|| it.clone());
                }
            }
            PastEvent::Entry(Entry::Stay(it)) => self.stay(told, it),
            PastEvent::Entry(Entry::Device(it)) => self.device(told, it),
            PastEvent::Entry(Entry::Qube(it)) if it.event == QubeEvent::Label => {
                for stays in [&mut self.earlier, &mut self.imported] {
                    stays.relabelled(&it.qube, &it.label);
                }
                let of_it = self.had.values_mut().map(|one| &mut one.stays).filter(|one| one.qube == it.qube);
                of_it.filter(|_| !it.label.is_empty()).for_each(|one| {
                    one.labels.insert(it.label.clone());
                });
            }
            PastEvent::Entry(_) | PastEvent::Operation(_) => {}
        }
    }

    /// The records that go on, and the numbers that the record of the prune has besides.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Draft>, [(&'static str, u64); 3]) {
        self.flush();
        self.imported.finish().into_iter().for_each(|stayed| self.stayed(stayed));
        let had = self.had.values().map(EarlierStaysRecord::draft);
        let drafts: Vec<Draft> = had.chain(self.known.values().map(EarlierIdentity::draft)).collect();
        let kept = u64::try_from(drafts.len()).unwrap_or(u64::MAX);
        let PruneRecord { forgotten, repairs } = self.prune;
        (drafts, [("kept", kept), ("repairs", repairs), ("forgotten", u64::from(forgotten))])
    }

    fn has_room(&mut self, known: bool, count: usize) -> bool {
        let room = known || count < MOST;
        self.prune.forgotten |= !room;
        room
    }

    fn carried(&mut self, it: &EarlierStaysRecord) {
        let key = (it.id.clone(), it.bdf, it.stays.qube.clone());
        if let Some(EarlierStaysRecord { stays, .. }) = self.had.get_mut(&key) {
            if it.stays.last >= stays.last {
                stays.boot.clone_from(&it.stays.boot);
            }
            stays.add(&it.stays, usize::MAX);
        } else if self.has_room(false, self.had.len()) {
            self.had.insert(key, it.clone());
        }
    }

    fn stay(&mut self, told: &PastRecord, it: &StayRecord) {
        let imported = it.source.is_import();
        let time = if imported { it.at } else { told.place.time };
        let place = Place { time, ..told.place };
        if !imported && self.boot != told.boot {
            self.flush();
            self.boot.clone_from(&told.boot);
        }
        let (stays, boot) =
            if imported { (&mut self.imported, "") } else { (&mut self.earlier, told.boot.as_str()) };
        let (_, dropped) = stays.take(place, boot, it);
        dropped.into_iter().for_each(|stayed| self.stayed(stayed));
    }

    fn flush(&mut self) {
        self.earlier.finish().into_iter().for_each(|stayed| self.stayed(stayed));
    }

    /// A stay that no later record adds to.
    fn stayed(&mut self, stayed: Stayed) {
        let stays = EarlierStays::of(&stayed);
        self.carried(&EarlierStaysRecord { bdf: stayed.stay.bdf, id: stayed.stay.id, stays });
    }

    /// What it was last, with what only earlier records tell of it.
    fn device(&mut self, told: &PastRecord, it: &DeviceRecord) {
        let key = (it.bdf, it.identity.id.clone());
        let known = self.known.contains_key(&key);
        if it.identity.id.is_empty() || it.source.is_import() || !self.has_room(known, self.known.len()) {
            return;
        }
        let now = EarlierIdentity {
            bdf: it.bdf,
            identity: it.identity.clone(),
            time: told.place.time,
            boot: told.boot.clone(),
        };
        let before = self.known.insert(key, now.clone()).filter(|_| now.identity.rom_sha256.is_empty());
        if let Some((one, before)) = self.known.get_mut(&(now.bdf, now.identity.id)).zip(before) {
            one.identity.rom_sha256 = before.identity.rom_sha256;
        }
    }
}
