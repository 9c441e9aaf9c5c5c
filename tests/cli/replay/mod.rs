//! The recorder beside a dom0 that does what a real one was recorded to do (`tests/data/replay/README.md`): the journal tells
//! that story, and no other.

mod machine;
mod story;
mod timeline;

use crate::model::Dom0;
use crate::recording::{log, records, Running};
use machine::Machine;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use story::{Stay, Time};
use timeline::{Line, What};

/// What is left of a time in which nothing happens.
const QUIET: Duration = Duration::from_millis(1500);
/// How late something may be told: a stay waits up to 2 seconds for its options, an end up to 1 for Xen's owner; besides, this
/// machine is busy.
const LATE: Time = 4.0;

fn now() -> Time {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Plays a timeline; the dom0 afterwards, and when each line happened.
fn play(lines: &[Line], dom0: &Dom0) -> Vec<(Time, Line)> {
    let mut machine = Machine::new(dom0, lines);
    let mut recorder = Running::start(dom0, &["--heartbeat", "600"]);
    let late = lines
        .iter()
        .any(|line| matches!(&line.what, What::Script(text) if text.starts_with("qubesd begins")));
    recorder.until(|| late || machine.is_heard());
    let mut played = Vec::new();
    let mut due = Instant::now();
    let mut before = lines.first().map(|line| line.at).unwrap_or_default();
    for (at, line) in lines.iter().enumerate() {
        due += line.at.saturating_sub(before).min(QUIET);
        before = line.at;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        played.push((now(), line.clone()));
        machine.play(lines, at, &mut recorder);
    }
    std::thread::sleep(Duration::from_secs(3));
    recorder.stop();
    played
}

/// The records of one stay, in their order.
fn recorded<'a>(records: &'a [Value], stay: &Stay) -> Vec<&'a Value> {
    let domain = |one: &Value| one["domain"].as_u64() == stay.domain.parse().ok();
    let of_it = |one: &&Value| one["kind"] == "stay" && one["bdf"] == *stay.bdf && domain(one);
    records.iter().filter(of_it).collect()
}

/// What is wrong with the records of one stay; empty where nothing is.
fn wrong(records: &[Value], stay: &Stay, label: &str) -> String {
    let told = recorded(records, stay);
    let ends = usize::from(stay.to.is_some());
    if told.len() != 1 + ends {
        return format!("told {} times", told.len());
    }
    let is = |one: &Value, event: &str, at: Time| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let known = (text("qube"), text("options"), text("label"));
        if text("event") != event || known != (stay.qube.clone(), stay.options.clone(), label.to_owned()) {
            return format!("it should be {event} of {} with {}, {label}: {one}", stay.qube, stay.options);
        }
        let late = story::time(one) - at;
        if (-0.01..LATE).contains(&late) {
            String::new()
        } else {
            format!("{event} is told {late} s late")
        }
    };
    let begin = is(told[0], "begin", stay.from);
    let end = stay.to.map(|to| is(told[1], "end", to)).unwrap_or_default();
    begin + &end
}

fn is_told(path: &Path) -> Vec<String> {
    let lines = timeline::read(&std::fs::read_to_string(path).unwrap());
    assert!(lines.len() > 10, "{} is not a timeline", path.display());
    let dom0 = machine::dom0(&lines);
    let played = play(&lines, &dom0);
    let records = records(&dom0);
    let mut wrongs = Vec::new();
    let mut same = |what: &str, told: Vec<String>, is: Vec<String>| {
        if told != is {
            wrongs.push(format!("{what}:\n  told {told:#?}\n  was {is:#?}"));
        }
    };
    same("qubes", story::qubes_recorded(&records), story::qubes(lines.iter()));
    let functions = lines.iter().filter_map(|line| match &line.what {
        What::Sysfs { bdf, .. } => Some(bdf.as_str()),
        _ => None,
    });
    for bdf in functions.collect::<std::collections::BTreeSet<&str>>() {
        same(bdf, story::drivers_recorded(&records, bdf), story::drivers(&lines, bdf));
    }
    let stays = story::stays(&played);
    for stay in &stays {
        let wrong = wrong(&records, stay, "red");
        if !wrong.is_empty() {
            wrongs.push(format!("{stay:?}: {wrong}"));
        }
    }
    let told = records.iter().filter(|one| one["kind"] == "stay").count();
    let ended = stays.iter().filter(|stay| stay.to.is_some()).count();
    if told != stays.len() + ended {
        wrongs.push(format!("{told} records of {} stays", stays.len()));
    }
    wrongs.extend(records.iter().filter(|one| one["kind"] == "lost").map(|one| format!("lost: {one}")));
    dom0.run(&["audit", "verify"]).exits(0);
    if !wrongs.is_empty() {
        wrongs.push(log(&dom0));
    }
    wrongs
}

#[test]
fn every_timeline_is_told_rightly() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/replay");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let timelines: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    assert!(timelines.len() >= 6, "{timelines:?}");
    // Each waits most of the time.
    let threads: Vec<_> = timelines
        .into_iter()
        .map(|path| std::thread::spawn(move || (path.clone(), is_told(&path))))
        .collect();
    for thread in threads {
        let (path, wrongs) = thread.join().unwrap();
        assert!(wrongs.is_empty(), "{}:\n{}", path.display(), wrongs.join("\n"));
    }
}
