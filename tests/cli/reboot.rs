//! What a reboot would do is part of every verdict.

use crate::model::{Dom0, Function};

const NIC: &str = "0000:00:07.0";

fn held_with_cmdline(words: &str) -> Dom0 {
    let dom0 = Dom0::with(Function::usb(NIC).held());
    dom0.write("proc/cmdline", format!("root=/dev/mapper/dom0-root {words} ro\n"));
    dom0
}

#[track_caller]
fn returns(dom0: &Dom0) {
    dom0.run(&["show", NIC])
        .exits(0)
        .says("reboot a reboot returns it")
        .never_says("reboot-would-not-return");
    assert_eq!(dom0.json(&["plan", NIC])["plan"]["reboot"]["returns"], true);
}

#[track_caller]
fn does_not_return(dom0: &Dom0, why: &str) {
    dom0.run(&["show", NIC])
        .exits(0)
        .says("reboot a reboot does not return it, until this changes:")
        .says(&format!("note reboot-would-not-return: a reboot would not give it back to dom0 ({why}"));
    assert_eq!(dom0.json(&["plan", NIC])["plan"]["reboot"]["returns"], false);
}

#[test]
fn a_reboot_returns_what_nothing_hides() {
    returns(&held_with_cmdline("rd.qubes.hide_pci=00:08.0,00:09.0 xen-pciback.hide=(00:08.0)"));
    returns(&held_with_cmdline("rd.qubes.hide_pci="));
}

#[test]
fn a_function_the_initramfs_hides() {
    for list in ["00:07.0", "0000:00:07.0", "00:01.0,00:07.0"] {
        let dom0 = held_with_cmdline(&format!("rd.qubes.hide_pci={list}"));
        does_not_return(&dom0, "rd.qubes.hide_pci names it");
    }
}

#[test]
fn every_usb_controller_is_hidden() {
    let dom0 = held_with_cmdline("rd.qubes.hide_all_usb");
    does_not_return(&dom0, "rd.qubes.hide_all_usb hides every USB controller");
    let dom0 = Dom0::with(Function::new(NIC, 0x8086, 0x10d3, 0x01_0802).held());
    dom0.write("proc/cmdline", "rd.qubes.hide_all_usb\n");
    returns(&dom0);
}

#[test]
fn a_function_pciback_itself_hides() {
    for list in ["(00:07.0)", "(0000:00:07.0)", "(00:01.0)(0000:00:07.0)", "(00:07.*)"] {
        let dom0 = held_with_cmdline(&format!("xen-pciback.hide={list}"));
        does_not_return(&dom0, "xen-pciback.hide names it");
    }
    // The kernel takes both letters in a module's name.
    let dom0 = held_with_cmdline("xen_pciback.hide=(00:07.0)");
    does_not_return(&dom0, "xen-pciback.hide names it");
}

#[test]
fn qubes_hides_every_network_device_at_boot() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    returns(&dom0);
    dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    does_not_return(&dom0, "Qubes hides every network device from dom0 at boot");
}

#[test]
fn what_a_warm_reboot_does_not_clear_is_powered_off() {
    let functions = [Function::usb(NIC).held().without_reset(), Function::usb(NIC).held().resets_by("")];
    for function in functions {
        Dom0::with(function)
            .run(&["plan", NIC])
            .exits(4)
            .says("reboot; powering off and starting returns it");
    }
    let dom0 = held_with_cmdline("");
    dom0.write("sys/bus/pci/drivers/pciback/permissive", format!("{NIC}\n"));
    dom0.run(&["plan", NIC]).exits(4).says("powering off and starting returns it");
}

#[test]
fn what_dom0_drives_needs_no_reboot() {
    let dom0 = Dom0::with(Function::usb(NIC).driven("xhci_hcd"));
    dom0.write("proc/cmdline", "rd.qubes.hide_all_usb\n");
    dom0.run(&["show", NIC]).exits(0).never_says("reboot-would-not-return");
}
