//! What a function has been through: a pure fold over what the journal tells, in its order. What is kept is
//! bounded: the stays of this boot, earlier boots by qube, the rest counted.
//!
//! Who a record is about:
//!
//! - in this boot its address says so, because addresses do not move within a boot; where another device (or
//!   none) is at that address now, also everything with the record's identity;
//! - in earlier boots its identity says so, wherever it stood. Two devices that tell no difference share
//!   their past.
//!
//! What was imported adds stays; it covers nothing.

mod holders;
mod moves;
mod past;
mod prune;
mod stays;

pub use crate::journal::coverage::{Gap, Why};
pub use crate::journal::stays::{StayEnd, Stayed};
pub use holders::{holders, PastHolder};
pub use moves::MoveCandidate;
pub use past::{is_for_root_alone, Past};
pub use stays::EarlierQube;

use crate::journal::coverage::{Coverage, Covered};
use crate::journal::identity::{differences, fill, same};
use crate::journal::{
    DeviceEvent, DeviceRecord, Entry, Identity, Moment, OperationPhase, OperationRecord, PastEvent,
    PastRecord, Place, PruneRecord, QubeEvent, RecorderPhase, Source, StayRecord, Uptime, Way,
};
use crate::journal::{IdentifiedFunction, JournalReading};
use crate::names::{Owner, Sbdf};
use stays::{Earlier, Lives};
use std::collections::BTreeMap;

/// How many operations are kept of a function.
const MOST_OPERATIONS: usize = 8;

/// When pciback took it, in this boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seizure {
    /// Where the journal says so.
    pub place: Place,
    /// By which way, as far as is known.
    pub way: Option<Way>,
    /// Who says so.
    pub source: Source,
    /// Whether Xen's owner was dom0 till then, where that is known: what is in quarantine now was not before.
    pub from_dom0: Option<bool>,
    /// The number since which everything has to be covered: that of this record, where it was dom0's till
    /// then.
    pub since: u64,
}

/// A recorded identity that differs from what reads now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityChange {
    /// What was recorded.
    pub known: KnownIdentity,
    /// Each field, old and new.
    pub fields: Vec<String>,
}

/// An identity that was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownIdentity {
    /// What it was.
    pub identity: Identity,
    /// Where it stood.
    pub sbdf: Sbdf,
    /// When.
    pub time: Option<Moment>,
    /// In which boot.
    pub boot: String,
}

/// An operation of this program on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedOperation {
    /// `reattach`, ...
    pub command: String,
    /// When it began.
    pub time: Option<Moment>,
}

/// The past of one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exposure {
    /// When it was taken from dom0, where the journal tells.
    pub seized: Option<Seizure>,
    /// Stays in this boot, in their order.
    pub stays: Vec<Stayed>,
    /// Stays of this boot that are not kept.
    pub more_stays: u64,
    /// Earlier boots, by qube.
    pub before: Vec<EarlierQube>,
    /// Earlier stays of qubes that are not kept.
    pub more_before: u64,
    /// What of the time since the seizure (of this boot, where that is not known) is not covered.
    pub uncovered: Vec<Gap>,
    /// Devices that cannot be told from it: their earlier boots count for it.
    pub twins: Vec<Sbdf>,
    /// What it is now.
    pub identity: Identity,
    /// Identities it is held against: of this boot, of earlier ones.
    pub known: Vec<KnownIdentity>,
    /// The known identities that it differs from.
    pub changes: Vec<IdentityChange>,
    /// The hash of its ROM that was recorded last: it reads anew only when it is settled, and is compared
    /// there.
    pub rom_sha256: Option<String>,
    /// The latest operations on it.
    pub operations: Vec<RecordedOperation>,
}

impl Exposure {
    /// Whether no recorder ran in this boot: a journal without one tells as little as none.
    #[must_use]
    pub fn nobody_recorded(&self) -> bool {
        self.uncovered == [Gap { from: None, to: None, why: Why::NoRecorder }]
    }
}

/// What is told, as it comes.
pub struct Fold {
    boot: String,
    /// When this boot began, where that is known.
    began: Option<Moment>,
    present: Vec<IdentifiedFunction>,
    of: BTreeMap<Sbdf, One>,
    coverage: Coverage,
    repairs: u64,
    pruned: Option<PruneRecord>,
}

/// What is gathered of one function.
#[derive(Default)]
struct One {
    id: String,
    identity: Identity,
    seized: Option<Seizure>,
    /// A driver of dom0 has it, and so it was Xen's word that dom0 owns it.
    driven: bool,
    stays: Lives,
    /// The first identity at its address in this boot, and what later ones add to it.
    here: Option<KnownIdentity>,
    /// The latest of its id in earlier boots.
    by_id: Option<KnownIdentity>,
    /// The latest at its address in earlier boots.
    at_address: Option<KnownIdentity>,
    rom_sha256: Option<String>,
    operations: Vec<RecordedOperation>,
}

/// How a record concerns a function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Concern {
    /// It is about this function.
    Surely,
    /// It may be about a twin.
    Perhaps,
}

impl Fold {
    /// Begins. `present`: all functions of the machine; `wanted`: those whose past is asked for.
    #[must_use]
    pub fn new(
        boot: &str,
        began: Option<Moment>,
        present: Vec<IdentifiedFunction>,
        wanted: BTreeMap<Sbdf, Identity>,
    ) -> Self {
        let of = wanted
            .into_iter()
            .map(|(sbdf, identity)| (sbdf, One { id: identity.id.clone(), identity, ..One::default() }));
        let of = of.collect();
        Self {
            boot: boot.to_owned(),
            began,
            present,
            of,
            coverage: Coverage::default(),
            repairs: 0,
            pruned: None,
        }
    }

    /// Takes one record.
    pub fn tell(&mut self, told: &PastRecord) {
        let place = told.place;
        let now = told.boot == self.boot;
        // A clock that was set forward moves the beginning that the kernel tells: what was written before is
        // of this boot.
        if now && place.up.is_some() {
            self.began = self.began.into_iter().chain(place.time).min().filter(|_| self.began.is_some());
        }
        match &told.what {
            PastEvent::Gap => self.repairs += 1,
            PastEvent::Pruned(prune) => {
                self.repairs += prune.repairs;
                let forgotten = self.pruned.is_some_and(|earlier| earlier.forgotten) || prune.forgotten;
                self.pruned = Some(PruneRecord { forgotten, ..*prune });
            }
            PastEvent::EarlierStays(it) => self.earlier_stays(it),
            PastEvent::EarlierIdentity(it) => self.earlier_identity(it),
            PastEvent::Operation(OperationRecord { phase: OperationPhase::Start(start), bdf, .. }) if now => {
                if let Some(one) = bdf.and_then(|bdf| self.of.get_mut(&bdf)) {
                    if one.operations.len() >= MOST_OPERATIONS {
                        one.operations.remove(0);
                    }
                    one.operations
                        .push(RecordedOperation { command: start.command.clone(), time: place.time });
                }
            }
            PastEvent::Operation(_) => {}
            PastEvent::Entry(entry @ Entry::Recorder(it)) if now => {
                if matches!(it.phase, RecorderPhase::Start | RecorderPhase::Source) {
                    self.missed();
                }
                self.coverage.take(place, &told.boot, entry);
            }
            PastEvent::Entry(entry @ Entry::Lost(_)) if now => {
                self.missed();
                self.coverage.take(place, &told.boot, entry);
            }
            PastEvent::Entry(entry @ Entry::Device(it)) => {
                self.alive(now, place, &told.boot, entry);
                self.device(now, place, &told.boot, it);
            }
            PastEvent::Entry(entry @ Entry::Stay(it)) => {
                self.alive(now, place, &told.boot, entry);
                self.stay(now, place, told, it);
            }
            PastEvent::Entry(entry @ Entry::Qube(it)) => {
                self.alive(now, place, &told.boot, entry);
                if it.event == QubeEvent::Label {
                    self.of.values_mut().for_each(|one| one.stays.relabelled(&it.qube, &it.label));
                }
            }
            PastEvent::Entry(Entry::Recorder(_) | Entry::Lost(_)) => {}
        }
    }

    /// The functions that may be what stood at an address that was asked for. The journal tells of each where
    /// it stood.
    #[must_use]
    pub fn candidates(&self) -> Vec<MoveCandidate> {
        let known = self.of.iter().filter_map(|(sbdf, one)| one.another().map(|known| (*sbdf, known)));
        known.flat_map(|(sbdf, known)| MoveCandidate::all(sbdf, known, &self.present)).collect()
    }

    /// What a function is, with the serial number that was not asked for before.
    pub fn reads(&mut self, sbdf: Sbdf, id: &str) {
        for one in self.present.iter_mut().filter(|one| one.sbdf == sbdf) {
            id.clone_into(&mut one.id);
        }
    }

    /// Ends. `now` and `holder`, the run that holds the recorder's mark, say whether this boot is still
    /// heard.
    #[must_use]
    pub fn finish(
        self,
        now: Option<Uptime>,
        holder: Option<&str>,
        journal: JournalReading,
        candidates: &[MoveCandidate],
    ) -> Past {
        let now = Place { seq: u64::MAX, time: None, up: now };
        let Covered { gaps, dropped, .. } = self.coverage.finish(Some(now), holder);
        let present = self.present;
        let of = self.of.into_iter().map(|(sbdf, one)| {
            let since = one.seized.as_ref().map_or(0, |seized| seized.since);
            let behind = |place: Option<Place>| place.is_none_or(|place| place.seq > since);
            let mut uncovered: Vec<Gap> = gaps.iter().filter(|gap| behind(gap.to)).copied().collect();
            if let Some(dropped) = dropped.filter(|dropped| dropped.seq > since) {
                uncovered.insert(0, Gap { from: None, to: Some(dropped), why: Why::Lost });
            }
            let twins = present.iter().filter(|other| other.sbdf != sbdf && same(&other.id, &one.id));
            let twins = twins.map(|other| other.sbdf).collect();
            let id = |at: Sbdf| present.iter().find(|it| it.sbdf == at).map_or("", |it| &it.id);
            let moved = candidates.iter().any(|it| it.of == sbdf && it.moved(id(it.sbdf)));
            let known = one.known(moved);
            let changes = known.iter().map(|known| IdentityChange {
                known: known.clone(),
                fields: differences(&known.identity, &one.identity),
            });
            let changes = changes.filter(|change| !change.fields.is_empty()).collect();
            let (stays, more_stays, before, more_before) = one.stays.finish();
            let exposure = Exposure {
                seized: one.seized,
                stays,
                more_stays,
                before,
                more_before,
                uncovered,
                twins,
                known,
                changes,
                identity: one.identity,
                rom_sha256: one.rom_sha256,
                operations: one.operations,
            };
            (sbdf, exposure)
        });
        Past { of: of.collect(), journal, repairs: self.repairs, pruned: self.pruned }
    }

    /// What was not heard may have been anything: who owned what before is not known after it.
    fn missed(&mut self) {
        for one in self.of.values_mut() {
            one.driven = false;
        }
    }

    /// Whoever wrote a record of this boot lives.
    fn alive(&mut self, now: bool, place: Place, boot: &str, entry: &Entry) {
        if now {
            self.coverage.take(place, boot, entry);
        }
    }

    fn device(&mut self, now: bool, place: Place, boot: &str, it: &DeviceRecord) {
        let imported = it.source.is_import();
        let known = || KnownIdentity {
            identity: it.identity.clone(),
            sbdf: it.bdf,
            time: place.time,
            boot: boot.to_owned(),
        };
        let named = !it.identity.id.is_empty() && !imported;
        for (sbdf, one) in &mut self.of {
            let sha256 = &it.identity.rom_sha256;
            let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            if named && is_hash && same(&one.id, &it.identity.id) {
                // Twins may have different ROMs: of them only what was recorded at the same address counts.
                let alone = !self.present.iter().any(|it| it.sbdf != *sbdf && same(&it.id, &one.id));
                if *sbdf == it.bdf || alone {
                    one.rom_sha256 = Some(sha256.clone());
                }
            }
            if *sbdf == it.bdf && now {
                if !imported {
                    one.happened(place, it);
                    one.stays.device(place, it);
                }
                if named {
                    match &mut one.here {
                        Some(here) => fill(&mut here.identity, &it.identity),
                        None => one.here = Some(known()),
                    }
                }
            } else if named && !now {
                if *sbdf == it.bdf {
                    one.at_address = Some(known());
                }
                if same(&one.id, &it.identity.id) {
                    one.by_id = Some(known());
                }
            }
        }
    }

    fn stay(&mut self, written_now: bool, place: Place, told: &PastRecord, it: &StayRecord) {
        let imported = it.source.is_import();
        let at = it.at;
        let time = if imported { at } else { place.time };
        // The boot in which an import ran says nothing of the boot in which it happened.
        let slack = if told.approximate { SLACK_OF_ABOUT } else { SLACK };
        let now = match (imported, at, self.began) {
            (false, ..) => written_now,
            (true, ..) if !told.of_boot.is_empty() => told.of_boot == self.boot,
            (true, Some(at), Some(began)) => written_now && at.after(slack) >= began,
            // One that tells no time may be of this boot: that is the worse case.
            (true, Some(_), None) | (true, None, _) => written_now,
        };
        let boot = if imported { "" } else { &told.boot };
        for (sbdf, concern) in self.concerned(now, it.bdf, &it.id) {
            let Some(one) = self.of.get_mut(&sbdf) else { continue };
            let moved = it.bdf != sbdf;
            if now {
                one.stays.now(Place { time, ..place }, boot, it);
            } else {
                let how = Earlier { moved, perhaps: concern == Concern::Perhaps };
                one.stays.earlier(Place { time, ..place }, boot, it, how);
            }
        }
    }

    /// The functions that a record of this address and identity concerns.
    fn concerned(&self, now: bool, bdf: Sbdf, id: &str) -> Vec<(Sbdf, Concern)> {
        let there = self.present.iter().find(|one| one.sbdf == bdf);
        let is_there = there.is_some_and(|one| id.is_empty() || same(&one.id, id));
        let wanted = self.of.iter().filter_map(|(sbdf, one)| {
            let here = *sbdf == bdf;
            let alike = !id.is_empty() && same(&one.id, id);
            let concern = match (now, here) {
                (true, true) => Some(Concern::Surely),
                (true, false) => (alike && !is_there).then_some(Concern::Perhaps),
                (false, true) if id.is_empty() => Some(Concern::Perhaps),
                (false, _) => alike.then(|| {
                    let twin = self.present.iter().any(|other| other.sbdf != *sbdf && same(&other.id, id));
                    if twin {
                        Concern::Perhaps
                    } else {
                        Concern::Surely
                    }
                }),
            };
            concern.map(|concern| (*sbdf, concern))
        });
        wanted.collect()
    }
}

/// How far a clock of this boot may have been off when an imported time was written, in seconds.
const SLACK: u64 = 600;
/// How far off a time may be that is about: without its zone it may be any of the day. Sooner of this boot
/// than not.
const SLACK_OF_ABOUT: u64 = 86_400;

impl One {
    /// What happened to it in this boot.
    fn happened(&mut self, place: Place, it: &DeviceRecord) {
        // A driver can be bound to what Xen has in quarantine: who drove it says nothing of who owned it.
        let owner = it.owner.map(|owner| owner == Owner::Dom0);
        let driven = std::mem::take(&mut self.driven);
        match it.event {
            DeviceEvent::Seized => {
                let owned = owner.or(driven.then_some(true));
                // Taken from a driver of dom0 it was dom0's till then. Taken from nobody, or from pciback
                // itself, it may have been anywhere before.
                let since = match &self.seized {
                    _ if owned == Some(true) && it.of_dom0().is_some() => place.seq,
                    Some(earlier) => earlier.since,
                    None => 0,
                };
                // The kernel and an operation tell of the same seizure.
                let from_dom0 = owned.or(self.seized.as_ref().and_then(|earlier| earlier.from_dom0));
                let (way, source) = (it.way, it.source.clone());
                self.seized = Some(Seizure { place, way, source, from_dom0, since });
            }
            // Another driver has it: what pciback held before is over.
            DeviceEvent::Bound | DeviceEvent::Removed => self.seized = None,
            DeviceEvent::Present | DeviceEvent::Added | DeviceEvent::Unbound => {}
        }
        self.driven = match it.event {
            DeviceEvent::Bound | DeviceEvent::Present => it.of_dom0().is_some() && owner.unwrap_or(driven),
            DeviceEvent::Unbound => driven,
            DeviceEvent::Seized | DeviceEvent::Added | DeviceEvent::Removed => false,
        };
    }

    /// The identities it is held against. A device that was at its address and stands elsewhere now is none.
    fn known(&self, moved: bool) -> Vec<KnownIdentity> {
        let before = self.another().filter(|_| !moved).or(self.by_id.as_ref());
        self.here.iter().chain(before).cloned().collect()
    }

    /// Another device that was at its address in an earlier boot, or this one before it was altered.
    fn another(&self) -> Option<&KnownIdentity> {
        self.at_address.as_ref().filter(|known| !same(&known.identity.id, &self.id))
    }
}

#[cfg(test)]
mod one_history;
#[cfg(test)]
mod tests;
