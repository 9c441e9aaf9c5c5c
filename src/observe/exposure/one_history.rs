//! `show` and its hazards, and `timeline`: one answer over many random boots.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::journal::coverage::{Gap, Point};
use crate::journal::timeline::{Timeline, TimelineFold};
use crate::journal::{
    DeviceEvent, DeviceRecord, Identity, LossCause, LossRecord, PastEvent, PastRecord, RecorderPhase,
    RecorderRecord, Source, StayEvent, StayRecord, Uptime,
};
use crate::journal::{IdentifiedFunction, JournalReading};
use crate::names::{DriverName, Owner};

const BOOT: &str = "b0b0b0b0";
/// How many boots are told.
const BOOTS: u64 = 100_000;

/// Numbers that look random; a seed says which (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let at = self.below(of.len() as u64) as usize;
        of.get(at).copied().unwrap()
    }
}

fn function(number: u64) -> Sbdf {
    Sbdf::new(0, 0, number as u8, 0).unwrap()
}

fn at(second: u64) -> Moment {
    Moment::from_micros((1_000_000 + second) * 1_000_000)
}

fn recorder(phase: RecorderPhase, run: &str, missing: &str) -> Entry {
    let heard = ["uevents", "xenstore"].iter().filter(|name| **name != missing);
    Entry::Recorder(RecorderRecord {
        phase,
        run: run.into(),
        sources: heard.map(|name| (*name).to_owned()).collect(),
        missing: vec![missing.to_owned()],
        first: false,
        interval: 60,
    })
}

fn stay(dice: &mut Dice) -> Entry {
    let event = [StayEvent::Begin, StayEvent::Present, StayEvent::End][dice.below(3) as usize];
    let domain = dice.below(4).checked_sub(1).map(|domain| domain as u16);
    // A domain has one name, which may not be known yet.
    let name = ["work", "sys-net", "sys-usb"].get(usize::from(domain.unwrap_or(0))).copied().unwrap();
    let number = domain.filter(|_| dice.below(3) == 0).map(|domain| format!("domain-{domain}"));
    let bdf = function(dice.below(2));
    Entry::Stay(StayRecord {
        label: dice.one(&["", "red"]).into(),
        domain,
        stub: (dice.below(5) == 0).then_some(9),
        options: dice.one(&["", "permissive=1"]).into(),
        source: Source::parse(dice.one(&["xenstore", "snapshot"])),
        ..StayRecord::new(event, bdf, number.as_deref().unwrap_or(name), Source::Xenstore)
    })
}

fn device(dice: &mut Dice) -> Entry {
    let event = [DeviceEvent::Seized, DeviceEvent::Bound, DeviceEvent::Present, DeviceEvent::Unbound]
        [dice.below(4) as usize];
    let bdf = function(dice.below(2));
    Entry::Device(DeviceRecord {
        driver: DriverName::parse(dice.one(&["", "pciback", "e1000e"])),
        before: DriverName::parse(dice.one(&["", "pciback", "e1000e"])),
        owner: Owner::parse(dice.one(&["", "dom0", "DomIO"])),
        ..DeviceRecord::new(event, bdf, Source::parse(dice.one(&["uevent", "snapshot", "operation"])))
    })
}

/// A boot: two runs of a recorder, beside each other or not, and what they tell; the second of each record.
fn boot(dice: &mut Dice) -> Vec<(u64, Entry)> {
    use RecorderPhase::{Heartbeat, Source, Start, Stop};
    let mut second = 1;
    let mut runs: BTreeMap<&str, &str> = BTreeMap::new();
    let mut told = Vec::new();
    for _ in 0..2 + dice.below(9) {
        second += 1 + dice.below(40) + if dice.below(6) == 0 { 90 } else { 0 };
        let run = if dice.below(4) == 0 { "b" } else { "a" };
        let missing = if dice.below(5) == 0 { "xenstore" } else { "" };
        let what = dice.below(10);
        let entry = match (what, runs.get(run).copied()) {
            (0..=4, None) | (0, Some(_)) => {
                runs.insert(run, missing);
                recorder(Start, run, missing)
            }
            (1 | 2, Some(missing)) => recorder(Heartbeat, run, missing),
            (3, Some(_)) => {
                runs.insert(run, missing);
                recorder(Source, run, missing)
            }
            (4, Some(missing)) => {
                runs.remove(run);
                recorder(Stop, run, missing)
            }
            (5, _) if !runs.is_empty() => Entry::Lost(LossRecord {
                source: crate::journal::Source::Uevent,
                qube: String::new(),
                count: 0,
                why: Some(LossCause::Overflow),
                since: Some(at(second.saturating_sub(dice.below(60)))),
            }),
            (6, _) => device(dice),
            _ => stay(dice),
        };
        told.push((second, entry));
    }
    told
}

fn record(seq: usize, second: u64, entry: &Entry) -> PastRecord {
    let place = Place { seq: seq as u64, time: Some(at(second)), up: Uptime::from_record(second as i64) };
    PastRecord::of(place, BOOT, PastEvent::Entry(entry.clone()))
}

/// What hazards, `list`, `show` and `rollback` are made from.
fn for_show(told: &[(u64, Entry)], now: u64, holder: Option<&str>) -> Past {
    let present = (0..2).map(|it| IdentifiedFunction { sbdf: function(it), id: String::new() }).collect();
    let wanted = (0..2).map(|it| (function(it), Identity::default())).collect();
    let mut fold = Fold::new(BOOT, Some(at(0)), present, wanted);
    for (seq, (second, entry)) in told.iter().enumerate() {
        fold.tell(&record(seq, *second, entry));
    }
    fold.finish(Uptime::from_record(now as i64), holder, JournalReading::Read { odd: 0 }, &[])
}

fn for_timeline(told: &[(u64, Entry)], now: u64, holder: Option<&str>) -> Timeline {
    let mut story = TimelineFold::default();
    for (seq, (second, entry)) in told.iter().enumerate() {
        story.take(record(seq, *second, entry), None);
    }
    story.finish(Some(Point { time: at(now), up: Uptime::from_record(now as i64) }), holder)
}

/// A stay as both show it: qube, begun, whether it ended and was seen to, from and to.
type Shown = (String, bool, bool, bool, Option<Moment>, Option<Moment>);

fn stays_of_show(past: &Past, sbdf: Sbdf) -> Vec<Shown> {
    let stays = past.of.get(&sbdf).map(|exposure| exposure.stays.as_slice()).unwrap_or_default();
    let mut shown: Vec<Shown> = stays
        .iter()
        .map(|it| {
            let (ended, latest, to) = match it.to {
                StayEnd::Open => (false, false, None),
                StayEnd::At(to) => (true, false, to),
                StayEnd::By(to) => (true, true, to),
            };
            (it.stay.qube.clone(), it.begun, ended, latest, it.from.or(to), to)
        })
        .collect();
    shown.sort();
    shown
}

fn stays_of_timeline(drawn: &Timeline, sbdf: Sbdf) -> Vec<Shown> {
    let spans = drawn.lanes.get(&sbdf).map(|lane| lane.stays.as_slice()).unwrap_or_default();
    let mut shown: Vec<Shown> = spans
        .iter()
        .map(|it| {
            let to = it.ended.then_some(it.to);
            (it.qube.to_string(), it.begun, it.ended, it.at_latest, Some(it.from), to)
        })
        .collect();
    shown.sort();
    shown
}

/// The middle of each second that is not covered, since the first record.
fn uncovered(first: u64, now: u64, is_in: impl Fn(Moment) -> bool) -> Vec<u64> {
    let middle = |second: u64| Moment::from_micros(at(second).micros() + 500_000);
    (first..now).filter(|second| is_in(middle(*second))).collect()
}

fn is_in_gap(gap: &Gap, now: u64, middle: Moment) -> bool {
    let from = gap.from.map_or(at(0), |place| place.time.unwrap());
    let to = gap.to.map_or(at(now), |place| place.time.unwrap());
    from < middle && middle < to
}

#[test]
fn show_and_timeline_give_one_answer_over_100_000_random_boots() {
    // SEED=NUMBER plays the boots of a failure once more.
    let given = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| Moment::now().micros()) | 1;
    let mut dice = Dice(seed);
    for number in 0..BOOTS {
        let told = boot(&mut dice);
        let (first, last) = (told.first().unwrap().0, told.last().unwrap().0);
        let now = last + dice.below(100);
        let holder = ["a", "b"].get(dice.below(4) as usize).copied();
        let past = for_show(&told, now, holder);
        let drawn = for_timeline(&told, now, holder);
        for sbdf in [function(0), function(1)] {
            let (shown, timeline) = (stays_of_show(&past, sbdf), stays_of_timeline(&drawn, sbdf));
            assert_eq!(shown, timeline, "stays; seed {seed}, boot {number}: {told:#?}");
        }
        let exposure = past.of.get(&function(0)).unwrap();
        let gaps: Vec<Gap> = exposure.uncovered.clone();
        // What was not covered before it was seized from dom0 is no hazard, and left out.
        let since = exposure.seized.as_ref().map_or(0, |seized| seized.since);
        let first = told.get(since as usize).map_or(first, |(second, _)| *second);
        let shown = uncovered(first, now, |middle| gaps.iter().any(|gap| is_in_gap(gap, now, middle)));
        let drawn = drawn.shown.gaps(at(0), at(now));
        let drawn =
            uncovered(first, now, |middle| drawn.iter().any(|(from, to)| *from < middle && middle < *to));
        assert_eq!(shown, drawn, "coverage; seed {seed}, boot {number}: {told:#?}\n{gaps:#?}");
    }
}
