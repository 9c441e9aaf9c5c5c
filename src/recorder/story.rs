//! What is told of what was seen: the recorder's decisions, without a machine.
//!
//! Seeing and telling are two things: what a limit kept back is told later as it is then, behind a record that says how
//! much was left out. What was told already is not told again in the same run.

use super::limits::{Key, Limits, Now};
use crate::history::{
    Device, DeviceEvent, Entry, Identity, Lost, Qube, QubeEvent, Stay, StayEvent, Told, What,
};
use crate::names::Sbdf;
use crate::observe::qubes::{Happened, Happening, Port};
use crate::system::uevents::{Action, Uevent};
use std::collections::{BTreeMap, BTreeSet};

/// A function and the domain that has it.
pub type Place = (Sbdf, u16);

/// A function as it is seen now.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Seen {
    /// What it is.
    pub identity: Identity,
    /// Its driver; empty where none.
    pub driver: String,
    /// Whether it is pinned to pciback.
    pub pinned: bool,
    /// Whether pciback lists its slot.
    pub listed: bool,
    /// Whether `xl` noted the driver it took it from.
    pub xl: bool,
    /// Xen's owner; empty where it was not asked.
    pub owner: String,
}

impl Seen {
    /// By which way pciback got it, as far as that can be told.
    fn way(&self, first: bool) -> &'static str {
        match self {
            _ if self.driver != "pciback" => "",
            _ if first => "boot",
            Self { pinned: true, .. } => "override",
            Self { xl: true, .. } => "xl",
            Self { listed: true, .. } => "slot",
            _ => "",
        }
    }
}

/// A function that a qube has, as xenstore says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Using {
    /// Which function, and which domain's.
    pub place: Place,
    /// Its stub domain; -1 where it has none.
    pub stub: i64,
    /// The qube's name, escaped.
    pub qube: String,
    /// Its uuid, where told.
    pub uuid: String,
    /// What the function is.
    pub id: String,
    /// The toolstack's options.
    pub options: String,
}

/// What Qubes says of a qube.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct About {
    /// Its uuid; empty where not told.
    pub uuid: String,
    /// Its label.
    pub label: String,
    /// Its class.
    pub class: String,
    /// Whether it provides network.
    pub network: Option<bool>,
}

/// Everything that is to be seen at one moment.
#[derive(Clone, Default, Debug)]
pub struct Snapshot {
    /// Every function's driver; empty where none.
    pub drivers: BTreeMap<Sbdf, String>,
    /// Those that are not dom0's.
    pub held: BTreeMap<Sbdf, Seen>,
    /// Who has what; `None` where that cannot be read.
    pub uses: Option<Vec<Using>>,
    /// What qubes that are gone left behind.
    pub left: Vec<Using>,
    /// Functions that the kernel gave to domains in this boot.
    pub given: BTreeSet<Place>,
    /// Whether no qube can have run in this boot.
    pub first: bool,
}

#[derive(Clone, Default, Debug)]
struct Driver {
    now: String,
    before: String,
}

/// What one run of the recorder has seen and told.
#[derive(Clone, Default, Debug)]
pub struct Story {
    drivers: BTreeMap<Sbdf, Driver>,
    devices: BTreeMap<Sbdf, (String, String, String)>,
    seen: BTreeMap<Place, Using>,
    told: BTreeMap<Place, Stay>,
    /// Every stay that was told in this boot, of stub domains too.
    ever: BTreeSet<Place>,
    /// Stays that an earlier run of this boot left open.
    left_open: BTreeMap<Place, Stay>,
    running: BTreeSet<String>,
    abouts: BTreeMap<String, About>,
    /// What each may have recorded.
    pub limits: Limits,
}

impl Story {
    /// Takes in what earlier runs told in this boot.
    pub fn resume(&mut self, told: &Told) {
        let What::Entry(Entry::Stay(stay)) = &told.what else { return };
        let (Ok(domain), false) = (u16::try_from(stay.domain), stay.source.starts_with("import:")) else {
            return;
        };
        self.remember(stay, domain);
        let place = (stay.bdf, domain);
        if stay.event == StayEvent::End {
            self.left_open.remove(&place);
        } else {
            self.left_open.insert(place, stay.clone());
        }
    }

    /// Takes in what Qubes says of its qubes.
    pub fn meet(&mut self, abouts: BTreeMap<String, About>) {
        self.abouts = abouts;
    }

    /// Whether a stay of this place was told before: nothing has to be read about it then.
    pub fn knows(&self, place: Place) -> Option<&Using> {
        self.seen.get(&place)
    }

    /// The kernel's word of a function. `look` reads it.
    pub fn uevent(
        &mut self,
        event: &Uevent,
        look: &mut dyn FnMut(Sbdf) -> Option<Seen>,
        now: Now,
    ) -> Vec<Entry> {
        let sbdf = event.sbdf;
        let known = self.drivers.get(&sbdf).cloned();
        let Driver { now: driver, before } = known.clone().unwrap_or_default();
        let mut seen = None;
        let (kind, after) = match event.action {
            Action::Add => (DeviceEvent::Added, Some(Driver::default())),
            Action::Remove => (DeviceEvent::Removed, None),
            Action::Unbind if known.is_some() && driver.is_empty() => return Vec::new(),
            Action::Unbind => {
                (DeviceEvent::Unbound, Some(Driver { now: String::new(), before: driver.clone() }))
            }
            Action::Bind => {
                let named = event.driver.as_ref().map(ToString::to_string);
                let named = named.unwrap_or_else(|| {
                    seen = look(sbdf);
                    seen.as_ref().map(|seen| seen.driver.clone()).unwrap_or_default()
                });
                if named == driver && known.is_some() {
                    return Vec::new();
                }
                let kind = if named == "pciback" { DeviceEvent::Seized } else { DeviceEvent::Bound };
                let last = if driver.is_empty() { before.clone() } else { driver.clone() };
                (kind, Some(Driver { now: named, before: last }))
            }
        };
        match &after {
            Some(after) => drop(self.drivers.insert(sbdf, after.clone())),
            None => drop(self.drivers.remove(&sbdf)),
        }
        let key = Key::Function(sbdf);
        let mut entries = self.catch_up(&key, look, now);
        if !self.limits.admit(&key, now) {
            self.limits.dropped(&key, "uevent", now);
            return entries;
        }
        if kind != DeviceEvent::Removed && seen.is_none() {
            seen = look(sbdf);
        }
        let seen = seen.unwrap_or_default();
        let after = after.unwrap_or(Driver { now: String::new(), before: driver });
        let way = if kind == DeviceEvent::Seized {
            // The driver may be another one by now; what was said is what counts.
            Seen { driver: "pciback".to_owned(), ..seen.clone() }.way(false).to_owned()
        } else {
            String::new()
        };
        self.devices.insert(sbdf, (after.now.clone(), String::new(), seen.identity.id.clone()));
        entries.push(Entry::Device(Device {
            event: kind,
            bdf: sbdf,
            identity: seen.identity,
            driver: after.now,
            before: after.before,
            way,
            owner: String::new(),
            source: "uevent".to_owned(),
            at: String::new(),
        }));
        entries
    }

    /// Who has what now, because xenstore says that it changed.
    pub fn uses(&mut self, uses: Vec<Using>, now: Now) -> Vec<Entry> {
        self.see(uses, "xenstore", now)
    }

    /// What Qubes says has happened to a qube. `find` leads from a port to its function.
    pub fn happening(
        &mut self,
        happening: &Happening,
        of_4_2: bool,
        find: &dyn Fn(&Port) -> Option<Sbdf>,
        now: Now,
    ) -> Vec<Entry> {
        let qube = happening.qube.to_string();
        let mut record = Qube {
            event: QubeEvent::Started,
            qube: qube.clone(),
            uuid: self.abouts.get(&qube).map(|about| about.uuid.clone()).unwrap_or_default(),
            label: String::new(),
            before: String::new(),
            port: String::new(),
            bdf: None,
            options: String::new(),
            source: "qubesd".to_owned(),
            at: String::new(),
        };
        match &happening.what {
            // The first of the two is told: from then on its devices are taken.
            Happened::Starting | Happened::Started => {
                if !self.running.insert(qube.clone()) {
                    return Vec::new();
                }
                record.label = self.abouts.get(&qube).map(|about| about.label.clone()).unwrap_or_default();
            }
            Happened::StartFailed | Happened::Stopped => {
                self.running.remove(&qube);
                record.event = QubeEvent::Stopped;
            }
            Happened::Label { now, before } if now != before => {
                self.abouts.entry(qube.clone()).or_default().label.clone_from(now);
                (record.event, record.label, record.before) = (QubeEvent::Label, now.clone(), before.clone());
            }
            Happened::Name { now, before } if now != before => {
                (record.event, record.qube, record.before) = (QubeEvent::Name, now.clone(), before.clone());
            }
            Happened::Assigned(device) | Happened::AssignmentChanged(device) => {
                record.event = QubeEvent::Assigned;
                about(&mut record, device, find);
            }
            Happened::Unassigned(device) => {
                record.event = QubeEvent::Unassigned;
                about(&mut record, device, find);
            }
            // 4.3 says so of running qubes only: xenstore tells that better.
            Happened::Attached(device) if of_4_2 => {
                record.event = QubeEvent::Assigned;
                about(&mut record, device, find);
            }
            Happened::Detached(device) if of_4_2 => {
                record.event = QubeEvent::Unassigned;
                about(&mut record, device, find);
            }
            _ => return Vec::new(),
        }
        let key = Key::Qube(qube);
        let mut entries: Vec<Entry> =
            self.limits.lost(&key, now, false).map(Entry::Lost).into_iter().collect();
        if self.limits.admit(&key, now) {
            entries.push(Entry::Qube(record));
        } else {
            self.limits.dropped(&key, "qubesd", now);
        }
        entries
    }

    /// Everything that is to be seen, because the recorder begins, a source came back, or something was lost. Only what
    /// differs from what was told in this run is told.
    pub fn snapshot(&mut self, snapshot: Snapshot, now: Now) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (sbdf, driver) in &snapshot.drivers {
            let known = self.drivers.entry(*sbdf).or_default();
            if known.now != *driver {
                let before = if known.now.is_empty() { known.before.clone() } else { known.now.clone() };
                *known = Driver { now: driver.clone(), before };
            }
        }
        self.drivers.retain(|sbdf, _| snapshot.drivers.contains_key(sbdf));
        for (sbdf, seen) in snapshot.held {
            let facts = (seen.driver.clone(), seen.owner.clone(), seen.identity.id.clone());
            if self.devices.get(&sbdf) != Some(&facts) {
                self.devices.insert(sbdf, facts);
                entries.push(self.present(sbdf, seen, snapshot.first));
            }
        }
        // What was not dom0's when it was told last, and is now.
        let told: Vec<(Sbdf, String)> =
            self.devices.iter().map(|(sbdf, facts)| (*sbdf, facts.0.clone())).collect();
        for (sbdf, driver) in told {
            match snapshot.drivers.get(&sbdf) {
                None => {
                    self.devices.remove(&sbdf);
                    let mut entry = self.present(sbdf, Seen::default(), false);
                    if let Entry::Device(device) = &mut entry {
                        device.event = DeviceEvent::Removed;
                    }
                    entries.push(entry);
                }
                Some(now) if *now != driver => {
                    let seen = Seen { driver: now.clone(), ..Seen::default() };
                    self.devices.insert(sbdf, (now.clone(), String::new(), String::new()));
                    entries.push(self.present(sbdf, seen, false));
                }
                Some(_) => {}
            }
        }
        let Some(uses) = snapshot.uses else { return entries };
        entries.extend(self.see(uses, "snapshot", now));
        for (place, stay) in std::mem::take(&mut self.left_open) {
            if !self.seen.contains_key(&place) {
                entries.push(Entry::Stay(ended(stay, "snapshot")));
            }
        }
        for using in snapshot.left {
            if self.ever.insert(using.place) {
                let stay = self.stay(&using, StayEvent::End, "snapshot");
                self.remember(&stay, using.place.1);
                entries.push(Entry::Stay(stay));
            }
        }
        for place in snapshot.given {
            if self.ever.insert(place) {
                let using = Using {
                    place,
                    stub: -1,
                    qube: format!("domain-{}", place.1),
                    uuid: String::new(),
                    id: self.devices.get(&place.0).map(|facts| facts.2.clone()).unwrap_or_default(),
                    options: String::new(),
                };
                entries.push(Entry::Stay(self.stay(&using, StayEvent::End, "snapshot")));
            }
        }
        entries
    }

    /// What limits kept back and may be told now; at the end of the run, all counts.
    pub fn settle(
        &mut self,
        look: &mut dyn FnMut(Sbdf) -> Option<Seen>,
        now: Now,
        at_once: bool,
    ) -> Vec<Entry> {
        let mut entries = Vec::new();
        for key in self.limits.owing() {
            if at_once {
                entries.extend(self.limits.lost(&key, now, true).map(Entry::Lost));
            } else if matches!(key, Key::Function(_)) {
                entries.extend(self.catch_up(&key, look, now));
            } else {
                entries.extend(self.tell("xenstore", &BTreeSet::new(), now));
                entries.extend(self.limits.lost(&key, now, false).map(Entry::Lost));
            }
        }
        entries
    }

    /// Once a function may be told of again: how much was left out, and how it stands.
    fn catch_up(&mut self, key: &Key, look: &mut dyn FnMut(Sbdf) -> Option<Seen>, now: Now) -> Vec<Entry> {
        let Key::Function(sbdf) = *key else { return Vec::new() };
        let Some(lost) = self.limits.lost(key, now, false) else { return Vec::new() };
        let mut entries = vec![Entry::Lost(lost)];
        if let Some(seen) = look(sbdf) {
            entries.push(self.present(sbdf, seen, false));
        }
        entries
    }

    fn present(&self, sbdf: Sbdf, seen: Seen, first: bool) -> Entry {
        let before = self.drivers.get(&sbdf).map(|driver| driver.before.clone()).unwrap_or_default();
        Entry::Device(Device {
            event: DeviceEvent::Present,
            bdf: sbdf,
            way: seen.way(first).to_owned(),
            identity: seen.identity,
            driver: seen.driver,
            before,
            owner: seen.owner,
            source: "snapshot".to_owned(),
            at: String::new(),
        })
    }

    /// Takes in who has what, and tells what is new.
    fn see(&mut self, uses: Vec<Using>, source: &'static str, now: Now) -> Vec<Entry> {
        let uses: BTreeMap<Place, Using> = uses.into_iter().map(|using| (using.place, using)).collect();
        let changed = |place: &&Place| self.seen.get(*place) != uses.get(*place);
        let changed: BTreeSet<Place> = self.seen.keys().chain(uses.keys()).filter(changed).copied().collect();
        self.seen = uses;
        self.tell(source, &changed, now)
    }

    /// Tells what was seen and not told, as far as the limits let it.
    fn tell(&mut self, source: &'static str, changed: &BTreeSet<Place>, now: Now) -> Vec<Entry> {
        let mut entries = Vec::new();
        let places: BTreeSet<Place> = self.told.keys().chain(self.seen.keys()).copied().collect();
        for place in places {
            let stay = match (self.told.get(&place), self.seen.get(&place)) {
                (Some(told), None) => ended(told.clone(), source),
                (None, Some(using)) => {
                    let just_now = source == "xenstore" && changed.contains(&place);
                    let event = if just_now { StayEvent::Begin } else { StayEvent::Present };
                    self.stay(using, event, source)
                }
                (Some(told), Some(using)) => {
                    let stay = self.stay(using, StayEvent::Present, source);
                    let more =
                        (&stay.options, &stay.qube, stay.stub) != (&told.options, &told.qube, told.stub);
                    if !more || stay.options.is_empty() {
                        continue;
                    }
                    stay
                }
                (None, None) => continue,
            };
            let key = Key::Qube(stay.qube.clone());
            entries.extend(self.limits.lost(&key, now, false).map(Entry::Lost));
            if !self.limits.admit(&key, now) {
                if changed.contains(&place) {
                    self.limits.dropped(&key, "xenstore", now);
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

    fn remember(&mut self, stay: &Stay, domain: u16) {
        self.ever.insert((stay.bdf, domain));
        if let Ok(stub) = u16::try_from(stay.stub) {
            self.ever.insert((stay.bdf, stub));
        }
    }

    fn stay(&self, using: &Using, event: StayEvent, source: &str) -> Stay {
        let about = self.abouts.get(&using.qube).cloned().unwrap_or_default();
        Stay {
            event,
            bdf: using.place.0,
            id: using.id.clone(),
            qube: using.qube.clone(),
            uuid: if about.uuid.is_empty() { using.uuid.clone() } else { about.uuid },
            label: about.label,
            class: about.class,
            network: about.network,
            domain: i64::from(using.place.1),
            stub: using.stub,
            options: using.options.clone(),
            source: source.to_owned(),
            at: String::new(),
        }
    }
}

fn ended(stay: Stay, source: &str) -> Stay {
    Stay { event: StayEvent::End, source: source.to_owned(), ..stay }
}

fn about(record: &mut Qube, device: &crate::observe::qubes::Device, find: &dyn Fn(&Port) -> Option<Sbdf>) {
    record.port = device.port.text().to_owned();
    record.bdf = find(&device.port);
    record.options.clone_from(&device.options);
}

/// That the kernel's messages did not fit into their buffer.
#[must_use]
pub fn overflow(since: String) -> Entry {
    let (source, why) = ("uevent".to_owned(), "overflow".to_owned());
    Entry::Lost(Lost { source, qube: String::new(), count: 0, why, since })
}
