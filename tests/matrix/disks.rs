//! The guard of disks: what udev is kept from, for how long, and what is said of the rest.

use super::possible;
use super::scenario::{Found, Kind, Scenario, BDF};
use crate::model::acting::{Fault, Machine, NO_PART_SCAN};
use crate::model::folded;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

const NVME: Scenario = Scenario { command: "reattach", kind: Kind::Nvme, found: Found::Held };

fn rule(machine: &Machine) -> PathBuf {
    machine.dom0.path("run/udev/rules.d/10-qubes-dom0-pci-0000-00-07-0.rules")
}

/// An NVMe disk with multipath has no PCI device above it: the rule asks its subsystem for its controllers.
#[test]
fn the_rule_matches_an_nvme_disk_with_multipath_of_this_function_and_of_no_other() {
    if !possible() {
        return;
    }
    let machine = NVME.machine();
    let ran = machine.run(&NVME.arguments());
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let text = std::fs::read_to_string(rule(&machine)).unwrap();
    assert!(text.contains(&format!("\nKERNELS==\"{BDF}\", GOTO=\"qubes_dom0_pci_guard_")), "{text}");
    // udev(7): `KERNELS!=` holds as soon as one device of the chain, the disk itself, has another name.
    assert!(!text.contains("KERNELS!="), "{text}");
    let line = text.lines().find(|line| line.contains("PROGRAM")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.starts_with("ACTION==\"add\", KERNELS==\"nvme-subsys*\", "), "{line}");
    let script = line.split_once("/bin/sh -c '").and_then(|(_, rest)| rest.split_once('\'')).unwrap().0;
    // As udev has it: `$id` is the parent that matched, `$$` is a dollar.
    let sys = machine.dom0.path("multipath");
    let script = script.replace("$id", "nvme-subsys0").replace("$$", "$");
    let script = script.replace("/sys/", &format!("{}/", sys.display()));
    let subsystem = sys.join("class/nvme-subsystem/nvme-subsys0");
    std::fs::create_dir_all(&subsystem).unwrap();
    let matches = |addresses: &[&str]| {
        for (number, address) in addresses.iter().enumerate() {
            let controller = sys.join(format!("pci/nvme{number}"));
            std::fs::create_dir_all(&controller).unwrap();
            std::fs::write(controller.join("address"), format!("{address}\n")).unwrap();
            let _ = symlink(&controller, subsystem.join(format!("nvme{number}")));
        }
        std::fs::create_dir_all(subsystem.join("nvme0n1")).unwrap();
        Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success()
    };
    assert!(!matches(&[]));
    assert!(matches(&[BDF]));
    assert!(!matches(&["0000:00:07.1"]));
    assert!(!matches(&["0000:01:00.0", "0000:00:08.0"]));
    assert!(matches(&["0000:01:00.0", BDF]));
}

#[test]
fn a_disk_that_udev_took_up_without_the_rule_is_named() {
    if !possible() {
        return;
    }
    for (record, followed) in [
        (Some(format!("E:QUBES_DOM0_PCI_GUARD={BDF}\n")), true),
        (Some("E:QUBES_DOM0_PCI_GUARD=0000:00:08.0\nE:ID_FS_TYPE=LVM2_member\n".to_owned()), false),
        // Not taken up yet: the rule is there when it is.
        (None, true),
    ] {
        let machine = NVME.machine();
        std::fs::create_dir_all(machine.dom0.path("run/udev/data")).unwrap();
        if let Some(record) = &record {
            machine.dom0.write("run/udev/data/b259:0", record);
        }
        let ran = machine.run(&NVME.arguments());
        let text = folded(&ran.text);
        assert_eq!(ran.status, Some(0), "{text}");
        let missed = text.contains("not guarded: udev did not follow the rule for nvme0n1");
        assert_eq!(missed, !followed, "{record:?}: {text}");
    }
}

/// A host is there when its driver has bound; its disks come later.
#[test]
fn partition_tables_stay_unread_while_disks_behind_a_host_are_awaited() {
    if !possible() {
        return;
    }
    let machine = NVME.machine();
    {
        let mut state = machine.state();
        let device = state.world.devices.get_mut(BDF).unwrap();
        device.fixed.insert("class".to_owned(), b"0x010700\n".to_vec());
        device.config[9..12].copy_from_slice(&[0, 7, 1]);
        state.world.drivers.get_mut("nvme").unwrap().sign = &[("host0/state", "running")];
        state.changed();
    }
    let began = std::time::Instant::now();
    let ran = machine.run(&NVME.arguments());
    let text = folded(&ran.text);
    assert_eq!(ran.status, Some(0), "{text}");
    assert!(began.elapsed().as_secs() >= 5, "{text}");
    assert!(
        text.contains("no disk came within 5 s; not guarded: the kernel reads the partition table"),
        "{text}"
    );
    assert_eq!(machine.state().world.globals[NO_PART_SCAN], "N", "{text}");
}

#[test]
fn what_the_guard_cannot_keep_away_is_said_beforehand_and_afterwards() {
    if !possible() {
        return;
    }
    let machine = NVME.machine();
    let said = folded(&machine.run(&["plan", BDF]).text);
    assert!(said.contains("not guarded are the kernel's look at the partition tables"), "{said}");
    // Linux outside of Qubes has no such setting.
    for setting in [true, false] {
        let machine = NVME.machine();
        if !setting {
            machine.state().world.globals.remove(NO_PART_SCAN);
            machine.state().changed();
        }
        let ran = machine.run(&NVME.arguments());
        let text = folded(&ran.text);
        assert_eq!(ran.status, Some(0), "{text}");
        assert!(text.contains("not guarded: programs that look at every disk by themselves"), "{text}");
        assert_eq!(
            text.contains("this kernel reads partition tables, whatever is wanted"),
            !setting,
            "{text}"
        );
        // A disk that came up without partitions gets them with its driver only.
        let again = "driver); echo 0000:00:07.0 > $d/unbind; echo 0000:00:07.0 > $d/bind";
        assert_eq!(text.contains(again), setting, "{text}");
        assert_eq!(text.contains("udevadm trigger --action=add --subsystem-match=block"), !setting, "{text}");
    }
}

/// The driver that could not be taken off may be reading the disks.
#[test]
fn the_rule_stays_where_the_way_back_cannot_take_the_driver_off() {
    if !possible() {
        return;
    }
    let machine = NVME.machine();
    assert_eq!(machine.run(&NVME.arguments()).status, Some(0));
    let ops = machine.state().ops.clone();
    let last = ops.iter().rposition(|op| op.writes && op.path.ends_with("driver_override")).unwrap();
    for refused in [false, true] {
        let machine = NVME.machine();
        machine.state().world.drivers.get_mut("nvme").unwrap().clings = refused;
        machine.arm(last, Fault::Errno(5));
        let ran = machine.run(&NVME.arguments());
        let driver = machine.state().world.devices[BDF].driver.clone();
        assert_eq!(driver.as_deref() == Some("nvme"), refused, "{}", ran.text);
        assert_eq!(rule(&machine).exists(), refused, "{}", ran.text);
        assert_eq!(machine.state().world.globals[NO_PART_SCAN], "N", "{}", ran.text);
    }
}
