//! Given these records, this is what the function has been through.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::journal::{
    Log, LossCause, LossRecord, QubeRecord, RecorderPhase, RecorderRecord, Source as Teller, StayEvent,
};
use crate::names::DriverName;
use proptest::prelude::*;
use RecorderPhase::{Heartbeat, Source, Start, Stop};

const ID: &str = "8086:10d3 8086:a01f 020000 0000000000000001";
const OTHER: &str = "1b36:000d 1af4:1100 0c0330";
const BOOT: &str = "b0b0b0b0";

fn nic() -> Sbdf {
    Sbdf::from_sysfs("0000:00:07.0").unwrap()
}

fn elsewhere() -> Sbdf {
    Sbdf::from_sysfs("0000:00:09.0").unwrap()
}

fn at(second: u64) -> Moment {
    Moment::from_micros((1_000_000 + second) * 1_000_000)
}

/// What happened at which second of which boot.
type Story = Vec<(u64, &'static str, Entry)>;

fn recorder(phase: RecorderPhase, missing: &str) -> Entry {
    let sources = ["uevents", "xenstore"].iter().filter(|it| !missing.contains(**it));
    Entry::Recorder(RecorderRecord {
        phase,
        run: "run".into(),
        sources: sources.map(|it| (*it).to_owned()).collect(),
        missing: missing.split_whitespace().map(str::to_owned).collect(),
        first: false,
        interval: 60,
    })
}

fn first() -> Entry {
    let Entry::Recorder(it) = recorder(Start, "") else { return recorder(Start, "") };
    Entry::Recorder(RecorderRecord { first: true, ..it })
}

fn device(event: DeviceEvent, bdf: Sbdf, identity: Identity) -> Entry {
    Entry::Device(DeviceRecord {
        identity,
        driver: Some(DriverName::PCIBACK),
        before: DriverName::parse("driver"),
        way: Some(Way::Override),
        owner: (event == DeviceEvent::Seized).then_some(Owner::Dom0),
        ..DeviceRecord::new(event, bdf, Teller::Uevent)
    })
}

fn identity(id: &str, revision: &str) -> Identity {
    Identity { id: id.into(), revision: revision.into(), ..Identity::default() }
}

fn seized() -> Entry {
    device(DeviceEvent::Seized, nic(), identity(ID, "01"))
}

fn stay_at(event: StayEvent, bdf: Sbdf, id: &str, qube: &str, domain: i64) -> Entry {
    Entry::Stay(StayRecord {
        id: id.into(),
        label: "red".into(),
        domain: u16::try_from(domain).ok(),
        ..StayRecord::new(event, bdf, qube, Teller::Xenstore)
    })
}

fn stay(event: StayEvent, qube: &str, domain: i64) -> Entry {
    stay_at(event, nic(), ID, qube, domain)
}

fn imported(event: StayEvent, qube: &str, at: &str) -> Entry {
    let Entry::Stay(it) = stay(event, qube, -1) else { return seized() };
    Entry::Stay(StayRecord { source: Teller::Import(Log::Libvirt), at: Moment::parse(at), ..it })
}

fn lost(since: u64) -> Entry {
    Entry::Lost(LossRecord {
        source: Teller::Uevent,
        qube: String::new(),
        count: 0,
        why: Some(LossCause::Overflow),
        since: Some(at(since)),
    })
}

fn record(place: Place, boot: &str, entry: &Entry) -> PastRecord {
    PastRecord::of(place, boot, PastEvent::Entry(entry.clone()))
}

/// The fold of a story, asked at second 1000 while the recorder lives (or not).
fn past(story: &Story, alive: bool) -> Exposure {
    past_of(story, alive, &[(nic(), ID)])
}

fn past_of(story: &Story, alive: bool, present: &[(Sbdf, &str)]) -> Exposure {
    by_clock(story, alive, present, &at)
}

/// The same, where the wall clock showed these times.
fn by_clock(story: &Story, alive: bool, present: &[(Sbdf, &str)], wall: &dyn Fn(u64) -> Moment) -> Exposure {
    // The one that began last holds the mark.
    let started = |(_, _, entry): &(u64, &str, Entry)| match entry {
        Entry::Recorder(it) if it.phase == RecorderPhase::Start => Some(it.run.clone()),
        _ => None,
    };
    let holder = story.iter().rev().find_map(started).filter(|_| alive);
    held_by(story, holder.as_deref(), present, wall)
}

/// The same, where this run holds the recorder's mark.
fn held_by(
    story: &Story,
    holder: Option<&str>,
    present: &[(Sbdf, &str)],
    wall: &dyn Fn(u64) -> Moment,
) -> Exposure {
    let named =
        present.iter().map(|(sbdf, id)| IdentifiedFunction { sbdf: *sbdf, id: (*id).to_owned() }).collect();
    let id = present.iter().find(|(sbdf, _)| *sbdf == nic()).unwrap().1;
    let wanted = BTreeMap::from([(nic(), identity(id, "01"))]);
    let mut fold = Fold::new(BOOT, Some(at(0)), named, wanted);
    for (seq, (second, boot, entry)) in story.iter().enumerate() {
        let up = Uptime::from_record(*second as i64);
        fold.tell(&record(Place { seq: seq as u64 + 1, time: Some(wall(*second)), up }, boot, entry));
    }
    let mut candidates = fold.candidates();
    for (second, boot, entry) in story {
        let record = record(Place { seq: 1, time: Some(wall(*second)), up: None }, boot, entry);
        candidates.iter_mut().for_each(|it| it.tell(&record));
    }
    let past = fold.finish(Uptime::from_record(1000), holder, JournalReading::Read { odd: 0 }, &candidates);
    { past }.of.remove(&nic()).unwrap()
}

/// Heartbeats of this boot from one second to another.
fn beats(from: u64, to: u64) -> Story {
    (from..=to).step_by(50).map(|second| (second, BOOT, recorder(Heartbeat, ""))).collect()
}

fn told(parts: Vec<Story>) -> Story {
    parts.concat()
}

fn whys(exposure: &Exposure) -> Vec<Why> {
    exposure.uncovered.iter().map(|gap| gap.why).collect()
}

/// What `never-exposed` asks of the journal.
fn is_clean(exposure: &Exposure) -> bool {
    exposure.stays.is_empty() && exposure.more_stays == 0 && exposure.uncovered.is_empty()
}

#[test]
fn nobody_had_it_and_the_recorder_heard_everything_since_the_boot() {
    let story = told(vec![vec![(10, BOOT, first())], beats(50, 1000)]);
    assert!(is_clean(&past(&story, true)));
    // One that has ended since may have missed what came then.
    assert_eq!(whys(&past(&story, false)), [Why::Died]);
}

#[test]
fn a_recorder_that_began_later_covers_what_was_taken_from_dom0_after_that() {
    let begun = vec![(10, BOOT, recorder(Start, ""))];
    let heard = told(vec![begun.clone(), beats(50, 100), vec![(110, BOOT, seized())], beats(150, 1000)]);
    assert!(is_clean(&past(&heard, true)));
    let before = told(vec![vec![(5, BOOT, seized())], begun, beats(50, 1000)]);
    assert_eq!(whys(&past(&before, true)), [Why::NoRecorder]);
}

#[test]
fn what_pciback_took_from_nobody_may_have_been_anywhere_before() {
    let Entry::Device(it) = seized() else { return };
    let from_nobody = Entry::Device(DeviceRecord { before: None, ..it });
    let story = told(vec![vec![(10, BOOT, recorder(Start, "")), (20, BOOT, from_nobody)], beats(50, 1000)]);
    assert_eq!(whys(&past(&story, true)), [Why::NoRecorder]);
}

/// What Xen said of the owner, by which event, and who drove it then.
fn owned(event: DeviceEvent, driver: &str, before: &str, owner: &str) -> Entry {
    let Entry::Device(it) = device(event, nic(), identity(ID, "01")) else { return seized() };
    let [driver, before] = [driver, before].map(DriverName::parse);
    let owner = Owner::parse(owner);
    Entry::Device(DeviceRecord { driver, before, owner, ..it })
}

#[test]
fn a_driver_that_was_bound_while_dom0_did_not_own_it_made_it_nobody_s() {
    use DeviceEvent::{Bound, Present, Seized};
    let is = |driver, owner| owned(Present, driver, "", owner);
    let took = |owner| owned(Seized, "pciback", "e1000e", owner);
    let dom0s = || owned(Bound, "e1000e", "pciback", "dom0");
    let heard_bound = || owned(Bound, "e1000e", "pciback", "");
    // Recorded after a recorder began that was not the first, and whether dom0 had it till it was taken.
    let cases: Vec<(Vec<Entry>, bool)> = vec![
        (vec![took("dom0")], true),
        (vec![took("DomIO")], false),
        (vec![took("d3")], false),
        // Where the record does not tell, the one before it does.
        (vec![took("")], false),
        (vec![is("e1000e", "dom0"), took("")], true),
        (vec![is("e1000e", "DomIO"), took("")], false),
        (vec![is("e1000e", "DomIO"), took("DomIO")], false),
        // The kernel's word of what an operation proved comes before it or after it.
        (vec![took("dom0"), heard_bound(), dom0s(), took("")], true),
        (vec![took("dom0"), dom0s(), heard_bound(), took("")], true),
        // What pciback held may have been with a qube since.
        (vec![is("pciback", "dom0"), heard_bound(), took("")], false),
        (vec![took("dom0"), heard_bound(), took("")], false),
        // An operation and the kernel tell of one seizure.
        (vec![took("DomIO"), took("")], false),
        (vec![took("dom0"), took("")], true),
        // What was lost may have been anything.
        (vec![is("e1000e", "dom0"), lost(20), took("")], false),
        (vec![is("e1000e", "dom0"), recorder(Start, ""), took("")], false),
    ];
    for (entries, was_dom0s) in cases {
        let entries = std::iter::once(recorder(Start, "")).chain(entries);
        let story: Story = entries.map(|entry| (20, BOOT, entry)).collect();
        let exposure = past(&told(vec![story.clone(), beats(50, 1000)]), true);
        let seized = exposure.seized.as_ref().unwrap();
        assert_eq!((seized.since > 0, seized.from_dom0 == Some(true)), (was_dom0s, was_dom0s), "{story:?}");
        assert!(was_dom0s || exposure.uncovered[0].why == Why::NoRecorder, "{story:?}");
    }
    // pciback held it for dom0: what came before counts, and that its quarantine is new is known.
    let story =
        vec![(20, BOOT, recorder(Start, "")), (30, BOOT, owned(Seized, "pciback", "pciback", "dom0"))];
    let seized = past(&told(vec![story, beats(50, 1000)]), true).seized.unwrap();
    assert_eq!((seized.since, seized.from_dom0), (0, Some(true)));
}

#[test]
fn a_killed_recorder_leaves_the_time_until_the_next_one_uncovered() {
    let story = told(vec![
        vec![(10, BOOT, first()), (20, BOOT, seized())],
        beats(50, 300),
        vec![(400, BOOT, recorder(Start, ""))],
        beats(450, 1000),
    ]);
    let exposure = past(&story, true);
    assert_eq!(whys(&exposure), [Why::Died]);
    let gap = exposure.uncovered[0];
    assert_eq!((gap.from.unwrap().time, gap.to.unwrap().time), (Some(at(300)), Some(at(400))));
}

#[test]
fn stopped_silent_deaf_and_losing_recorders_are_told_apart() {
    let begun = || vec![(10, BOOT, first()), (20, BOOT, seized())];
    let cases: Vec<(Story, Why)> = vec![
        (vec![(60, BOOT, recorder(Stop, "")), (70, BOOT, recorder(Start, ""))], Why::Stopped),
        (vec![(200, BOOT, recorder(Heartbeat, ""))], Why::Silent),
        (vec![(40, BOOT, recorder(Source, "xenstore")), (60, BOOT, recorder(Source, ""))], Why::Deaf),
        (vec![(40, BOOT, recorder(Source, "uevents")), (60, BOOT, recorder(Source, ""))], Why::Deaf),
        (vec![(60, BOOT, lost(40))], Why::Lost),
    ];
    for (middle, why) in cases {
        let next = middle.last().unwrap().0 + 20;
        let story = told(vec![begun(), middle, beats(next, 1000)]);
        assert_eq!(whys(&past(&story, true)), [why]);
    }
    // What was missed before it was taken from dom0 does not count.
    let story =
        told(vec![vec![(10, BOOT, first()), (40, BOOT, lost(30)), (50, BOOT, seized())], beats(60, 1000)]);
    assert!(is_clean(&past(&story, true)));
}

/// The wall clock steps at this second by so much.
fn stepping(second: u64, by: i64) -> impl Fn(u64) -> Moment {
    move |now| {
        let by = if now < second { 0 } else { by * 1_000_000 };
        Moment::from_micros(at(now).micros().saturating_add_signed(by))
    }
}

const DAY: i64 = 86_400;
/// A day back, ten years on, a little back, to 1970, and beyond the year 9999.
const STEPS: [i64; 6] = [-DAY, 3_650 * DAY, -3, 3, -10_000 * DAY, 9_000_000 * DAY];

#[test]
fn a_clock_that_steps_while_the_recorder_hears_loses_nothing() {
    let story = told(vec![vec![(10, BOOT, first()), (20, BOOT, seized())], beats(50, 1000)]);
    for by in STEPS {
        assert!(is_clean(&by_clock(&story, true, &[(nic(), ID)], &stepping(475, by))), "{by}");
    }
}

#[test]
fn a_clock_that_was_set_back_hides_no_silence() {
    let begun = vec![(10, BOOT, first()), (20, BOOT, seized())];
    // It hung for five minutes, in which the clock went back by them.
    let hung = told(vec![begun.clone(), beats(50, 300), beats(600, 1000)]);
    // It ended without a word, and the next one began.
    let died =
        told(vec![begun.clone(), beats(50, 300), vec![(600, BOOT, recorder(Start, ""))], beats(650, 1000)]);
    // It hangs since, and holds its lock.
    let hangs = told(vec![begun, beats(50, 300)]);
    for (story, why, by) in [(hung, Why::Silent, -290), (died, Why::Died, -299), (hangs, Why::Died, -690)] {
        for by in STEPS.into_iter().chain([0, by]) {
            let exposure = by_clock(&story, true, &[(nic(), ID)], &stepping(500, by));
            assert_eq!(whys(&exposure), [why], "{by}");
        }
    }
}

#[test]
fn what_was_not_measured_by_the_clock_that_only_rises_proves_nothing() {
    let story = told(vec![vec![(10, BOOT, first()), (20, BOOT, seized())], beats(50, 1000)]);
    let mut fold = Fold::new(BOOT, Some(at(0)), vec![], BTreeMap::from([(nic(), identity(ID, "01"))]));
    for (seq, (second, boot, entry)) in story.iter().enumerate() {
        fold.tell(&record(Place { seq: seq as u64, time: Some(at(*second)), up: None }, boot, entry));
    }
    let past = fold.finish(Uptime::from_record(1000), Some("run"), JournalReading::Read { odd: 0 }, &[]);
    assert!(!is_clean(&past.of[&nic()]));
}

#[test]
fn of_two_recorders_that_seem_to_live_the_later_one_proves_nothing_of_the_time_before() {
    let Entry::Recorder(it) = recorder(Start, "") else { return };
    let next = Entry::Recorder(RecorderRecord { run: "next".into(), ..it });
    let story =
        told(vec![vec![(10, BOOT, first()), (20, BOOT, seized())], beats(50, 950), vec![(990, BOOT, next)]]);
    assert_eq!(whys(&past(&story, true)), [Why::Died]);
}

#[test]
fn a_recorder_that_is_deaf_does_not_wake_the_one_before() {
    let Entry::Recorder(it) = recorder(Start, "xenstore") else { return };
    let next = Entry::Recorder(RecorderRecord { run: "next".into(), ..it });
    let story =
        told(vec![vec![(10, BOOT, first()), (20, BOOT, seized())], beats(50, 950), vec![(990, BOOT, next)]]);
    assert!(!is_clean(&past(&story, true)));
}

#[test]
fn a_recorder_whose_beginning_is_not_on_disk_yet_proves_nothing() {
    let story = told(vec![vec![(10, BOOT, first()), (20, BOOT, seized())], beats(50, 990)]);
    let asked = |holder| held_by(&story, holder, &[(nic(), ID)], &at);
    assert!(is_clean(&asked(Some("run"))));
    assert!(!is_clean(&asked(Some("another"))));
    assert!(!is_clean(&asked(None)));
}

#[test]
fn an_import_of_this_boot_stays_one_though_the_clock_was_set_forward() {
    let story = [(10, BOOT, first()), (900, BOOT, imported(StayEvent::Begin, "now", &at(700).to_string()))];
    // The kernel reckons the beginning of the boot from its clock.
    let named = vec![IdentifiedFunction { sbdf: nic(), id: ID.to_owned() }];
    let mut fold =
        Fold::new(BOOT, Some(at(3_650 * 86_400)), named, BTreeMap::from([(nic(), identity(ID, "01"))]));
    for (seq, (second, boot, entry)) in story.iter().enumerate() {
        let (seq, up) = (seq as u64 + 1, Uptime::from_record(*second as i64));
        fold.tell(&record(Place { seq, time: Some(at(*second)), up }, boot, entry));
    }
    let past = fold.finish(Uptime::from_record(1000), Some("run"), JournalReading::Read { odd: 0 }, &[]);
    assert_eq!(past.of[&nic()].stays.len(), 1);
}

#[test]
fn qubesd_is_not_needed_to_know_that_no_qube_had_it() {
    let story =
        told(vec![vec![(10, BOOT, first()), (20, BOOT, recorder(Source, "qubesd"))], beats(50, 1000)]);
    assert!(is_clean(&past(&story, true)));
}

#[test]
fn a_stay_is_told_from_its_begin_to_its_end() {
    let story = told(vec![
        vec![(10, BOOT, first()), (20, BOOT, seized())],
        vec![
            (30, BOOT, stay(StayEvent::Begin, "domain-7", 7)),
            (31, BOOT, stay(StayEvent::Present, "sys-net", 7)),
        ],
        vec![(60, BOOT, stay(StayEvent::End, "sys-net", 7)), (61, BOOT, stay(StayEvent::End, "sys-net", 7))],
        vec![(70, BOOT, stay(StayEvent::Begin, "work", 8))],
        beats(100, 1000),
    ]);
    let exposure = past(&story, true);
    let stays: Vec<_> = exposure.stays.iter().map(|one| (one.stay.qube.as_str(), one.from, one.to)).collect();
    assert_eq!(
        stays,
        [("sys-net", Some(at(30)), StayEnd::At(Some(at(60)))), ("work", Some(at(70)), StayEnd::Open)]
    );
    assert!(exposure.uncovered.is_empty());
}

fn labelled(event: StayEvent, domain: i64, label: &str) -> Entry {
    let Entry::Stay(it) = stay(event, "work", domain) else { return seized() };
    Entry::Stay(StayRecord { label: label.into(), ..it })
}

#[test]
fn of_a_qube_every_label_counts_and_one_stay_without_any_makes_it_unknown() {
    use StayEvent::{Begin, End, Present};
    let relabel = |qube: &str| {
        let label = "orange".into();
        Entry::Qube(QubeRecord { label, ..QubeRecord::new(QubeEvent::Label, qube, Teller::Qubesd) })
    };
    // Its stays, the labels that count, and whether those are all.
    let cases: Vec<(Vec<Entry>, &[&str], bool)> = vec![
        (vec![labelled(Begin, 3, "blue"), labelled(End, 3, "")], &["blue"], true),
        // The label is told behind the beginning, and another one later.
        (vec![labelled(Begin, 3, ""), labelled(Present, 3, "blue")], &["blue"], true),
        (vec![labelled(Begin, 3, "blue"), labelled(Present, 3, "red")], &["blue", "red"], true),
        (vec![labelled(Begin, 3, "blue"), labelled(End, 3, ""), labelled(Begin, 4, "")], &["blue"], false),
        (vec![labelled(Begin, 3, ""), labelled(End, 3, ""), labelled(Begin, 4, "blue")], &["blue"], false),
        (vec![labelled(Begin, 3, "blue"), relabel("work")], &["blue", "orange"], true),
        (vec![labelled(Begin, 3, "blue"), relabel("other")], &["blue"], true),
    ];
    for (entries, labels, known) in cases {
        let of = |boot: &'static str| {
            let story: Story = entries.iter().map(|entry| (20, boot, entry.clone())).collect();
            past(&story, false)
        };
        let earlier = of("a0a0a0a0");
        let before = &earlier.before[0];
        assert_eq!(before.had.labels.iter().collect::<Vec<_>>(), labels, "{entries:?}");
        assert_eq!(before.had.unlabelled, !known, "{entries:?}");
        let of_now = of(BOOT);
        let had = holders(&crate::assess::tests::situation::Situation::driven(0).dom0, nic(), Some(&of_now));
        let mut now = had[0].labels.clone();
        now.sort();
        assert_eq!(now, if known { labels } else { &[] }, "{entries:?}");
    }
}

#[test]
fn what_is_left_of_a_stay_that_nobody_saw_is_a_stay() {
    let story = vec![(60, BOOT, stay(StayEvent::End, "sys-net", 7))];
    let exposure = past(&story, false);
    assert_eq!(exposure.stays[0].from, None);
    assert_eq!(exposure.stays[0].to, StayEnd::At(Some(at(60))));
}

#[test]
fn the_next_qube_ends_the_stay_before_though_nobody_wrote_that_down() {
    let story = vec![
        (30, BOOT, stay(StayEvent::Begin, "sys-net", 7)),
        (90, BOOT, stay(StayEvent::Present, "work", 9)),
    ];
    let exposure = past(&story, false);
    assert_eq!(exposure.stays[0].to, StayEnd::By(Some(at(90))));
    assert!(!exposure.stays[1].begun);
}

#[test]
fn earlier_boots_follow_the_identity_wherever_it_stood() {
    let story = vec![
        (1, "a0a0a0a0", stay_at(StayEvent::Begin, elsewhere(), ID, "sys-net", 3)),
        (2, "a0a0a0a0", stay_at(StayEvent::End, elsewhere(), ID, "sys-net", 3)),
        (3, "a1a1a1a1", stay_at(StayEvent::Begin, elsewhere(), ID, "sys-net", 3)),
        // Another device stood at its address then.
        (4, "a1a1a1a1", stay_at(StayEvent::Begin, nic(), OTHER, "work", 4)),
    ];
    let exposure = past(&story, false);
    assert_eq!(exposure.before.len(), 1);
    let before = &exposure.before[0];
    assert_eq!(
        (before.had.qube.as_str(), before.had.stays, before.moved, before.perhaps),
        ("sys-net", 2, true, false)
    );
    assert_eq!((before.had.first, before.had.last), (Some(at(1)), Some(at(3))));
}

#[test]
fn twins_share_their_earlier_boots_and_not_this_one() {
    let base = "8086:10d3 8086:a01f 020000";
    let story = vec![
        (1, "a0a0a0a0", stay_at(StayEvent::Begin, elsewhere(), base, "sys-net", 3)),
        (20, BOOT, stay_at(StayEvent::Begin, elsewhere(), base, "work", 4)),
    ];
    let exposure = past_of(&story, false, &[(nic(), base), (elsewhere(), base)]);
    assert_eq!((exposure.before.len(), exposure.stays.len()), (1, 0));
    assert!(exposure.before[0].perhaps);
    assert_eq!(exposure.twins, [elsewhere()]);
    // Where the twin is not at that address (any more), it may have been this one.
    let exposure = past_of(&story, false, &[(nic(), base)]);
    assert_eq!(exposure.stays.len(), 1);
}

#[test]
fn in_this_boot_the_address_counts_whatever_the_device_calls_itself() {
    let story = vec![(20, BOOT, stay_at(StayEvent::Begin, nic(), OTHER, "work", 4))];
    assert_eq!(past(&story, false).stays.len(), 1);
}

#[test]
fn imports_add_stays_and_cover_nothing() {
    let story = vec![
        (900, BOOT, imported(StayEvent::Begin, "old", &at(1).before_boot())),
        (900, BOOT, imported(StayEvent::Begin, "untimed", "")),
        (900, BOOT, imported(StayEvent::Begin, "now", &at(700).to_string())),
    ];
    let exposure = past(&story, true);
    let before: Vec<_> =
        exposure.before.iter().map(|one| (one.had.qube.as_str(), one.had.imported)).collect();
    assert_eq!(before, [("old", true)]);
    assert_eq!(
        exposure.stays.iter().map(|one| one.stay.qube.as_str()).collect::<Vec<_>>(),
        ["untimed", "now"]
    );
    assert!(exposure.nobody_recorded());
}

#[test]
fn an_import_is_of_the_boot_that_its_source_names_and_else_of_that_of_its_time() {
    let (hour, day) = (3_600_000_000, 86_400_000_000);
    let before = |micros: u64| Moment::from_micros(at(0).micros() - micros).to_string();
    // The boot that the source names, its time, whether that is about, and whether it is of this boot.
    let cases = [
        ("", at(700).to_string(), false, true),
        ("", before(hour), false, false),
        (BOOT, before(hour), false, true),
        (BOOT, String::new(), false, true),
        ("a0a0a0a0", at(700).to_string(), false, false),
        ("", before(hour), true, true),
        ("", before(2 * day), true, false),
        // Without a time it is of this boot or of an earlier one.
        ("", String::new(), true, true),
    ];
    for (of_boot, time, approximate, now) in cases {
        let named = vec![IdentifiedFunction { sbdf: nic(), id: ID.to_owned() }];
        let wanted = BTreeMap::from([(nic(), identity(ID, "01"))]);
        let mut fold = Fold::new(BOOT, Some(at(0)), named, wanted);
        let place = Place { seq: 1, time: Some(at(900)), up: None };
        let imported = record(place, BOOT, &imported(StayEvent::Begin, "work", &time));
        fold.tell(&PastRecord { of_boot: of_boot.to_owned(), approximate, ..imported });
        let past = fold.finish(Uptime::from_record(1000), None, JournalReading::Read { odd: 0 }, &[]);
        let exposure = &past.of[&nic()];
        let expected = if now { (1, 0) } else { (0, 1) };
        assert_eq!((exposure.stays.len(), exposure.before.len()), expected, "{of_boot} {time} {approximate}");
    }
}

impl Moment {
    /// A day before.
    fn before_boot(self) -> String {
        Moment::from_micros(self.micros() - 86_400_000_000).to_string()
    }
}

#[test]
fn a_changed_identity_is_held_against_what_was_recorded() {
    let known = |boot, entry| vec![(20, boot, entry)];
    let with = |id: &str, revision: &str| device(DeviceEvent::Seized, nic(), identity(id, revision));
    let fields = |story: &Story| {
        past(story, false).changes.iter().map(|one| one.fields.join("; ")).collect::<Vec<_>>()
    };
    assert_eq!(fields(&known(BOOT, with(ID, "01"))), Vec::<String>::new());
    assert_eq!(fields(&known(BOOT, with(ID, "00"))), ["revision 00 -> 01"]);
    assert_eq!(fields(&known("a0a0a0a0", with(ID, "00"))), ["revision 00 -> 01"]);
    // Another device at its address, which is gone.
    let changed = fields(&known("a0a0a0a0", with(OTHER, "01")));
    assert!(changed[0].starts_with("vendor and device 1b36:000d -> 8086:10d3"), "{changed:?}");
    // The first record of this boot counts: a later one may be of what a qube made of it.
    let twice = vec![(20, BOOT, with(ID, "00")), (30, BOOT, with(ID, "01"))];
    assert_eq!(fields(&twice), ["revision 00 -> 01"]);
}

#[test]
fn the_hash_of_a_rom_is_the_one_that_was_recorded_last_of_this_device() {
    let rom = |digit: &str| Identity { rom_sha256: digit.repeat(64), ..identity(ID, "01") };
    let settled =
        |boot: &'static str, bdf, digit: &str| (1, boot, device(DeviceEvent::Bound, bdf, rom(digit)));
    let known = |story: Story, twin: bool| {
        let present = [(nic(), ID), (elsewhere(), if twin { ID } else { OTHER })];
        past_of(&story, true, &present)
            .rom_sha256
            .and_then(|hash| hash.chars().next())
            .map(String::from)
            .unwrap_or_default()
    };
    // What is recorded later without a ROM takes nothing away.
    let story = vec![settled("a", nic(), "1"), settled("b", nic(), "2"), (2, BOOT, seized())];
    assert_eq!(known(story, true), "2");
    let moved = vec![settled("a", nic(), "1"), settled("b", elsewhere(), "2")];
    assert_eq!(known(moved.clone(), false), "2");
    assert_eq!(known(moved, true), "1");
    let odd = Identity { rom_sha256: "\u{1b}[2J".repeat(16), ..identity(ID, "01") };
    assert_eq!(known(vec![(1, "a", device(DeviceEvent::Bound, nic(), odd))], false), "");
    let other = Identity { rom_sha256: "3".repeat(64), ..identity(OTHER, "01") };
    assert_eq!(known(vec![(1, "a", device(DeviceEvent::Bound, nic(), other))], false), "");
}

#[test]
fn a_device_that_moved_is_no_change() {
    let story = vec![(20, "a0a0a0a0", device(DeviceEvent::Seized, nic(), identity(OTHER, "01")))];
    let exposure = past_of(&story, false, &[(nic(), ID), (elsewhere(), OTHER)]);
    assert_eq!(exposure.changes, []);
}

#[test]
fn a_device_that_calls_itself_something_else_has_not_moved_because_another_of_its_model_is_there() {
    let was =
        |boot: &'static str, bdf, id: &str| (20, boot, device(DeviceEvent::Seized, bdf, identity(id, "01")));
    let changed = |story: &Story, there: Sbdf, id: &str| {
        !past_of(story, false, &[(nic(), ID), (there, id)]).changes.is_empty()
    };
    // The other one stood there already, in that boot or before it.
    for boot in ["a0a0a0a0", "a1a1a1a1"] {
        let both = vec![was(boot, elsewhere(), OTHER), was("a1a1a1a1", nic(), OTHER)];
        assert!(changed(&both, elsewhere(), OTHER), "{boot}");
    }
    let both = vec![was("a1a1a1a1", nic(), OTHER), was("a1a1a1a1", elsewhere(), OTHER)];
    assert!(changed(&both, elsewhere(), OTHER));
    // It has another serial number.
    let (one, two) = (format!("{OTHER} 0000000000000001"), format!("{OTHER} 0000000000000002"));
    assert!(changed(&vec![was("a0a0a0a0", nic(), &one)], elsewhere(), &two));
    // The other function of the card.
    let port = Sbdf::from_sysfs("0000:00:07.1").unwrap();
    assert!(changed(&vec![was("a0a0a0a0", nic(), OTHER)], port, OTHER));
    // It came there later, or something else was there: it moved.
    let later = vec![was("a0a0a0a0", nic(), OTHER), was("a1a1a1a1", elsewhere(), OTHER)];
    assert!(!changed(&later, elsewhere(), OTHER));
    assert!(!changed(
        &vec![was("a0a0a0a0", nic(), OTHER), was("a0a0a0a0", elsewhere(), ID)],
        elsewhere(),
        OTHER
    ));
    assert!(!changed(&vec![was("a0a0a0a0", nic(), &one)], elsewhere(), &one));
}

#[test]
fn very_long_stories_are_counted_not_kept() {
    let mut story: Story = vec![(10, BOOT, recorder(Start, ""))];
    for number in 0..2000 {
        let name = format!("disp{}", number % 700);
        story.push((number, BOOT, stay(StayEvent::Begin, &name, number as i64 + 1)));
        story.push((number, BOOT, lost(1)));
        // A domain is one qube's in its boot.
        story.push((1, "a0a0a0a0", stay(StayEvent::Begin, &name, number as i64 + 1)));
    }
    let exposure = past(&story, true);
    assert!(exposure.stays.len() <= 256 && exposure.more_stays >= 1744);
    assert!(exposure.before.len() <= 256 && exposure.more_before > 0);
    assert!(exposure.uncovered.len() <= 66);
}

/// Anything that can stand in a journal.
fn anything() -> impl Strategy<Value = (u64, bool, usize)> {
    (0u64..90, proptest::bool::weighted(0.9), 0usize..14)
}

fn entry(what: usize) -> Entry {
    match what {
        0..=4 => recorder(Heartbeat, ""),
        5 => recorder(Start, ""),
        6 => first(),
        7 => recorder(Stop, ""),
        8 => recorder(Source, "xenstore"),
        9 => recorder(Source, ""),
        10 => lost(30),
        11 => seized(),
        12 => device(DeviceEvent::Bound, nic(), identity(ID, "01")),
        _ => recorder(Heartbeat, "uevents"),
    }
}

fn random(steps: &[(u64, bool, usize)]) -> Story {
    let mut second = 10;
    let began: Story = vec![(10, BOOT, first()), (11, BOOT, seized())];
    let steps = steps.iter().map(|(step, now, what)| {
        second = (second + step).min(990);
        (second, if *now { BOOT } else { "a0a0a0a0" }, entry(*what))
    });
    began.into_iter().chain(steps).collect()
}

proptest! {
    /// Knowing less never makes it milder: with a record of the recorder's life taken away, what was not
    /// clean does not become clean.
    #[test]
    fn a_heartbeat_less_is_never_milder(steps in proptest::collection::vec(anything(), 0..25), at in 0usize..25) {
        let story = random(&steps);
        let mut less = story.clone();
        let beats = |entry: &Entry| matches!(entry, Entry::Recorder(it) if it.phase == Heartbeat && it.missing.is_empty());
        if let Some(at) = less.get(at).filter(|(_, _, entry)| beats(entry)).map(|_| at) {
            less.remove(at);
        }
        prop_assert!(is_clean(&past(&story, true)) || !is_clean(&past(&less, true)));
    }

    /// One stay more never makes it milder, wherever it stands.
    #[test]
    fn a_stay_more_is_never_milder(
        steps in proptest::collection::vec(anything(), 0..25),
        at in 0usize..25,
        event in proptest::sample::select(vec![StayEvent::Begin, StayEvent::Present, StayEvent::End]),
    ) {
        let story = random(&steps);
        let mut more = story.clone();
        let at = at.min(more.len());
        let second = more.get(at.saturating_sub(1)).map_or(10, |(second, ..)| *second);
        more.insert(at, (second, BOOT, stay(event, "sys-net", 7)));
        let exposure = past(&more, true);
        prop_assert_eq!(exposure.stays.len(), 1);
        prop_assert!(exposure.before.len() >= past(&story, true).before.len());
    }

    /// What is known does not depend on what the wall clock showed.
    #[test]
    fn no_step_of_the_clock_changes_what_is_known(
        steps in proptest::collection::vec(anything(), 0..25),
        clock in proptest::collection::vec((0u64..1000, proptest::sample::select(STEPS.to_vec())), 0..4),
    ) {
        let story = random(&steps);
        let wall = |second: u64| {
            let by = clock.iter().filter(|(from, _)| *from <= second).map(|(_, by)| by * 1_000_000).sum();
            Moment::from_micros(at(second).micros().saturating_add_signed(by))
        };
        let (steady, stepped) = (past(&story, true), by_clock(&story, true, &[(nic(), ID)], &wall));
        prop_assert_eq!(whys(&steady), whys(&stepped));
        prop_assert_eq!(is_clean(&steady), is_clean(&stepped));
    }

    /// A dead recorder proves nothing about now.
    #[test]
    fn without_a_living_recorder_nothing_is_proved(steps in proptest::collection::vec(anything(), 0..25)) {
        prop_assert!(!is_clean(&past(&random(&steps), false)));
    }
}
