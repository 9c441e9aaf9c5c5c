//! What a function is part of.

use crate::model::{Dom0, Function};

const NIC: &str = "0000:00:07.0";
const PORT: &str = "0000:00:02.0";

#[track_caller]
fn refused(dom0: &Dom0, bdf: &str, id: &str, evidence: &str) {
    dom0.run_changing_nothing(&["plan", bdf]).exits(3).says(&format!("refused: {id}")).says(evidence);
    dom0.run_changing_nothing(&["--json", "reattach", bdf]).fails(3, id);
}

#[test]
fn a_bridge_is_never_returned_one_by_one() {
    let dom0 = Dom0::with(Function { driver: None, ..Function::root_port(PORT) }.held());
    refused(&dom0, PORT, "bridge", "class 0604");
    let dom0 = Dom0::with(Function::root_port(PORT));
    dom0.run_changing_nothing(&["--json", "hold", PORT]).fails(3, "bridge");
    dom0.run(&["hold", PORT]).exits(3).says("hint: leave it: it is never moved by itself");
}

#[test]
fn what_has_a_bridges_header_is_a_bridge_whatever_its_class() {
    refused(&Dom0::with(Function::nic(NIC).held().bridge()), NIC, "bridge", "class 0200");
}

#[test]
fn a_bridge_to_isa_is_an_endpoint() {
    let dom0 = Dom0::with(Function::new("0000:00:1f.0", 0x8086, 0x2918, 0x06_0100).held());
    assert!(!dom0.hazards("0000:00:1f.0").contains(&"bridge".to_owned()));
}

#[test]
fn companion_usb_controllers_do_not_come_back_one_by_one() {
    let [fast, slow] = [("0000:00:1d.7", 0x0c_0320), ("0000:00:1d.0", 0x0c_0300)]
        .map(|(bdf, class)| Function::new(bdf, 0x8086, 0x2934, class));
    let mut dom0 = Dom0::with(fast.clone().held().quarantined());
    dom0.add(slow.clone().held().quarantined());
    for bdf in ["0000:00:1d.7", "0000:00:1d.0"] {
        refused(&dom0, bdf, "companion-apart", "classes 0c0");
    }
    // Where the other is dom0's, and where it is of another slot, nothing is torn apart.
    for other in
        [slow.clone().driven("uhci_hcd"), Function::new("0000:00:1a.0", 0x8086, 0x2934, 0x0c_0300).held()]
    {
        let mut dom0 = Dom0::with(fast.clone().held().quarantined());
        dom0.add(other);
        drop(dom0.run(&["plan", "00:1d.7"]).never_says("companion-apart"));
    }
}

#[test]
fn a_function_that_answers_nothing_is_dead() {
    refused(&Dom0::with(Function::nic(NIC).held().dead()), NIC, "dead", "its config space reads all ones");
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e").dead());
    dom0.run_changing_nothing(&["--json", "hold", NIC]).fails(3, "dead");
    dom0.run(&["show", NIC]).exits(0).says("identity it does not answer");
}

#[test]
fn a_function_that_answers_as_another_is_refused_before_it_is_touched() {
    let mut altered = Function::nic(NIC).held();
    altered.config[2] ^= 1;
    let evidence = "its config space reads 8086:10d2, the kernel found 8086:10d3";
    refused(&Dom0::with(altered), NIC, "dead", evidence);
}

#[test]
fn a_physical_function_with_virtual_functions_switched_on_stays() {
    let dom0 = Dom0::with(Function::nic(NIC).held().attribute("sriov_numvfs", "2"));
    refused(&dom0, NIC, "sriov-pf-with-vfs", "sriov_numvfs is 2");
    let dom0 = Dom0::with(Function::nic(NIC).held().attribute("sriov_numvfs", "0"));
    dom0.run(&["plan", NIC]).exits(4);
}

#[test]
fn a_virtual_function_names_its_physical_one() {
    let mut dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    dom0.add(Function::nic("0000:00:07.1").held());
    let link = dom0.path("sys/devices/pci0000:00/0000:00:07.1/physfn");
    std::os::unix::fs::symlink("../0000:00:07.0", link).unwrap();
    dom0.run(&["show", "0000:00:07.1"]).exits(0).says("virtual function of 0000:00:07.0");
}

#[test]
fn a_port_pciback_holds_for_sleep_stays() {
    for file in ["qubes_exp_pm_suspend", "qubes_exp_pm_suspend_force"] {
        let dom0 = Dom0::with(Function::nic(NIC).held());
        dom0.write(&format!("sys/bus/pci/drivers/pciback/{file}"), format!("{NIC}\n"));
        refused(&dom0, NIC, "sleep-port", "so that the machine can sleep");
    }
}

/// A bridge from PCI Express to conventional PCI with two functions behind it.
fn behind_a_conventional_bridge(other: Function) -> Dom0 {
    let mut dom0 = Dom0::with(Function::root_port(PORT).express(7, 0));
    dom0.add(Function::nic("0000:01:00.0").conventional().behind(&[PORT]).held().quarantined());
    dom0.add(other.conventional().behind(&[PORT]));
    dom0
}

#[test]
fn functions_behind_a_conventional_bridge_share_their_dma() {
    for owner in ["d[IO]", "d7"] {
        let dom0 = behind_a_conventional_bridge(Function::nic("0000:01:01.0").held().owned_by(owner));
        refused(&dom0, "0000:01:00.0", "shared-dma", "0000:01:01.0 behind the same bridge is not dom0's");
        let show = dom0.json(&["show", "0000:01:00.0"]);
        assert_eq!(show["device"]["siblings"][0], "0000:01:01.0");
    }
}

#[test]
fn functions_behind_a_conventional_bridge_that_are_all_dom0s_may_come_back() {
    let dom0 = behind_a_conventional_bridge(Function::nic("0000:01:01.0").driven("e1000e"));
    dom0.run(&["plan", "0000:01:00.0"]).exits(4).never_says("shared-dma");
}

#[test]
fn a_bridge_without_pci_express_leads_to_conventional_pci() {
    let mut dom0 = Dom0::with(Function::root_port(PORT).conventional());
    dom0.add(Function::nic("0000:01:00.0").behind(&[PORT]).held());
    dom0.add(Function::nic("0000:01:01.0").behind(&[PORT]).held().quarantined());
    refused(&dom0, "0000:01:00.0", "shared-dma", "leads to conventional PCI");
}

#[test]
fn a_bridge_that_cannot_be_read_counts_as_the_worse_case() {
    for bridge in [Function::root_port(PORT).dead(), Function::root_port(PORT).seen_without_root()] {
        let mut dom0 = Dom0::with(bridge);
        dom0.add(Function::nic("0000:01:00.0").behind(&[PORT]).held());
        dom0.add(Function::nic("0000:01:01.0").behind(&[PORT]).held().quarantined());
        refused(&dom0, "0000:01:00.0", "shared-dma", "0000:01:01.0");
    }
}

#[test]
fn functions_behind_one_root_port_are_told_apart() {
    let mut dom0 = Dom0::with(Function::root_port(PORT));
    dom0.add(Function::nic("0000:01:00.0").behind(&[PORT]).held());
    dom0.add(Function::nic("0000:01:00.1").behind(&[PORT]).held().quarantined());
    dom0.run(&["plan", "0000:01:00.0"]).exits(4).never_says("shared-dma");
}

#[test]
fn a_slot_with_phantom_functions_shares_its_dma() {
    let mut dom0 = Dom0::with(Function::nic("0000:00:07.0").held());
    dom0.add(Function::nic("0000:00:07.1").held().quarantined().express(0, 0x1000_0008));
    refused(&dom0, "0000:00:07.0", "shared-dma", "phantom functions");
    // The other way round there is nothing foreign left in the slot.
    dom0.run(&["plan", "0000:00:07.1"]).exits(4).never_says("shared-dma");
}

#[test]
fn the_other_functions_of_a_slot_are_siblings() {
    let mut dom0 = Dom0::with(Function::nic("0000:00:07.0").held());
    dom0.add(Function::nic("0000:00:07.1").held().quarantined());
    dom0.add(Function::nic("0000:00:08.0").held());
    dom0.run(&["plan", "0000:00:07.0"])
        .exits(4)
        .says("siblings 0000:00:07.1")
        .never_says("siblings-elsewhere");
    let mut dom0 = Dom0::with(Function::nic("0000:00:07.0").held());
    dom0.add(Function::nic("0000:00:07.1").held().owned_by("d7"));
    dom0.run(&["plan", "0000:00:07.0"]).exits(4).says("siblings-elsewhere").says("(0000:00:07.1 (d7))");
}

#[test]
fn a_path_of_qubes_4_3_leads_over_bridges() {
    let mut dom0 = Dom0::with(Function::root_port(PORT).attribute("secondary_bus_number", "1"));
    dom0.add(Function::nic("0000:01:00.0").behind(&[PORT]).held());
    assert_eq!(dom0.json(&["show", "00_02.0-00_00.0"])["device"]["bdf"], "0000:01:00.0");
    assert_eq!(dom0.json(&["show", "dom0:00_02.0-00_00.0"])["device"]["bdf"], "0000:01:00.0");
    for path in ["00_02.0-00_01.0", "00_03.0-00_00.0", "00_02.0-00_00.0-00_00.0", "00_02.0-ff_00.0"] {
        dom0.run(&["--json", "show", path]).fails(2, "no-such-device");
    }
}

/// A card with two functions behind a root port, of which a qube has the other.
fn with_a_qubes(own: Function, other: Function) -> Dom0 {
    let mut dom0 = Dom0::with(Function::root_port(PORT));
    dom0.add(own.behind(&[PORT]).held().quarantined());
    dom0.add(other.behind(&[PORT]).held().owned_by("d7"));
    dom0
}

#[test]
fn a_virtual_function_stays_while_its_physical_one_is_not_dom0s() {
    let physical = || Function::nic("0000:03:00.0").attribute("sriov_numvfs", "1");
    let linked = |dom0: &Dom0| {
        let link = dom0.path(&format!("sys/devices/pci0000:00/{PORT}/0000:03:10.0/physfn"));
        std::os::unix::fs::symlink("../0000:03:00.0", link).unwrap();
    };
    let dom0 = with_a_qubes(Function::nic("0000:03:10.0"), physical());
    linked(&dom0);
    refused(&dom0, "0000:03:10.0", "shared-dma", "it is a virtual function of 0000:03:00.0");
    let mut dom0 = Dom0::with(Function::root_port(PORT));
    dom0.add(physical().behind(&[PORT]).driven("e1000e"));
    dom0.add(Function::nic("0000:03:10.0").behind(&[PORT]).held().quarantined());
    linked(&dom0);
    assert!(!dom0.hazards("0000:03:10.0").contains(&"shared-dma".to_owned()));
}

#[test]
fn a_device_whose_dma_carries_anothers_id_shares_it() {
    let reader = || Function::new("0000:03:00.0", 0x1180, 0xe823, 0x08_0501);
    let firewire = Function::new("0000:03:00.3", 0x1180, 0xe832, 0x0c_0010);
    let evidence = "0000:03:00.3 may do DMA with the id of 0000:03:00.0";
    refused(&with_a_qubes(reader(), firewire.clone()), "0000:03:00.0", "shared-dma", evidence);
    refused(&with_a_qubes(firewire, reader()), "0000:03:00.3", "shared-dma", evidence);
    let disks = |bdf: &str| Function::new(bdf, 0x1b4b, 0x9230, 0x01_0601);
    let dom0 = with_a_qubes(disks("0000:03:00.0"), Function::nic("0000:03:00.1"));
    refused(&dom0, "0000:03:00.0", "shared-dma", "0000:03:00.0 may do DMA with the id of 0000:03:00.1");
    let dom0 = with_a_qubes(disks("0000:03:00.0"), Function::nic("0000:03:00.2"));
    assert!(!dom0.hazards("0000:03:00.0").contains(&"shared-dma".to_owned()));
}

#[test]
fn phantom_functions_that_xen_was_told_of_share_their_dma() {
    let dom0 = with_a_qubes(Function::nic("0000:03:00.0"), Function::nic("0000:03:00.2"));
    assert!(!dom0.hazards("0000:03:00.0").contains(&"shared-dma".to_owned()));
    dom0.write("proc/xen/model/cmdline", "dom0_mem=4G pci-phantom=03:00,1 pci-phantom=05:00,2");
    refused(&dom0, "0000:03:00.0", "shared-dma", "0000:03:00.0 may do DMA with the id of 0000:03:00.2");
    dom0.write("proc/xen/model/cmdline", "pci-phantom=0:4:0,1 pci-phantom=03:00,4");
    assert!(!dom0.hazards("0000:03:00.0").contains(&"shared-dma".to_owned()));
}

#[test]
fn functions_of_an_ari_device_are_one_device() {
    let dom0 = with_a_qubes(Function::nic("0000:03:00.0"), Function::nic("0000:03:01.0"));
    dom0.qube_has(7, "sys-net", "0000:03:01.0");
    dom0.run(&["plan", "0000:03:00.0"]).says("siblings-elsewhere").says("0000:03:01.0 (sys-net");
}

/// Two cards behind the ports of a switch whose access control is so, or is missing; a qube has the second.
fn behind_a_switch(control: Option<u8>) -> Dom0 {
    let (up, one, other) = ("0000:01:00.0", "0000:02:00.0", "0000:02:01.0");
    let mut dom0 = Dom0::with(Function::root_port(PORT).access_control(0x1f));
    dom0.add(Function::root_port(up).express(5, 0).behind(&[PORT]));
    for port in [one, other] {
        let port = Function::root_port(port).express(6, 0).behind(&[PORT, up]);
        dom0.add(control.map_or(port.clone(), |control| port.access_control(control)));
    }
    dom0.add(Function::nic("0000:03:00.0").behind(&[PORT, up, one]).held().quarantined());
    dom0.add(Function::nic("0000:04:00.0").behind(&[PORT, up, other]).held().owned_by("d7"));
    dom0
}

#[test]
fn functions_that_reach_each_other_through_a_switch_are_siblings() {
    for control in [None, Some(0), Some(0x0f)] {
        let dom0 = behind_a_switch(control);
        assert!(dom0.hazards("0000:03:00.0").contains(&"siblings-elsewhere".to_owned()), "{control:?}");
        dom0.run(&["plan", "0000:03:00.0"]).says("0000:04:00.0 (d7)");
    }
    let dom0 = behind_a_switch(Some(0x1f));
    assert!(!dom0.hazards("0000:03:00.0").contains(&"siblings-elsewhere".to_owned()));
}

#[test]
fn root_ports_of_one_slot_that_do_not_isolate_join_what_is_below_them() {
    let below = |ports: [Function; 2]| {
        let mut dom0 = Dom0::with(ports[0].clone());
        let behind = ports.clone().map(|port| port.bdf);
        dom0.add(ports[1].clone());
        dom0.add(Function::nic("0000:03:00.0").behind(&[&behind[0]]).held().quarantined());
        dom0.add(Function::nic("0000:04:00.0").behind(&[&behind[1]]).held().owned_by("d7"));
        dom0.hazards("0000:03:00.0").contains(&"siblings-elsewhere".to_owned())
    };
    let port = |bdf: &str| Function::root_port(bdf);
    assert!(below([port("0000:00:1c.0"), port("0000:00:1c.4")]));
    assert!(below([port("0000:00:1c.0").access_control(0x1d), port("0000:00:1c.4")]));
    assert!(!below([port("0000:00:1c.0").access_control(0x1d), port("0000:00:1c.4").access_control(0x1d)]));
    assert!(!below([port("0000:00:1c.0"), port("0000:00:1d.0")]));
}

#[test]
fn a_function_behind_vmd_is_said_to_be_beyond_xen() {
    let disk = "10000:e1:00.0";
    let mut dom0 = Dom0::with(Function::nic(NIC));
    dom0.add(Function::new(disk, 0x144d, 0xa80a, 0x01_0802).held());
    dom0.xen_prints("(XEN) ==== PCI devices ====\n(XEN) 0000:00:07.0 - d0 - node -1 \n");
    dom0.run_changing_nothing(&["plan", disk])
        .exits(3)
        .says("owner-unknown")
        .says("Xen has no name for a segment above ffff (Intel VMD)")
        .says("leave it: only the VMD controller that it is behind can be given");
}

#[test]
fn owners_as_xen_before_4_14_prints_them_are_read() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    dom0.xen_prints(&format!("(XEN) ==== PCI devices ====\n(XEN) {NIC} - dom 0   - node -1  - MSIs < >\n"));
    assert!(!dom0.hazards(NIC).contains(&"owner-unknown".to_owned()));
}
