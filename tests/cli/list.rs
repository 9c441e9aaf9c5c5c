//! `list`: one line per device, what can be acted on first, as wide as the terminal.

use crate::model::{Dom0, Function, QUBES_43};
use serde_json::Value;

const NIC: &str = "0000:00:1f.6";
const USB: &str = "0000:00:14.0";
const START: &str = r#""kind":"recorder","phase":"start","run":"r","sources":["uevents","xenstore","qubesd"],"missing":[],"first":true,"interval":600"#;
const SEIZED: &str = r#""kind":"device","event":"seized","bdf":"0000:00:1f.6","driver":"pciback","before":"e1000e","source":"uevent""#;
const BEGIN: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:1f.6","qube":"sys-net","label":"red","class":"AppVM","network":true,"source":"xenstore","domain":3"#;
const END: &str = r#""kind":"stay","event":"end","bdf":"0000:00:1f.6","qube":"sys-net","label":"red","class":"AppVM","network":true,"source":"xenstore","domain":3"#;

/// A laptop: two devices that qubes had, three that nobody has yet, nine functions of the chipset without a driver.
fn laptop() -> Dom0 {
    let mut dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.add(Function::usb(USB).held().owned_by("d5"));
    dom0.qube_has(5, "sys-usb", USB);
    for address in ["0000:01:00.0", "0000:02:00.0", "0000:03:00.0"] {
        dom0.add(Function::nic(address).held());
    }
    for slot in 0..9 {
        dom0.add(Function::new(&format!("0000:00:1{slot:x}.1"), 0x8086, 0xa000 + slot, 0x11_8000));
    }
    dom0.add(Function::nic("0000:04:00.0").driven("e1000e"));
    dom0.remembers(&[
        ("08:00:00", "11111111", START),
        ("08:01:58", "11111111", SEIZED),
        ("08:02:00", "11111111", BEGIN),
        ("08:09:00", "11111111", END),
    ]);
    dom0
}

fn addresses(document: &Value) -> Vec<&str> {
    document["functions"].as_array().unwrap().iter().map(|one| one["bdf"].as_str().unwrap()).collect()
}

#[test]
fn each_device_takes_one_line_and_what_can_be_returned_comes_first() {
    let dom0 = laptop();
    let shown = dom0.run_changing_nothing(&["list"]).exits(0).out;
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines[..7],
        [
            "ADDRESS  DEVICE                  STATE            LAST WITH  ACTION",
            "00:1f.6  Ethernet: Intel 8257..  in quarantine    sys-net    reboot, or reattach",
            "01:00.0  Ethernet: Intel 8257..  held by pciback             reboot, or reattach",
            "02:00.0  Ethernet: Intel 8257..  held by pciback             reboot, or reattach",
            "03:00.0  Ethernet: Intel 8257..  held by pciback             reboot, or reattach",
            "00:14.0  USB: Red Hat, QEMU X..  in use: sys-usb  sys-usb    shut down sys-usb",
            "(9 devices without a driver were never taken: list --all)",
        ],
        "{shown}"
    );
    assert!(shown.contains("\nNext:  sudo qubes-dom0-pci plan 0000:00:1f.6\n"), "{shown}");
}

#[test]
fn a_list_is_as_wide_as_the_terminal_and_never_wider() {
    let dom0 = laptop();
    for columns in (60..=200).step_by(20) {
        for arguments in [&["list"][..], &["list", "--all"], &["list", "--long"], &["show", NIC]] {
            let shown = dom0.run_at(columns, arguments);
            let command = |line: &str| line.starts_with("  ") && line.contains("qubes-dom0-pci");
            let wide: Vec<&str> =
                shown.lines().filter(|line| line.chars().count() > columns && !command(line)).collect();
            assert!(wide.is_empty(), "{columns}: {arguments:?}: {wide:#?}\n{shown}");
        }
        let whole = dom0.run_at(columns, &["list", "--all"]);
        assert!(whole.lines().count() <= 24, "{columns}: {whole}");
        assert!(whole.contains("shut down sys-usb"), "{whole}");
    }
    let wide = dom0.run_at(160, &["list"]);
    assert!(wide.contains("Ethernet: Intel 82574L Gigabit Network Connection"), "{wide}");
    assert!(wide.contains("sys-net (red) 2026-11-22 08:09"), "{wide}");
    let narrow = dom0.run_at(60, &["list"]);
    assert!(narrow.contains("reboot, or reattach"), "{narrow}");
}

#[test]
fn what_was_never_taken_is_counted_and_shown_with_all() {
    let dom0 = laptop();
    let document = dom0.json(&["list"]);
    assert_eq!(addresses(&document).len(), 5, "{document}");
    assert_eq!(document["hidden"], 9);
    let all = dom0.json(&["list", "--all"]);
    assert_eq!((addresses(&all).len(), &all["hidden"]), (15, &0.into()), "{all}");
    dom0.run(&["list", "--all"])
        .exits(0)
        .says("none: no driver")
        .says("dom0: e1000e")
        .never_says("never taken");
}

/// A driver is there for the first, a qube is assigned the second, a repair left an override on the third: none of them is
/// a chipset's function that nobody ever took.
#[test]
fn a_device_without_a_driver_that_may_have_been_taken_is_shown() {
    let mut dom0 = Dom0::with(Function::nic(NIC));
    dom0.add(Function::new("0000:00:11.0", 0x8086, 0xa001, 0x11_8000).pinned("none"));
    dom0.add(Function::new("0000:00:12.0", 0x8086, 0xa002, 0x11_8000).quarantined());
    dom0.add(Function::new("0000:00:13.0", 0x8086, 0xa003, 0x11_8000));
    assert_eq!(addresses(&dom0.json(&["list", "--sort", "address"])), ["0000:00:11.0", "0000:00:12.0", NIC]);
}

#[test]
fn a_list_is_filtered_by_qube_and_state_and_sorted() {
    let dom0 = laptop();
    assert_eq!(addresses(&dom0.json(&["list", "--qube", "sys-net"])), [NIC]);
    assert_eq!(addresses(&dom0.json(&["list", "--qube", "sys-usb"])), [USB]);
    assert_eq!(addresses(&dom0.json(&["list", "--state", "quarantine"])), [NIC]);
    assert_eq!(addresses(&dom0.json(&["list", "--state", "driven"])), ["0000:04:00.0"]);
    assert_eq!(addresses(&dom0.json(&["list", "--state", "no-driver"])).len(), 9);
    let sorted = dom0.json(&["list", "--sort", "address"]);
    assert_eq!(addresses(&sorted)[..2], [USB, NIC]);
    assert_eq!(addresses(&dom0.json(&["list", "--sort", "qube"]))[..2], [NIC, USB]);
    assert_eq!(addresses(&dom0.json(&["list", "--sort", "state"]))[..2], [USB, NIC]);
    assert_eq!(addresses(&dom0.json(&["list", "--sort", "time"]))[0], NIC);
    for arguments in [&["list", "--qube", "work"][..], &["list", "--qube", "sys-net", "--state", "driven"]] {
        dom0.run(arguments).exits(1).says("no device fits");
    }
    let said = dom0.run(&["--json", "list", "--qube", "work"]).exits(1).json();
    assert_eq!(addresses(&said).len(), 0);
    dom0.run(&["list", "--state", "lost"]).exits(2);
}

#[test]
fn a_state_in_a_table_has_its_colour() {
    let dom0 = laptop();
    let shown = dom0.run_on_terminal(&["list"], &[]);
    assert!(shown.contains("\x1b[33min quarantine\x1b[0m"), "{shown:?}");
    assert!(shown.contains("\x1b[31min use: sys-usb\x1b[0m"), "{shown:?}");
}

#[test]
fn a_refusal_ends_with_the_commands_to_type() {
    let mut dom0 = Dom0::with(Function::usb(USB).held().owned_by("d5"));
    dom0.add(Function::nic(NIC).held().quarantined());
    let _qubesd = dom0.qubes(QUBES_43);
    dom0.qube_has(5, "sys-usb", USB);
    let typed = |command: &str| format!("qvm-shutdown --wait sys-usb && sudo qubes-dom0-pci {command} {USB}");
    for command in ["reattach", "hold"] {
        dom0.run_changing_nothing(&[command, USB]).exits(3).says(&typed(command));
    }
    dom0.run_changing_nothing(&["plan", USB]).says(&typed("plan"));
    dom0.write("etc/qubes/dom0-pci.conf", format!("never-return {NIC}\n"));
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(dom0.path("etc/qubes/dom0-pci.conf"), rights).unwrap();
    dom0.run_changing_nothing(&["reattach", NIC]).exits(3).says("sudo qubes-dom0-pci policy check");
}
