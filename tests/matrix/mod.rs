//! Every operation of a run, and every fault at it.

mod calls;
mod case;
mod disks;
mod drivers;
mod ends;
mod others;
mod recovery;
mod scenario;
mod several;
mod terminal;
mod transcript;
mod walk;

use crate::model::acting::{Actor, Device, Fault, Machine, Mount, Owner, AUTHORIZED};
use crate::model::QUBES_43;
use calls::CallCase;
use case::{cases, Case};
use scenario::{Found, Kind, Scenario, BDF, ROM};
use std::fmt::Debug;
use std::sync::Mutex;
use std::time::Instant;

fn possible() -> bool {
    match Mount::possible() {
        Ok(()) => true,
        Err(why) => {
            crate::model::missing(&why.to_string());
            false
        }
    }
}

#[test]
fn a_device_of_each_kind_comes_back_and_works() {
    if !possible() {
        return;
    }
    for kind in [Kind::Nic, Kind::Usb, Kind::Nvme] {
        let reattach = [Found::Held, Found::Pinned, Found::Broken, Found::Driverless];
        let reattach = reattach.map(|found| Scenario { command: "reattach", kind, found });
        for scenario in
            reattach.into_iter().chain([Scenario { command: "rollback", kind, found: Found::Held }])
        {
            let machine = scenario.machine();
            let ran = machine.run(&scenario.arguments());
            assert_eq!(ran.status, Some(0), "{scenario:?}: {}", ran.text);
            let state = machine.state();
            let device = &state.world.devices[BDF];
            assert_eq!(device.driver.as_deref(), Some(kind.driver()));
            assert_eq!((device.owner, device.pinned.clone(), device.slot), (Owner::Dom0, None, false));
        }
    }
}

/// Gives the held card back with this ROM and what is accepted besides, and holds it again.
fn returned(machine: &Machine, rom: &[u8], besides: &str) -> (Option<i32>, String) {
    machine.state().world.devices.get_mut(BDF).unwrap().rom = Some(rom.to_vec());
    let scenario = Scenario { command: "reattach", kind: Kind::Nic, found: Found::Held };
    let mut arguments = scenario.arguments();
    let accepted = format!("{}{besides}", arguments.pop().unwrap());
    arguments.push(&accepted);
    let ran = machine.run(&arguments);
    let state = machine.state();
    assert!(!state.world.devices[BDF].rom_open, "{}", ran.text);
    let owner = state.world.devices[BDF].owner;
    drop(state);
    match ran.status {
        Some(0) => assert_eq!(machine.run(&["hold", BDF]).status, Some(0)),
        _ => assert_eq!(owner, Owner::Quarantine, "{}", ran.text),
    }
    (ran.status, crate::model::folded(&ran.text))
}

#[test]
fn a_rom_is_recorded_when_it_is_settled_and_one_that_changed_is_refused_unless_that_is_accepted() {
    if !possible() {
        return;
    }
    let machine = Scenario { command: "reattach", kind: Kind::Nic, found: Found::Held }.machine();
    let journal = || std::fs::read_to_string(machine.dom0.journal().join("000000000000.jsonl")).unwrap();
    let (status, text) = returned(&machine, b"", "");
    assert!(status == Some(0) && text.contains("its ROM cannot be read"), "{text}");
    assert!(!journal().contains("rom_sha256"));
    let (status, text) = returned(&machine, ROM, "");
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("ROM recorded for the first time"), "{text}");
    // In the record of the step, and in that of the device.
    assert_eq!(journal().matches("\"rom_sha256\":\"").count(), 2);
    let (status, text) = returned(&machine, ROM, "");
    assert!(status == Some(0) && text.contains("ROM unchanged"), "{text}");
    for _ in 0..2 {
        let (status, text) = returned(&machine, b"another", "");
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains("its ROM changed: SHA-256"), "{text}");
    }
    let (status, text) = returned(&machine, b"another", ",identity-changed");
    assert!(status == Some(0) && text.contains("ROM changed, as accepted"), "{text}");
    let (status, text) = returned(&machine, b"another", "");
    assert!(status == Some(0) && text.contains("ROM unchanged"), "{text}");
}

/// The registers of a virtual function read ffff:ffff; and the kernel calls some devices of another class than they do.
#[test]
fn what_the_kernel_knows_better_than_config_space_is_no_sign_of_an_altered_device() {
    if !possible() {
        return;
    }
    let scenario = Scenario { command: "reattach", kind: Kind::Nic, found: Found::Held };
    let run = |change: fn(&mut Device)| {
        let machine = scenario.machine();
        {
            let mut state = machine.state();
            let mut physical = state.world.devices[BDF].clone();
            (physical.driver, physical.slot) = (Some("e1000e".to_owned()), false);
            physical.owner = Owner::Dom0;
            state.world.devices.insert("0000:00:06.0".to_owned(), physical);
            change(state.world.devices.get_mut(BDF).unwrap());
            state.changed();
        }
        let ran = machine.run(&scenario.arguments());
        let text = crate::model::folded(&ran.text);
        (ran.status, text, ends::journal(&machine))
    };
    let (status, text, journal) = run(|device| {
        device.config[..4].fill(0xff);
        device.physical = Some("0000:00:06.0");
    });
    assert_eq!(status, Some(0), "{text}");
    assert!(journal.contains(r#""id":"8086:10d3 "#) && !journal.contains("ffff:ffff"), "{journal}");
    let (status, text, _) = run(|device| device.config[0x0a] = 0x80);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("its class reads 028000, the kernel calls it 020000"), "{text}");
    // One that is no virtual function has ids of its own.
    let (status, text, _) = run(|device| device.config[..4].fill(0xff));
    assert_eq!(status, Some(3), "{text}");
}

/// What dwc3 drives calls itself a device, and its host controller is two levels below it.
#[test]
fn a_usb_bus_is_guarded_wherever_it_comes_up_below_the_function() {
    if !possible() {
        return;
    }
    const BUS: &str = "dwc3.0.auto/xhci-hcd.1.auto/usb1/authorized_default";
    let scenario = Scenario { command: "reattach", kind: Kind::Usb, found: Found::Held };
    let machine = scenario.machine();
    {
        let mut state = machine.state();
        let device = state.world.devices.get_mut(BDF).unwrap();
        device.fixed.insert("class".to_owned(), b"0x0c03fe\n".to_vec());
        device.config[9] = 0xfe;
        state.world.drivers.get_mut("xhci_hcd").unwrap().sign = &[(BUS, "1")];
        state.changed();
    }
    let ran = machine.run(&scenario.arguments());
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let world = machine.state().world.clone();
    assert_eq!((&*world.devices[BDF].sign[BUS], &*world.globals[AUTHORIZED]), ("0", "1"), "{}", ran.text);
    assert!(ran.text.contains("-path '*/usb*/*-*/authorized'"), "{}", ran.text);
}

/// A driver that was bound in quarantine is no sign that the device was dom0's.
#[test]
fn what_a_hold_takes_is_told_with_the_owner_it_had() {
    if !possible() {
        return;
    }
    for (found, owner) in [(Found::Driven, "dom0"), (Found::Broken, "DomIO")] {
        let machine = Scenario { command: "hold", kind: Kind::Nvme, found }.machine();
        let ran = machine.run(&["hold", BDF]);
        let journal = ends::journal(&machine);
        let seized = journal.lines().find(|line| line.contains(r#""event":"seized""#)).unwrap_or_default();
        assert_eq!(ran.status, Some(0), "{}", ran.text);
        assert!(seized.contains(&format!(r#""owner":"{owner}""#)), "{found:?}: {journal}");
    }
}

#[test]
fn a_qube_that_starts_at_any_moment_of_the_run_stops_it() {
    if !possible() {
        return;
    }
    const LIST: &str = "sys-net class=AppVM state=STATE uuid=b21c7d77-4175-4dd3-8e3f-460435ce18f5\\n";
    let scenario = Scenario { command: "reattach", kind: Kind::Nic, found: Found::Held };
    let accept = "unknown-history,network,usb,storage,still-assigned";
    let arguments = ["reattach", BDF, "--timeout", "70", "--accept", accept];
    // From the how manyth time on that qubesd is asked for the states, the qube starts.
    let run = |starts: usize| {
        let machine = scenario.machine();
        let qubesd = machine.dom0.qubes(QUBES_43);
        let assigned = "x device_id='*' port_id='00_07.0' backend_domain='dom0' mode='required'\\n";
        qubesd.answers("admin.vm.device.pci.Assigned+", "sys-net", assigned);
        qubesd.lists(&LIST.replace("STATE", "Halted"));
        qubesd.lists_later(starts, &LIST.replace("STATE", "Transient"));
        let ran = machine.run(&arguments);
        let lists = qubesd.asked().iter().filter(|asked| asked.starts_with("admin.vm.List+")).count();
        let device = machine.state().world.devices[BDF].clone();
        (ran, lists, device)
    };
    let (ran, lists, device) = run(usize::MAX);
    assert_eq!((ran.status, device.owner), (Some(0), Owner::Dom0), "{}", ran.text);
    assert!(lists > 4, "{lists}");
    let before = scenario.machine().state().world.devices[BDF].clone();
    let mut refused = 0;
    for starts in 0..lists {
        let (ran, _, device) = run(starts);
        // Seen before the first change, or when only the pin had been set: refused, and the device unchanged.
        if ran.status == Some(3) {
            refused += 1;
            assert_eq!(
                (&device.driver, &device.pinned, device.slot, device.owner),
                (&before.driver, &before.pinned, before.slot, before.owner),
                "{starts}: {}",
                ran.text
            );
        }
        assert!(matches!(ran.status, Some(1 | 3 | 4 | 5)), "{starts}: {:?} {}", ran.status, ran.text);
        assert_eq!(device.owner, Owner::Quarantine, "{starts}: {}", ran.text);
        assert!(device.driver.is_none_or(|driver| driver == "pciback"), "{starts}: {}", ran.text);
    }
    // By the assessment, by the steps `pin` and `unbind`.
    assert!(refused >= 3, "{refused}");
}

#[test]
fn a_device_that_is_pulled_in_the_middle_is_said_to_be_gone_and_nothing_more_is_asked_of_it() {
    if !possible() {
        return;
    }
    for kind in [Kind::Nic, Kind::Usb] {
        let scenario = Scenario { command: "reattach", kind, found: Found::Held };
        let machine = scenario.machine();
        assert_eq!(machine.run(&scenario.arguments()).status, Some(0));
        let writes: Vec<usize> =
            machine.state().ops.iter().enumerate().filter(|(_, op)| op.writes).map(|(at, _)| at).collect();
        // The last one clears the override: after it there is nothing left to fail.
        for at in writes {
            let machine = scenario.machine();
            machine.arm(at, Fault::Before(Actor::Vanishes));
            let ran = machine.run(&scenario.arguments());
            let text = crate::model::folded(&ran.text);
            assert_eq!(ran.status, Some(5), "{at}: {text}");
            assert!(text.contains("the device is gone"), "{at}: {text}");
            let later: Vec<String> = machine
                .state()
                .ops
                .split_off(at + 1)
                .into_iter()
                .filter(|op| op.writes)
                .map(|op| op.path)
                .collect();
            // What the guard set is for all devices, and is put back.
            assert!(
                later.iter().all(|path| path == AUTHORIZED || path.ends_with("/udevadm")),
                "{at}: {later:?}"
            );
            let said = machine.run(&["recover"]);
            assert!(said.status == Some(0) && said.text.contains("nothing to do"), "{}", said.text);
        }
    }
}

#[test]
fn what_was_set_for_all_devices_is_put_back_though_the_device_was_pulled_after_a_crash() {
    if !possible() {
        return;
    }
    for kind in [Kind::Usb, Kind::Nvme] {
        let scenario = Scenario { command: "reattach", kind, found: Found::Held };
        let machine = scenario.machine();
        assert_eq!(machine.run(&scenario.arguments()).status, Some(0));
        let ops = machine.state().ops.clone();
        let before = scenario.world().globals;
        for at in (0..ops.len()).filter(|at| ops[*at].writes) {
            let machine = scenario.machine();
            machine.arm(at, Fault::KilledAfter);
            assert_eq!(machine.run(&scenario.arguments()).status, None, "{at}");
            let mut state = machine.state();
            state.world.devices.remove(BDF);
            state.changed();
            drop(state);
            let said = machine.run(&["recover"]);
            assert!(matches!(said.status, Some(0 | 5)), "{at}: {:?} {}", said.status, said.text);
            assert_eq!(machine.state().world.globals, before, "{at}: {}", said.text);
            assert!(machine.state().unannounced.is_empty(), "{at}: {:?}", machine.state().unannounced);
            let rules = std::fs::read_dir(machine.dom0.path("run/udev/rules.d"));
            assert_eq!(rules.map_or(0, |rules| rules.count()), 0, "{at}: {}", said.text);
            let again = machine.run(&["recover"]);
            assert!(again.text.contains("nothing to do"), "{at}: {}", again.text);
        }
    }
}

#[test]
fn what_another_set_for_all_devices_meanwhile_stays() {
    if !possible() {
        return;
    }
    let scenario = Scenario { command: "reattach", kind: Kind::Usb, found: Found::Held };
    let machine = scenario.machine();
    assert_eq!(machine.run(&scenario.arguments()).status, Some(0));
    let ops = machine.state().ops.clone();
    let last = |path: &str| ops.iter().rposition(|op| op.writes && op.path.ends_with(path)).unwrap();
    // While it is guarded: done all the same, or undone.
    for fails in [false, true] {
        let machine = scenario.machine();
        machine.arm(last("xhci_hcd/bind"), Fault::Before(Actor::Authorizes));
        if fails {
            machine.state().world.drivers.get_mut("xhci_hcd").unwrap().fails = Some(5);
        }
        let ran = machine.run(&scenario.arguments());
        let text = crate::model::folded(&ran.text);
        assert_eq!(ran.status, Some(i32::from(fails)), "{text}");
        assert!(text.contains("to 2: it is left alone"), "{text}");
        assert_eq!(machine.state().world.globals[AUTHORIZED], "2", "{text}");
    }
    // After it was put back, and before the operation was settled.
    let machine = scenario.machine();
    machine.arm(last("driver_override"), Fault::KilledAfter);
    assert_eq!(machine.run(&scenario.arguments()).status, None);
    let mut state = machine.state();
    state.world.globals.insert(AUTHORIZED, "0".to_owned());
    state.changed();
    drop(state);
    let ran = machine.run(&["recover"]);
    assert!(ran.status == Some(0) && ran.text.contains("made up for"), "{}", ran.text);
    assert_eq!(machine.state().world.globals[AUTHORIZED], "0", "{}", ran.text);
}

/// Takes minutes: tests/all.d/30-matrix runs it.
#[test]
#[ignore = "minutes long"]
fn whatever_goes_wrong_nothing_is_left_half_done() {
    if !possible() {
        return;
    }
    let began = Instant::now();
    let mut all = Vec::new();
    for scenario in scenario::all() {
        let thorough = scenario.kind == Kind::Nic && scenario.tries_reads() && scenario.command != "rollback";
        all.extend(cases(scenario, thorough));
    }
    if !full() {
        // Every write, and of the many reads one in seven: prime to the number of faults a read has, so that each is met.
        let mut reads = 0..;
        all.retain(|case: &Case| case.writes || reads.next().is_some_and(|number| number % 7 == 0));
    }
    let mut all = chosen(all);
    if quick_alone() {
        all.retain(Case::is_quick);
    }
    let size = all.len();
    println!("{size} cases");
    let (quick, slow): (Vec<Case>, Vec<Case>) = all.into_iter().partition(Case::is_quick);
    let violations = std::thread::scope(|scope| {
        // They wait for a timeout, and cost nothing while they do.
        let slow = scope.spawn(|| played(slow, usize::MAX, |case| case.violation()));
        played(quick, WORKERS, |case| case.violation()) + slow.join().unwrap()
    });
    let seconds = began.elapsed().as_secs();
    println!("matrix: {size} cases, {violations} violations, {seconds} s");
    assert_eq!(violations, 0);
}

/// Takes minutes: tests/all.d/31-journal-calls runs it.
#[test]
#[ignore = "minutes long"]
fn whatever_call_of_the_journal_fails_nothing_is_left_half_done() {
    if !possible() {
        return;
    }
    if let Err(why) = calls::possible() {
        return crate::model::missing(&why.to_string());
    }
    let began = Instant::now();
    // Prime to the number of faults a call has: each fault meets each kind of call.
    let share = if full() { 1 } else { 11 };
    let runs = calls::runs().into_iter();
    let all = chosen(runs.flat_map(|(scenario, killed)| calls::cases(scenario, killed, share)).collect());
    let size = all.len();
    println!("{size} cases");
    let violations = played(all, WORKERS, CallCase::violation);
    let seconds = began.elapsed().as_secs();
    println!("journal's calls: {size} cases, {violations} violations, {seconds} s");
    assert_eq!(violations, 0);
}

/// Whether all is wanted, however long it takes.
fn full() -> bool {
    std::env::var("QUBES_DOM0_PCI_FULL").is_ok_and(|full| !full.is_empty())
}

/// What the environment leaves of the cases: those whose words hold `MATRIX_ONLY`, and of these one of `MATRIX_SHARE`.
fn chosen<T: Debug>(mut cases: Vec<T>) -> Vec<T> {
    if let Ok(only) = std::env::var("MATRIX_ONLY") {
        cases.retain(|case| format!("{case:?}").contains(&only));
    }
    let share = std::env::var("MATRIX_SHARE").ok().and_then(|share| share.parse().ok()).unwrap_or(1);
    cases.into_iter().step_by(share).collect()
}

/// Whether the first violation is enough to know, and nothing is waited for.
fn quick_alone() -> bool {
    std::env::var_os("MATRIX_FIRST").is_some()
}

/// Plays cases side by side and prints what they violate; how many did.
fn played<T: Send>(cases: Vec<T>, workers: usize, violation: impl Fn(&T) -> Option<String> + Sync) -> usize {
    let workers = workers.min(cases.len());
    let (queue, violations) = (Mutex::new(cases.into_iter()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| loop {
                let next = queue.lock().unwrap().next();
                let Some(case) = next else { return };
                if let Some(told) = violation(&case) {
                    let mut violations = violations.lock().unwrap();
                    *violations += 1;
                    if *violations <= 40 {
                        println!("{told}");
                    }
                    if quick_alone() {
                        queue.lock().unwrap().by_ref().for_each(drop);
                    }
                }
            });
        }
    });
    violations.into_inner().unwrap()
}

/// More than processors: many a case waits for the disk or a process.
const WORKERS: usize = 8;
