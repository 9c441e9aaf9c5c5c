//! One operation over two functions, a rollback or a return, and every write of it going wrong: the answer lists each, and
//! says of each what became of it.

use super::ends::{hold, of, Broken, Stands};
use super::scenario::{Found, Kind, Scenario, BDF};
use super::{calls, chosen, played, possible, WORKERS};
use crate::model::acting::{Actor, Fault, Machine, Owner, World};
use audit::{Draft, Journal};
use nix::sys::signal::Signal;

const TWO: &str = "0000:00:07.1";
const CARD: Scenario = Scenario { command: "rollback", kind: Kind::Nic, found: Found::Held };
const ARGUMENTS: [&str; 7] =
    ["--json", "rollback", BDF, "--timeout", "70", "--accept", "exposed:sys-net,unknown-history,network"];

const RETURN: [&str; 8] = [
    "--json",
    "reattach",
    BDF,
    TWO,
    "--timeout",
    "70",
    "--accept",
    "exposed:sys-net,unknown-history,network",
];

/// A write, what goes wrong at it, and the function that somebody else is after.
#[derive(Clone, Copy, Debug)]
struct Two {
    arguments: &'static [&'static str],
    at: usize,
    fault: Fault,
    target: &'static str,
}

fn world() -> World {
    let mut world = CARD.world();
    let second = world.devices[BDF].clone();
    world.devices.insert(TWO.to_owned(), second);
    world
}

/// A qube got both, and is gone again.
pub fn machine(target: &str) -> Machine {
    let machine = Machine::new(world(), target);
    let mut drafts =
        vec![Draft::new("qube").text("event", "started").text("qube", "sys-net").text("source", "qubesd")];
    for bdf in [BDF, TWO] {
        let seized = Draft::new("device").text("event", "seized").text("bdf", bdf).text("driver", "pciback");
        drafts.push(seized.text("before", "e1000e").text("source", "uevent"));
    }
    for bdf in [BDF, TWO] {
        let given = Draft::new("stay").text("event", "begin").text("bdf", bdf).text("qube", "sys-net");
        drafts.push(given.number("domain", 3).text("source", "xenstore"));
    }
    Journal::open(&machine.dom0.journal(), "11111111").unwrap().append(&drafts).unwrap();
    machine
}

impl Two {
    fn violation(&self) -> Option<String> {
        let machine = machine(self.target);
        let mut text = String::new();
        let broken = self.play(&machine, &mut text).err()?;
        Some(format!("{self:?}\n  {}\n{text}", broken.0))
    }

    fn play(&self, machine: &Machine, text: &mut String) -> Result<(), Broken> {
        let before = machine.state().world.clone();
        machine.arm(self.at, self.fault);
        let ran = machine.run(self.arguments);
        *text = format!("{:?} {}", ran.status, ran.text);
        let ends = [BDF, TWO].map(|bdf| of(bdf, CARD, machine, &before));
        if let Some(status) = ran.status {
            hold!(!ends.contains(&Stands::Wrong), "they are {ends:?}");
            let back = ends.iter().filter(|end| **end == Stands::Works).count();
            let said: serde_json::Value = serde_json::from_str(&ran.text).unwrap();
            let functions = said["functions"].as_array().unwrap();
            hold!(functions.len() == 2, "{} functions are listed", functions.len());
            let returned = functions.iter().filter(|it| is_returned(it)).count();
            let why = |it: &serde_json::Value| is_returned(it) || says_why(it);
            hold!(functions.iter().all(why), "one is not back and nobody says why");
            // One that somebody took behind the last proof was returned all the same.
            let after = matches!(self.fault, Fault::After(_));
            hold!(
                returned == back || after && returned >= back,
                "{returned} are said to be back, {back} are"
            );
            let worst = functions.iter().filter_map(exit).filter(|exit| [5, 6].contains(exit)).max();
            let right = match returned {
                _ if worst.is_some() => worst == Some(status.into()),
                2 => status == 0,
                1 => status == 12,
                _ => matches!(status, 1 | 3 | 5 | 11),
            };
            hold!(right, "exit {status} where {returned} are back");
        } else {
            hold!(matches!(self.fault, Fault::KilledAfter | Fault::KilledBefore), "it died");
        }
        let first = machine.run(&["recover"]);
        hold!(matches!(first.status, Some(0 | 5)), "recover: {:?} {}", first.status, first.text);
        let second = machine.run(&["recover"]);
        hold!(second.text.contains("nothing to do"), "recover is not idempotent: {}", second.text);
        let ends = [BDF, TWO].map(|bdf| of(bdf, CARD, machine, &before));
        hold!(!ends.contains(&Stands::Wrong), "they are {ends:?} in the end");
        Ok(())
    }
}

/// The kernel sits in the write that takes the driver off the first: the second stays pinned and is not touched any more.
/// Takes as long as a step may: tests/all.d/30-matrix runs it.
#[test]
#[ignore = "minutes long"]
fn after_a_hang_nothing_more_is_begun_and_recover_settles_both() {
    if !possible() {
        return;
    }
    let undisturbed = machine(BDF);
    assert_eq!(undisturbed.run(&RETURN).status, Some(0));
    let ops = undisturbed.state().ops.clone();
    let pins = ops.iter().enumerate().filter(|(_, op)| op.writes && op.path.ends_with("/driver_override"));
    let pins: Vec<_> = pins.map(|(at, op)| (at, op.path.contains(TWO))).take(2).collect();
    let unbind = ops.iter().position(|op| op.writes && op.path.ends_with("pciback/unbind")).unwrap();
    // Both are pinned before anything else is done to one.
    assert!(matches!(pins[..], [(_, false), (second, true)] if second < unbind), "{pins:?}");

    let machine = machine(BDF);
    machine.arm(unbind, Fault::Hangs(false));
    let ran = machine.run(&RETURN);
    assert_eq!(ran.status, Some(6), "{}", ran.text);
    let said: serde_json::Value = serde_json::from_str(&ran.text).unwrap();
    assert_eq!(said["functions"][1]["outcome"], "not-begun", "{said}");
    assert!(!machine.state().ops.iter().skip(unbind + 1).any(|op| op.writes), "{}", ran.text);
    assert_eq!(machine.run(&["recover"]).status, Some(6));
    assert!(machine.let_go());
    let recovered = machine.run(&["--json", "recover"]);
    let said: serde_json::Value = serde_json::from_str(&recovered.text).unwrap();
    assert_eq!(said["functions"].as_array().unwrap().len(), 2, "{said}");
    let state = machine.state();
    for bdf in [BDF, TWO] {
        let device = &state.world.devices[bdf];
        assert_eq!((device.driver.as_deref(), device.pinned.as_deref()), (Some("pciback"), None), "{bdf}");
    }
}

/// Its physical function is dom0's when it is planned; then a qube gets that one, whose requests cannot be told from its own.
#[test]
fn a_function_is_not_let_out_of_quarantine_beside_one_that_a_qube_got_since() {
    if !possible() {
        return;
    }
    let arguments =
        ["reattach", BDF, "--timeout", "70", "--accept", "exposed:sys-net,unknown-history,network"];
    let prepared = || {
        let machine = machine(TWO);
        {
            let mut state = machine.state();
            let physical = state.world.devices.get_mut(TWO).unwrap();
            (physical.driver, physical.slot, physical.owner) =
                (Some("e1000e".to_owned()), false, Owner::Dom0);
            state.world.devices.get_mut(BDF).unwrap().physical = Some(TWO);
            state.changed();
        }
        machine
    };
    let undisturbed = prepared();
    let ran = undisturbed.run(&arguments);
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let ops = undisturbed.state().ops.clone();
    let unbind = ops.iter().position(|op| op.writes && op.path.ends_with("pciback/unbind")).unwrap();

    let machine = prepared();
    machine.arm(unbind, Fault::After(Actor::Qube));
    let ran = machine.run(&arguments);
    assert!(matches!(ran.status, Some(1 | 3)), "{:?} {}", ran.status, ran.text);
    assert!(crate::model::folded(&ran.text).contains("their DMA cannot be told apart"), "{}", ran.text);
    let device = machine.state().world.devices[BDF].clone();
    assert_eq!(
        (device.driver.as_deref(), device.owner),
        (Some("pciback"), Owner::Quarantine),
        "{}",
        ran.text
    );
}

fn is_returned(function: &serde_json::Value) -> bool {
    function["fate"] == "returned" || function["outcome"] == "done"
}

fn says_why(function: &serde_json::Value) -> bool {
    let text = |value: &serde_json::Value| value.as_str().is_some_and(|text| !text.is_empty());
    text(&function["why"]) || text(&function["error"]["message"])
}

/// How its operation ended.
fn exit(function: &serde_json::Value) -> Option<i64> {
    function["exit"].as_i64().or(function["operation"]["exit"].as_i64())
}

#[test]
fn a_signal_at_any_moment_stops_the_functions_that_follow_too() {
    if !possible() {
        return;
    }
    let undisturbed = machine(BDF);
    assert_eq!(undisturbed.run(&ARGUMENTS).status, Some(0));
    let ops = undisturbed.state().ops.clone();
    let writes = |bdf: &str| {
        let (of, slot) = (format!("{bdf}/driver_override"), format!("devices/{bdf}"));
        ops.iter().position(|op| op.writes && (op.path.ends_with(&of) || op.path.contains(&slot))).unwrap()
    };
    let (first, second) = (writes(BDF), writes(TWO));
    for at in (first..second).step_by(5) {
        let machine = machine(BDF);
        machine.signals(at, Signal::SIGTERM);
        let ran = machine.run(&ARGUMENTS);
        let said: serde_json::Value = serde_json::from_str(&ran.text).unwrap();
        let why = said["functions"][1]["why"].as_str().unwrap();
        assert!(why.contains("a signal"), "{at}: {:?} {}", ran.status, ran.text);
        let second = machine.state().world.devices[TWO].clone();
        assert_eq!(second.driver.as_deref(), Some("pciback"), "{at}: {}", ran.text);
        assert!(matches!(ran.status, Some(1 | 12)), "{at}: {:?}", ran.status);
    }
}

#[test]
fn a_function_whose_end_the_journal_does_not_take_is_said_to_be_back_all_the_same() {
    if !possible() {
        return;
    }
    if let Err(why) = calls::possible() {
        return crate::model::missing(&why);
    }
    let (machine, ran) = calls::without_its_end(CARD, &ARGUMENTS);
    assert_eq!(ran.status, Some(11), "{}", ran.text);
    let said: serde_json::Value = serde_json::from_str(&ran.text).unwrap();
    assert_eq!(said["functions"][0]["fate"], "returned", "{}", ran.text);
    assert_eq!(said["error"]["code"], "journal", "{}", ran.text);
    assert!(said["warnings"][0].as_str().unwrap().contains("the next start of sys-net"), "{}", ran.text);
    assert_eq!(machine.state().world.devices[BDF].driver.as_deref(), Some("e1000e"));
}

/// Takes half a minute: tests/all.d/30-matrix runs it.
#[test]
#[ignore = "long"]
fn whatever_goes_wrong_with_one_function_of_two_each_is_told_of() {
    if !possible() {
        return;
    }
    let mut cases = Vec::new();
    for arguments in [&ARGUMENTS[..], &RETURN] {
        let machine = machine(BDF);
        let ran = machine.run(arguments);
        assert_eq!(ran.status, Some(0), "{}", ran.text);
        let ops = machine.state().ops.clone();
        for (at, _) in ops.iter().enumerate().filter(|(_, op)| op.writes) {
            let faults = [Fault::Errno(5), Fault::NoEffect, Fault::KilledBefore, Fault::KilledAfter];
            cases.extend(faults.map(|fault| Two { arguments, at, fault, target: BDF }));
            for target in [BDF, TWO] {
                let faults = [Actor::Qube, Actor::Vanishes].map(Fault::After);
                cases.extend(faults.map(|fault| Two { arguments, at, fault, target }));
            }
        }
    }
    let cases = chosen(cases);
    let size = cases.len();
    let violations = played(cases, WORKERS, Two::violation);
    println!("two functions: {size} cases, {violations} violations");
    assert_eq!(violations, 0);
}
