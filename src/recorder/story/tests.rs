//! Whatever happens, the story adds up.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::journal::{DeviceEvent, Moment, StayEvent};
use crate::names::{DriverName, Owner};
use crate::system::uevents::{Action, Uevent};
use proptest::prelude::*;
use std::time::Duration;

fn at(seconds: u64) -> Now {
    Now { clock: Duration::from_secs(seconds), moment: Moment::from_micros(seconds * 1_000_000) }
}

fn function(number: u8) -> Sbdf {
    Sbdf::new(0, 0, number, 0).unwrap()
}

fn using(number: u8, domain: u16) -> Using {
    Using {
        place: (function(number), domain),
        stub: None,
        qube: format!("qube{}", domain % 3),
        uuid: String::new(),
        id: String::new(),
        options: "permissive=0".to_owned(),
    }
}

/// Begun and not ended, by what was told; told twice or ended unbegun is an error.
fn open(entries: &[Entry]) -> BTreeSet<Occupancy> {
    let mut open = BTreeSet::new();
    for entry in entries {
        let Entry::Stay(stay) = entry else { continue };
        let place = (stay.bdf, stay.domain.unwrap());
        match stay.event {
            StayEvent::Begin | StayEvent::Present => assert!(open.insert(place), "told twice: {stay:?}"),
            StayEvent::End => assert!(open.remove(&place), "ended unbegun: {stay:?}"),
        }
    }
    open
}

proptest! {
    #[test]
    fn stays_that_were_told_are_those_that_are(
        readings in proptest::collection::vec(proptest::collection::btree_set((0u8..3, 1u16..6), 0..5), 1..60),
        pace in 0u64..20,
        restart in 0usize..60,
    ) {
        let mut story = Story::default();
        let mut told = Vec::new();
        let mut seconds = 0;
        for (index, reading) in readings.iter().enumerate() {
            seconds += pace;
            let uses: Vec<Using> = reading.iter().map(|&(number, domain)| using(number, domain)).collect();
            if index == restart {
                let snapshot = Snapshot { uses: Some(uses), ..Snapshot::default() };
                told.extend(story.snapshot(snapshot, at(seconds)));
            } else {
                told.extend(story.uses(uses, Vec::new(), at(seconds)));
            }
        }
        open(&told);
        // Once there is room again, it is told how things stand.
        for _ in 0..200 {
            seconds += 10;
            told.extend(story.settle(&mut |_| None, at(seconds), false));
        }
        let now: BTreeSet<Occupancy> =
            readings.last().unwrap().iter().map(|&(number, domain)| (function(number), domain)).collect();
        prop_assert_eq!(open(&told), now);
        prop_assert!(story.limits.owing().is_empty());
    }

    #[test]
    fn every_uevent_is_told_counted_or_a_repeat(
        events in proptest::collection::vec((0u8..3, 0usize..5), 0..400), pace in 0u64..4,
    ) {
        let mut story = Story::default();
        let (mut told, mut drivers, mut changes) = (Vec::new(), BTreeMap::new(), 0);
        for (index, (number, kind)) in events.into_iter().enumerate() {
            let sbdf = function(number);
            let names = ["dom0s-own", "pciback"];
            let before = drivers.get(&sbdf).cloned();
            let (action, after) = match kind {
                0 => (Action::Add, Some(None)),
                1 => (Action::Remove, None),
                2 => (Action::Unbind, Some(None)),
                kind => (Action::Bind, Some(names.get(kind - 3).copied())),
            };
            let repeat = matches!(action, Action::Bind | Action::Unbind) && before.is_some() && before == after;
            changes += i64::from(!repeat);
            match after {
                Some(after) => drop(drivers.insert(sbdf, after)),
                None => drop(drivers.remove(&sbdf)),
            }
            let driver = after.flatten().and_then(DriverName::parse);
            let event = Uevent { action, sbdf, driver, number: 0 };
            told.extend(story.uevent(&event, &mut |_| Some(Seen::default()), at(index as u64 * pace)));
        }
        told.extend(story.settle(&mut |_| None, at(1_000_000), true));
        let events = told.iter().filter(|entry| matches!(entry, Entry::Device(it) if it.event != DeviceEvent::Present));
        let lost: i64 = told.iter().filter_map(|entry| if let Entry::Lost(it) = entry { Some(it.count) } else { None }).sum();
        prop_assert_eq!(i64::try_from(events.count()).unwrap() + lost, changes);
    }
}

/// The owner that a seizure is told with.
fn owner_told(story: &mut Story) -> String {
    let mut owner = None;
    for (action, driver) in [(Action::Unbind, None), (Action::Bind, Some(DriverName::PCIBACK))] {
        let event = Uevent { action, sbdf: function(1), driver, number: 0 };
        for entry in story.uevent(&event, &mut |_| Some(Seen::default()), at(0)) {
            if let Entry::Device(it) = entry {
                owner = (it.event == DeviceEvent::Seized)
                    .then_some(it.owner.map(|owner| owner.to_string()).unwrap_or_default());
            }
        }
    }
    owner.unwrap()
}

#[test]
fn a_seizure_is_told_with_whom_the_function_was_till_then() {
    let found = |driver: &str, owner: &str| Snapshot {
        drivers: [(function(1), DriverName::parse(driver))].into(),
        owners: [(function(1), Owner::parse(owner).unwrap())].into(),
        ..Snapshot::default()
    };
    for (driver, owner, told) in
        [("e1000e", "dom0", "dom0"), ("e1000e", "DomIO", "DomIO"), ("vfio-pci", "dom0", ""), ("", "dom0", "")]
    {
        let mut story = Story::default();
        story.snapshot(found(driver, owner), at(0));
        assert_eq!(owner_told(&mut story), told, "{driver} {owner}");
        // A driver that was bound since may be bound in quarantine.
        let driver = DriverName::parse("e1000e");
        let event = Uevent { action: Action::Bind, sbdf: function(1), driver, number: 0 };
        story.uevent(&event, &mut |_| None, at(0));
        assert_eq!(owner_told(&mut story), "");
    }
    // Who owns it could not be read, or what happened since was lost.
    let mut story = Story::default();
    story.snapshot(found("e1000e", "dom0"), at(0));
    story.snapshot(Snapshot { owners: BTreeMap::new(), ..found("e1000e", "dom0") }, at(0));
    assert_eq!(owner_told(&mut story), "");
    let mut story = Story::default();
    story.snapshot(found("e1000e", "dom0"), at(0));
    let _ = story.overflow(at(0).moment);
    assert_eq!(owner_told(&mut story), "");
}

#[test]
fn a_snapshot_that_says_nothing_new_tells_nothing() {
    let mut story = Story::default();
    let snapshot = Snapshot {
        drivers: [(function(1), Some(DriverName::PCIBACK))].into(),
        held: [(function(1), Seen { driver: Some(DriverName::PCIBACK), listed: true, ..Seen::default() })]
            .into(),
        uses: Some(vec![using(1, 4)]),
        owners: BTreeMap::new(),
        left: vec![using(1, 3)],
        given: [(function(1), 3), (function(1), 4), (function(2), 9)].into(),
        first: false,
    };
    assert_eq!(story.snapshot(snapshot.clone(), at(0)).len(), 4);
    assert_eq!(story.snapshot(snapshot, at(1)), Vec::new());
}
