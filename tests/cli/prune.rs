//! Pruning removes records, and never makes a device look cleaner.

use crate::model::{Dom0, Function};
use audit::{Draft, Journal, Keep};
use serde_json::Value;
use std::time::Duration;

const NIC: &str = "0000:00:07.0";
const ID: &str = "8086:10d3 8086:0001 020000";
/// The model's boot, and an earlier one.
const BOOT: &str = "11111111";
const EARLIER: &str = "22222222";

fn stay(event: &str, qube: &str, label: &str) -> Draft {
    let draft = Draft::new("stay").text("event", event).text("bdf", NIC).text("id", ID).text("qube", qube);
    let draft = if label.is_empty() { draft } else { draft.text("label", label) };
    draft.text("class", "AppVM").flag("network", true).text("source", "xenstore").number("domain", 4)
}

/// Records in small segments, of this boot's name.
fn write(dom0: &Dom0, boot: &str, drafts: &[Draft]) {
    let mut journal = Journal::open_with(&dom0.journal(), boot, Duration::from_secs(10), 1500).unwrap();
    for draft in drafts {
        journal.append(std::slice::from_ref(draft)).unwrap();
    }
}

fn notes(count: i64) -> Vec<Draft> {
    (0..count).map(|number| Draft::new("note").number("n", number)).collect()
}

/// What an earlier boot told of the card, and so much besides that it can be pruned.
fn told(drafts: &[Draft]) -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    write(&dom0, EARLIER, drafts);
    write(&dom0, EARLIER, &notes(12));
    dom0
}

#[track_caller]
fn prune(dom0: &Dom0) -> Value {
    let seq = dom0.json(&["audit", "checkpoint"])["seq"].to_string();
    let said = dom0.run_changing_nothing(&["--json", "audit", "prune", "--before", &seq, "--yes"]).exits(0);
    let said = said.json();
    assert_eq!(said["pruned"], true, "{said}");
    dom0.run(&["audit", "verify"]).exits(0);
    said
}

fn hazard(dom0: &Dom0, id: &str) -> Option<Value> {
    let plan = dom0.run(&["--json", "plan", NIC]).json();
    let hazards = plan["device"]["hazards"].as_array().unwrap_or_else(|| panic!("{plan}"));
    hazards.iter().find(|hazard| hazard["id"] == id).cloned()
}

fn kinds(dom0: &Dom0, kind: &str) -> Vec<Value> {
    dom0.run(&["--json", "audit", "log", "--kind", kind]).records()
}

#[test]
fn who_had_it_in_an_earlier_boot_is_kept() {
    let dom0 =
        told(&[stay("begin", "work", "red"), stay("end", "work", "red"), stay("begin", "home", "blue")]);
    dom0.write("etc/qubes/dom0-pci.conf", "stop exposed-before\n");
    let before = dom0.run(&["--json", "plan", NIC]).exits(3).json();
    let said = prune(&dom0);
    assert_eq!(said["kept"], 2, "{said}");
    assert!(kinds(&dom0, "stay").is_empty());
    let had = kinds(&dom0, "had");
    assert_eq!(had.len(), 2);
    let work = had.iter().find(|record| record["qube"] == "work").unwrap();
    assert_eq!((&work["bdf"], &work["id"]), (&NIC.into(), &ID.into()));
    assert_eq!((&work["labels"], &work["unlabelled"]), (&serde_json::json!(["red"]), &false.into()));
    assert_eq!((&work["stays"], &work["in_boot"]), (&1.into(), &EARLIER.into()));
    assert!(work["last"].as_str().unwrap().starts_with("20"), "{work}");
    let after = dom0.run(&["--json", "plan", NIC]).exits(3).json();
    assert_eq!(before["accept"], after["accept"]);
    let evidence = hazard(&dom0, "exposed-before").unwrap()["evidence"].to_string();
    assert!(evidence.contains("work last") && evidence.contains("home last"), "{evidence}");
    assert!(!evidence.contains("not kept"), "{evidence}");
    dom0.run(&["show", NIC]).exits(0).says("which qubes had it then was kept");
}

#[test]
fn it_is_kept_over_a_second_prune() {
    let dom0 = told(&[stay("begin", "work", "red"), stay("end", "work", "red")]);
    prune(&dom0);
    dom0.reboots();
    write(&dom0, "33333333", &[stay("begin", "work", "orange")]);
    write(&dom0, "33333333", &notes(12));
    prune(&dom0);
    let had = kinds(&dom0, "had");
    assert_eq!(had.len(), 1, "{had:?}");
    assert_eq!(had[0]["labels"], serde_json::json!(["orange", "red"]));
    assert_eq!((&had[0]["stays"], &had[0]["in_boot"]), (&2.into(), &"33333333".into()));
    assert!(hazard(&dom0, "exposed-before").unwrap()["evidence"].to_string().contains("work 2 times"));
}

#[test]
fn labels_stay_as_far_as_they_were_known() {
    let forbids = |drafts: &[Draft], label: &str| {
        let dom0 = told(drafts);
        prune(&dom0);
        dom0.write("etc/qubes/dom0-pci.conf", format!("untrusted-label {label}\n"));
        hazard(&dom0, "exposed-before").unwrap()["severity"] == "stop"
    };
    let red = [stay("begin", "work", "red")];
    assert!(forbids(&red, "red") && !forbids(&red, "blue"));
    let unknown = [stay("begin", "work", "")];
    assert!(forbids(&unknown, "blue"));
    let once = [
        stay("begin", "work", "red").number("run", 1),
        stay("end", "work", "red"),
        stay("begin", "work", ""),
    ];
    assert!(forbids(&once, "blue"));
    let relabelled = Draft::new("qube").text("event", "label").text("qube", "work").text("label", "green");
    assert!(forbids(&[red[0].clone(), relabelled.text("source", "qubesd")], "green"));
}

#[test]
fn without_a_sum_what_was_pruned_counts_as_the_worst() {
    let dom0 = told(&[]);
    assert_eq!(hazard(&dom0, "exposed-before"), None);
    // By a version that kept nothing.
    audit::prune(&dom0.journal(), EARLIER, 12, Keep::default()).unwrap().unwrap();
    dom0.write("etc/qubes/dom0-pci.conf", "untrusted-label red\n");
    for _ in 0..2 {
        let hazard = hazard(&dom0, "exposed-before").unwrap();
        assert_eq!(hazard["severity"], "stop");
        assert!(hazard["evidence"].as_str().unwrap().contains("was not kept"), "{hazard}");
        // It stays so when this is pruned itself.
        write(&dom0, EARLIER, &notes(12));
        prune(&dom0);
        dom0.reboots();
    }
    dom0.run(&["show", NIC]).says("is not known");
}

#[test]
fn what_it_was_and_what_was_lost_stay_known() {
    let device = Draft::new("device").text("event", "present").text("bdf", NIC).text("id", ID);
    let device = device.text("revision", "77").text("source", "snapshot");
    let dom0 = told(&[device]);
    assert!(hazard(&dom0, "identity-changed").is_some());
    prune(&dom0);
    let changed = hazard(&dom0, "identity-changed").unwrap()["evidence"].to_string();
    assert!(changed.contains("revision"), "{changed}");
    let dom0 = told(&[Draft::new("moved").text("from", "/old").text("why", "others could write it")]);
    assert!(hazard(&dom0, "journal-broken").is_some());
    prune(&dom0);
    assert!(hazard(&dom0, "journal-broken").is_some());
    dom0.reboots();
    write(&dom0, EARLIER, &notes(12));
    prune(&dom0);
    assert!(hazard(&dom0, "journal-broken").is_some());
}

#[test]
fn records_of_this_boot_stay() {
    let dom0 = told(&[stay("begin", "work", "red")]);
    write(&dom0, BOOT, &[stay("begin", "home", "blue")]);
    write(&dom0, BOOT, &notes(20));
    let first = kinds(&dom0, "stay")[1]["seq"].as_u64().unwrap();
    let said = dom0.run(&["audit", "prune", "--before", "1000", "--yes"]).exits(0);
    said.says(&format!("records of this boot stay: the first is {first}"));
    let stays = kinds(&dom0, "stay");
    assert_eq!((stays.len(), &stays[0]["qube"]), (1, &"home".into()));
    assert!(dom0.hazards(NIC).contains(&"exposed".to_owned()), "{:?}", dom0.hazards(NIC));
}

/// An operation of this boot was interrupted at its third step.
fn interrupted(dom0: &Dom0) {
    let start = Draft::new("op").op("0badcafe").text("phase", "start").text("command", "reattach");
    let start = start.text("bdf", NIC).text("driver", "pciback").text("override", "").flag("slot", true);
    write(dom0, BOOT, &[start.text("owner", "DomIO")]);
    for name in ["pin", "unbind", "settle"] {
        let step =
            Draft::new("step").op("0badcafe").text("step", name).text("phase", "intent").text("bdf", NIC);
        write(dom0, BOOT, &[step]);
    }
}

#[test]
fn nothing_is_pruned_or_repaired_beside_an_operation_that_is_pending() {
    let dom0 = told(&[]);
    interrupted(&dom0);
    for command in [
        &["--json", "audit", "prune", "--before", "12", "--yes"][..],
        &["--json", "audit", "prune", "--before", "12"],
        &["--json", "audit", "repair"],
    ] {
        dom0.run_changing_nothing(command).fails(8, "pending");
    }
    dom0.run(&["recover"]).exits(0);
    dom0.run(&["audit", "repair"]).exits(0);
    prune(&dom0);
}

#[test]
fn where_nothing_can_be_settled_before_a_repair_it_is_not_refused() {
    let dom0 = told(&[]);
    interrupted(&dom0);
    // The last record is gone: `recover` cannot write one.
    let last = std::fs::read_dir(dom0.journal()).unwrap().map(|entry| entry.unwrap().path());
    let last = last.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).max().unwrap();
    let text = std::fs::read_to_string(&last).unwrap();
    let cut = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
    std::fs::write(&last, &text[..cut]).unwrap();
    dom0.run_changing_nothing(&["--json", "recover"]).fails(7, "journal-broken");
    dom0.run_changing_nothing(&["--json", "audit", "repair", "--yes"]).exits(0);
    dom0.run(&["recover"]).exits(0);
}

#[test]
fn nothing_is_pruned_while_an_operation_runs() {
    let dom0 = told(&[]);
    dom0.write("run/qubes-dom0-pci.lock", "");
    let file = std::fs::File::open(dom0.path("run/qubes-dom0-pci.lock")).unwrap();
    let held =
        nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    dom0.run_changing_nothing(&["--json", "audit", "prune", "--before", "12", "--yes"]).fails(1, "busy");
    dom0.run(&["audit", "prune", "--before", "12"]).exits(4);
    drop(held);
    prune(&dom0);
}
