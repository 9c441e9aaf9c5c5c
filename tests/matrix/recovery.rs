//! `recover` looks at what stands at the address before it writes: another device is left alone, and what dom0 uses by
//! then is not taken from it.

use super::ends::{journal, stands, Stands};
use super::possible;
use super::scenario::{Found, Kind, Scenario, BDF};
use crate::model::acting::{Device, Fault, Machine, Owner, Ran, NO_PART_SCAN};

fn held(kind: Kind) -> Scenario {
    Scenario { command: "reattach", kind, found: Found::Held }
}

/// The program met this at the write whose path ends so.
fn interrupted(scenario: Scenario, end: &str, fault: Fault) -> Machine {
    let machine = scenario.machine();
    let ran = machine.run(&scenario.arguments());
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let at = machine.state().ops.iter().position(|op| op.writes && op.path.ends_with(end)).unwrap();
    let machine = scenario.machine();
    machine.arm(at, fault);
    let ran = machine.run(&scenario.arguments());
    match fault {
        Fault::Hangs(_) => {
            assert_eq!(ran.status, Some(6), "{}", ran.text);
            assert!(machine.let_go());
        }
        _ => assert_eq!(ran.status, None, "{}", ran.text),
    }
    machine
}

fn bind(kind: Kind) -> String {
    format!("{}/bind", kind.driver())
}

fn change(machine: &Machine, change: impl FnOnce(&mut Device)) {
    let mut state = machine.state();
    change(state.world.devices.get_mut(BDF).unwrap());
    state.changed();
}

/// Another device of the kind was plugged into the same place; dom0's driver took it.
fn replaced(machine: &Machine, kind: Kind) {
    let sign = machine.state().world.drivers[kind.driver()].sign.to_vec();
    change(machine, |device| {
        device.fixed.insert("device".into(), b"0x1533\n".to_vec());
        device.config[2..4].copy_from_slice(&0x1533u16.to_le_bytes());
        device.driver = Some(kind.driver().to_owned());
        (device.pinned, device.slot, device.owner, device.rom) = (None, false, Owner::Dom0, None);
        device.sign = sign.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    });
}

/// dom0 uses it: its interface is up, its disk is mounted.
fn used(machine: &Machine, kind: Kind) {
    match kind {
        Kind::Nic => change(machine, |device| {
            device.sign.insert("net/eth0/flags".into(), "0x1003".into());
        }),
        _ => machine.dom0.write("proc/self/mountinfo", "36 25 259:0 / /mnt rw - ext4 /dev/nvme0n1 rw\n"),
    }
}

fn unused(machine: &Machine, kind: Kind) {
    match kind {
        Kind::Nic => change(machine, |device| {
            device.sign.insert("net/eth0/flags".into(), "0x1002".into());
        }),
        _ => machine.dom0.write("proc/self/mountinfo", ""),
    }
}

fn writes(machine: &Machine) -> Vec<String> {
    machine.state().ops.iter().filter(|op| op.writes).map(|op| op.path.clone()).collect()
}

fn says(ran: &Ran, words: &str) {
    let text = ran.text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(words), "{:?} {text}", ran.status);
}

fn standing(machine: &Machine, kind: Kind) -> Stands {
    stands(held(kind), machine, &held(kind).world())
}

#[test]
fn another_device_at_the_address_is_left_alone() {
    if !possible() {
        return;
    }
    for kind in [Kind::Nic, Kind::Nvme] {
        for (end, fault) in [
            (bind(kind), Fault::KilledBefore),
            (".xen/dequarantine".to_owned(), Fault::KilledAfter),
            // After the proof of bind: what is missing would be done to the wrong device.
            ("driver_override".to_owned(), Fault::KilledBefore),
        ] {
            let scenario = held(kind);
            let machine = match end.as_str() {
                "driver_override" => {
                    let machine = scenario.machine();
                    machine.run(&scenario.arguments());
                    let last = machine.state().ops.iter().rposition(|op| op.writes).unwrap();
                    let machine = scenario.machine();
                    machine.arm(last, Fault::KilledBefore);
                    assert_eq!(machine.run(&scenario.arguments()).status, None);
                    machine
                }
                _ => interrupted(scenario, &end, fault),
            };
            replaced(&machine, kind);
            is_left_alone(&machine, &format!("{kind:?} {fault:?} at {end}"));
        }
    }
}

fn is_left_alone(machine: &Machine, what: &str) {
    let before = machine.state().world.devices[BDF].clone();
    let ran = machine.run(&["recover"]);
    assert_eq!(ran.status, Some(5), "{what}: {}", ran.text);
    says(&ran, "another device stands at the address");
    assert_eq!(machine.state().world.devices[BDF], before, "{what}");
    assert_eq!(machine.state().world.globals[NO_PART_SCAN], "N");
    let wrote = writes(machine);
    assert!(!wrote.iter().any(|path| path.contains(BDF) || path.ends_with("bind")), "{what}: {wrote:?}");
    assert!(!journal(machine).contains(r#""outcome":"done""#));
    says(&machine.run(&["recover"]), "nothing to do");
}

#[test]
fn what_dom0_drives_already_is_proved_and_kept() {
    if !possible() {
        return;
    }
    for kind in [Kind::Nic, Kind::Nvme] {
        for fault in [Fault::KilledWithin, Fault::KilledAfter] {
            is_kept(kind, fault);
        }
    }
}

fn is_kept(kind: Kind, fault: Fault) {
    for in_use in [false, true] {
        let machine = interrupted(held(kind), &bind(kind), fault);
        if in_use {
            used(&machine, kind);
        }
        let ran = machine.run(&["recover"]);
        assert_eq!(ran.status, Some(0), "{kind:?} {fault:?}: {}", ran.text);
        assert_eq!(standing(&machine, kind), Stands::Works, "{kind:?} {fault:?}: {}", ran.text);
        assert!(!writes(&machine).iter().any(|path| path.ends_with("unbind")));
    }
}

/// Waits for three timeouts: tests/all.d/30-matrix runs it.
#[test]
#[ignore = "long"]
fn a_bind_that_hung_and_came_through_is_proved_and_kept() {
    if !possible() {
        return;
    }
    is_kept(Kind::Nvme, Fault::Hangs(true));
    let machine = interrupted(held(Kind::Nvme), &bind(Kind::Nvme), Fault::Hangs(true));
    replaced(&machine, Kind::Nvme);
    is_left_alone(&machine, "a bind that hung");
}

#[test]
fn what_dom0_drives_and_does_not_work_is_given_back() {
    if !possible() {
        return;
    }
    let machine = interrupted(held(Kind::Nic), &bind(Kind::Nic), Fault::KilledWithin);
    machine.state().world.said.push(format!("e1000e {BDF}: xen map irq failed -19 for 32752 domain"));
    machine.state().changed();
    let ran = machine.run(&["recover"]);
    assert_eq!(ran.status, Some(1), "{}", ran.text);
    assert_eq!(standing(&machine, Kind::Nic), Stands::AsBefore, "{}", ran.text);
}

/// Bound, and then a step failed: `recover` would go back.
fn on_its_way_back(kind: Kind) -> Machine {
    let scenario = held(kind);
    let machine = scenario.machine();
    machine.run(&scenario.arguments());
    let last = machine.state().ops.iter().rposition(|op| op.writes).unwrap();
    let machine = scenario.machine();
    machine.arm(last, Fault::ErrnoThenKilled(5, 0));
    let ran = machine.run(&scenario.arguments());
    assert_eq!(ran.status, None, "{}", ran.text);
    assert_eq!(machine.state().world.devices[BDF].driver.as_deref(), Some(kind.driver()));
    machine
}

#[test]
fn what_dom0_uses_is_not_taken_from_it_and_can_be_settled_either_way() {
    if !possible() {
        return;
    }
    for kind in [Kind::Nic, Kind::Nvme] {
        for keep in [false, true] {
            let machine = on_its_way_back(kind);
            used(&machine, kind);
            let ran = machine.run(&["recover"]);
            assert_eq!(ran.status, Some(8), "{kind:?}: {}", ran.text);
            says(&ran, if kind == Kind::Nic { "eth0 is up" } else { "/dev/nvme0n1 is mounted" });
            says(&ran, "recover --keep");
            assert_eq!(writes(&machine), Vec::<String>::new());
            assert_eq!(machine.run(&["hold", BDF]).status, Some(8));
            if keep {
                let ran = machine.run(&["recover", "--keep"]);
                assert_eq!(ran.status, Some(0), "{kind:?}: {}", ran.text);
                assert_eq!(standing(&machine, kind), Stands::Works, "{kind:?}: {}", ran.text);
            } else {
                unused(&machine, kind);
                let ran = machine.run(&["recover"]);
                assert_eq!(ran.status, Some(0), "{kind:?}: {}", ran.text);
                assert_eq!(standing(&machine, kind), Stands::AsBefore, "{kind:?}: {}", ran.text);
            }
            assert!(machine.run(&["recover"]).text.contains("nothing to do"));
        }
    }
}

#[test]
fn keep_keeps_nothing_that_does_not_work() {
    if !possible() {
        return;
    }
    // Its driver was told that it gets no interrupts.
    let machine = on_its_way_back(Kind::Nic);
    machine.state().world.said.push(format!("e1000e {BDF}: xen map irq failed -19 for 32752 domain"));
    machine.state().changed();
    let ran = machine.run(&["recover", "--keep"]);
    assert_eq!(ran.status, Some(8), "{}", ran.text);
    assert_eq!(writes(&machine), Vec::<String>::new());
    assert_eq!(machine.run(&["recover"]).status, Some(0));
    assert_eq!(standing(&machine, Kind::Nic), Stands::AsBefore);
    // Nothing of dom0 drives it.
    let machine = interrupted(held(Kind::Nic), &bind(Kind::Nic), Fault::KilledBefore);
    let ran = machine.run(&["recover", "--keep"]);
    assert_eq!(ran.status, Some(8), "{}", ran.text);
    assert_eq!(writes(&machine), Vec::<String>::new());
    assert_eq!(machine.run(&["recover"]).status, Some(0));
    assert_eq!(standing(&machine, Kind::Nic), Stands::AsBefore);
}

#[test]
fn the_undo_within_a_run_does_not_take_from_dom0_what_it_uses_either() {
    if !possible() {
        return;
    }
    for kind in [Kind::Nic, Kind::Nvme] {
        let scenario = held(kind);
        let machine = scenario.machine();
        machine.run(&scenario.arguments());
        let last = machine.state().ops.iter().rposition(|op| op.writes).unwrap();
        let machine = scenario.machine();
        machine.arm(last, Fault::Errno(5));
        if kind == Kind::Nvme {
            used(&machine, kind);
        } else {
            machine.meanwhile(last, |world| {
                let device = world.devices.get_mut(BDF).unwrap();
                device.sign.insert("net/eth0/flags".into(), "0x1003".into());
            });
        }
        let ran = machine.run(&scenario.arguments());
        assert_eq!(ran.status, Some(8), "{kind:?}: {}", ran.text);
        says(&ran, "dom0 uses it");
        assert_eq!(machine.state().world.devices[BDF].driver.as_deref(), Some(kind.driver()));
        let ran = machine.run(&["recover", "--keep"]);
        assert_eq!(ran.status, Some(0), "{kind:?}: {}", ran.text);
        assert_eq!(standing(&machine, kind), Stands::Works, "{kind:?}: {}", ran.text);
    }
}

#[test]
fn a_hold_that_was_undone_takes_nothing_from_dom0() {
    if !possible() {
        return;
    }
    // Undone up to the driver, then killed: dom0 drives it, and uses it.
    let scenario = Scenario { command: "hold", kind: Kind::Nic, found: Found::Driven };
    let machine = scenario.machine();
    machine.run(&scenario.arguments());
    let ops = machine.state().ops.clone();
    let bind = ops.iter().position(|op| op.writes && op.path.ends_with("pciback/bind")).unwrap();
    for passing in 0..6 {
        let machine = scenario.machine();
        machine.arm(bind, Fault::ErrnoThenKilled(5, passing));
        machine.run(&scenario.arguments());
        if machine.state().world.devices[BDF].driver.as_deref() != Some("e1000e") {
            continue;
        }
        used(&machine, Kind::Nic);
        let ran = machine.run(&["recover"]);
        assert_eq!(ran.status, Some(0), "{passing}: {}", ran.text);
        let wrote = writes(&machine);
        assert!(!wrote.iter().any(|path| path.ends_with("unbind")), "{passing}: {wrote:?}");
    }
}
