//! The package's update moves a journal that stood below a folder that a group can write.

use crate::model::{Dom0, Function};
use audit::{Draft, Journal};
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::PathBuf;

const NIC: &str = "0000:00:07.0";
const OLD: &str = "var/lib/qubes/dom0-pci/journal";

/// A dom0 as an older version left it: a qube had the device in an earlier boot.
fn older() -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    let stay = Draft::new("stay").text("event", "begin").text("bdf", NIC).text("qube", "work");
    let stay = stay.text("id", "8086:10d3 8086:0001 020000").text("label", "red").text("source", "xenstore");
    Journal::open(&old(&dom0), "22222222").unwrap().append(&[stay.number("domain", 4)]).unwrap();
    fs::set_permissions(dom0.path("var/lib/qubes"), fs::Permissions::from_mode(0o2770)).unwrap();
    dom0
}

fn old(dom0: &Dom0) -> PathBuf {
    dom0.path(OLD)
}

/// A systemctl that writes down what it is asked, and says whether the recorder runs.
fn systemctl(dom0: &Dom0, runs: bool) {
    let asked = dom0.path("asked");
    let active = if runs { 0 } else { 3 };
    let script = format!(
        "#!/bin/sh\necho \"$@\" >>{}\n[ \"$1\" != is-active ] || exit {active}\n[ -e {} ] && echo moved >>{}\nexit 0\n",
        asked.display(),
        dom0.journal().join("HEAD").display(),
        asked.display()
    );
    dom0.write("usr/bin/systemctl", script);
    fs::set_permissions(dom0.path("usr/bin/systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn asked(dom0: &Dom0) -> String {
    fs::read_to_string(dom0.path("asked")).unwrap_or_default()
}

#[test]
fn what_it_tells_comes_along() {
    let dom0 = older();
    assert!(!dom0.hazards(NIC).contains(&"exposed-before".to_owned()));
    let said = dom0.run_changing_nothing(&["move-journal"]).exits(0);
    said.says("is kept, read-only");
    assert!(dom0.hazards(NIC).contains(&"exposed-before".to_owned()));
    assert!(!dom0.hazards(NIC).contains(&"journal-broken".to_owned()));
    dom0.run(&["audit", "verify"]).exits(0);
    let records = dom0.run(&["--json", "audit", "log", "--kind", "moved"]).exits(0).records();
    assert_eq!(records[0]["from"], old(&dom0).display().to_string());
    // Again, and on a system that never had the old one, there is nothing to do.
    dom0.run(&["move-journal"]).exits(0).says("nothing was changed");
    Dom0::new().run(&["move-journal"]).exits(0).says("nothing was changed");
}

#[test]
fn what_does_not_verify_or_others_could_have_written_is_a_hazard_for_good() {
    for harm in ["altered", "loose", "link"] {
        let dom0 = older();
        match harm {
            "altered" => {
                let file = old(&dom0).join("000000000000.jsonl");
                let text = fs::read_to_string(&file).unwrap().replace("\"red\"", "\"blu\"");
                fs::write(file, text).unwrap();
            }
            "loose" => fs::set_permissions(old(&dom0), fs::Permissions::from_mode(0o770)).unwrap(),
            _ => {
                fs::rename(dom0.path("var/lib/qubes/dom0-pci"), dom0.path("var/lib/qubes/aside")).unwrap();
                symlink("aside", dom0.path("var/lib/qubes/dom0-pci")).unwrap();
            }
        }
        let said = dom0.run_changing_nothing(&["--json", "move-journal"]).exits(7).json();
        assert_eq!(said["moved"], true, "{harm}");
        assert!(!said["doubts"].as_array().unwrap().is_empty(), "{harm}");
        assert!(dom0.hazards(NIC).contains(&"journal-broken".to_owned()), "{harm}: {:?}", dom0.hazards(NIC));
        dom0.run(&["record", "--once"]).exits(0);
        assert!(dom0.hazards(NIC).contains(&"journal-broken".to_owned()), "{harm}");
    }
}

#[test]
fn the_recorder_is_stopped_before_and_started_after() {
    let dom0 = older();
    systemctl(&dom0, true);
    dom0.run(&["move-journal"]).exits(0);
    let unit = "qubes-dom0-pci-record.service";
    assert_eq!(
        asked(&dom0),
        format!("is-active --quiet {unit}\nstop {unit}\nstart --no-block {unit}\nmoved\n")
    );
    let dom0 = older();
    systemctl(&dom0, false);
    dom0.run(&["move-journal"]).exits(0);
    assert_eq!(asked(&dom0), format!("is-active --quiet {unit}\n"));
}

#[test]
fn a_recorder_that_runs_all_the_same_keeps_it_where_it_is() {
    let dom0 = older();
    dom0.write("run/qubes-dom0-pci/recorder", "0badcafe");
    let file = fs::File::open(dom0.path("run/qubes-dom0-pci/recorder")).unwrap();
    let held =
        nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    dom0.run_changing_nothing(&["--json", "move-journal"]).fails(1, "busy");
    assert!(!dom0.journal().exists());
    drop(held);
    dom0.run(&["move-journal"]).exits(0);
}

#[test]
fn where_both_are_there_the_new_one_counts_and_list_says_so() {
    let dom0 = older();
    dom0.run(&["record", "--once"]).exits(0);
    let before = fs::read(dom0.journal().join("000000000000.jsonl")).unwrap();
    dom0.run(&["move-journal"]).exits(0).says("nothing was changed");
    assert_eq!(fs::read(dom0.journal().join("000000000000.jsonl")).unwrap(), before);
    dom0.run(&["list"]).exits(0).says("an older journal").says("/var/lib/qubes/dom0-pci/journal");
    let said = dom0.json(&["list"]);
    assert_eq!(said["former_journal"], dom0.path(OLD).display().to_string());
    let other = Dom0::new();
    other.run(&["list"]).never_says("an older journal");
    assert_eq!(other.json(&["list"])["former_journal"], serde_json::Value::Null);
}

#[test]
fn it_is_not_moved_to_a_place_that_others_can_write() {
    let dom0 = older();
    fs::set_permissions(dom0.path("var/lib"), fs::Permissions::from_mode(0o775)).unwrap();
    dom0.run_changing_nothing(&["--json", "move-journal"]).fails(11, "not-trusted");
}
