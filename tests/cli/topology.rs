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
