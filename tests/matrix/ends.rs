//! How a function may stand in the end, whatever went wrong, and what else has to be as it was.

use super::scenario::{Kind, Scenario, BDF};
use crate::model::acting::{Device, Machine, Owner, World};
use audit::Record;
use std::path::PathBuf;

/// Where a function may stand in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stands {
    AsBefore,
    Works,
    Held,
    DriverlessAndQuarantined,
    Taken,
    Gone,
    Wrong,
}

/// What was violated.
pub struct Broken(pub String);

macro_rules! hold {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err($crate::matrix::ends::Broken(format!($($words)+)));
        }
    };
}
pub(super) use hold;

/// Where the function stands now.
pub fn stands(scenario: Scenario, machine: &Machine, before: &World) -> Stands {
    of(BDF, scenario, machine, before)
}

/// Where one of several functions stands now.
pub fn of(bdf: &str, scenario: Scenario, machine: &Machine, before: &World) -> Stands {
    let state = machine.state();
    let first = &before.devices[bdf];
    let Some(device) = state.world.devices.get(bdf) else { return Stands::Gone };
    let plain = |it: &Device| (it.driver.clone(), it.pinned.clone(), it.slot, it.owner, it.methods.clone());
    let contained = device.owner == Owner::Quarantine;
    let working = scenario.kind.driver();
    if let Some(taken) = &state.taken {
        let qube = matches!(device.owner, Owner::Domain(_));
        if qube || taken.driver == device.driver && taken.owner != Owner::Domain(5) {
            return Stands::Taken;
        }
    }
    if plain(device) == plain(first) {
        Stands::AsBefore
    } else if device.driver.as_deref() == Some(working)
        && device.owner == Owner::Dom0
        && device.pinned.is_none()
        && !device.slot
    {
        Stands::Works
    } else if device.driver.as_deref() == Some("pciback") && contained {
        Stands::Held
    } else if device.driver.is_none() && contained {
        Stands::DriverlessAndQuarantined
    } else {
        Stands::Wrong
    }
}

/// Where `recover` has to lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Nowhere: the operation has ended.
    Nowhere,
    /// On to the end: the journal has the proof of bind, or dom0 drives it, and nothing went wrong.
    On,
    /// Back.
    Back,
}

/// What the journal, and what stands there, say of that before `recover` runs.
pub fn direction(scenario: Scenario, machine: &Machine) -> Direction {
    let text = journal(machine);
    let mut records: Vec<Record> = text.lines().filter_map(|line| Record::parse(line.as_bytes())).collect();
    // A step that hung did not fail, as far as anybody knows.
    if records.last().is_some_and(|it| it.text("outcome") == Some("hung")) {
        records.truncate(records.len() - 2);
    }
    let state = machine.state();
    let driven = state.world.devices.get(BDF).is_some_and(|device| {
        device.driver.as_deref() == Some(scenario.kind.driver()) && device.owner == Owner::Dom0
    });
    let any = |test: &dyn Fn(&Record) -> bool| records.iter().any(test);
    let phase = |record: &Record, phase: &str| record.text("phase") == Some(phase);
    let back = |record: &Record| record.text("step").is_some_and(|step| step.starts_with("undo-"));
    if !any(&|it| phase(it, "start")) || any(&|it| phase(it, "end") && it.text("outcome") != Some("hung")) {
        Direction::Nowhere
    } else if any(&|it| phase(it, "failed") || back(it))
        || !any(&|it| it.text("step") == Some("bind") && (phase(it, "done") || driven && phase(it, "intent")))
    {
        Direction::Back
    } else {
        Direction::On
    }
}

/// What an operation sets besides the function is put back.
pub fn traces(scenario: Scenario, machine: &Machine, before: &World, stands: Stands) -> Result<(), Broken> {
    let state = machine.state();
    hold!(state.world.globals == before.globals, "left: {:?}", state.world.globals);
    let rule: PathBuf = machine.dom0.path("run/udev/rules.d/10-qubes-dom0-pci-0000-00-07-0.rules");
    let kept = matches!(stands, Stands::Works | Stands::Taken | Stands::Gone);
    hold!(kept || !rule.exists(), "left: {}", rule.display());
    if let Some(device) = state.world.devices.get(BDF) {
        hold!(device.methods == before.devices[BDF].methods, "reset methods are {:?}", device.methods);
    }
    if stands == Stands::Works && scenario.command != "hold" {
        let device = &state.world.devices[BDF];
        let authorized = device.sign.get("usb1/authorized_default").map(String::as_str);
        hold!(scenario.kind != Kind::Usb || authorized == Some("0"), "its USB devices are authorized");
        hold!(scenario.kind != Kind::Nvme || rule.exists(), "its disks are not guarded");
    }
    Ok(())
}

/// The state and the journal in words, for who looks for what went wrong.
pub fn left(machine: &Machine) -> String {
    let device = machine
        .state()
        .world
        .devices
        .get(BDF)
        .map(|it| (it.driver.clone(), it.pinned.clone(), it.slot, it.owner));
    let lines: String = journal(machine)
        .lines()
        .map(|line| line.split_once("\"boot\"").map_or(line, |it| it.1).to_owned() + "\n")
        .collect();
    format!("  now {device:?}\n{lines}")
}

/// The journal's only segment; empty where there is none.
pub fn journal(machine: &Machine) -> String {
    let bytes = std::fs::read(machine.dom0.journal().join("000000000000.jsonl")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The writes that had no intent on disk and yet lead on: of the way back the operation's start is the intent.
pub fn ahead(scenario: Scenario, machine: &Machine) -> Vec<String> {
    let held = scenario.command == "hold";
    let leads_on = |path: &&String| {
        let bind = path.ends_with("/bind");
        match held {
            true => path.ends_with(".xen/quarantine") || bind && path.contains("/pciback/"),
            false => path.ends_with(".xen/dequarantine") || bind && !path.contains("/pciback/"),
        }
    };
    machine.state().unannounced.iter().filter(leads_on).cloned().collect()
}
