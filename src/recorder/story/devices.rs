//! What is told of functions in dom0: who drives them.

use super::{Driver, Look, Seen, Story};
use crate::journal::{DeviceEvent, DeviceRecord, Entry, Source};
use crate::names::{DriverName, Owner, Sbdf};
use crate::recorder::limits::{Key, Now};
use crate::system::uevents::{Action, Uevent};
use std::collections::BTreeMap;

impl Story {
    /// The kernel's word of a function. `look` reads it.
    pub fn uevent(&mut self, event: &Uevent, look: Look<'_>, now: Now) -> Vec<Entry> {
        let sbdf = event.sbdf;
        let known = self.drivers.get(&sbdf).cloned();
        let Driver { now: driver, before, owner } = known.clone().unwrap_or_default();
        let mut seen = None;
        let (kind, after) = match event.action {
            Action::Add => (DeviceEvent::Added, Some(Driver::default())),
            Action::Remove => (DeviceEvent::Removed, None),
            Action::Unbind if known.is_some() && driver.is_none() => return Vec::new(),
            Action::Unbind => {
                (DeviceEvent::Unbound, Some(Driver { now: None, before: driver.clone(), owner }))
            }
            Action::Bind => {
                let named = event.driver.clone().or_else(|| {
                    seen = look(sbdf);
                    seen.as_ref().and_then(|seen| seen.driver.clone())
                });
                if named == driver && known.is_some() {
                    return Vec::new();
                }
                let seized = named.as_ref().is_some_and(DriverName::is_pciback);
                let kind = if seized { DeviceEvent::Seized } else { DeviceEvent::Bound };
                (kind, Some(Driver { now: named, before: driver.clone().or(before), owner: None }))
            }
        };
        match &after {
            Some(after) => drop(self.drivers.insert(sbdf, after.clone())),
            None => drop(self.drivers.remove(&sbdf)),
        }
        let key = Key::Function(sbdf);
        let mut entries = self.catch_up(&key, look, now);
        if !self.limits.admit(&key, now) {
            self.limits.dropped(&key, Source::Uevent, now);
            return entries;
        }
        if kind != DeviceEvent::Removed && seen.is_none() {
            seen = look(sbdf);
        }
        let seen = seen.unwrap_or_default();
        let after = after.unwrap_or(Driver { before: driver, ..Driver::default() });
        // The driver may be another one by now; what was said is what counts.
        let as_told = Seen { driver: Some(DriverName::PCIBACK), ..seen.clone() };
        let seized = kind == DeviceEvent::Seized;
        self.devices.insert(sbdf, (after.now.clone(), None, seen.identity.id.clone()));
        entries.push(Entry::Device(DeviceRecord {
            identity: seen.identity,
            driver: after.now,
            before: after.before,
            way: as_told.way(false).filter(|_| seized),
            owner: owner.filter(|_| seized),
            ..DeviceRecord::new(kind, sbdf, Source::Uevent)
        }));
        entries
    }

    /// What drivers of dom0 have whose owner in Xen is not known.
    pub fn unowned(&self) -> Vec<Sbdf> {
        let of_dom0 = |driver: &DriverName| !driver.is_holder();
        let unowned = |driver: &Driver| driver.owner.is_none() && driver.now.as_ref().is_some_and(of_dom0);
        self.drivers.iter().filter(|(_, driver)| unowned(driver)).map(|(sbdf, _)| *sbdf).collect()
    }

    /// Xen's owner of a function, as long as this driver has it.
    pub fn owned(&mut self, sbdf: Sbdf, by: &DriverName, owner: Owner) {
        let known = self.drivers.get_mut(&sbdf).filter(|driver| driver.now.as_ref() == Some(by));
        known.into_iter().for_each(|driver| driver.owner = Some(owner));
    }

    /// Functions as a snapshot found them.
    pub(super) fn devices_found(
        &mut self,
        drivers: &BTreeMap<Sbdf, Option<DriverName>>,
        owners: &BTreeMap<Sbdf, Owner>,
        held: BTreeMap<Sbdf, Seen>,
        first: bool,
    ) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (sbdf, driver) in drivers {
            let known = self.drivers.entry(*sbdf).or_default();
            if known.now != *driver {
                let before = known.now.clone().or(known.before.clone());
                *known = Driver { now: driver.clone(), before, owner: None };
            }
            let drives = driver.as_ref().is_some_and(|driver| !driver.is_holder());
            known.owner = owners.get(sbdf).filter(|_| drives).copied();
        }
        self.drivers.retain(|sbdf, _| drivers.contains_key(sbdf));
        for (sbdf, seen) in held {
            let facts = (seen.driver.clone(), seen.owner, seen.identity.id.clone());
            if self.devices.get(&sbdf) != Some(&facts) {
                self.devices.insert(sbdf, facts);
                entries.push(self.present(sbdf, seen, first));
            }
        }
        // What was not dom0's when it was told last, and is now.
        let told: Vec<(Sbdf, Option<DriverName>)> =
            self.devices.iter().map(|(sbdf, facts)| (*sbdf, facts.0.clone())).collect();
        for (sbdf, driver) in told {
            match drivers.get(&sbdf) {
                None => {
                    self.devices.remove(&sbdf);
                    let mut entry = self.present(sbdf, Seen::default(), false);
                    if let Entry::Device(device) = &mut entry {
                        device.event = DeviceEvent::Removed;
                    }
                    entries.push(entry);
                }
                Some(now) if *now != driver => {
                    let owner = owners.get(&sbdf).copied();
                    let seen = Seen { driver: now.clone(), owner, ..Seen::default() };
                    self.devices.insert(sbdf, (now.clone(), None, String::new()));
                    entries.push(self.present(sbdf, seen, false));
                }
                Some(_) => {}
            }
        }
        entries
    }

    /// Once a function may be told of again: how much was left out, and how it stands.
    pub(super) fn catch_up(&mut self, key: &Key, look: Look<'_>, now: Now) -> Vec<Entry> {
        let Key::Function(sbdf) = *key else { return Vec::new() };
        let Some(lost) = self.limits.lost(key, now, false) else { return Vec::new() };
        let mut entries = vec![Entry::Lost(lost)];
        if let Some(seen) = look(sbdf) {
            entries.push(self.present(sbdf, seen, false));
        }
        entries
    }

    fn present(&self, sbdf: Sbdf, seen: Seen, first: bool) -> Entry {
        Entry::Device(DeviceRecord {
            way: seen.way(first),
            identity: seen.identity,
            driver: seen.driver,
            before: self.drivers.get(&sbdf).and_then(|driver| driver.before.clone()),
            owner: seen.owner,
            ..DeviceRecord::new(DeviceEvent::Present, sbdf, Source::Snapshot)
        })
    }
}
