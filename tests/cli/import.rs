//! `audit import`: given these older logs, this is journaled, once.

use crate::model::{Dom0, Function};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import").join(name)
}

/// A dom0 with all the logs where they lie, and a journalctl that tells what journald kept.
fn with_logs() -> Dom0 {
    let dom0 = Dom0::with(Function::nic("0000:00:1f.6"));
    for (folder, place) in [("libvirt", "var/log/libvirt/libxl"), ("backup", "var/lib/qubes/backup")] {
        for entry in std::fs::read_dir(sample(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            dom0.write(&format!("{place}/{name}"), std::fs::read(entry.path()).unwrap());
        }
    }
    let console = std::fs::read(sample("hypervisor.log")).unwrap();
    dom0.write("var/log/xen/console/hypervisor.log", console);
    let script =
        format!("#!/bin/sh\n[ -z \"$HOME\" ] && exec /bin/cat '{}'\n", sample("journald.jsonl").display());
    dom0.write("usr/bin/journalctl", script);
    let program = dom0.path("usr/bin/journalctl");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    dom0
}

fn numbers(document: &serde_json::Value) -> Vec<(String, u64, u64, u64, u64, u64)> {
    let number = |it: &serde_json::Value, key: &str| it[key].as_u64().unwrap();
    let sources = document["sources"].as_array().unwrap().iter();
    sources
        .map(|it| {
            let name = it["source"].as_str().unwrap().to_owned();
            let all = ["found", "new", "known", "unreadable", "without_time"].map(|key| number(it, key));
            (name, all[0], all[1], all[2], all[3], all[4])
        })
        .collect()
}

#[test]
fn all_the_older_logs_are_told_once() {
    let dom0 = with_logs();
    let document = dom0.json(&["audit", "import"]);
    assert_eq!(
        numbers(&document),
        [
            ("libvirt".to_owned(), 4, 4, 0, 1, 1),
            ("qubes.xml".to_owned(), 3, 3, 0, 1, 0),
            ("journald".to_owned(), 6, 6, 0, 1, 0),
            ("xen-console".to_owned(), 4, 4, 0, 0, 2),
        ]
    );
    assert!(document["head"].is_string());
    let written = dom0.run(&["--json", "audit", "export"]).out;
    let again = dom0.json(&["audit", "import"]);
    assert_eq!(again["new"], 0);
    assert!(numbers(&again).iter().all(|(_, found, new, known, ..)| *new == 0 && found == known));
    assert_eq!(dom0.run(&["--json", "audit", "export"]).out, written, "importing twice added something");
    dom0.run(&["audit", "verify"]).exits(0);
    // One more line is one more record.
    let more = std::fs::read_to_string(sample("journald.jsonl"))
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .replace("14.0", "19.0");
    let dom0_log = dom0.path("more.jsonl");
    std::fs::write(&dom0_log, more).unwrap();
    let path = dom0_log.to_str().unwrap();
    assert_eq!(dom0.json(&["audit", "import", "--journald", path])["new"], 1);
    assert_eq!(dom0.json(&["audit", "import", "--journald", path])["new"], 0);
}

#[test]
fn what_is_imported_names_its_source_and_how_far_its_time_is_to_be_trusted() {
    let dom0 = with_logs();
    dom0.run(&["audit", "import"])
        .exits(0)
        .says("libvirt 4 4 0 1")
        .says("libvirt: gives no time for 1 of 4")
        .says("qubes.xml: gives no time of its own; 3 of 3 are about that time")
        .says("17 records were written");
    let records = dom0.run(&["--json", "audit", "export"]).exits(0).records();
    let of = |source: &str| records.iter().filter(|it| it["source"] == source).collect::<Vec<_>>();
    let libvirt = of("import:libvirt");
    assert_eq!(libvirt[0]["at"], "2026-10-01T06:12:09.480000Z");
    assert_eq!(libvirt[0]["approximate"], true);
    assert_eq!(libvirt[0]["key"].as_str().unwrap().len(), 16);
    let untimed: Vec<_> = libvirt.iter().filter(|it| it.get("at").is_none()).collect();
    assert_eq!(untimed.len(), 1);
    let journald = of("import:journald");
    assert_eq!(journald[0]["of_boot"], "7b6a0f4e");
    assert!(journald[0].get("approximate").is_none());
    assert!(of("import:qubes.xml")
        .iter()
        .any(|it| it["bdf"] == "0000:00:1f.6" && it["event"] == "unassigned"));
}

#[test]
fn a_dry_run_shows_and_writes_nothing() {
    let dom0 = with_logs();
    let said = dom0.run(&["audit", "import", "--dry-run"]).exits(0);
    let said = said
        .says("it went to sys-usb, permissive=1,rdm_policy=relaxed (import: libvirt, about 2026-10-01 06:12:09)")
        .says("pciback took it (import: journald, 2026-10-01 06:00:00)")
        .says("odd\\x1b[31m\"name")
        .says("at an unknown time");
    said.says("17 records would be written; nothing was changed");
    assert!(!dom0.path("var/lib/qubes-dom0-pci/journal").exists());
    let document = dom0.json(&["audit", "import", "--dry-run"]);
    assert_eq!(document["entries"].as_array().unwrap().len(), 17);
}

#[test]
fn only_what_is_named_is_read() {
    let dom0 = Dom0::new();
    let (libvirt, console) = (sample("libvirt"), sample("hypervisor.log"));
    let document = dom0.json(&[
        "audit",
        "import",
        "--libvirt",
        libvirt.to_str().unwrap(),
        "--xen-console",
        console.to_str().unwrap(),
        console.to_str().unwrap(),
    ]);
    let found = numbers(&document);
    assert_eq!(
        found.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(),
        ["libvirt", "xen-console", "xen-console"]
    );
    // The same file named twice is told once.
    assert_eq!((found[1].2, found[2].2, found[2].3), (4, 0, 4));
}

#[test]
fn what_is_not_there_is_said_and_what_was_named_must_be() {
    let dom0 = Dom0::new();
    dom0.run(&["audit", "import"]).exits(0).says("not there").says("nothing is new; nothing was written");
    dom0.run(&["--json", "audit", "import", "--libvirt", "/nowhere"]).fails(11, "unreadable");
    assert!(!dom0.path("var/lib/qubes-dom0-pci/journal").exists());
}

#[test]
fn what_journalctl_writes_can_be_piped_in() {
    let dom0 = Dom0::new();
    let file = std::fs::File::open(sample("journald.jsonl")).unwrap();
    let answer = dom0.command(&["audit", "import", "--journald", "-"]).stdin(file).output().unwrap();
    assert!(String::from_utf8(answer.stdout).unwrap().contains("6 records were written"));
    // Some other file is not taken for one that tells nothing.
    let console = sample("hypervisor.log");
    let other = dom0.json(&["audit", "import", "--journald", console.to_str().unwrap()]);
    assert!(numbers(&other)[0].4 > 0, "{other}");
}

#[test]
fn an_imported_stay_is_drawn_as_one() {
    let dom0 = with_logs();
    dom0.run(&["audit", "import"]).exits(0);
    dom0.run(&["audit", "timeline", "--device", "00:14.0", "--until", "2026-10-05"])
        .exits(0)
        .says("a small letter: from an import; it proves nothing else")
        .says("sys-usb")
        .says("domain-2");
}

#[test]
fn a_stay_before_the_recorder_is_a_hazard_of_the_past_and_never_proof_of_anything() {
    let mut dom0 = with_logs();
    dom0.add(Function::usb("0000:00:14.0").held().quarantined());
    // This boot began long after what the logs tell of.
    dom0.write("proc/stat", "btime 1795132800\n");
    let before = dom0.hazards("0000:00:14.0");
    assert!(!before.iter().any(|id| id == "exposed-before"), "{before:?}");
    dom0.run(&["audit", "import"]).exits(0);
    let after = dom0.hazards("0000:00:14.0");
    for id in ["exposed-before", "unknown-history"] {
        assert!(after.iter().any(|hazard| hazard == id), "{id}: {after:?}");
    }
    dom0.run(&["show", "0000:00:14.0"]).exits(0).says("sys-usb").says("imported");
}
