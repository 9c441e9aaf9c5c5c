//! A stay whose end nobody saw, and that a return ended: every command says so, whatever became of the recorder.

use crate::model::{Dom0, Function};
use serde_json::Value;

const NIC: &str = "0000:00:07.0";
/// The model's boot.
const BOOT: &str = "11111111";

const START: &str = r#""kind":"recorder","phase":"start","run":"r","sources":["uevents","xenstore"],"missing":[],"first":true,"interval":600"#;
const STOP: &str = r#""kind":"recorder","phase":"stop","run":"r","sources":["uevents","xenstore"],"missing":[],"first":false,"interval":600"#;
const BEGIN: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:07.0","id":"8086:10d3 8086:0001 020000","qube":"sys-net","label":"red","class":"AppVM","source":"xenstore","domain":3"#;
const IMPORTED: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:07.0","qube":"sys-net","label":"red","source":"import:libvirt","at":"2026-11-22T08:02:00.000000Z","of_boot":"11111111","domain":-1"#;
const REATTACH: &str =
    r#""op":"9616d76e","kind":"op","phase":"start","command":"reattach","bdf":"0000:00:07.0""#;
/// What an operation writes once every step is proved.
const BOUND: &str = r#""op":"9616d76e","kind":"device","event":"bound","bdf":"0000:00:07.0","id":"8086:10d3 8086:0001 020000","driver":"e1000e","before":"pciback","owner":"dom0","source":"operation""#;
const DONE: &str = r#""op":"9616d76e","kind":"op","phase":"end","bdf":"0000:00:07.0","outcome":"done","state":"driven by e1000e""#;
/// What a snapshot of a later run finds, where somebody else gave it back.
const FOUND: &str = r#""kind":"device","event":"present","bdf":"0000:00:07.0","id":"8086:10d3 8086:0001 020000","driver":"e1000e","before":"pciback","owner":"dom0","source":"snapshot""#;

/// When, in which boot, what.
type Told = (&'static str, &'static str, &'static str);

/// What became of the recorder, and what ends the stay at 08:07.
fn pasts() -> Vec<(&'static str, Vec<Told>)> {
    let done = [("08:06:00", BOOT, REATTACH), ("08:07:00", BOOT, BOUND), ("08:07:01", BOOT, DONE)];
    let began = [("08:00:00", BOOT, START), ("08:02:00", BOOT, BEGIN)];
    let found = [("08:07:00", BOOT, START), ("08:07:00", BOOT, FOUND)];
    vec![
        ("killed", [&began[..], &done].concat()),
        ("stopped", [&began[..], &[("08:03:00", BOOT, STOP)], &done].concat()),
        ("never ran", [&done[..], &[("08:30:00", BOOT, IMPORTED)]].concat()),
        ("never ran, imported before", [&[("08:05:00", BOOT, IMPORTED)], &done[..]].concat()),
        ("began anew", [&began[..], &found].concat()),
    ]
}

fn remembering(records: &[(&str, &str, &str)]) -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    dom0.remembers(records);
    dom0
}

#[test]
fn a_return_ends_a_stay_for_people() {
    for (recorder, records) in pasts() {
        let dom0 = remembering(&records);
        println!("the recorder was {recorder}");
        let by = "until at the latest 08:07:00 UTC";
        dom0.run(&["list", "--all", "--long"]).exits(0).says(by).never_says("since 2026");
        dom0.run(&["show", NIC]).says(by).never_says("sys-net since");
        let log = dom0.run(&["audit", "log", "-o", "records", "--device", NIC]).exits(0);
        drop(log.says("Xen's owner is dom0: no qube has it"));
    }
}

#[test]
fn a_return_ends_a_stay_for_scripts() {
    for (recorder, records) in pasts() {
        let dom0 = remembering(&records);
        let show = dom0.run(&["--json", "show", NIC]).json();
        let stay = &show["device"]["history"]["stays"][0];
        let at_latest = "2026-11-22T08:07:00.000000Z";
        assert_eq!(
            (&stay["open"], &stay["to"], &stay["to_at_latest"]),
            (&Value::Bool(false), &Value::Null, &Value::from(at_latest)),
            "{recorder}: {stay}"
        );
        if recorder.starts_with("never ran") {
            continue;
        }
        let timeline = dom0.run(&["--json", "audit", "timeline"]).exits(0).json();
        let stay = &timeline["lanes"][0]["stays"][0];
        assert_eq!(
            (&stay["ended"], &stay["at_latest"], &stay["to"]),
            (&Value::Bool(true), &Value::Bool(true), &Value::from(at_latest)),
            "{recorder}: {stay}"
        );
    }
}

#[test]
fn a_return_ends_a_stay_in_the_picture() {
    let mut records = pasts().remove(0).1;
    records.push(("08:08:00", BOOT, START));
    let dom0 = remembering(&records);
    let said = dom0.run(&["audit", "timeline", "--until", "2026-11-22T08:09:00"]).exits(0);
    let lane = said.out.lines().find(|line| line.starts_with(NIC)).unwrap().to_owned();
    let (before, after) = lane.split_at(lane.rfind('A').unwrap() + 1);
    assert!(!after.contains('A') && before.contains("AAAA") && after.trim().len() > 5, "{lane}");
}
