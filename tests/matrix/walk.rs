//! The first-time walk: somebody who has never seen the program begins with one command, and takes each next one from what
//! the last has shown.

use super::possible;
use super::scenario::{Found, Kind, Scenario, BDF};
use super::several;
use crate::model::acting::{Machine, Owner};
use crate::model::terminal::{Session, GO_ON};

const HELD: Scenario = Scenario { command: "reattach", kind: Kind::Nic, found: Found::Held };

/// The commands of this program that an output shows, as a shell would take them apart.
fn commands(shown: &str) -> Vec<Vec<String>> {
    let shown = console::strip_ansi_codes(shown).replace('\r', "").replace("\\\n", " ");
    let of_line = |line: &str| {
        let (_, command) = line.split_once("qubes-dom0-pci ")?;
        let end = command.find([';', '|', '`', '&']).unwrap_or(command.len());
        Some(command[..end].split_whitespace().map(str::to_owned).collect())
    };
    shown.lines().filter_map(of_line).collect()
}

/// The command of that name that the output shows.
#[track_caller]
fn taken(shown: &str, name: &str) -> Vec<String> {
    let found = commands(shown).into_iter().find(|words| words.first().is_some_and(|word| word == name));
    found.unwrap_or_else(|| panic!("no {name} in:\n{shown}"))
}

/// Runs what was taken; what it shows.
#[track_caller]
fn walk(machine: &Machine, words: &[String], status: Option<i32>) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ran = machine.run(&words);
    assert_eq!(ran.status, status, "{words:?}: {}", ran.text);
    ran.text
}

fn begin() -> Vec<String> {
    vec!["status".to_owned()]
}

#[test]
fn from_a_card_in_quarantine_to_the_device_that_works_and_back() {
    if !possible() {
        return;
    }
    let machine = HELD.machine();
    let shown = walk(&machine, &begin(), Some(0));
    let words = taken(&shown, "plan");
    let planned = machine.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let shown = walk(&machine, &taken(&planned.text, "reattach"), Some(0));
    assert_eq!(machine.state().world.devices[BDF].driver.as_deref(), Some("e1000e"), "{shown}");
    let shown = walk(&machine, &taken(&shown, "hold"), Some(0));
    assert_eq!(machine.state().world.devices[BDF].owner, Owner::Quarantine, "{shown}");
    // What hold says leads to the return again.
    assert_eq!(taken(&shown, "reattach")[1], BDF);
}

#[test]
fn from_a_card_in_quarantine_to_the_proposal_for_a_reboot() {
    if !possible() {
        return;
    }
    let machine = HELD.machine();
    machine.dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    machine.dom0.write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"rhgb quiet\"\n");
    let shown = machine.run(&["status"]).text;
    let planned = machine.run(&taken(&shown, "plan").iter().map(String::as_str).collect::<Vec<_>>());
    let words = taken(&planned.text, "reattach");
    // Without what a script accepts somebody is asked.
    let mut session = Session::begin(&machine.dom0.command(&[&words[0], &words[1]]), (24, 80), "");
    assert!(session.until_question());
    session.press("\x1b[B\r");
    let (shown, status) = session.end();
    assert_eq!(status.code(), Some(4), "{shown}");
    let (_, said) = shown.rsplit_once("Nothing was changed.").unwrap();
    assert!(said.trim_end().ends_with("systemctl reboot"), "{said}");
    let diff = walk(&machine, &taken(said, "next-boot"), Some(0));
    assert!(diff.contains("+GRUB_CMDLINE_LINUX="), "{diff}");
}

#[test]
fn from_a_misattachment_to_its_rollback() {
    if !possible() {
        return;
    }
    let machine = several::machine(BDF);
    let shown = machine.run(&["status"]).text;
    let planned = machine.run(&taken(&shown, "plan").iter().map(String::as_str).collect::<Vec<_>>());
    let words = taken(&planned.text, "rollback");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut session = Session::begin(&machine.dom0.command(&words), (24, 80), "");
    assert!(session.until_question());
    session.press(GO_ON);
    assert!(session.until_question());
    let shown = session.shown();
    let (_, word) = shown.rsplit_once("To go on, type ").unwrap();
    session.press(&format!("{}\r", word.lines().next().unwrap()));
    let (shown, status) = session.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    for device in machine.state().world.devices.values() {
        assert_eq!(device.driver.as_deref(), Some("e1000e"), "{shown}");
    }
}

#[test]
fn from_a_crash_to_recover() {
    if !possible() {
        return;
    }
    let machine = HELD.machine();
    machine.kill_after_writes(3);
    assert_eq!(machine.run(&HELD.arguments()).status, None);
    let shown = walk(&machine, &begin(), Some(0));
    // What is first to be done stands first.
    let first = commands(&shown).remove(0);
    assert_eq!(first, ["recover"], "{shown}");
    walk(&machine, &first, Some(0));
    let shown = walk(&machine, &begin(), Some(0));
    assert_eq!(taken(&shown, "plan")[1], BDF);
}
