//! The daemons that are asked during a run go wrong in the middle of it: qubesd tells of a start, or either does not
//! answer, answers in part, or answers nonsense.

use super::ends::{stands, Stands};
use super::scenario::{Found, Kind, Scenario, BDF};
use super::{full, possible};
use crate::model::acting::{self, Machine, Op, Owner, Ran};
use crate::model::{Fault, Qubesd, QubesdFault, QUBES_43};

const CARD: Scenario = Scenario { command: "reattach", kind: Kind::Nic, found: Found::Held };
const ACCEPT: &str = "exposed:sys-net,unknown-history,network,usb,storage,still-assigned";

/// Runs the return of a card that a halted qube is assigned, beside a qubesd.
fn run(arrange: impl FnOnce(&Machine, &Qubesd)) -> (Machine, Ran) {
    let machine = CARD.machine();
    let qubesd = machine.dom0.qubes(QUBES_43);
    let assigned = "x device_id='*' port_id='00_07.0' backend_domain='dom0' mode='required'\\n";
    qubesd.answers("admin.vm.device.pci.Assigned+", "sys-net", assigned);
    arrange(&machine, &qubesd);
    let accept = ACCEPT.trim_start_matches("exposed:sys-net,");
    let ran = machine.run(&["reattach", BDF, "--timeout", "70", "--accept", accept]);
    (machine, ran)
}

/// The operations of that run, where nothing happens: the first write, and the last look at the owner before the bind.
fn undisturbed() -> (Vec<Op>, usize, usize) {
    let (machine, ran) = run(|_, _| {});
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let ops = machine.state().ops.clone();
    let first = ops.iter().position(|op| op.writes).unwrap();
    let bind = ops.iter().position(|op| op.path.ends_with("e1000e/bind") && op.writes).unwrap();
    let look = ops[..bind].iter().rposition(|op| op.path == ".xen/owners").unwrap();
    (ops, first, look)
}

/// One of so many moments is tried: with `tests/all --full` each.
fn share() -> usize {
    if full() {
        1
    } else {
        7
    }
}

/// It ended as it must; then the daemon is well again, and nothing is left to settle but once.
fn ended(machine: &Machine, ran: &Ran, at: usize, what: &str) -> Stands {
    let standing = stands(CARD, machine, &CARD.world());
    assert!(
        matches!(ran.status, Some(0 | 1 | 3 | 4 | 5 | 10 | 11)),
        "{what} at {at}: {:?} {}",
        ran.status,
        ran.text
    );
    assert_ne!(standing, Stands::Wrong, "{what} at {at}: {}", ran.text);
    assert!(ran.status != Some(0) || standing == Stands::Works, "{what} at {at}: {}", ran.text);
    machine.dom0.store().mend();
    for _ in 0..2 {
        let again = machine.run(&["recover"]);
        assert!(again.text.contains("nothing to do"), "{what} at {at}: {}", again.text);
    }
    standing
}

#[test]
fn a_start_that_qubesd_announces_stops_the_run_until_the_last_look() {
    if !possible() {
        return;
    }
    let (_, first, look) = undisturbed();
    for at in (first..=look).step_by(share()).chain([look]) {
        let (machine, ran) = run(|machine, qubesd| {
            let qubesd = qubesd.clone();
            machine.besides(at, move || {
                qubesd.tells(b"1\0sys-net\0domain-pre-start\0start_guid\0True\0mem_required\0None\0\0");
            });
        });
        assert_ne!(ran.status, Some(0), "announced at {at}: {}", ran.text);
        let standing = ended(&machine, &ran, at, "announced");
        assert_ne!(standing, Stands::Works, "announced at {at}: {}", ran.text);
    }
}

#[test]
fn a_device_that_a_running_qube_is_given_is_left_to_it() {
    if !possible() {
        return;
    }
    let (_, first, look) = undisturbed();
    let run = |at: usize, event: &'static str, port: &str| {
        let told = format!("1\0work\0{event}\0device\0dom0:{port}:0x8086:0x10d3::p020000\0options\0{{}}\0\0");
        run(|machine, qubesd| {
            let qubesd = qubesd.clone();
            machine.besides(at, move || qubesd.tells(told.as_bytes()));
        })
    };
    for event in ["device-pre-attach:pci", "device-attach:pci"] {
        for at in [first, look] {
            let (machine, ran) = run(at, event, "00_07.0");
            let wanted = if at == first {
                (Some(3), Stands::AsBefore)
            } else {
                (Some(5), Stands::DriverlessAndQuarantined)
            };
            assert!(ran.text.contains("work is about to take it"), "{}", ran.text);
            assert_eq!(
                (ran.status, ended(&machine, &ran, at, event)),
                wanted,
                "{event} at {at}: {}",
                ran.text
            );
        }
        let (_machine, ran) = run(first, event, "00_08.0");
        assert_eq!(ran.status, Some(0), "{event} of another: {}", ran.text);
    }
}

#[test]
fn a_start_that_takes_the_driver_off_is_not_taken_for_a_driver_that_gave_up() {
    if !possible() {
        return;
    }
    // libvirt's first act, right after qubesd's word: from the proof of bind to the last look.
    let (ops, _, look) = undisturbed();
    let bind = ops.iter().skip(look).position(|op| op.writes).unwrap() + look;
    let unpin = ops.iter().rposition(|op| op.writes).unwrap();
    let last = ops.iter().skip(unpin).position(|op| op.path.ends_with("/driver")).unwrap() + unpin;
    let looks = (bind + 2..ops.len()).filter(|at| ops[*at].path.ends_with("/driver"));
    for at in looks {
        let (machine, ran) = run(|machine, qubesd| {
            let qubesd = qubesd.clone();
            machine.meanwhile(at, move |world| {
                qubesd.tells(b"1\0sys-net\0domain-pre-start\0start_guid\0True\0mem_required\0None\0\0");
                let device = world.devices.get_mut(BDF).unwrap();
                device.driver = None;
                device.sign.clear();
            });
        });
        let device = machine.state().world.devices[BDF].clone();
        if ran.status == Some(0) {
            // It came behind the last look.
            assert!(at > last, "at {at}, the last look is at {last}");
            continue;
        }
        assert_eq!(ran.status, Some(5), "at {at} of {}: {}", ops.len(), ran.text);
        assert!(ran.text.contains("sys-net is about to take it"), "{}", ran.text);
        assert_eq!(device.owner, Owner::Dom0, "written beside the start at {at}: {}", ran.text);
        let ops = machine.state().ops.clone();
        let mut wrote = ops.iter().skip(at).filter(|op| op.writes).map(|op| &op.path);
        // Between the look before the last step and its write there is a moment.
        let unpin = format!("devices/pci0000:00/{BDF}/driver_override");
        assert!(wrote.all(|path| *path == unpin), "written beside the start at {at}: {}", ran.text);
    }
}

#[test]
fn a_hold_whose_driver_lets_it_go_by_itself_is_undone_all_the_same() {
    if !possible() {
        return;
    }
    let scenario = Scenario { command: "hold", kind: Kind::Nic, found: Found::Driven };
    let run = |gone: Option<usize>, refused: Option<usize>| {
        let machine = scenario.machine();
        if let Some(at) = gone {
            machine.meanwhile(at, |world| {
                let device = world.devices.get_mut(BDF).unwrap();
                device.driver = None;
                device.sign.clear();
            });
        }
        if let Some(at) = refused {
            machine.arm(at, acting::Fault::Errno(19));
        }
        let ran = machine.run(&scenario.arguments());
        (machine, ran)
    };
    let write = |machine: &Machine, path: &str| {
        machine.state().ops.iter().position(|op| op.writes && op.path.ends_with(path))
    };
    let (machine, ran) = run(None, None);
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let (pin, unbind) =
        (write(&machine, "driver_override").unwrap(), write(&machine, "e1000e/unbind").unwrap());
    for gone in pin + 1..unbind {
        for path in [".xen/quarantine", "pciback/bind"] {
            let (machine, _) = run(Some(gone), None);
            let Some(refused) = write(&machine, path) else { continue };
            let (machine, ran) = run(Some(gone), Some(refused));
            let what = format!("gone at {gone}, {path} refused: {:?} {}", ran.status, ran.text);
            let device = machine.state().world.devices[BDF].clone();
            assert_eq!(ran.status, Some(1), "{what}");
            assert_eq!(stands(scenario, &machine, &scenario.world()), Stands::AsBefore, "{what}");
            assert_eq!(device.pinned, None, "{what}");
            assert!(machine.run(&["recover"]).text.contains("nothing to do"));
        }
    }
}

#[test]
fn a_module_is_not_loaded_where_it_would_take_a_function_that_lost_its_driver_meanwhile() {
    if !possible() {
        return;
    }
    const OTHER: &str = "0000:00:09.0";
    let scenario = Scenario { command: "reattach", kind: Kind::Nvme, found: Found::Held };
    let run = |at: Option<usize>| {
        let mut world = scenario.world();
        let mut other = world.devices[BDF].clone();
        (other.driver, other.slot, other.owner) = (Some("uio_pci_generic".to_owned()), false, Owner::Dom0);
        world.devices.insert(OTHER.to_owned(), other);
        let machine = Machine::new(world, BDF);
        if let Some(at) = at {
            machine.meanwhile(at, |world| world.devices.get_mut(OTHER).unwrap().driver = None);
        }
        let ran = machine.run(&scenario.arguments());
        (machine, ran)
    };
    let (machine, ran) = run(None);
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let first = machine.state().ops.iter().position(|op| op.writes).unwrap();
    let (machine, ran) = run(Some(first));
    assert_eq!(ran.status, Some(1), "{}", ran.text);
    assert!(ran.text.contains("loading nvme would bind 0000:00:09.0 too"), "{}", ran.text);
    assert!(machine.state().ops.iter().all(|op| op.path != ".xen/modprobe"));
    assert_eq!(machine.state().world.devices[OTHER].driver, None);
}

/// Runs a scenario on a card that a halted qube is assigned, beside a qubesd; the write at `refused` is refused, so that it is
/// undone.
fn beside(
    scenario: Scenario,
    refused: Option<usize>,
    arrange: impl FnOnce(&Machine, &Qubesd),
) -> (Machine, Ran) {
    let machine = scenario.machine();
    let qubesd = machine.dom0.qubes(QUBES_43);
    let assigned = "x device_id='*' port_id='00_07.0' backend_domain='dom0' mode='required'\\n";
    qubesd.answers("admin.vm.device.pci.Assigned+", "sys-net", assigned);
    if let Some(at) = refused {
        machine.arm(at, acting::Fault::Errno(5));
    }
    arrange(&machine, &qubesd);
    let mut arguments = vec![scenario.command, BDF, "--timeout", "70"];
    if scenario.command != "hold" {
        arguments.extend(["--accept", ACCEPT.trim_start_matches("exposed:sys-net,")]);
    }
    let ran = machine.run(&arguments);
    (machine, ran)
}

fn announced(machine: &Machine, qubesd: &Qubesd, at: usize) {
    let qubesd = qubesd.clone();
    machine.besides(at, move || {
        qubesd.tells(b"1\0sys-net\0domain-pre-start\0start_guid\0True\0mem_required\0None\0\0");
    });
}

/// dom0's without a driver is the one state that must not stay; and nothing is left to settle.
fn is_closed(machine: &Machine, ran: &Ran, what: &str) {
    let device = machine.state().world.devices[BDF].clone();
    assert!(device.driver.is_some() || device.owner == Owner::Quarantine, "{what}: {}", ran.text);
    machine.dom0.store().mend();
    for _ in 0..2 {
        let again = machine.run(&["recover"]);
        assert!(again.text.contains("nothing to do"), "{what}: {}", again.text);
    }
}

const HOLD: Scenario = Scenario { command: "hold", kind: Kind::Nic, found: Found::Driven };
const PINNED: Scenario = Scenario { command: "reattach", kind: Kind::Nic, found: Found::Pinned };

#[test]
fn a_hold_that_is_undone_while_a_qube_starts_never_leaves_the_card_open_without_a_driver() {
    if !possible() {
        return;
    }
    let (machine, ran) = beside(HOLD, None, |_, _| {});
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let bind = machine.state().ops.iter().position(|op| op.path.ends_with("pciback/bind") && op.writes);
    let (machine, ran) = beside(HOLD, bind, |_, _| {});
    assert_eq!(ran.status, Some(1), "{}", ran.text);
    let opened = machine.state().ops.len();
    let mut closed = 0;
    for at in bind.unwrap() + 1..opened {
        let (machine, ran) = beside(HOLD, bind, |machine, qubesd| announced(machine, qubesd, at));
        assert!(matches!(ran.status, Some(1 | 5)), "{at}: {:?} {}", ran.status, ran.text);
        closed += usize::from(ran.status == Some(5) && ran.text.contains("undo-owner"));
        is_closed(&machine, &ran, &format!("announced at {at}"));
    }
    // Some of these moments lie between opening it for the driver it had and giving it to that driver.
    assert!(closed > 0);
}

#[test]
fn whoever_is_after_a_card_that_was_dom0s_it_is_never_left_open_without_a_driver() {
    if !possible() {
        return;
    }
    for scenario in [HOLD, PINNED] {
        let (machine, ran) = beside(scenario, None, |_, _| {});
        assert_eq!(ran.status, Some(0), "{}", ran.text);
        let ops = machine.state().ops.clone();
        let first = ops.iter().position(|op| op.writes).unwrap();
        for at in (first..ops.len()).step_by(if full() { 1 } else { 4 }) {
            let (machine, ran) = beside(scenario, None, |machine, qubesd| announced(machine, qubesd, at));
            is_closed(&machine, &ran, &format!("{scenario:?}, a start announced at {at}"));
            let (machine, ran) = beside(scenario, None, |machine, _| {
                let store = machine.dom0.store().clone();
                machine.besides(at, move || store.fail(Fault::Error("EIO")));
            });
            is_closed(&machine, &ran, &format!("{scenario:?}, xenstore gone wrong at {at}"));
            // Nobody took it: that is not what it says.
            assert!(!ran.text.contains("see who has it"), "{scenario:?} at {at}: {}", ran.text);
        }
    }
}

#[test]
fn a_qubesd_that_goes_wrong_in_the_middle_stops_the_run_and_is_not_asked_on_the_way_back() {
    if !possible() {
        return;
    }
    use QubesdFault::{ByteByByte, CutAt, EndsAt, Nonsense, Refuses, Silent};
    let (ops, first, look) = undisturbed();
    let faults = [Refuses, Nonsense, ByteByByte, CutAt(3), EndsAt(1), EndsAt(40), Silent];
    for (number, at) in (first..ops.len()).step_by(share()).enumerate() {
        let fault = faults[number % faults.len()];
        let (machine, ran) = run(|machine, qubesd| {
            let qubesd = qubesd.clone();
            machine.besides(at, move || qubesd.fails(fault));
        });
        let standing = ended(&machine, &ran, at, &format!("{fault:?}"));
        // Whether a qube starts could not be asked before the last change.
        if at <= look && !matches!(fault, ByteByByte | CutAt(_)) {
            assert_eq!(
                (ran.status, standing),
                (Some(1), Stands::AsBefore),
                "{fault:?} at {at}: {}",
                ran.text
            );
            assert!(ran.text.contains("whether a qube is about to take it"), "{}", ran.text);
        }
    }
    // The way back does not wait for it: it was asked once and did not answer, after the last request that it answered, which
    // is of the list too.
    let mut kept = None;
    let (_machine, ran) = run(|machine, qubesd| {
        kept = Some(qubesd.clone());
        let qubesd = qubesd.clone();
        machine.besides(look, move || qubesd.fails(Silent));
    });
    let asked = kept.unwrap().asked();
    let asked = asked.iter().rev().take_while(|asked| asked.starts_with("admin.vm.List")).count();
    assert_eq!((ran.status, asked), (Some(1), 2), "{}", ran.text);
}

#[test]
fn a_dom0_without_a_qubesd_or_with_a_dead_one_needs_none() {
    if !possible() {
        return;
    }
    for socket in [false, true] {
        let machine = CARD.machine();
        if socket {
            machine.dom0.write("run/qubesd.sock", "");
            machine.dom0.write("var/lib/qubes/qubes.xml", include_bytes!("../data/qubesd/qubes-4.3.xml"));
        }
        let accept = machine.dom0.json(&["plan", BDF])["accept"].clone();
        let accept: Vec<&str> = accept.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        let ran = machine.run(&["reattach", BDF, "--timeout", "70", "--accept", &accept.join(",")]);
        assert_eq!(ran.status, Some(0), "{}", ran.text);
    }
}

#[test]
fn a_xenstore_that_goes_wrong_in_the_middle_stops_the_run_and_leaves_nothing_half_done() {
    if !possible() {
        return;
    }
    let (ops, first, look) = undisturbed();
    let faults =
        [Fault::Error("EIO"), Fault::HangsUp, Fault::OtherType, Fault::TooLong, Fault::Error("ENOMEM")];
    for (number, at) in (first..ops.len()).step_by(share()).enumerate() {
        let fault = faults[number % faults.len()];
        let (machine, ran) = run(|machine, _| {
            let store = machine.dom0.store().clone();
            machine.besides(at, move || store.fail(fault));
        });
        // Who has it could not be asked before the last change.
        assert!(at > look || ran.status != Some(0), "{fault:?} at {at}: {}", ran.text);
        ended(&machine, &ran, at, &format!("{fault:?}"));
    }
    // It is waited for ten seconds, and not longer.
    let (machine, ran) = run(|machine, _| {
        let store = machine.dom0.store().clone();
        machine.besides(look, move || store.fail(Fault::Silent));
    });
    assert_ne!(ran.status, Some(0), "{}", ran.text);
    ended(&machine, &ran, look, "Silent");
}

#[test]
fn an_assignment_that_was_taken_back_is_named_by_every_ending_but_the_wanted_one() {
    if !possible() {
        return;
    }
    let named = |ran: &Ran| {
        let text = crate::model::folded(&ran.text);
        [
            "the assignment 00_07.0 of sys-net stays taken back",
            "assign 00_07.0 of sys-net again: qvm-pci assign --required --port sys-net dom0:00_07.0",
        ]
        .iter()
        .all(|words| text.contains(words))
    };
    let card = Scenario { command: "rollback", ..CARD };
    let run = |fault: Option<(usize, acting::Fault)>| {
        let machine = card.machine();
        let qubesd = machine.dom0.qubes(QUBES_43);
        let (list, take) = ("admin.vm.device.pci.Assigned+", "admin.vm.device.pci.Unassign+dom0+00_07.0+_");
        let assigned = "x device_id='*' port_id='00_07.0' backend_domain='dom0' mode='required'\\n";
        qubesd.answers(list, "sys-net", assigned);
        qubesd.answers(take, "sys-net", "");
        qubesd.answers_after(take, list, "sys-net", "");
        if let Some((at, fault)) = fault {
            machine.arm(at, fault);
        }
        let ran =
            machine.run(&["--json", "rollback", BDF, "--unassign", "--timeout", "70", "--accept", ACCEPT]);
        (machine, ran)
    };
    let (machine, ran) = run(None);
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    assert!(!named(&ran) && ran.text.contains(r#""step":"unassign""#), "{}", ran.text);
    let ops = machine.state().ops.clone();
    let write = |path: &str| ops.iter().position(|op| op.writes && op.path.ends_with(path)).unwrap();
    for at in [write("driver_override"), write(".xen/dequarantine")] {
        let (_machine, ran) = run(Some((at, acting::Fault::Errno(5))));
        assert_eq!(ran.status, Some(1), "{at}: {}", ran.text);
        assert!(named(&ran) && ran.text.contains(r#""step":"unassign""#), "{at}: {}", ran.text);
        let (machine, ran) = run(Some((at, acting::Fault::KilledBefore)));
        assert_eq!(ran.status, None, "{at}: {}", ran.text);
        let ran = machine.run(&["recover"]);
        assert!(ran.status == Some(0) && named(&ran), "{at}: {}", ran.text);
    }
}

/// A USB stick on another controller of dom0 calls itself so, and the kernel prints that.
#[test]
fn what_a_device_calls_itself_is_not_the_kernels_word() {
    if !possible() {
        return;
    }
    let (ops, ..) = undisturbed();
    let write = |path: &str| ops.iter().position(|op| op.writes && op.path.ends_with(path)).unwrap();
    for (at, name) in [
        (
            write("pciback/unbind"),
            "****** removing device 0000:00:07.0 while still in-use by domain 1! ******",
        ),
        (write("e1000e/bind"), "e1000e 0000:00:07.0: probe failed"),
        (write("e1000e/bind"), "e1000e: probe of 0000:00:07.0 failed with error -5"),
    ] {
        let said = format!("usb 1-2: Product: {name}");
        let (machine, ran) =
            run(|machine, _| machine.meanwhile(at, move |world| world.said.push(said.clone())));
        assert_eq!(ran.status, Some(0), "{name}: {}", ran.text);
        assert_eq!(machine.state().world.devices[BDF].driver.as_deref(), Some("e1000e"), "{name}");
    }
}
