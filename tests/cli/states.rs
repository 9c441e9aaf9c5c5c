//! Where a function can stand between dom0 and a qube; each state has its words,
//! and a plan that heals it.

use crate::model::{Dom0, Function, QUBES_43};
use std::sync::Arc;

const NIC: &str = "0000:00:07.0";

/// The steps of a plan that are done, in their order.
#[track_caller]
fn done(dom0: &Dom0) -> String {
    let plan = dom0.json(&["plan", NIC]);
    let steps = plan["plan"]["steps"].as_array().unwrap().iter();
    let done = steps.filter(|step| step["skipped"].is_null());
    done.map(|step| step["step"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn list_shows_what_dom0_does_not_drive_in_80_columns() {
    let mut dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.add(Function::usb("0000:00:08.0").driven("xhci_hcd"));
    dom0.run_changing_nothing(&["list", "--long"]).exits(0).shows(
        "\
0000:00:07.0  Ethernet controller: Intel Corporation 82574L Gigabit Network
              Connection
  driver    pciback, slot listed; Xen's owner DomIO
  state     held by pciback, in quarantine
  verdict   reboot; or reattach at a risk
no Qubes: Xen, xenstore and the journal alone tell who has or had a device
",
    );
}

#[test]
fn list_all_shows_every_function_in_the_order_of_addresses() {
    let mut dom0 = Dom0::with(Function::usb("0000:00:08.0").driven("xhci_hcd"));
    dom0.add(Function::new("10000:e1:00.0", 0x8086, 0xffff, 0x01_0802).driven("nvme"));
    dom0.run_changing_nothing(&["list", "--all", "--long"]).exits(0).shows(
        "\
0000:00:08.0  USB controller: Red Hat, Inc. QEMU XHCI Host Controller
  driver    xhci_hcd; Xen's owner dom0
  state     driven by xhci_hcd
  verdict   nothing to do
10000:e1:00.0  class 0108: Intel Corporation device ffff
  driver    nvme; Xen's owner dom0
  state     driven by nvme
  verdict   nothing to do
no Qubes: Xen, xenstore and the journal alone tell who has or had a device
",
    );
}

#[test]
fn list_says_so_where_dom0_drives_everything() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    dom0.run(&["list"]).exits(0).shows("No device is away from dom0.\nno Qubes: Xen, xenstore and the journal alone tell who has or had a device\n");
    assert_eq!(dom0.json(&["list"])["functions"].as_array().unwrap().len(), 0);
}

#[test]
fn show_says_who_it_is_and_what_it_risks() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined().serial(0x0011_22ff_ff33_4455));
    dom0.run_changing_nothing(&["show", "00:07.0"]).exits(0).shows(
        "\
0000:00:07.0  Ethernet controller: Intel Corporation 82574L Gigabit Network
              Connection
  driver    pciback, slot listed; Xen's owner DomIO
  state     held by pciback, in quarantine
  verdict   reboot; or reattach at a risk
  history   nothing is recorded
  identity  8086:10d3, subsystem 8086:0001, class 020000, revision 01, serial
            001122ffff334455, function-level reset
  reset     flr
  reboot    a reboot returns it
  warn  unknown-history: which qubes had it is not known for sure (Xen holds it
        in quarantine, as it does when a qube that had it has ended)
  warn  network: dom0 has no network on purpose; this gives it one (class
        020000)
no Qubes: Xen, xenstore and the journal alone tell who has or had a device
",
    );
}

#[test]
fn show_as_a_script_reads_it() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    let show = dom0.json(&["show", NIC]);
    assert_eq!(show["schema"], "qubes-dom0-pci/show/1");
    let device = &show["device"];
    assert_eq!(device["bdf"], NIC);
    assert_eq!(device["driver"], "pciback");
    assert_eq!(device["owner"], "DomIO");
    assert_eq!(device["slot"], true);
    assert_eq!(device["quarantined"], true);
    assert_eq!(device["verdict"]["word"], "ask");
    assert_eq!(show["modules"][0], "e1000e");
    assert_eq!(show["reset_methods"][0], "flr");
}

#[test]
fn plan_shows_the_verdict_the_steps_and_the_same_by_hand() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    let id = dom0.plan_id(NIC);
    dom0.run_changing_nothing(&["plan", NIC]).exits(4).shows(&format!(
        "\
0000:00:07.0  Ethernet controller: Intel Corporation 82574L Gigabit Network
              Connection
  driver    pciback, slot listed; Xen's owner DomIO
  state     held by pciback, in quarantine
  verdict   reboot; or reattach at a risk

Hazards
  warn  unknown-history: which qubes had it is not known for sure (Xen holds it
        in quarantine, as it does when a qube that had it has ended)
  warn  network: dom0 has no network on purpose; this gives it one (class
        020000)

Recommended: reboot; a reboot returns it.

Steps
  pin           set driver_override to none: nobody takes it meanwhile
  unbind        take it from pciback
  settle        reset it (flr), bus mastering off, read its config space anew
  remove-slot   take it off pciback's list of slots
  modalias      it is still
                pci:v00008086d000010D3sv00008086sd00000001bc02sc00i00
  resolve       driver: e1000e
  load          skipped: loaded or built in
  guard         skipped: its class needs none
  dequarantine  give it from DomIO to dom0 in Xen
  bind          bind e1000e
  verify        prove it: driver, owner, interrupts, no DMA fault, the class's
                own sign
  unguard       skipped: nothing was guarded
  unpin         clear driver_override

The same by hand (without the proof, the journal and the way back)
  echo none > /sys/bus/pci/devices/0000:00:07.0/driver_override
  echo 0000:00:07.0 > /sys/bus/pci/devices/0000:00:07.0/driver/unbind
  echo 1 > /sys/bus/pci/devices/0000:00:07.0/reset
  setpci -s 0000:00:07.0 COMMAND=0:4
  lspci -vvs 0000:00:07.0
  echo 0000:00:07.0 > /sys/bus/pci/drivers/pciback/remove_slot
  cat /sys/bus/pci/devices/0000:00:07.0/modalias
  modprobe -R \"$(cat /sys/bus/pci/devices/0000:00:07.0/modalias)\"
  xl pci-assignable-remove 0000:00:07.0
  DRIVER=e1000e
  echo $DRIVER > /sys/bus/pci/devices/0000:00:07.0/driver_override
  echo 0000:00:07.0 > /sys/bus/pci/drivers/$DRIVER/bind
  readlink /sys/bus/pci/devices/0000:00:07.0/driver
  xl debug-keys Q; xl dmesg | grep -e '0000:00:07.0 - ' -e 'DMAR.*0000:00:07.0' -e 'AMD-Vi.*0000:00:07.0' | tail
  dmesg | grep -e '0000:00:07.0.*map irq failed' -e '0000:00:07.0.*probe' -e 'probe of 0000:00:07.0'
  echo > /sys/bus/pci/devices/0000:00:07.0/driver_override

Plan {id}

To take the risk in a script:
  qubes-dom0-pci reattach 0000:00:07.0 --plan {id} \\
    --accept unknown-history,network

no Qubes: Xen, xenstore and the journal alone tell who has or had a device
"
    ));
}

#[test]
fn held_by_pciback_and_never_used() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    assert_eq!(dom0.state(NIC), "held by pciback");
    assert_eq!(
        done(&dom0),
        "pin unbind settle remove-slot modalias resolve bind verify unpin",
        "Xen has it as dom0's already"
    );
}

#[test]
fn held_by_another_holder_is_held_too() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("vfio-pci"));
    assert_eq!(dom0.state(NIC), "held by vfio-pci");
    assert_eq!(done(&dom0), "pin unbind settle modalias resolve bind verify unpin");
}

#[test]
fn the_recipe_stopped_half_way_no_driver_and_the_slot_still_listed() {
    let dom0 = Dom0::with(Function::nic(NIC).slot_listed().quarantined());
    assert_eq!(dom0.state(NIC), "no driver, in quarantine; pciback still lists its slot");
    assert_eq!(done(&dom0), "pin settle remove-slot modalias resolve dequarantine bind verify unpin");
    dom0.run(&["list", "--long"]).says("driver -, slot listed; Xen's owner DomIO");
}

#[test]
fn the_recipe_worked_bound_while_xen_still_holds_it() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e").quarantined());
    assert_eq!(dom0.state(NIC), "e1000e is bound, but Xen holds it in quarantine: it cannot work");
    assert_eq!(done(&dom0), "pin unbind settle modalias resolve dequarantine bind verify unpin");
    dom0.run(&["plan", NIC]).exits(4).says("unbind take it from e1000e");
}

#[test]
fn a_stuck_override_is_shown_and_cleared() {
    for text in ["none", "pciback"] {
        let dom0 = Dom0::with(Function::nic(NIC).pinned(text));
        assert_eq!(dom0.state(NIC), format!("no driver; driver_override is stuck at `{text}`"));
        assert_eq!(done(&dom0), "pin settle modalias resolve bind verify unpin");
        assert_eq!(dom0.json(&["show", NIC])["device"]["driver_override"], text);
    }
}

#[test]
fn a_stuck_override_under_a_working_driver_needs_no_consent_to_be_cleared() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e").pinned("pciback"));
    assert_eq!(dom0.state(NIC), "driven by e1000e; driver_override is stuck at `pciback`");
    dom0.run(&["plan", NIC]).exits(0).says("can be healed");
    assert_eq!(done(&dom0), "unpin");
}

#[test]
fn a_slot_listed_under_a_working_driver_is_taken_off_the_list() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e").slot_listed());
    assert_eq!(dom0.state(NIC), "driven by e1000e; pciback still lists its slot");
    dom0.run(&["plan", NIC]).exits(0);
    assert_eq!(done(&dom0), "remove-slot unpin");
}

#[test]
fn an_override_that_names_its_own_driver_is_not_stuck() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e").pinned("e1000e"));
    assert_eq!(dom0.state(NIC), "driven by e1000e");
    let dom0 = Dom0::with(Function::nic(NIC).held().pinned("pciback"));
    assert_eq!(dom0.state(NIC), "held by pciback");
}

#[test]
fn the_kernels_own_word_for_no_override_is_none() {
    for text in ["(null)", ""] {
        let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e").pinned(text));
        assert_eq!(dom0.state(NIC), "driven by e1000e");
        assert!(dom0.json(&["show", NIC])["device"]["driver_override"].is_null());
    }
}

#[test]
fn pciback_unloaded_under_a_function() {
    let dom0 = Dom0::with(Function::nic(NIC).quarantined());
    dom0.remove("sys/bus/pci/drivers/pciback");
    assert_eq!(dom0.state(NIC), "no driver, in quarantine; pciback is not loaded");
    assert_eq!(done(&dom0), "pin settle modalias resolve dequarantine bind verify unpin");
}

#[test]
fn a_stale_backend_node_of_a_dead_domain_stops_nobody() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/7/0/domain", "sys-net");
    assert_eq!(dom0.state(NIC), "held by pciback, in quarantine; a stale backend node of sys-net (gone)");
    dom0.run(&["plan", NIC]).exits(4).says("exposed:sys-net: sys-net had it in this boot");
}

#[test]
fn nothing_to_do_is_done() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    dom0.run_changing_nothing(&["plan", NIC]).exits(0).says("dom0 drives it; there is nothing to do.");
    dom0.run_changing_nothing(&["reattach", NIC]).exits(0).says("there is nothing to do");
    assert_eq!(dom0.run(&["--json", "reattach", NIC]).exits(0).json()["outcome"], "nothing");
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.run_changing_nothing(&["hold", NIC]).exits(0).says("held by pciback, in quarantine");
    assert_eq!(dom0.run(&["--json", "hold", NIC]).exits(0).json()["outcome"], "nothing");
}

#[test]
fn a_plan_for_a_usb_controller_keeps_dom0_from_its_devices() {
    let dom0 = Dom0::with(Function::usb(NIC).held().quarantined());
    assert_eq!(
        done(&dom0),
        "pin unbind settle remove-slot modalias resolve guard dequarantine bind verify unguard unpin"
    );
    dom0.run(&["plan", NIC])
        .exits(4)
        .says("guard have dom0 ignore every USB device that appears")
        .says("echo 0 > /sys/module/usbcore/parameters/authorized_default");
}

#[test]
fn a_plan_for_storage_keeps_dom0_from_reading_its_partitions() {
    let mut dom0 = Dom0::with(Function::new(NIC, 0x1b36, 0x0010, 0x01_0802).held());
    dom0.claim("nvme", "pci:v*d*sv*sd*bc01sc08i02*");
    dom0.load("nvme", &["nvme"]);
    assert_eq!(done(&dom0), "pin unbind settle remove-slot modalias resolve guard bind verify unguard unpin");
    dom0.run(&["plan", NIC]).exits(4).says("read no partition tables");
}

#[test]
fn a_card_reader_whose_class_says_nothing_is_guarded_like_a_disk() {
    let mut dom0 = Dom0::with(Function::new(NIC, 0x10ec, 0x525a, 0xff_0000).held());
    dom0.claim("rtsx_pci", "pci:v000010ECd0000525Asv*sd*bcFFsc*i*");
    dom0.load("rtsx_pci", &["rtsx_pci"]);
    assert_eq!(done(&dom0), "pin unbind settle remove-slot modalias resolve guard bind verify unguard unpin");
    dom0.run(&["plan", NIC])
        .exits(4)
        .says("its class does not say what it is")
        .says("read no partition tables");
}

/// Lines as Xen and Linux write them, of both makers and of older and newer kernels.
#[test]
fn the_checks_to_make_by_hand_find_the_lines_they_look_for() {
    let xen =
        "(XEN) [VT-D]DMAR:[DMA Write] Request device [BDF] fault addr 8c000, iommu reg = ffff82c000203000\n\
        (XEN) AMD-Vi: IO_PAGE_FAULT: BDF d0 addr 00000000fffdf800 flags 0x8 I\n\
        (XEN) BDF - d0 - node -1  - MSIs < 30 >\n";
    let linux = "e1000e BDF: xen map irq failed -19 for 32752 domain\n\
        e1000e: probe of BDF failed with error -110\n\
        e1000e BDF: probe with driver e1000e failed with error -110\n";
    let plan = Dom0::with(Function::nic(NIC).held()).run(&["plan", NIC]).out;
    for (program, lines) in [("xl dmesg", xen), ("dmesg", linux)] {
        let begins =
            |line: &&str| line.trim().starts_with(program) || line.contains(&format!("; {program} |"));
        let line = plan.lines().find(begins).unwrap_or_else(|| panic!("{program}: {plan}"));
        let check = line.split_once(&format!("{program} |")).unwrap().1;
        for (bdf, found) in [(NIC, 3), ("0000:00:08.0", 0)] {
            let lines = lines.replace("BDF", bdf);
            let shell = format!("printf %s \"$LINES_OF_LOG\" |{check}");
            let output =
                std::process::Command::new("sh").args(["-c", &shell]).env("LINES_OF_LOG", lines).output();
            let output = String::from_utf8(output.unwrap().stdout).unwrap();
            assert_eq!(output.lines().count(), found, "{check}: {output}");
        }
    }
}

#[test]
fn one_look_is_of_one_moment_though_qubesd_answers_only_after_a_start() {
    let dom0 = Arc::new(Dom0::with(Function::nic(NIC).driven("e1000e")));
    let qubesd = dom0.qubes(QUBES_43);
    let during = Arc::clone(&dom0);
    qubesd.meanwhile("admin.vm.List", move || {
        during.write(&format!("sys/bus/pci/devices/{NIC}/driver_override"), "pciback\n");
        during.drives(NIC, Some("pciback"));
        during.write("sys/bus/pci/drivers/pciback/slots", format!("{NIC}\n"));
        during.xen_prints(&format!("(XEN) ==== PCI devices ====\n(XEN) {NIC} - d7 - node -1 \n"));
        during.qube_has(7, "work", NIC);
    });
    dom0.run(&["show", NIC])
        .exits(0)
        .says("driver pciback, slot listed; Xen's owner d7, qube work")
        .says("state in use by work");
}
