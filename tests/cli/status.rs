//! `status`, which is also what the bare command prints on a terminal: how this dom0 stands, and what to type next.

use crate::model::{Dom0, Function, QUBES_43};
use audit::{Draft, Journal};
use serde_json::{json, Value};
use std::os::unix::fs::PermissionsExt;

const NIC: &str = "0000:00:1f.6";
const WIFI: &str = "0000:04:00.0";
const START: &str = r#""kind":"recorder","phase":"start","run":"r","sources":["uevents","xenstore"],"missing":["qubesd"],"first":true,"interval":600"#;
const SEIZED: &str = r#""kind":"device","event":"seized","bdf":"0000:00:1f.6","driver":"pciback","before":"e1000e","source":"uevent""#;
const BEGIN: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:1f.6","qube":"sys-net","label":"red","class":"AppVM","network":true,"source":"xenstore","domain":3"#;
const END: &str = r#""kind":"stay","event":"end","bdf":"0000:00:1f.6","qube":"sys-net","label":"red","class":"AppVM","network":true,"source":"xenstore","domain":3"#;

/// sys-net had the card and is shut down; it is assigned another one too, which dom0 drives.
fn dom0() -> Dom0 {
    let mut dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.add(Function::nic(WIFI).driven("e1000e"));
    let qubesd = dom0.qubes(QUBES_43);
    qubesd.answers(
        "admin.vm.device.pci.Assigned+",
        "sys-net",
        "dom0+04_00.0:0x8086:0x10d3::p020000 device_id='0x8086:0x10d3::p020000' port_id='04_00.0' devclass='pci' \
         backend_domain='dom0' mode='required' frontend_domain='sys-net'\\n",
    );
    dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    dom0.write("sys/hypervisor/version/major", "4\n");
    dom0.write("sys/hypervisor/version/minor", "19\n");
    dom0.remembers(&[
        ("08:00:00", "11111111", START),
        ("08:01:58", "11111111", SEIZED),
        ("08:02:00", "11111111", BEGIN),
        ("08:09:00", "11111111", END),
    ]);
    dom0
}

#[test]
fn one_screen_says_how_it_stands_and_what_to_type_next() {
    let dom0 = dom0();
    dom0.run_changing_nothing(&["status"])
        .exits(0)
        .says("system Qubes release 4.3.0 (R4.3), Xen 4.19")
        .says("recorder does not run: nobody records which qube gets which device; last heard of 2026-11-22 08:00 UTC")
        .says("operation none is pending or running")
        .says("journal 4 records, verified; no checkpoint was given out yet")
        .says("policy no rules (/etc/qubes/dom0-pci.conf is not there)")
        .says("devices 1 is away from dom0")
        .says("00:1f.6 Ethernet")
        .says("sys-net takes 0000:04:00.0 from dom0 at its next start (Ethernet controller: Intel Corporation 82574L")
        .says("To keep it: qvm-pci unassign sys-net dom0:04_00.0:0x8086:0x10d3::p020000")
        .says("Next: sudo qubes-dom0-pci plan 0000:00:1f.6");
    let document = dom0.json(&["status"]);
    assert_eq!(document["system"], json!({ "qubes": "Qubes release 4.3.0 (R4.3)", "xen": "4.19" }));
    assert_eq!(document["recorder"]["runs"], false);
    assert_eq!(document["recorder"]["hears"], json!(["uevents", "xenstore"]));
    assert_eq!(document["recorder"]["missing"], json!(["qubesd"]));
    assert_eq!((&document["pending"], &document["running"]), (&Value::Null, &Value::Null));
    assert_eq!((&document["journal"]["verdict"], &document["journal"]["records"]), (&json!("ok"), &json!(4)));
    assert_eq!(document["policy"], json!({ "good": true, "rules": 0, "why": null }));
    let device = &document["devices"][0];
    assert_eq!((&device["bdf"], &device["state_word"]), (&json!(NIC), &json!("quarantine")));
    assert_eq!(device["had_by"], json!(["sys-net"]));
    assert_eq!(document["taken_at_next_start"][0]["bdf"], WIFI);
}

#[test]
fn the_bare_command_is_status_on_a_terminal_and_usage_elsewhere() {
    let dom0 = dom0();
    let shown = dom0.run_at(80, &[]);
    assert_eq!(shown, dom0.run_at(80, &["status"]));
    assert!(shown.contains("devices    1 is away from dom0"), "{shown}");
    assert!(dom0.run(&[]).exits(2).err.contains("Usage: qubes-dom0-pci"));
    dom0.run(&["--json"]).fails(2, "usage");
}

#[test]
fn status_is_as_wide_as_the_terminal_and_never_wider() {
    let dom0 = dom0();
    for columns in (60..=200).step_by(20) {
        let shown = dom0.run_at(columns, &["status"]);
        let command = |line: &str| line.starts_with("  ");
        for line in shown.lines().filter(|line| !command(line)) {
            assert!(line.chars().count() <= columns, "{columns}: {line:?}\n{shown}");
        }
    }
}

#[test]
fn a_plain_xen_without_anything_is_said_to_be_fine() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    dom0.run_changing_nothing(&["status"])
        .exits(0)
        .says("without Qubes")
        .says("recorder does not run")
        .says("journal there is none yet")
        .says("devices none is away from dom0")
        .says("Next: sudo systemctl enable --now qubes-dom0-pci-record");
    assert_eq!(dom0.json(&["status"])["journal"]["verdict"], "absent");
}

#[test]
fn an_operation_that_was_interrupted_stands_above_all_else() {
    let dom0 = dom0();
    let start = Draft::new("op").op("0badcafe").text("phase", "start").text("command", "reattach");
    let start = start.text("bdf", NIC).text("driver", "pciback").text("override", "").flag("slot", true);
    let mut journal = Journal::open(&dom0.journal(), "11111111").unwrap();
    journal.append(&[start.text("owner", "DomIO")]).unwrap();
    let said = dom0.run_changing_nothing(&["status"]).exits(0);
    assert!(said.out.starts_with("! reattach of 0000:00:1f.6 was interrupted"), "{}", said.out);
    said.says("run sudo qubes-dom0-pci recover")
        .says("operation one was interrupted, see above")
        .never_says("Next:");
    assert_eq!(dom0.json(&["status"])["pending"]["operation"], "0badcafe");
}

#[test]
fn a_checkpoint_an_altered_journal_and_a_bad_policy_are_named() {
    let dom0 = dom0();
    dom0.run(&["audit", "checkpoint", "--to", "paper"]).exits(0);
    dom0.run(&["status"]).exits(0).says("last checkpoint 3, 20").says("(paper)");
    assert_eq!(dom0.json(&["status"])["journal"]["checkpoint"]["place"], "paper");
    dom0.write("etc/qubes/dom0-pci.conf", "untrusted-lable red\n");
    std::fs::set_permissions(dom0.path("etc/qubes/dom0-pci.conf"), std::fs::Permissions::from_mode(0o644))
        .unwrap();
    dom0.run(&["status"])
        .exits(0)
        .says("policy cannot be followed, and every return is refused")
        .says("Next: sudo qubes-dom0-pci policy check");
    let file = dom0.journal().join("000000000000.jsonl");
    let text = std::fs::read_to_string(&file).unwrap().replacen("sys-net", "sys-usb", 1);
    std::fs::write(&file, text).unwrap();
    dom0.run(&["status"]).exits(0).says("records, ALTERED").says("Next: sudo qubes-dom0-pci audit verify");
    assert_eq!(dom0.json(&["status"])["journal"]["verdict"], "altered");
}

#[test]
fn a_policy_is_checked_before_it_matters() {
    let dom0 = dom0();
    dom0.run(&["policy", "check"]).exits(0).says("is not there: this machine has no rules of its own");
    let file = "etc/qubes/dom0-pci.conf";
    let write = |text: &str| {
        dom0.write(file, text);
        std::fs::set_permissions(dom0.path(file), std::fs::Permissions::from_mode(0o644)).unwrap();
    };
    write("never-return 00:1f.6\nnever-return 8086:10d3\nstop usb\n");
    dom0.run_changing_nothing(&["policy", "check"])
        .exits(0)
        .says("3 rules")
        .says("line 1 never-return 0000:00:1f.6 (a device is there)")
        .says("line 2 never-return 8086:10d3 (0000:00:1f.6, 0000:04:00.0)");
    assert_eq!(dom0.json(&["policy", "check"])["good"], true);
    write("untrusted-lable red\nstop nonsense\nallow usb\n");
    dom0.run_changing_nothing(&["policy", "check"])
        .exits(3)
        .says("line 1 is not a rule: `untrusted-lable red`; did you mean untrusted-label?")
        .says("line 2 names no warning: `nonsense`")
        .says("line 3 is not a rule: `allow usb`")
        .says("until that is corrected every return is refused");
    let bad = dom0.run(&["--json", "policy", "check"]).exits(3).json();
    assert_eq!((&bad["good"], bad["problems"].as_array().unwrap().len()), (&json!(false), 3));
    dom0.write("draft", "stop usb\n");
    let draft = dom0.path("draft");
    dom0.run(&["policy", "check", draft.to_str().unwrap()]).exits(0).says("1 rule");
    dom0.run(&["policy", "check", "/nowhere/at/all"]).exits(11);
}

#[test]
fn what_is_redacted_names_no_qube() {
    let dom0 = dom0();
    let whole = dom0.json(&["status"]).to_string();
    assert!(whole.contains("sys-net"), "{whole}");
    let said = dom0.json(&["status", "--redact"]).to_string();
    assert!(!said.contains("sys-net") && said.contains("qube-"), "{said}");
    dom0.run(&["status", "--redact"]).exits(2);
}
