//! Every example of the manual pages and the README is run, by bash, on a model dom0 that acts: a card that sys-net had,
//! quarantined. Programs that a dom0 has besides stand beside it as far as an example needs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::string_slice)]

#[allow(dead_code, unused_imports)]
#[path = "model/mod.rs"]
mod model;
#[allow(dead_code)]
#[path = "matrix/scenario.rs"]
mod scenario;

use audit::{Draft, Journal};
use model::acting::{Machine, Mount};
use scenario::{Found, Kind, Scenario};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CARD: &str = "0000:00:1f.6";

/// What an example says, behind its first words: how it ends, and what is among what it prints.
type Expected = (&'static str, i32, &'static str);

const MANUAL: &[Expected] = &[
    ("qubes-dom0-pci list\nqubes-dom0-pci show", 4, "reattach at a risk"),
    // Nobody is at a prompt here: tests/cli/prompt.rs is.
    ("qubes-dom0-pci reattach", 4, "nothing was changed"),
    ("qubes-dom0-pci hold", 0, "no operation is pending"),
    ("plan=$(qubes-dom0-pci --json plan", 0, "done"),
    ("qubes-dom0-pci --json rollback --last >review.json", 0, "\"outcome\":\"done\""),
    ("cp -r", 0, "records"),
    ("head=$(qubes-dom0-pci audit checkpoint", 0, "checkpoint"),
];
const JOURNAL: &[Expected] = &[("# in a qube", 0, "verified"), ("qubes-dom0-pci audit log", 0, "")];
const README: &[Expected] = &[
    ("qubes-dom0-pci status", 0, "in quarantine"),
    ("qubes-dom0-pci next-boot", 0, "00:1f.6"),
    ("qubes-dom0-pci audit report", 0, "Period"),
    ("qubes-dom0-pci policy check", 0, "no rules of its own"),
    ("qubes-dom0-pci list", 0, "or reattach"),
    ("qubes-dom0-pci show", 0, "identity"),
    ("qubes-dom0-pci plan", 4, "Steps"),
    ("qubes-dom0-pci reattach 00:1f.6 --plan", 0, "e1000e is bound"),
    ("qubes-dom0-pci reattach", 4, "nothing was changed"),
    ("qubes-dom0-pci rollback --last", 4, "--plan"),
    ("qubes-dom0-pci hold", 0, "in quarantine"),
    ("qubes-dom0-pci recover", 0, "nothing to do"),
    ("qubes-dom0-pci audit verify", 0, "verified"),
    ("qubes-dom0-pci audit log", 0, "sys-net"),
    ("qubes-dom0-pci audit timeline", 0, "sys-net"),
    ("qubes-dom0-pci audit import", 0, ""),
    ("qubes-dom0-pci --json plan", 4, "\"hazards\""),
    ("qubes-dom0-pci --json rollback --last --plan", 0, "\"outcome\":\"done\""),
    ("qubes-dom0-pci --json rollback --last", 4, "\"act\""),
];

/// sys-net was started with the card, and is gone again.
fn machine() -> Machine {
    let mut world = Scenario { command: "rollback", kind: Kind::Nic, found: Found::Held }.world();
    let card = world.devices.remove(scenario::BDF).unwrap();
    world.devices.insert(CARD.to_owned(), card);
    let machine = Machine::new(world, CARD);
    let seized = Draft::new("device").text("event", "seized").text("bdf", CARD).text("driver", "pciback");
    let seized = seized.text("before", "e1000e").text("source", "uevent");
    let started =
        Draft::new("qube").text("event", "started").text("qube", "sys-net").text("source", "qubesd");
    let given = Draft::new("stay").text("event", "begin").text("bdf", CARD).text("qube", "sys-net");
    let given = given.number("domain", 3).text("source", "xenstore");
    let mut journal = Journal::open(&machine.dom0.journal(), "11111111").unwrap();
    journal.append(&[started, seized, given]).unwrap();
    machine
}

/// A folder with the program, as one types it, and its neighbours.
struct Desk {
    folder: PathBuf,
}

impl Desk {
    fn beside(machine: &Machine) -> Self {
        let desk = Self { folder: machine.dom0.path("desk") };
        let root = machine.dom0.path("");
        let program = env!("CARGO_BIN_EXE_qubes-dom0-pci");
        desk.has("qubes-dom0-pci", &format!("exec {program} --sysroot {} \"$@\"", root.display()));
        desk.has("sudo", "exec \"$@\"");
        // What they are given must come to them.
        desk.has("qvm-run", "[ \"$*\" = '--pass-io vault cat >> checkpoints' ] && grep -q .");
        desk.has("qrencode", "[ \"$*\" = '-t ansiutf8' ] && grep -q .");
        desk
    }

    fn has(&self, name: &str, does: &str) {
        let path = self.folder.join("bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What bash prints of it, and how it ends.
    fn runs(&self, script: &str) -> (i32, String) {
        let mut command = Command::new("bash");
        command.args(["-uc", script]).current_dir(&self.folder).env_clear();
        command.env("PATH", format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.folder.display()));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }
}

/// Runs an example on a machine of its own and holds it against what is expected of the first that begins so.
fn holds(example: &str, expected: &[Expected]) -> usize {
    // The model needs no sudo; which examples have it is the reader's business.
    let example = &example.replace("sudo ", "");
    let place = expected.iter().position(|(first, ..)| example.starts_with(first));
    let place = place.unwrap_or_else(|| panic!("nothing is expected of the example\n{example}"));
    let (_, status, says) = expected[place];
    let machine = machine();
    let desk = Desk::beside(&machine);
    if example.contains(" hold ") {
        // There is something to hold.
        let accept = "exposed:sys-net,unknown-history,network";
        assert_eq!(machine.run(&["reattach", CARD, "--accept", accept]).status, Some(0));
    }
    let script = on(&machine, &desk, example);
    let (ended, text) = desk.runs(&script);
    assert!(ended == status && text.contains(says), "ended {ended}\n{script}\n---\n{text}");
    place
}

/// The example with the model's paths and ids for those that are shown.
fn on(machine: &Machine, desk: &Desk, example: &str) -> String {
    let journal = machine.dom0.journal();
    let mut script = example.replace("/var/lib/qubes-dom0-pci/journal", &journal.display().to_string());
    if let Some((before, behind)) = example.split_once("--plan ") {
        if behind.starts_with(|letter: char| letter.is_ascii_hexdigit()) {
            let asked = if before.contains("rollback") { "rollback --last" } else { "plan 00:1f.6" };
            let (_, answer) = desk.runs(&format!("qubes-dom0-pci --json {asked}"));
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            script = format!(
                "{before}--plan {}{}",
                answer["plan"].as_str().or(answer["plan"]["id"].as_str()).unwrap(),
                &behind[16..]
            );
        }
    }
    if example.starts_with("qubes-dom0-pci record") {
        script = format!("timeout --signal=TERM --preserve-status 2 {script}");
    }
    script
}

/// Everything is expected of some example.
fn all_met(met: &[usize], expected: &[Expected]) {
    for (place, (first, ..)) in expected.iter().enumerate() {
        assert!(met.contains(&place), "no example begins with {first:?} any more");
    }
}

/// The text between `.EX` and `.EE`, as a reader sees it.
fn examples(page: &str) -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(page)).unwrap();
    let blocks = page.split(".EX\n").skip(1).map(|block| block.split(".EE\n").next().unwrap());
    blocks.map(|block| block.replace("\\-", "-").replace("\\e", "\\").trim_end().to_owned()).collect()
}

fn possible() -> bool {
    let jq = Command::new("jq").arg("--version").stdout(Stdio::null()).status();
    let possible = Mount::possible().and_then(|()| jq.map(|_| ()).map_err(|error| format!("jq: {error}")));
    possible.map_err(|why| model::missing(&why)).is_ok()
}

#[test]
fn the_examples_of_the_manual_do_what_it_says() {
    if possible() {
        let met: Vec<_> = examples("qubes-dom0-pci.1").iter().map(|example| holds(example, MANUAL)).collect();
        all_met(&met, MANUAL);
    }
}

/// The checkpoint that the page shows is another journal's: it is this one's here.
#[test]
fn the_examples_of_the_journals_page_do_what_it_says() {
    if !possible() {
        return;
    }
    let examples = examples("qubes-dom0-pci-journal.5");
    let shown = "'104857 f3a9 77c1 02de 9b40 51aa 0c3e'";
    assert!(examples.iter().any(|example| example.contains(shown)));
    let own = "\"$(qubes-dom0-pci audit checkpoint | tail -n 1)\"";
    let (by_hand, others): (Vec<_>, Vec<_>) =
        examples.iter().partition(|example| example.starts_with("sed -n"));
    let met: Vec<_> = others.iter().map(|example| holds(&example.replace(shown, own), JOURNAL)).collect();
    all_met(&met, JOURNAL);
    let machine = machine();
    let desk = Desk::beside(&machine);
    let file = machine.dom0.journal().join("000000000000.jsonl");
    let line = fs::read_to_string(&file).unwrap().lines().nth(2).unwrap().to_owned();
    let (_, hash) = line.split_once("\"hash\":\"").unwrap();
    for command in by_hand[0].lines() {
        let command = command.replace("43p FILE", &format!("3p {}", file.display()));
        assert_eq!(desk.runs(&command), (0, format!("{}  -\n", &hash[..64])), "{command}");
    }
}

#[test]
fn the_example_of_the_policys_page_makes_an_exposure_a_stop() {
    if !possible() {
        return;
    }
    let machine = machine();
    machine.dom0.write("etc/qubes/dom0-pci.conf", &examples("qubes-dom0-pci-policy.5")[0]);
    let plan = machine.dom0.run(&["--json", "plan", CARD]).exits(3).json();
    let hazards = plan["device"]["hazards"].as_array().unwrap();
    let severity = |id: &str| hazards.iter().find(|hazard| hazard["id"] == id).map(|it| &it["severity"]);
    assert_eq!(severity("exposed").unwrap(), "stop", "{plan}");
    assert_eq!(severity("policy"), None, "{plan}");
}

#[test]
fn every_command_that_the_readme_shows_does_what_it_says() {
    if !possible() {
        return;
    }
    let readme = include_str!("../README.md");
    let lines = readme.lines().filter(|line| line.starts_with("    sudo qubes-dom0-pci "));
    let commands = lines.map(|line| line.split(" #").next().unwrap().trim());
    let met: Vec<_> = commands.map(|command| holds(command, README)).collect();
    all_met(&met, README);
}
