//! Given these records, this picture.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::journal::timeline::TimelineFold;
use crate::journal::{self, coverage::Point};
use crate::journal::{
    DeviceEvent, DeviceRecord, Entry, Log, OperationPhase, OperationRecord, PastEvent, PastRecord, Place,
    RecorderPhase, RecorderRecord, Source, StayEvent, StayRecord, Uptime,
};
use crate::names::DriverName;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn at(clock: &str) -> Moment {
    Moment::parse(&format!("2026-11-22T{clock}")).unwrap()
}

fn recorder(phase: RecorderPhase, run: &str) -> Entry {
    Entry::Recorder(RecorderRecord {
        phase,
        run: run.into(),
        sources: vec!["uevents".into(), "xenstore".into()],
        missing: Vec::new(),
        first: true,
        interval: 600,
    })
}

fn stay(event: StayEvent, bdf: &str, qube: &str, label: &str) -> StayRecord {
    let bdf = Sbdf::from_sysfs(bdf).unwrap();
    StayRecord { label: label.into(), ..StayRecord::new(event, bdf, qube, Source::Xenstore) }
}

fn driver(bdf: &str, driver: &str) -> Entry {
    let bdf = Sbdf::from_sysfs(bdf).unwrap();
    let driver = DriverName::parse(driver);
    Entry::Device(DeviceRecord { driver, ..DeviceRecord::new(DeviceEvent::Bound, bdf, Source::Uevent) })
}

const USB: &str = "0000:00:14.0";
const NIC: &str = "0000:03:00.0";

use RecorderPhase::{Heartbeat, Start, Stop};
use StayEvent::{Begin, End, Present};

fn story(told: Vec<(&str, &str, Entry)>) -> TimelineFold {
    let (mut story, mut boots) = (TimelineFold::default(), BTreeMap::new());
    for (seq, (clock, boot, entry)) in told.into_iter().enumerate() {
        let time = at(clock);
        let begun = *boots.entry(boot).or_insert(time);
        let up = Uptime::from_record((time.micros().saturating_sub(begun.micros()) / 1_000_000) as i64);
        let place = Place { seq: seq as u64, time: Some(time), up };
        story.take(PastRecord::of(place, boot, PastEvent::Entry(entry)), None);
    }
    story
}

/// A morning: two functions start with sys-usb, one goes to work; the recorder is
/// killed and comes back; a reboot.
fn morning() -> TimelineFold {
    let live = |event, bdf, qube, label| Entry::Stay(stay(event, bdf, qube, label));
    let mut before = stay(Begin, NIC, "sys-net", "");
    before.source = Source::Import(Log::Libvirt);
    before.at = Some(at("07:40"));
    let mut told = vec![("13:00", "b", Entry::Stay(before)), ("08:00", "a", recorder(Start, "r"))];
    for clock in ["08:09", "08:18", "08:27", "08:36", "08:45"] {
        told.push((clock, "a", recorder(Heartbeat, "r")));
    }
    told.extend([
        ("08:45", "a", live(Begin, USB, "sys-usb", "red")),
        ("08:45", "a", live(Begin, NIC, "sys-usb", "red")),
    ]);
    for clock in ["08:54", "09:03", "09:12", "09:21", "09:30"] {
        told.push((clock, "a", recorder(Heartbeat, "r")));
    }
    told.extend([
        ("09:30", "a", live(End, NIC, "sys-usb", "red")),
        ("10:15", "a", recorder(Start, "s")),
        ("10:15", "a", live(Present, USB, "sys-usb", "red")),
    ]);
    for clock in ["10:24", "10:33", "10:42", "10:51", "11:00"] {
        told.push((clock, "a", recorder(Heartbeat, "s")));
    }
    told.extend([
        ("11:00", "a", live(End, USB, "sys-usb", "red")),
        ("11:01", "a", live(Begin, USB, "work\\x1b[2J", "blue")),
        ("11:10", "a", recorder(Stop, "s")),
        ("11:30", "b", recorder(Start, "t")),
        ("11:31", "b", driver(NIC, "dom0s-own")),
    ]);
    for clock in ["11:39", "11:48", "11:57", "12:00"] {
        told.push((clock, "b", recorder(Heartbeat, "t")));
    }
    let mut story = story(told);
    let start = journal::Start { command: "reattach".into(), ..journal::Start::default() };
    let end = OperationPhase::End { outcome: "done".into(), state: String::new() };
    for phase in [OperationPhase::Start(Box::new(start)), end] {
        let place = Place { seq: 0, time: Some(at("11:31")), up: None };
        let operation = OperationRecord { id: "9616d76e".into(), bdf: Sbdf::from_sysfs(NIC), phase };
        story.take(PastRecord::of(place, "b", PastEvent::Operation(operation)), None);
    }
    story
}

fn drawn(story: &TimelineFold, width: usize, colours: bool) -> String {
    let drawn = story.clone().finish(None, None);
    let (from, to) = drawn.span.unwrap();
    let view = TimelineView { from, to, width, device: None, colours };
    picture(&drawn, &view).iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_morning_at_80_columns_without_colour() {
    let golden = r"
2026-11-22 07:40:00 to 2026-11-22 12:00:00 UTC, 3 min 56 s a column

                   08:00          09:00          10:00          11:00
recorder      /////|---------------------/////////////-------------/////|-------
0000:00:14.0  /////|..........BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBCCC////|.......
0000:03:00.0  a////|..........BBBBBBBBBBBB////////////............./////|=======
                                                                        ^

A sys-net
B sys-usb (red)
C work\x1b[2J (blue)
a small letter: from an import; it proves nothing else
= a driver of dom0   . recorded, no qube   - recorded
/ not recorded: nobody knows   | a boot begins   ^ an operation

^ 2026-11-22 11:31:00  0000:03:00.0  9616d76e  reattach: done
";
    assert_eq!(drawn(&morning(), 80, false), golden.trim_start());
}

#[test]
fn in_colour_a_stay_has_that_of_its_label_and_an_unknown_one_none() {
    let story = story(vec![
        ("08:00", "a", recorder(Start, "r")),
        ("08:01", "a", Entry::Stay(stay(Begin, USB, "sys-usb", "red"))),
        ("08:02", "a", Entry::Stay(stay(Begin, NIC, "other", "mauve"))),
        ("08:04", "a", recorder(Heartbeat, "r")),
    ]);
    let shown = drawn(&story, 54, true);
    let lane = |bdf: &str| shown.lines().find(|line| line.starts_with(bdf)).unwrap().to_owned();
    let red = "\x1b[37m\x1b[41m\x1b[1m";
    assert_eq!(lane(USB), format!("{USB}  |.........{red}{}\x1b[0m", "A".repeat(30)));
    assert_eq!(lane(NIC), format!("{NIC}  |...................{}", "B".repeat(20)));
    assert!(shown.contains(&format!("{red}A\x1b[0m sys-usb (red)\n")));
    assert_eq!(console::strip_ansi_codes(&shown), drawn(&story, 54, false));
}

#[test]
fn two_qubes_within_one_column_are_told_and_none_is_hidden() {
    let told = vec![
        ("08:00", "a", recorder(Start, "r")),
        ("08:01:00", "a", Entry::Stay(stay(Begin, USB, "one", "red"))),
        ("08:01:01", "a", Entry::Stay(stay(End, USB, "one", "red"))),
        ("08:01:02", "a", Entry::Stay(stay(Begin, USB, "two", "blue"))),
        ("08:01:03", "a", Entry::Stay(stay(End, USB, "two", "blue"))),
        ("08:10", "a", recorder(Heartbeat, "r")),
    ];
    let shown = drawn(&story(told), 44, false);
    assert!(shown.contains("0000:00:14.0  |..+....") && shown.contains("+ more than one qube"), "{shown}");
    assert!(shown.contains("A one (red)") && shown.contains("B two (blue)"), "{shown}");
}

#[test]
fn a_stay_that_nobody_saw_again_after_a_gap_ended_where_it_was_last_seen() {
    let story = story(vec![
        ("08:00", "a", recorder(Start, "r")),
        ("08:01", "a", Entry::Stay(stay(Begin, USB, "sys-usb", "red"))),
        ("08:05", "a", recorder(Heartbeat, "r")),
        ("09:00", "a", recorder(Start, "s")),
        ("09:05", "a", recorder(Heartbeat, "s")),
    ]);
    let lanes = story.finish(None, None).lanes;
    let stay = &lanes.values().next().unwrap().stays[..];
    assert_eq!(
        stay.iter().map(|stay| (stay.from, stay.to, stay.begun, stay.ended)).collect::<Vec<_>>(),
        [(at("08:01"), at("08:05"), true, false)]
    );
}

#[test]
fn an_end_whose_beginning_was_missed_is_a_stay() {
    let story = story(vec![
        ("08:00", "a", recorder(Start, "r")),
        ("08:03", "a", Entry::Stay(stay(End, USB, "sys-usb", ""))),
    ]);
    let lanes = story.finish(None, None).lanes;
    let stay = lanes.values().next().unwrap().stays.first().unwrap();
    assert_eq!((stay.from, stay.to, stay.begun, stay.ended), (at("08:03"), at("08:03"), false, true));
}

/// Records at these minutes of the clock that only rises, while the wall clock shows those.
fn stepping(told: Vec<(u64, &str, Entry)>) -> TimelineFold {
    let mut story = TimelineFold::default();
    for (minute, clock, entry) in told {
        let place =
            Place { seq: minute, time: Some(at(clock)), up: Uptime::from_record((minute * 60) as i64) };
        story.take(PastRecord::of(place, "a", PastEvent::Entry(entry)), None);
    }
    story
}

#[test]
fn a_stay_in_which_the_clock_went_back_is_drawn_at_each_time_it_showed() {
    let story = stepping(vec![
        (0, "08:00", recorder(Start, "r")),
        (10, "08:10", recorder(Heartbeat, "r")),
        (15, "08:15", Entry::Stay(stay(Begin, USB, "sys-usb", "red"))),
        (20, "08:20", recorder(Heartbeat, "r")),
        // It went back by 18 minutes.
        (24, "08:06", recorder(Heartbeat, "r")),
        (28, "08:10", Entry::Stay(stay(End, USB, "sys-usb", "red"))),
        (30, "08:12", recorder(Heartbeat, "r")),
    ]);
    let drawn = story.finish(None, None);
    let spans: Vec<_> =
        drawn.lanes.values().next().unwrap().stays.iter().map(|it| (it.from, it.to)).collect();
    // Where within these four minutes it went back, nobody wrote down: each of them counts.
    let near = |is: Moment, clock: &str| is.micros().abs_diff(at(clock).micros()) <= 2_000_000;
    assert!(near(spans[0].0, "08:02") && near(spans[0].1, "08:10"), "{spans:?}");
    assert!(near(spans[1].0, "08:15") && near(spans[1].1, "08:24"), "{spans:?}");
}

#[test]
fn what_was_recorded_once_is_not_shown_as_recorded_where_the_clock_passed_it_again_unrecorded() {
    let before = vec![(0, "08:00", recorder(Start, "r")), (10, "08:10", recorder(Heartbeat, "r"))];
    let gaps = |story: TimelineFold, now: Option<Point>| {
        story.finish(now, None).shown.gaps(at("08:00"), at("08:10"))
    };
    assert_eq!(gaps(stepping(before.clone()), None), []);
    // Killed; the clock goes back by ten minutes; another begins ten minutes later.
    let next = vec![(20, "08:10", recorder(Start, "s"))];
    assert_eq!(
        gaps(stepping([before.clone(), next].concat()), None),
        [(at("07:59:59").max(at("08:00")), at("08:10"))]
    );
    // Or none does.
    let now = Point { time: at("08:07"), up: Uptime::from_record(20 * 60) };
    assert_eq!(gaps(stepping(before), Some(now)), [(at("08:00"), at("08:07"))]);
}

proptest! {
    #[test]
    fn no_line_is_wider_than_asked_and_none_acts_on_a_terminal(
        steps in proptest::collection::vec((0u64..4_000_000_000, 0usize..8, 0u8..4, "[a-z]{1,40}"), 1..40),
        width in 40usize..200,
    ) {
        let mut time = at("00:00");
        let mut told = Vec::new();
        for (step, what, device, qube) in steps {
            time = Moment::from_micros(time.micros() + step);
            let bdf = format!("0000:0{device}:00.0");
            let entry = match what {
                0 => recorder(Start, &qube),
                1 => recorder(Heartbeat, &qube),
                2 => driver(&bdf, &qube),
                3 => Entry::Stay(StayRecord {
                    source: Source::Import(Log::Libvirt),
                    at: Some(time),
                    ..stay(End, &bdf, &qube, "red")
                }),
                4 => Entry::Stay(stay(End, &bdf, &qube, "")),
                5 => Entry::Stay(stay(Present, &bdf, &qube, &qube)),
                _ => Entry::Stay(stay(Begin, &bdf, &qube, "blue")),
            };
            let up = Uptime::from_record((time.micros() / 1_000_000) as i64);
            let place = Place { seq: told.len() as u64, time: Some(time), up };
            told.push(PastRecord::of(place, &qube, PastEvent::Entry(entry)));
        }
        let mut story = TimelineFold::default();
        told.into_iter().for_each(|record| story.take(record, None));
        let story = story.finish(None, None);
        let (from, to) = story.span.unwrap();
        let view = TimelineView { from, to: to.max(from.after(1)), width, device: None, colours: false };
        for line in picture(&story, &view) {
            prop_assert!(line.chars().count() <= width.max(80), "{}", line);
            prop_assert!(!line.chars().any(char::is_control));
        }
        let coloured = picture(&story, &TimelineView { colours: true, ..view }).join("\n");
        prop_assert_eq!(console::strip_ansi_codes(&coloured), picture(&story, &view).join("\n"));
        for lane in story.lanes.values() {
            prop_assert!(lane.stays.iter().all(|stay| stay.from <= stay.to && stay.to <= time));
        }
    }
}
