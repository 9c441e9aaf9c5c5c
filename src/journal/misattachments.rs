//! Misattachments: functions taken from dom0's drivers together, by one qube's start or one assignment.
//!
//! The recorder journals each seizure by itself. What belongs together is told from what is around it:
//! seizures follow each other closely, and the qube that is given one of them is the qube of all.

use super::{
    DeviceEvent, Entry, Moment, OperationPhase, OperationRecord, PastEvent, PastRecord, Place, QubeEvent,
    QubeRecord, StayEvent,
};
use crate::names::{DriverName, Sbdf};
use std::collections::BTreeMap;

/// Seizures with more between them are not of one act, in seconds: libvirt detaches all of a qube's
/// functions, one reset each, before it starts it.
const TOGETHER: u64 = 60;

/// A function that was taken from a driver of dom0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakenFunction {
    /// Where it stood.
    pub bdf: Sbdf,
    /// What it was ([`Identity::id`](super::Identity::id)); empty where that was not recorded.
    pub id: String,
    /// The driver it was taken from.
    pub driver: DriverName,
}

/// What one qube's start or one assignment took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misattachment {
    /// Number of the journal's record of the first seizure: names the act.
    pub seq: u64,
    /// When; `None` where that cannot be read.
    pub time: Option<Moment>,
    /// Time of the last seizure; `None` where it cannot be read: then nothing belongs to it.
    last: Option<Moment>,
    /// The qube it was done for, escaped, where that can be told.
    pub qube: Option<String>,
    /// The functions, in the order they were taken.
    pub taken: Vec<TakenFunction>,
    /// Whether a qube has been given one of them: what is seized later is another act.
    given: bool,
}

impl Misattachment {
    /// Whether it may have been done for this qube: for whom is not always known.
    #[must_use]
    pub fn may_be_for(&self, qube: &str) -> bool {
        self.qube.as_deref().is_none_or(|of| of == qube)
    }
}

/// The acts of one boot, put together record by record.
#[derive(Default, Debug)]
pub struct Misattachments {
    acts: Vec<Misattachment>,
    /// The driver of dom0 that each function had last.
    drivers: BTreeMap<Sbdf, DriverName>,
    /// The qube that began to start last, and when.
    starting: Option<(String, Option<Moment>)>,
    /// Functions an operation of this program works on: what it seizes is no misattachment.
    own: BTreeMap<String, Sbdf>,
}

/// Misattachments kept; older ones are forgotten.
const KEPT: usize = 64;

impl Misattachments {
    /// Takes the next record of the boot.
    pub fn take(&mut self, record: &PastRecord) {
        match &record.what {
            PastEvent::Operation(OperationRecord { id, bdf, phase }) => {
                match bdf.filter(|_| matches!(phase, OperationPhase::Start(_))) {
                    Some(bdf) => drop(self.own.insert(id.clone(), bdf)),
                    None => drop(self.own.remove(id)),
                }
            }
            PastEvent::Entry(entry) => self.entry(record.place, entry),
            _ => {}
        }
    }

    fn entry(&mut self, place: Place, entry: &Entry) {
        let now = place.time;
        match entry {
            Entry::Device(device) => {
                if let (DeviceEvent::Bound | DeviceEvent::Present, Some(driver)) =
                    (device.event, device.of_dom0())
                {
                    self.drivers.insert(device.bdf, driver.clone());
                }
                if device.event == DeviceEvent::Seized && !self.own.values().any(|own| *own == device.bdf) {
                    let remembered = self.drivers.remove(&device.bdf);
                    let before = device.of_dom0().cloned().or(remembered.filter(|_| device.before.is_none()));
                    if let Some(driver) = before {
                        let taken = TakenFunction { bdf: device.bdf, id: device.identity.id.clone(), driver };
                        self.seized(place, taken);
                    }
                }
            }
            Entry::Stay(stay) if stay.event == StayEvent::Begin => {
                let act = self.acts.iter_mut().rev();
                let mut mine = act.filter(|act| act.taken.iter().any(|taken| taken.bdf == stay.bdf));
                if let Some(act) = mine.next() {
                    // Only the first qube after the seizure is the one it was seized for.
                    if !act.given {
                        act.qube = Some(stay.qube.clone());
                    }
                    act.given = true;
                }
            }
            Entry::Qube(qube) => self.of_qube(qube, now),
            _ => {}
        }
    }

    /// Which qube a seizure is for is known by what was told of qubes just before it. That a start is
    /// over is not word of another one.
    fn of_qube(&mut self, qube: &QubeRecord, now: Option<Moment>) {
        let same = self.starting.as_ref().is_some_and(|(starting, _)| *starting == qube.qube);
        match qube.event {
            QubeEvent::Started if same => {}
            QubeEvent::Starting | QubeEvent::Started | QubeEvent::Assigned => {
                self.starting = Some((qube.qube.clone(), now));
            }
            QubeEvent::StartFailed | QubeEvent::Stopped if same => self.starting = None,
            _ => {}
        }
    }

    fn seized(&mut self, place: Place, taken: TakenFunction) {
        let now = place.time;
        let near = |then: Option<Moment>| {
            now.zip(then).is_some_and(|(now, then)| then <= now && now <= then.after(TOGETHER))
        };
        let starting = self.starting.as_ref().filter(|(_, then)| near(*then)).map(|(qube, _)| qube.clone());
        let open = self.acts.last_mut().filter(|act| {
            let same_qube = act.qube.is_none() || starting.is_none() || act.qube == starting;
            !act.given && near(act.last) && same_qube && act.taken.iter().all(|other| other.bdf != taken.bdf)
        });
        if let Some(act) = open {
            act.qube = act.qube.take().or(starting);
            act.last = now;
            act.taken.push(taken);
            return;
        }
        if self.acts.len() >= KEPT {
            self.acts.remove(0);
        }
        self.acts.push(Misattachment {
            seq: place.seq,
            time: now,
            last: now,
            qube: starting,
            taken: vec![taken],
            given: false,
        });
    }

    /// The newest act, or the newest that took this function.
    #[must_use]
    pub fn newest(&self, of: Option<Sbdf>) -> Option<&Misattachment> {
        let wanted =
            |act: &&Misattachment| of.is_none_or(|bdf| act.taken.iter().any(|taken| taken.bdf == bdf));
        self.acts.iter().rev().find(wanted)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::journal::{DeviceRecord, Identity, QubeRecord, Source, StayRecord};

    fn bdf(text: &str) -> Sbdf {
        Sbdf::from_sysfs(text).unwrap()
    }

    fn seized(at: &str, before: &str) -> Entry {
        Entry::Device(DeviceRecord {
            identity: Identity { id: "8086:10d3".to_owned(), ..Identity::default() },
            driver: Some(DriverName::PCIBACK),
            before: DriverName::parse(before),
            ..DeviceRecord::new(DeviceEvent::Seized, bdf(at), Source::Uevent)
        })
    }

    fn given(at: &str, qube: &str) -> Entry {
        Entry::Stay(StayRecord::new(StayEvent::Begin, bdf(at), qube, Source::Xenstore))
    }

    fn started(qube: &str) -> Entry {
        Entry::Qube(QubeRecord::new(QubeEvent::Started, qube, Source::Qubesd))
    }

    fn noon() -> Moment {
        Moment::parse("2026-11-22T12:00").unwrap()
    }

    fn record(seq: u64, time: Option<Moment>, entry: Entry) -> PastRecord {
        of(seq, time, PastEvent::Entry(entry))
    }

    fn of(seq: u64, time: Option<Moment>, what: PastEvent) -> PastRecord {
        PastRecord::of(Place { seq, time, up: None }, "", what)
    }

    /// An operation of this program on a function begins, or goes on.
    fn operation(at: &str, phase: OperationPhase) -> PastRecord {
        let bdf = Some(bdf(at));
        of(0, Some(noon()), PastEvent::Operation(OperationRecord { id: "aa".to_owned(), bdf, phase }))
    }

    /// Seconds after noon, and what happened.
    fn acts(story: &[(u32, Entry)]) -> Misattachments {
        let mut acts = Misattachments::default();
        for (seq, (second, entry)) in story.iter().enumerate() {
            acts.take(&record(seq as u64, Some(noon().after(u64::from(*second))), entry.clone()));
        }
        acts
    }

    fn functions(act: &Misattachment) -> Vec<String> {
        act.taken.iter().map(|taken| format!("{} {}", taken.bdf, taken.driver)).collect()
    }

    #[test]
    fn what_one_start_takes_is_one_act_of_that_qube() {
        let acts = acts(&[
            (0, started("sys-net")),
            (1, seized("0000:03:00.0", "e1000e")),
            (2, seized("0000:03:00.1", "e1000e")),
            (4, given("0000:03:00.0", "sys-net")),
            (4, given("0000:03:00.1", "sys-net")),
        ]);
        let act = acts.newest(None).unwrap();
        assert_eq!(act.qube.as_deref(), Some("sys-net"));
        assert_eq!(functions(act), ["0000:03:00.0 e1000e", "0000:03:00.1 e1000e"]);
        assert_eq!(acts.newest(Some(bdf("0000:03:00.1"))), Some(act));
        assert_eq!(acts.newest(Some(bdf("0000:04:00.0"))), None);
    }

    #[test]
    fn the_next_qubes_start_is_another_act() {
        let acts = acts(&[
            (0, seized("0000:03:00.0", "e1000e")),
            (2, given("0000:03:00.0", "sys-net")),
            (3, started("sys-usb")),
            (4, seized("0000:00:14.0", "xhci_hcd")),
        ]);
        let act = acts.newest(None).unwrap();
        assert_eq!(
            (act.qube.as_deref(), functions(act)),
            (Some("sys-usb"), vec!["0000:00:14.0 xhci_hcd".to_owned()])
        );
        assert_eq!(acts.newest(Some(bdf("0000:03:00.0"))).unwrap().qube.as_deref(), Some("sys-net"));
    }

    #[test]
    fn seizures_far_apart_are_two_acts() {
        let acts = acts(&[(0, seized("0000:03:00.0", "e1000e")), (300, seized("0000:04:00.0", "nvme"))]);
        assert_eq!(functions(acts.newest(None).unwrap()), ["0000:04:00.0 nvme"]);
    }

    #[test]
    fn seizures_at_times_that_cannot_be_read_are_not_taken_for_one_act() {
        let mut acts = Misattachments::default();
        acts.take(&record(1, None, seized("0000:03:00.0", "e1000e")));
        acts.take(&record(2, None, seized("0000:04:00.0", "nvme")));
        assert_eq!(functions(acts.newest(None).unwrap()), ["0000:04:00.0 nvme"]);
    }

    #[test]
    fn a_boots_seizure_of_a_driverless_function_is_no_act() {
        let acts = acts(&[(0, seized("0000:03:00.0", "")), (1, seized("0000:04:00.0", "pciback"))]);
        assert_eq!(acts.newest(None), None);
    }

    #[test]
    fn what_this_program_holds_is_no_act() {
        let mut acts = Misattachments::default();
        acts.take(&operation("0000:03:00.0", OperationPhase::Start(Box::default())));
        acts.take(&record(1, Some(noon()), seized("0000:03:00.0", "e1000e")));
        acts.take(&operation("0000:03:00.0", OperationPhase::Other));
        assert_eq!(acts.newest(None), None);
        acts.take(&record(2, Some(noon().after(1)), seized("0000:03:00.0", "e1000e")));
        assert!(acts.newest(None).is_some());
    }

    #[test]
    fn a_second_qube_does_not_become_the_one_it_was_taken_for() {
        let acts = acts(&[
            (0, seized("0000:03:00.0", "e1000e")),
            (2, given("0000:03:00.0", "sys-net")),
            (9, given("0000:03:00.0", "work")),
        ]);
        assert_eq!(acts.newest(None).unwrap().qube.as_deref(), Some("sys-net"));
    }
}
