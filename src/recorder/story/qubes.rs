//! What is told of qubes.

use super::{About, Story};
use crate::journal::{Entry, QubeEvent, QubeRecord, Source};
use crate::names::Sbdf;
use crate::observe::qubes::{Happened, Happening, Port, PortDevice};
use crate::recorder::limits::{Key, Now};
use std::collections::BTreeMap;

impl Story {
    /// Takes in what Qubes says of its qubes.
    pub fn meet(&mut self, abouts: BTreeMap<String, About>) {
        self.abouts = abouts;
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
        let uuid = self.abouts.get(&qube).map(|about| about.uuid.clone()).unwrap_or_default();
        let mut record = QubeRecord { uuid, ..QubeRecord::new(QubeEvent::Started, &qube, Source::Qubesd) };
        match &happening.what {
            Happened::Starting | Happened::Started => {
                if happening.what == Happened::Starting {
                    record.event = QubeEvent::Starting;
                }
                record.label = self.abouts.get(&qube).map(|about| about.label.clone()).unwrap_or_default();
            }
            // One that got as far as its own domain stops besides, later: until then it has its devices.
            Happened::StartFailed(why) => {
                (record.event, record.reason) = (QubeEvent::StartFailed, why.clone());
            }
            Happened::Stopped => record.event = QubeEvent::Stopped,
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
            self.limits.dropped(&key, Source::Qubesd, now);
        }
        entries
    }
}

fn about(record: &mut QubeRecord, device: &PortDevice, find: &dyn Fn(&Port) -> Option<Sbdf>) {
    record.port = device.port.text().to_owned();
    record.bdf = find(&device.port);
    record.options.clone_from(&device.options);
}
