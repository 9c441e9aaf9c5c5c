//! A hold and the drivers of dom0: Xen's owner is not changed under one that runs, nor is one dom0's that dom0 does not drive.

use super::scenario::{Found, Kind, Scenario, BDF};
use super::{full, possible};
use crate::model::acting::{Actor, Fault, Machine, Owner, Ran};

const LOOSE: Scenario = Scenario { command: "hold", kind: Kind::Nic, found: Found::Loose };
const DRIVEN: Scenario = Scenario { command: "hold", kind: Kind::Nic, found: Found::Driven };

fn run(scenario: Scenario, fault: Option<(usize, Fault)>) -> (Machine, Ran) {
    let machine = scenario.machine();
    if let Some((at, fault)) = fault {
        machine.arm(at, fault);
    }
    let ran = machine.run(&scenario.arguments());
    (machine, ran)
}

/// Between the look at the device and the pin lie the load of pciback, the disk and a round of the daemons.
#[test]
fn a_driver_that_takes_a_driverless_card_meanwhile_is_not_quarantined_while_it_runs() {
    if !possible() {
        return;
    }
    let (machine, ran) = run(LOOSE, None);
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let ops = machine.state().ops.clone();
    let quarantine = ops.iter().position(|op| op.writes && op.path == ".xen/quarantine").unwrap();
    // The way to its driver; the link that is not there takes no operation.
    let look = ops[..quarantine].iter().rposition(|op| op.path.ends_with(BDF)).unwrap();
    let pin = ops.iter().position(|op| op.writes).unwrap();
    let mut left_alone = 0;
    for at in (0..look).step_by(if full() { 1 } else { 7 }).chain([pin, pin + 1, look]) {
        let (machine, ran) = run(LOOSE, Some((at, Fault::Before(Actor::Driver))));
        let device = machine.state().world.devices[BDF].clone();
        let heedless = machine.state().heedless.clone();
        let what = format!("at {at} ({}): {}", ops[at].path, ran.text);
        // What had it when it was looked at is taken from it, as was asked.
        if ran.status == Some(0) && ran.text.contains("uio_pci_generic let it go") {
            continue;
        }
        assert!(matches!(ran.status, Some(4 | 5)), "{what}");
        assert_eq!(
            (device.driver.as_deref(), device.owner),
            (Some("uio_pci_generic"), Owner::Dom0),
            "{what}"
        );
        assert!(heedless.is_empty(), "{what}: {heedless:?}");
        left_alone += 1;
    }
    assert!(left_alone > 2, "{left_alone}");
}

#[test]
fn a_hold_that_goes_wrong_twice_ends_driven_by_dom0_or_in_quarantine() {
    if !possible() {
        return;
    }
    let (machine, ran) = run(DRIVEN, None);
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let ops = machine.state().ops.clone();
    let mut held = 0;
    for at in (0..ops.len()).filter(|at| ops[*at].writes) {
        for passing in 0.. {
            let (machine, ran) = run(DRIVEN, Some((at, Fault::ErrnoThenErrno(5, passing))));
            if machine.spares() {
                break;
            }
            let device = machine.state().world.devices[BDF].clone();
            let what = format!("{} and {passing} more: {}", ops[at].path, ran.text);
            assert!(matches!(ran.status, Some(1 | 5)), "{what}");
            let driven = device.driver.as_deref() == Some(Kind::Nic.driver());
            assert_eq!(driven, device.owner == Owner::Dom0, "{what}");
            held += usize::from(device.driver.as_deref() == Some("pciback"));
            let untimely = machine.state().untimely.clone();
            assert!(untimely.is_empty(), "{what}: {untimely:?}");
        }
    }
    assert!(held > 0);
}
