//! The model is true: what the program says and writes down on it is what it says and writes down on a real Xen.
//!
//! `tests/data/transcripts` has what the lab gave (tests/lab/guest/transcripts.sh), without times, hashes and what is the
//! machine's own. tests/all.d/60-transcripts shows that the lab still gives it.

use super::possible;
use super::scenario::{Found, Kind, Scenario, BDF};
use crate::model::acting::{Fault, Machine, Owner, NO_PART_SCAN};
use serde_json::{json, Value};
use std::fmt::Write;
use std::path::PathBuf;

const EROFS: i32 = 30;

/// A situation that both can make, and the command that is run in it.
struct Told {
    name: &'static str,
    command: &'static str,
    kind: Kind,
    found: Found,
    change: fn(&Machine),
    /// The write that is refused.
    refused: &'static str,
}

fn nothing(_: &Machine) {}

fn pinned_to_nothing(machine: &Machine) {
    let mut state = machine.state();
    state.world.devices.get_mut(BDF).unwrap().pinned = Some("nosuchdriver".to_owned());
    state.changed();
}

fn never_quarantined(machine: &Machine) {
    let mut state = machine.state();
    state.world.devices.get_mut(BDF).unwrap().owner = Owner::Dom0;
    state.changed();
}

/// As QEMU's firmware and a dom0 that loads only what it uses leave them.
fn of_the_lab(machine: &Machine) {
    let mut state = machine.state();
    let device = state.world.devices.get_mut(BDF).unwrap();
    let is_disk = device.modalias.contains("bc01");
    device.methods = is_disk.then(|| "flr".to_owned());
    device.firmware_mastered = is_disk;
    let driven = device.driver.as_deref() != Some("pciback");
    let module = if is_disk { "nvme" } else { "xhci_pci" };
    // Linux 6.1 has no such parameter, and this dom0 no udev.
    state.world.globals.remove(NO_PART_SCAN);
    std::fs::remove_dir(machine.dom0.path("run/udev")).unwrap();
    state.world.modules.get_mut(module).unwrap().loaded = driven;
    state.changed();
}

const ALL: [Told; 14] = [
    told("held", "reattach", Found::Held),
    told("pinned", "reattach", Found::Pinned),
    told("driverless", "reattach", Found::Driverless),
    told("bound-in-quarantine", "reattach", Found::Broken),
    told("dom0s-already", "reattach", Found::Driven),
    told("hold", "hold", Found::Driven),
    Told { change: pinned_to_nothing, ..told("stuck-override", "reattach", Found::Held) },
    Told { change: never_quarantined, ..told("never-quarantined", "reattach", Found::Held) },
    Told { kind: Kind::Nvme, change: of_the_lab, ..told("disk", "reattach", Found::Held) },
    Told { kind: Kind::Nvme, change: of_the_lab, ..told("disk-hold", "hold", Found::Driven) },
    Told { kind: Kind::Usb, change: of_the_lab, ..told("usb", "reattach", Found::Held) },
    Told { kind: Kind::Usb, change: of_the_lab, ..told("usb-hold", "hold", Found::Driven) },
    Told { refused: "drivers/e1000e/bind", ..told("bind-fails", "reattach", Found::Held) },
    Told { refused: "drivers/pciback/remove_slot", ..told("remove-slot-fails", "reattach", Found::Held) },
];

const fn told(name: &'static str, command: &'static str, found: Found) -> Told {
    Told { name, command, kind: Kind::Nic, found, change: nothing, refused: "" }
}

impl Told {
    /// What the model tells, as the lab's script prints it.
    fn by_the_model(&self) -> String {
        let machine = || {
            let scenario = Scenario { command: self.command, kind: self.kind, found: self.found };
            let machine = scenario.machine();
            machine.state().world.devices.get_mut(BDF).unwrap().methods = Some("pm".to_owned());
            machine.state().world.devices.get_mut(BDF).unwrap().rom = None;
            machine.state().changed();
            (self.change)(&machine);
            machine
        };
        let mut machine_ = machine();
        let mut text = String::new();
        let mut arguments = vec!["--json", self.command, BDF];
        let mut accepted = String::new();
        if self.command == "reattach" {
            let ran = machine_.run(&["--json", "plan", BDF]);
            let _ = writeln!(text, "$ plan\n{}\nexit {}", ran.text.trim(), ran.status.unwrap());
            let plan: Value = serde_json::from_str(&ran.text).unwrap();
            let words = plan["accept"].as_array().into_iter().flatten().filter_map(Value::as_str);
            accepted = words.collect::<Vec<_>>().join(",");
        }
        if !accepted.is_empty() {
            arguments.extend(["--accept", &accepted]);
        }
        if !self.refused.is_empty() {
            // Which operation it is, a whole run tells.
            machine_.run(&arguments);
            let at = machine_.state().ops.iter().position(|op| op.writes && op.path.ends_with(self.refused));
            machine_ = machine();
            machine_.arm(at.unwrap(), Fault::Errno(EROFS));
        }
        let ran = machine_.run(&arguments);
        let _ = writeln!(text, "$ {}\n{}\nexit {}", self.command, ran.text.trim(), ran.status.unwrap());
        let journal = machine_.dom0.journal().join("000000000000.jsonl");
        text + "$ journal\n" + &std::fs::read_to_string(journal).unwrap_or_default()
    }
}

/// Without what differs from run to run and from machine to machine.
fn plain(raw: &str) -> String {
    let mut text = String::new();
    for line in raw.lines().map(str::trim) {
        match serde_json::from_str::<Value>(line) {
            Ok(value) => {
                let shown = shown(&value);
                if !shown.is_null() {
                    let _ = writeln!(text, "{}", words(&shown.to_string()));
                }
            }
            Err(_) if line.is_empty() => {}
            Err(_) => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

/// The members that tell what was done and why.
fn shown(value: &Value) -> Value {
    let keep = |keys: &[&str]| {
        let members = keys.iter().filter(|key| !value[**key].is_null());
        Value::Object(members.map(|key| ((*key).to_owned(), value[*key].clone())).collect())
    };
    let of = |list: &Value, keys: &[&str]| -> Value {
        let list = list.as_array().into_iter().flatten();
        list.map(|it| {
            keys.iter().map(|key| it[*key].as_str().unwrap_or_default()).collect::<Vec<_>>().join(": ")
        })
        .collect()
    };
    match value["kind"].as_str() {
        Some("step") => keep(&["kind", "step", "phase", "what", "proof", "why"]),
        Some("op") => keep(&[
            "kind", "phase", "command", "driver", "override", "slot", "owner", "found", "accepted",
            "outcome", "state",
        ]),
        Some("device") => keep(&["kind", "event", "driver", "before", "way", "source"]),
        Some(_) => Value::Null,
        None => {
            let mut plain = keep(&["outcome", "exit", "state", "accept", "error", "schema"]);
            if !value["device"].is_null() {
                plain["device"] = json!([value["device"]["state"], value["device"]["verdict"]]);
            }
            let steps = if value["plan"].is_null() { &value["steps"] } else { &value["plan"]["steps"] };
            plain["steps"] = of(steps, &["step", "outcome", "skipped", "detail", "what", "shell"]);
            plain["hazards"] = of(&value["device"]["hazards"], &["severity", "id"]);
            if plain["hazards"] == json!([]) {
                plain.as_object_mut().unwrap().remove("hazards");
            }
            plain
        }
    }
}

fn words(text: &str) -> String {
    let mut text = ["0000:00:02.0", "0000:00:03.0", "0000:00:04.0"]
        .iter()
        .fold(text.to_owned(), |text, lab| text.replace(lab, BDF));
    // The model stands below a folder of its own.
    while let Some(at) = text.find("/tmp/model-") {
        let rest = &text[at + 1..];
        let end = rest.find("/sys").map_or(text.len(), |end| at + 1 + end);
        text.replace_range(at..end, "");
    }
    let mut from = 0;
    while let Some(at) = text[from..].find("pci:v").map(|at| at + from + 4) {
        let length = text[at..].find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(0);
        text.replace_range(at..at + length, "*");
        from = at;
    }
    from = 0;
    while let Some(at) = text[from..].find("; after ").map(|at| at + from + 8) {
        let Some(length) = text[at..].find(" ms") else { break };
        text.replace_range(at..at + length, "*");
        from = at;
    }
    // Interrupts of its own are beyond the model.
    text.replace("3 MSI", "no MSI").replace("2 MSI", "no MSI")
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts")
}

#[test]
fn the_model_tells_what_the_lab_told() {
    if !possible() {
        return;
    }
    let mut differ = String::new();
    for told in &ALL {
        let lab = std::fs::read_to_string(folder().join(told.name)).unwrap_or_default();
        let model = plain(&told.by_the_model());
        if lab != model {
            let lines = lab.lines().zip(model.lines().chain(std::iter::repeat("")));
            let _ = writeln!(
                differ,
                "{}: {} lines, the model {}",
                told.name,
                lab.lines().count(),
                model.lines().count()
            );
            for (lab, model) in lines.filter(|(lab, model)| lab != model).take(6) {
                let _ = writeln!(differ, "  lab   {lab}\n  model {model}");
            }
        }
    }
    assert!(differ.is_empty(), "\n{differ}");
}

/// `TRANSCRIPTS` is what the lab printed just now; with `TRANSCRIPTS_WRITE` it becomes what is checked in.
#[test]
#[ignore = "needs the lab: tests/all.d/60-transcripts"]
fn the_lab_still_tells_it() {
    let raw = std::fs::read_to_string(std::env::var("TRANSCRIPTS").unwrap()).unwrap();
    for told in &ALL {
        let of_it =
            raw.split("TRANSCRIPT ").find_map(|part| part.strip_prefix(told.name)?.strip_prefix('\n'));
        let now = plain(of_it.unwrap().split("\nEND").next().unwrap());
        let path = folder().join(told.name);
        if std::env::var_os("TRANSCRIPTS_WRITE").is_some() {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(path, now).unwrap();
        } else {
            assert_eq!(now, std::fs::read_to_string(path).unwrap(), "{}", told.name);
        }
    }
}
