//! What the journal tells of a device, and what follows from it.

use crate::model::terminal::Answer;
use crate::model::{Dom0, Function};
use audit::{Draft, Journal};
use nix::fcntl::{Flock, FlockArg};
use nix::time::{clock_gettime, ClockId};
use serde_json::{json, Value};
use std::fs::File;

const NIC: &str = "0000:00:07.0";
/// What the model's card tells of itself.
const ID: &str = "8086:10d3 8086:0001 020000";
/// The model's boot, as the journal names it.
const BOOT: &str = "11111111";

/// A dom0 whose pciback holds the card.
fn dom0() -> Dom0 {
    Dom0::with(Function::nic(NIC).held())
}

fn folder(dom0: &Dom0) -> std::path::PathBuf {
    let folder = dom0.path("var/lib/qubes-dom0-pci/journal");
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    folder
}

fn told(dom0: &Dom0, boot: &str, drafts: &[Draft]) {
    told_at(dom0, boot, up(), drafts);
}

/// Written by a recorder at this second of the clock that only rises.
fn told_at(dom0: &Dom0, boot: &str, up: i64, drafts: &[Draft]) {
    let drafts: Vec<Draft> = drafts.iter().map(|draft| draft.clone().number("up", up)).collect();
    Journal::open(&folder(dom0), boot).unwrap().append(&drafts).unwrap();
}

/// Now, by the clock that only rises.
fn up() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().tv_sec()
}

fn recorder(phase: &str) -> Draft {
    recorder_since(phase, phase == "start")
}

fn recorder_since(phase: &str, first: bool) -> Draft {
    let draft = Draft::new("recorder").text("phase", phase).text("run", RUN);
    let draft = draft.list("sources", ["uevents", "xenstore"]).list("missing", ["qubesd"]);
    draft.flag("first", first).number("interval", 600)
}

/// pciback took it so, and Xen's owner was this one.
fn took(way: &str, source: &str, owner: &str) -> Draft {
    let draft = Draft::new("device").text("event", "seized").text("bdf", NIC).text("id", ID);
    let draft = draft.text("driver", "pciback").text("before", "e1000e").text("way", way);
    draft.text("owner", owner).text("source", source)
}

fn seized(id: &str) -> Draft {
    let draft = Draft::new("device").text("event", "seized").text("bdf", NIC).text("id", id);
    draft.text("revision", "01").text("driver", "pciback").text("before", "e1000e").text("way", "override")
}

fn stay(event: &str, qube: &str, domain: i64) -> Draft {
    stay_of(NIC, event, qube, domain)
}

fn stay_of(bdf: &str, event: &str, qube: &str, domain: i64) -> Draft {
    let draft = Draft::new("stay").text("event", event).text("bdf", bdf).text("id", ID).text("qube", qube);
    let draft = draft.text("label", "red").text("class", "AppVM").flag("network", true);
    draft.text("source", "xenstore").number("domain", domain)
}

/// A run of the recorder.
const RUN: &str = "1f2e3d4c";

/// It listens, and all it heard is written, as long as this is held.
fn listens(dom0: &Dom0) -> Flock<File> {
    std::fs::create_dir_all(dom0.path("run/qubes-dom0-pci")).unwrap();
    let path = dom0.path("run/qubes-dom0-pci/recorder");
    std::fs::write(&path, RUN).unwrap();
    Flock::lock(File::open(path).unwrap(), FlockArg::LockExclusiveNonblock)
        .map_err(|(_, error)| error)
        .unwrap()
}

#[track_caller]
fn hazard(dom0: &Dom0, id: &str) -> Value {
    let plan = dom0.json(&["plan", NIC]);
    let hazards = plan["device"]["hazards"].as_array().unwrap_or_else(|| panic!("{plan}")).clone();
    hazards.into_iter().find(|hazard| hazard["id"] == id).unwrap_or_else(|| panic!("no {id}: {plan}"))
}

#[test]
fn the_qubes_of_this_boot_are_accepted_one_by_one_though_xenstore_knows_them_no_more() {
    let dom0 = dom0();
    told(&dom0, BOOT, &[seized(ID), stay("begin", "sys-net", 3), stay("end", "sys-net", 3)]);
    told(&dom0, BOOT, &[stay("begin", "work", 4), stay("end", "work", 4)]);
    let accept = dom0.json(&["plan", NIC])["accept"].clone();
    assert_eq!(accept, json!(["exposed:work", "exposed:sys-net", "unknown-history", "network"]));
    let exposed = hazard(&dom0, "exposed");
    let sentence = exposed["sentence"].as_str().unwrap();
    assert_eq!(
        sentence,
        "work (red, AppVM, provides network) had it in this boot: take it that it was turned against dom0"
    );
    // What was accepted by name is taken.
    let all = "exposed:work,exposed:sys-net,unknown-history,network";
    dom0.run(&["plan", NIC, "--accept", all]).exits(0);
    let said = dom0.run(&["--json", "reattach", NIC, "--accept", "unknown-history,network,exposed:work"]);
    let said = said.fails(4, "consent-missing").json();
    assert!(said["error"]["message"].as_str().unwrap().contains("not accepted: exposed:sys-net;"), "{said}");
}

#[test]
fn the_prompt_names_the_latest_qube_of_the_journal() {
    let dom0 = dom0();
    told(&dom0, BOOT, &[stay("begin", "sys-net", 3), stay("end", "sys-net", 3), stay("begin", "work", 4)]);
    told(&dom0, BOOT, &[stay("end", "work", 4)]);
    let (said, status) = dom0.ask(&["reattach", NIC], Answer::Types("\r"));
    assert!(said.contains("To go on, type work"), "{said}");
    assert_eq!(status.code(), Some(4));
}

#[test]
fn a_recorder_that_heard_everything_proves_that_no_qube_had_it() {
    let dom0 = dom0();
    let mark = listens(&dom0);
    told(&dom0, BOOT, &[recorder("start"), seized(ID), recorder("heartbeat")]);
    let note = hazard(&dom0, "never-exposed");
    assert_eq!(note["severity"], "note");
    assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["network"]));
    // It has ended: what came since is not known.
    drop(mark);
    let ids = dom0.hazards(NIC);
    assert!(
        ids.contains(&"unknown-history".to_owned()) && !ids.contains(&"never-exposed".to_owned()),
        "{ids:?}"
    );
}

#[test]
fn a_recorder_that_hangs_proves_nothing_though_the_clock_was_set_back_to_its_last_word() {
    let dom0 = dom0();
    let _mark = listens(&dom0);
    // By the wall clock, these were written just now.
    told_at(&dom0, BOOT, up() - 3600, &[recorder("start"), seized(ID), recorder("heartbeat")]);
    assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["unknown-history", "network"]));
}

#[test]
fn a_recorder_that_hears_proves_that_no_qube_had_it_though_the_clock_was_set_by_days() {
    let dom0 = dom0();
    let _mark = listens(&dom0);
    let seized = format!(
        r#""kind":"device","event":"seized","bdf":"{NIC}","id":"{ID}","revision":"01","before":"e1000e","source":"uevent""#
    );
    let recorder = |phase: &str, ago: i64| {
        let first = phase == "start";
        format!(
            r#""kind":"recorder","phase":"{phase}","run":"{RUN}","sources":["uevents","xenstore"],"missing":[],"first":{first},"interval":600,"up":{}"#,
            up() - ago
        )
    };
    let seized = format!("{seized},\"up\":{}", up() - 500);
    let (start, beat, last) = (recorder("start", 510), recorder("heartbeat", 400), recorder("heartbeat", 5));
    dom0.remembers(&[
        ("23:00:00", BOOT, &start),
        ("08:00:00", BOOT, &seized),
        ("03:00:00", BOOT, &beat),
        ("22:00:00", BOOT, &last),
    ]);
    assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["network"]));
}

#[test]
fn a_journal_whose_times_go_backwards_is_read_like_any_other() {
    let dom0 = dom0();
    let stay = |event: &str| {
        format!(
            r#""kind":"stay","event":"{event}","bdf":"{NIC}","id":"{ID}","qube":"work","label":"red","source":"xenstore","domain":4,"up":7"#
        )
    };
    let start = r#""kind":"recorder","phase":"start","run":"r","sources":["uevents","xenstore"],"missing":[],"first":true,"interval":600,"up":5"#;
    let (begin, end) = (stay("begin"), stay("end"));
    let note = r#""kind":"note""#;
    dom0.remembers(&[
        ("12:00:00", BOOT, r#""kind":"genesis","id":"0011223344556677""#),
        ("12:00:00", BOOT, start),
        ("11:00:00", BOOT, &begin),
        ("03:00:00", BOOT, &end),
        ("23:59:59", BOOT, note),
        ("00:00:00", BOOT, note),
        ("04:00:00", BOOT, note),
    ]);
    dom0.run(&["--json", "audit", "verify"]).exits(0);
    let count = |arguments: &[&str]| {
        dom0.run(&[&["--json", "audit", "log"], arguments].concat()).exits(0).out.lines().count()
    };
    assert_eq!(count(&[]), 7);
    assert_eq!(count(&["--since", "2026-11-22T04:00"]), 5);
    assert_eq!(count(&["--until", "2026-11-22T04:00"]), 2);
    assert_eq!(count(&["--since", "2026-11-22T03", "--until", "2026-11-22T12"]), 3);
    dom0.run(&["audit", "timeline"]).exits(0).says("A work (red)");
    dom0.run(&["audit", "timeline", "--since", "2026-11-22T10:00"]).exits(0).says("0000:00:07.0");
    dom0.run(&["show", NIC]).exits(0).says("work");
    assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["exposed:work", "unknown-history", "network"]));
}

#[test]
fn a_stay_is_known_and_no_history_is_unknown_where_the_recorder_heard_everything() {
    let dom0 = dom0();
    let _mark = listens(&dom0);
    told(&dom0, BOOT, &[recorder("start"), seized(ID), stay("begin", "work", 4), stay("end", "work", 4)]);
    assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["exposed:work", "network"]));
}

#[test]
fn what_a_qube_did_to_another_function_of_the_card_is_asked_too() {
    let other = "0000:00:07.1";
    let mut dom0 = dom0();
    dom0.add(Function::nic(other).held().quarantined());
    let _mark = listens(&dom0);
    // As long as the qube has it, that is said, and once.
    dom0.qube_has(4, "work", other);
    told(&dom0, BOOT, &[recorder("start"), seized(ID), stay_of(other, "begin", "work", 4)]);
    assert_eq!(hazard(&dom0, "siblings-elsewhere")["evidence"], "0000:00:07.1 (work)");
    dom0.store().remove("/local/domain/0/backend/pci/4");
    dom0.ends(4);
    told(&dom0, BOOT, &[stay_of(other, "end", "work", 4)]);
    assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["siblings-elsewhere", "network"]));
    assert_eq!(hazard(&dom0, "siblings-elsewhere")["evidence"], "0000:00:07.1 (was with work)");
    dom0.run_changing_nothing(&["--json", "reattach", NIC, "--accept", "network"])
        .fails(4, "consent-missing");
    // A qube that had both is accepted once, by its name.
    told(&dom0, BOOT, &[stay("begin", "work", 5), stay("end", "work", 5)]);
    assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["exposed:work", "network"]));
}

#[test]
fn what_a_qube_did_to_the_ninth_function_of_an_ari_device_is_asked_too() {
    let (port, ninth) = ("0000:00:02.0", "0000:00:08.0");
    let mut dom0 = Dom0::with(Function::root_port(port));
    dom0.add(Function::nic(NIC).behind(&[port]).held());
    dom0.add(Function::nic(ninth).behind(&[port]).held().quarantined());
    let _mark = listens(&dom0);
    told(&dom0, BOOT, &[recorder("start"), seized(ID), stay_of(ninth, "begin", "work", 4)]);
    told(&dom0, BOOT, &[stay_of(ninth, "end", "work", 4)]);
    assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["siblings-elsewhere", "network"]));
    assert_eq!(hazard(&dom0, "siblings-elsewhere")["evidence"], "0000:00:08.0 (was with work)");
}

#[test]
fn what_a_qube_did_to_a_function_that_can_reach_it_is_asked_too() {
    let (one, two, other) = ("0000:00:1c.0", "0000:00:1c.1", "0000:04:00.0");
    let mut dom0 = Dom0::with(Function::root_port(one));
    dom0.add(Function::root_port(two));
    dom0.add(Function::nic(NIC).behind(&[one]).held());
    dom0.add(Function::nic(other).behind(&[two]).held().quarantined());
    let _mark = listens(&dom0);
    told(&dom0, BOOT, &[recorder("start"), seized(ID), stay_of(other, "begin", "work", 4)]);
    told(&dom0, BOOT, &[stay_of(other, "end", "work", 4)]);
    assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["siblings-elsewhere", "network"]));
    assert_eq!(hazard(&dom0, "siblings-elsewhere")["evidence"], "0000:04:00.0 (was with work)");
}

#[test]
fn a_quarantine_that_no_record_explains_is_unknown_history() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    let _mark = listens(&dom0);
    told(&dom0, BOOT, &[recorder("start"), seized(ID)]);
    let evidence = hazard(&dom0, "unknown-history")["evidence"].clone();
    assert_eq!(evidence, "Xen holds it in quarantine, as it does when a qube that had it has ended");
}

#[test]
fn a_driver_of_dom0_that_was_bound_in_quarantine_proves_nothing_when_pciback_takes_it() {
    // A qube had it before the recorder began; its driver was bound without Xen being asked; then it was held.
    let ways = [("hold", "operation", "DomIO"), ("xl", "uevent", "DomIO"), ("xl", "uevent", "")];
    for (way, source, owner) in ways {
        let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
        let _mark = listens(&dom0);
        let start = recorder_since("start", false);
        let bound = Draft::new("device").text("event", "present").text("bdf", NIC).text("driver", "e1000e");
        let bound = bound.text("owner", "DomIO").text("source", "snapshot");
        let took = took(way, source, owner);
        told(&dom0, BOOT, &[start, bound, took.clone(), recorder("heartbeat")]);
        assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["unknown-history", "network"]), "{way}");
        if !owner.is_empty() {
            dom0.run(&["show", NIC]).exits(0).says("taken by pciback 20");
        }
        // Though the recorder heard this boot from before its first qube, a quarantine that was there is not its doing.
        let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
        let _mark = listens(&dom0);
        told(&dom0, BOOT, &[recorder("start"), took, recorder("heartbeat")]);
        assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["unknown-history", "network"]), "{way}");
    }
}

#[test]
fn what_dom0_owned_till_pciback_took_it_is_known_since_whatever_was_missed_before() {
    for (way, source) in [("hold", "operation"), ("xl", "uevent")] {
        let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
        let _mark = listens(&dom0);
        let took = took(way, source, "dom0");
        told(&dom0, BOOT, &[recorder_since("start", false), took, recorder("heartbeat")]);
        assert_eq!(dom0.json(&["plan", NIC])["accept"], json!(["network"]), "{way}");
    }
}

#[test]
fn earlier_boots_are_one_hazard_and_it_follows_the_device_to_another_address() {
    let dom0 = dom0();
    let elsewhere = |event: &str| {
        let draft = Draft::new("stay").text("event", event).text("bdf", "0000:00:1c.0").text("id", ID);
        draft.text("qube", "sys-net").text("source", "xenstore").number("domain", 3)
    };
    told(&dom0, "00000000", &[elsewhere("begin"), elsewhere("end")]);
    let before = hazard(&dom0, "exposed-before");
    assert_eq!(before["severity"], "warn");
    let evidence = before["evidence"].as_str().unwrap();
    assert!(
        evidence.starts_with("sys-net last 20") && evidence.ends_with("at another address"),
        "{evidence}"
    );
    let ids = dom0.hazards(NIC);
    assert!(!ids.contains(&"exposed".to_owned()), "{ids:?}");
}

#[test]
fn another_device_at_the_address_is_named_field_by_field() {
    let dom0 = dom0();
    told(&dom0, "00000000", &[seized("8086:10d4 8086:0001 020000")]);
    let changed = hazard(&dom0, "identity-changed");
    assert!(
        changed["evidence"].as_str().unwrap().ends_with("vendor and device 8086:10d4 -> 8086:10d3"),
        "{changed}"
    );
    let dom0 = self::dom0();
    told(&dom0, "00000000", &[seized(ID)]);
    assert!(!dom0.hazards(NIC).contains(&"identity-changed".to_owned()));
}

#[test]
fn an_altered_device_is_named_though_another_of_its_model_stands_beside_it() {
    const OTHER: &str = "0000:00:09.0";
    let was = |bdf: &str| {
        let draft = Draft::new("device").text("event", "present").text("bdf", bdf);
        draft.text("id", "8086:10d4 8086:0001 020000").text("driver", "pciback").text("source", "snapshot")
    };
    let mut dom0 = dom0();
    let mut other = Function::nic(OTHER).held();
    other.config[2..4].copy_from_slice(&0x10d4u16.to_le_bytes());
    dom0.add(other);
    told(&dom0, "00000000", &[was(NIC)]);
    assert!(!dom0.hazards(NIC).contains(&"identity-changed".to_owned()), "it moved");
    told(&dom0, "00000000", &[was(OTHER)]);
    assert_eq!(hazard(&dom0, "identity-changed")["accept"], "identity-changed");
}

#[test]
fn a_recorded_option_counts_though_xenstore_knows_it_no_more() {
    let dom0 = dom0();
    told(&dom0, BOOT, &[stay("begin", "work", 4).text("options", "permissive=1,rdm_policy=relaxed")]);
    for id in ["permissive", "no-strict-reset"] {
        assert_eq!(hazard(&dom0, id)["accept"], id);
    }
}

#[test]
fn a_broken_journal_stops_a_plan_as_it_stops_a_return_and_a_repair_leaves_a_hazard() {
    let dom0 = dom0();
    told(&dom0, BOOT, &[seized(ID), stay("begin", "work", 4), stay("end", "work", 4)]);
    let file = folder(&dom0).join("000000000000.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    for command in ["plan", "reattach"] {
        dom0.run_changing_nothing(&["--json", command, NIC]).fails(7, "journal-broken");
    }
    let unseen = dom0.run(&["--json", "show", NIC]).exits(0).json()["unseen"].clone();
    assert!(unseen[0].as_str().unwrap().starts_with("the journal: "), "{unseen}");
    dom0.run(&["--json", "audit", "repair", "--yes"]).exits(0);
    assert_eq!(hazard(&dom0, "journal-broken")["severity"], "warn");
}

#[test]
fn show_tells_the_whole_story_and_list_who_had_it() {
    let dom0 = dom0();
    told(&dom0, "00000000", &[stay("begin", "old", 3), stay("end", "old", 3)]);
    told(&dom0, BOOT, &[recorder("start"), seized(ID), stay("begin", "work", 4), stay("end", "work", 4)]);
    let shown = dom0.run(&["show", NIC]).exits(0).out;
    let joined = crate::model::folded(&shown);
    for part in [
        "history taken from dom0 20",
        "UTC (override)",
        "work (red, AppVM, provides network) 20",
        "earlier boots: old (red, provides network) once, 20",
        "last in boot 00000000",
        "not recorded: the recorder had ended since 20",
        "its identity is as recorded 20",
    ] {
        assert!(joined.contains(part), "{part}: {shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let list = dom0.run(&["list", "--long"]).exits(0);
    list.says("had by    work (red, AppVM, provides network), 20");
    let device = dom0.json(&["show", NIC])["device"].clone();
    let history = &device["history"];
    assert_eq!(history["qubes"], json!(["work"]));
    assert_eq!(history["stays"][0]["qube"], "work");
    assert_eq!(history["before"][0]["qube"], "old");
    assert_eq!(history["seized"]["way"], "override");
    assert_eq!(history["identity"]["id"], ID);
}

#[test]
fn names_from_the_journal_cannot_act_on_a_terminal() {
    let dom0 = dom0();
    told(&dom0, BOOT, &[stay("begin", "ev\u{1b}[2Jil", 4)]);
    let accept = dom0.json(&["plan", NIC])["accept"].clone();
    assert_eq!(accept[0], "exposed:domain-4");
    let shown = dom0.run(&["show", NIC]).exits(0).out;
    assert!(shown.contains("ev\\x1b[2Jil"), "{shown}");
}

#[test]
fn the_same_past_gives_the_same_plan_whatever_else_is_written() {
    let dom0 = dom0();
    told(&dom0, BOOT, &[seized(ID), stay("begin", "work", 4), stay("end", "work", 4)]);
    let id = dom0.plan_id(NIC);
    told(
        &dom0,
        BOOT,
        &[Draft::new("note").text("text", "nothing"), stay("present", "other", 9).text("x", "y")],
    );
    assert_ne!(dom0.plan_id(NIC), id, "another qube had it");
    let id = dom0.plan_id(NIC);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    told(&dom0, BOOT, &[Draft::new("note").text("text", "nothing")]);
    assert_eq!(dom0.plan_id(NIC), id);
}

/// Records of other devices, the recorder's, and operations', as they come in years.
fn years(number: u64) -> Draft {
    // 0000:00:07.0 is one of them.
    let bdf = format!("0000:{:02x}:{:02x}.0", number % 61, number % 32);
    let what =
        "write the address to pciback/unbind while Xen holds it in quarantine, and read back who drives it";
    match number % 16 {
        0 => recorder("heartbeat"),
        1..=3 => Draft::new("stay")
            .text("event", "begin")
            .text("bdf", &bdf)
            .text("id", "1b36:000d 1af4:1100 0c0330")
            .text("qube", "sys-usb")
            .text("uuid", "5b5a7bd4-4f5a-4a3a-8a34-4a4a4a4a4a4a")
            .text("source", "xenstore")
            .number("domain", 3),
        4..=6 => Draft::new("device")
            .text("event", "present")
            .text("bdf", &bdf)
            .text("id", "1b36:000d 1af4:1100 0c0330"),
        _ => Draft::new("step").op("9616d76e").text("step", "unbind").text("bdf", &bdf).text("what", what),
    }
}

/// With `QUBES_DOM0_PCI_FULL` a million records; how long it takes is printed (it means something of optimised code only).
#[test]
fn show_answers_at_once_however_long_the_journal_is() {
    let full = std::env::var("QUBES_DOM0_PCI_FULL").is_ok_and(|value| !value.is_empty());
    let count: u64 = if full { 1_000_000 } else { 20_000 };
    let dom0 = dom0();
    let mut journal = Journal::open(&folder(&dom0), "00000000").unwrap();
    for piece in 0..count / 1000 {
        journal.append(&(0..1000).map(|number| years(piece * 1000 + number)).collect::<Vec<_>>()).unwrap();
    }
    drop(journal);
    told(&dom0, BOOT, &[seized(ID), stay("begin", "work", 4), stay("end", "work", 4)]);
    let mut best = u128::MAX;
    for _ in 0..3 {
        let start = std::time::Instant::now();
        let shown = dom0.json(&["show", NIC]);
        best = best.min(start.elapsed().as_millis());
        assert!(shown["device"]["history"]["qubes"].as_array().unwrap().contains(&json!("work")));
    }
    let list = std::time::Instant::now();
    dom0.run(&["list", "--all"]).exits(0);
    println!("{count} records: show {best} ms, list --all {} ms", list.elapsed().as_millis());
}
