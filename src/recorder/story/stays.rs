//! What is told of functions with qubes.

use super::{Occupancy, Story, Using};
use crate::journal::{
    Entry, LossCause, LossRecord, Moment, PastEvent, PastRecord, Source, StayEvent, StayRecord,
};
use crate::recorder::limits::{Key, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// libxl names a function first, then gives it, then writes the options that stand with it: a stay is told of
/// with them, but waits no longer than this. What has none is told of without.
const OPTIONS: Duration = Duration::from_secs(2);

/// What will be told of a stay.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    until: Duration,
    event: StayEvent,
    source: Source,
}

impl Story {
    /// Takes in what earlier runs told in this boot.
    pub fn resume(&mut self, told: &PastRecord) {
        let PastEvent::Entry(Entry::Stay(stay)) = &told.what else { return };
        // Of a stub domain that is gone that is all that is known.
        let Some(domain) = stay.domain.or(stay.stub).filter(|_| !stay.source.is_import()) else { return };
        self.remember(stay, domain);
        let place = (stay.bdf, domain);
        if stay.event == StayEvent::End {
            self.left_open.remove(&place);
        } else {
            self.left_open.insert(place, stay.clone());
        }
    }

    /// What Qubes said since may add to what was told of stays.
    pub fn retell(&mut self, now: Now) -> Vec<Entry> {
        self.tell(&Source::Snapshot, &BTreeSet::new(), now)
    }

    /// When something is told of though nothing more is heard of it.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.waiting.values().map(|one| one.until).min()
    }

    /// Tells of stays that waited for their options long enough.
    pub fn tell_late(&mut self, now: Now) -> Vec<Entry> {
        self.tell_waiting(&|_, until| until <= now.clock, now)
    }

    /// Tells of stays that wait for their options, where they wait no longer.
    pub(super) fn tell_waiting(
        &mut self,
        over: &dyn Fn(&Occupancy, Duration) -> bool,
        now: Now,
    ) -> Vec<Entry> {
        let ready = self.waiting.iter_mut().filter(|(place, one)| over(place, one.until));
        let ready: BTreeSet<Occupancy> = ready
            .map(|(place, one)| {
                one.until = now.clock;
                *place
            })
            .collect();
        if ready.is_empty() {
            return Vec::new();
        }
        self.tell(&Source::Snapshot, &ready, now)
    }

    /// What is told of a stay that was not told of yet; `None` while it waits for its options.
    fn first_word(
        &mut self,
        using: &Using,
        event: StayEvent,
        source: &Source,
        now: Now,
    ) -> Option<StayRecord> {
        let waiting = Waiting { until: now.clock + OPTIONS, event, source: source.clone() };
        let waiting = self.waiting.remove(&using.place).unwrap_or(waiting);
        if using.options.is_empty() && now.clock < waiting.until {
            self.waiting.insert(using.place, waiting);
            self.ever.insert(using.place);
            self.ever.extend(using.stub.map(|stub| (using.place.0, stub)));
            return None;
        }
        Some(self.stay(using, waiting.event, &waiting.source))
    }

    /// Whether a stay of this place was told before: nothing has to be read about it then.
    pub fn knows(&self, place: Occupancy) -> Option<&Using> {
        self.seen.get(&place)
    }

    /// What was with a qube when it was read last.
    pub fn places(&self) -> impl Iterator<Item = Occupancy> + '_ {
        self.seen.keys().copied()
    }

    /// Who has what now, and what is left of those who had, because xenstore says that it changed.
    pub fn uses(&mut self, uses: Vec<Using>, left: Vec<Using>, now: Now) -> Vec<Entry> {
        let mut entries = self.see(uses, &Source::Xenstore, now);
        entries.extend(self.left_behind(left, &Source::Xenstore, now));
        entries
    }

    /// That so many functions were with qubes since this time, for too short to see which.
    pub fn brief(&mut self, count: usize, since: Moment, now: Now) -> Option<Entry> {
        let key = Key::Qube(String::new());
        if !self.limits.admit(&key, now) {
            self.limits.dropped(&key, Source::Xenstore, now);
            return None;
        }
        let (why, since) = (Some(LossCause::Brief), Some(since));
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Some(Entry::Lost(LossRecord { source: Source::Xenstore, qube: String::new(), count, why, since }))
    }

    /// Stays as a snapshot found them, and what is left of those that nobody saw.
    pub(super) fn stays_found(
        &mut self,
        uses: Vec<Using>,
        left: Vec<Using>,
        given: BTreeSet<Occupancy>,
        now: Now,
    ) -> Vec<Entry> {
        let mut entries = self.see(uses, &Source::Snapshot, now);
        for (place, stay) in std::mem::take(&mut self.left_open) {
            if !self.seen.contains_key(&place) {
                entries.push(Entry::Stay(ended(stay, &Source::Snapshot)));
            }
        }
        entries.extend(self.left_behind(left, &Source::Snapshot, now));
        for place in given {
            if self.ever.insert(place) {
                let using = Using {
                    place,
                    stub: None,
                    qube: format!("domain-{}", place.1),
                    uuid: String::new(),
                    id: self.devices.get(&place.0).map(|facts| facts.2.clone()).unwrap_or_default(),
                    options: String::new(),
                };
                entries.push(Entry::Stay(self.stay(&using, StayEvent::End, &Source::Snapshot)));
            }
        }
        entries
    }

    /// What qubes left that nobody saw.
    fn left_behind(&mut self, left: Vec<Using>, source: &Source, now: Now) -> Vec<Entry> {
        let mut entries = Vec::new();
        for using in left {
            if !self.ever.insert(using.place) {
                continue;
            }
            let key = Key::Qube(using.qube.clone());
            if !self.limits.admit(&key, now) {
                self.limits.dropped(&key, Source::Xenstore, now);
                continue;
            }
            let stay = self.stay(&using, StayEvent::End, source);
            self.remember(&stay, using.place.1);
            entries.push(Entry::Stay(stay));
        }
        entries
    }

    /// Takes in who has what, and tells what is new.
    fn see(&mut self, uses: Vec<Using>, source: &Source, now: Now) -> Vec<Entry> {
        let uses: BTreeMap<Occupancy, Using> = uses.into_iter().map(|using| (using.place, using)).collect();
        let mut entries = self.tell_waiting(&|place, _| !uses.contains_key(place), now);
        let changed = |place: &&Occupancy| self.seen.get(*place) != uses.get(*place);
        let changed: BTreeSet<Occupancy> =
            self.seen.keys().chain(uses.keys()).filter(changed).copied().collect();
        self.seen = uses;
        entries.extend(self.tell(source, &changed, now));
        entries
    }

    /// Tells what was seen and not told, as far as the limits let it.
    pub(super) fn tell(&mut self, source: &Source, changed: &BTreeSet<Occupancy>, now: Now) -> Vec<Entry> {
        let mut entries = Vec::new();
        let places: BTreeSet<Occupancy> = self.told.keys().chain(self.seen.keys()).copied().collect();
        for place in places {
            let stay = match (self.told.get(&place), self.seen.get(&place).cloned()) {
                (Some(told), None) => ended(told.clone(), source),
                (None, Some(using)) => {
                    let just_now = *source == Source::Xenstore && changed.contains(&place);
                    let event = if just_now { StayEvent::Begin } else { StayEvent::Present };
                    let Some(stay) = self.first_word(&using, event, source, now) else { continue };
                    stay
                }
                (Some(told), Some(using)) => {
                    let stay = with_known(self.stay(&using, StayEvent::Present, source), told);
                    let as_told =
                        StayRecord { event: told.event, source: told.source.clone(), ..stay.clone() };
                    if as_told == *told {
                        continue;
                    }
                    stay
                }
                (None, None) => continue,
            };
            let key = Key::Qube(stay.qube.clone());
            entries.extend(self.limits.lost(&key, now, false).map(Entry::Lost));
            if !self.limits.admit(&key, now) {
                // What waits since an earlier reading was counted then, unless that was told meanwhile.
                if changed.contains(&place) || !self.limits.owes(&key) {
                    self.limits.dropped(&key, Source::Xenstore, now);
                }
                continue;
            }
            if stay.event == StayEvent::End {
                self.told.remove(&place);
            } else {
                self.told.insert(place, stay.clone());
            }
            self.remember(&stay, place.1);
            entries.push(Entry::Stay(stay));
        }
        entries
    }

    fn remember(&mut self, stay: &StayRecord, domain: u16) {
        self.ever.insert((stay.bdf, domain));
        self.ever.extend(stay.stub.map(|stub| (stay.bdf, stub)));
    }

    fn stay(&self, using: &Using, event: StayEvent, source: &Source) -> StayRecord {
        let about = self.abouts.get(&using.qube).cloned().unwrap_or_default();
        StayRecord {
            id: using.id.clone(),
            uuid: if about.uuid.is_empty() { using.uuid.clone() } else { about.uuid },
            label: about.label,
            class: about.class,
            network: about.network,
            domain: Some(using.place.1).filter(|domain| using.stub != Some(*domain)),
            stub: using.stub,
            options: using.options.clone(),
            ..StayRecord::new(event, using.place.0, &using.qube, source.clone())
        }
    }
}

/// A reading of a stay, where it leaves out nothing that was known of it before: at its end xenstore and
/// Qubes say less and less. What the qube was when it began counts, whatever becomes of it since.
fn with_known(now: StayRecord, told: &StayRecord) -> StayRecord {
    let kept = |now: String, told: &String| if now.is_empty() { told.clone() } else { now };
    let at_first = |now: String, told: &String| if told.is_empty() { now } else { told.clone() };
    let is_number = now.domain.is_some_and(|domain| now.qube == format!("domain-{domain}"));
    StayRecord {
        qube: if is_number { told.qube.clone() } else { now.qube },
        uuid: at_first(now.uuid, &told.uuid),
        id: at_first(now.id, &told.id),
        label: at_first(now.label, &told.label),
        class: at_first(now.class, &told.class),
        network: told.network.or(now.network),
        stub: now.stub.or(told.stub),
        options: kept(now.options, &told.options),
        ..now
    }
}

fn ended(stay: StayRecord, source: &Source) -> StayRecord {
    StayRecord { event: StayEvent::End, source: source.clone(), ..stay }
}
