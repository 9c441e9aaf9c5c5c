//! A domain has it, or it cannot be ruled out: nobody can accept that.

use crate::model::{Dom0, Function};

const NIC: &str = "0000:00:07.0";

#[track_caller]
fn refused(dom0: &Dom0, qube: &str) {
    assert_eq!(dom0.state(NIC), format!("in use by {qube}"));
    dom0.run(&["list", "--long"]).says(&format!("qube {qube}")).says("verdict refused: in-use");
    dom0.run_changing_nothing(&["plan", NIC]).exits(3).says("It would be refused: in-use");
    for command in ["reattach", "hold"] {
        let said = dom0.run_changing_nothing(&["--json", command, NIC]).fails(3, "in-use");
        let error = &said.json()["error"];
        assert!(error["message"].as_str().unwrap().contains(&format!("{qube} has it")), "{error}");
        assert!(error["hint"].as_str().unwrap().starts_with("shut the qube down first"), "{error}");
        if qube != "domain 7" && qube.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let typed = format!("sudo xl shutdown -w {qube} && sudo qubes-dom0-pci {command} {NIC}");
            assert!(error["hint"].as_str().unwrap().ends_with(&typed), "{error}");
        }
    }
}

#[test]
fn a_running_qube_has_it() {
    let dom0 = Dom0::with(Function::nic(NIC).held().owned_by("d7"));
    dom0.qube_has(7, "sys-net", NIC);
    refused(&dom0, "sys-net");
    dom0.run(&["plan", NIC])
        .says("in-use: sys-net has it (/local/domain/0/backend/pci/7/0/dev-0; Xen's owner is d7)");
}

#[test]
fn a_qube_that_starts_has_a_backend_node_before_xen_gives_it_the_function() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.qube_has(7, "sys-net", NIC);
    refused(&dom0, "sys-net");
}

#[test]
fn a_dying_qube_still_has_it() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/local/domain/7/name", "sys-net");
    dom0.write("proc/xen/model/domains", "0\n7 dying\n");
    refused(&dom0, "sys-net");
}

#[test]
fn the_node_of_libxl_alone_is_enough() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.runs(7, "sys-net");
    dom0.node("/libxl/pci/0000-00-07-0/domid", "7");
    refused(&dom0, "sys-net");
}

#[test]
fn xens_owner_alone_is_enough() {
    refused(&Dom0::with(Function::nic(NIC).held().owned_by("d7")), "domain 7");
    refused(&Dom0::with(Function::nic(NIC).held().owned_by("d[XEN]")), "Xen itself");
}

#[test]
fn a_stub_domain_stands_for_its_qube() {
    let dom0 = Dom0::with(Function::nic(NIC).held().owned_by("d7"));
    dom0.qube_with_a_stub_has((7, 8), "windows", NIC);
    refused(&dom0, "windows");
}

#[test]
fn a_stub_domain_that_is_gone_while_its_qube_runs_is_still_in_use() {
    // It powered itself off: what libxl wrote of the qube stays.
    let dom0 = Dom0::with(Function::nic(NIC).held().owned_by("d7"));
    dom0.qube_with_a_stub_has((7, 8), "windows", NIC);
    dom0.ends(8);
    refused(&dom0, "windows");
    // It was destroyed alone: its nodes are gone, and Xen's owner is all there is.
    dom0.store().remove("/local/domain/0/backend/pci/8");
    dom0.store().remove("/libxl/pci/0000-00-07-0/domid");
    refused(&dom0, "windows");
    dom0.run(&["show", NIC]).says("Xen's owner d7, qube windows");
}

#[test]
fn every_device_of_a_qube_counts_though_their_number_is_wrong() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.qube_has(7, "sys-net", "0000:00:06.0");
    dom0.node("/local/domain/0/backend/pci/7/0/num_devs", "1");
    dom0.node("/local/domain/0/backend/pci/7/0/dev-3", NIC);
    refused(&dom0, "sys-net");
}

#[test]
fn a_function_dom0_drives_is_in_use_where_a_qube_has_it() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    dom0.qube_has(7, "sys-net", NIC);
    refused(&dom0, "sys-net");
}

#[test]
fn another_function_of_the_qube_does_not_matter() {
    let mut dom0 = Dom0::with(Function::nic(NIC).held());
    dom0.add(Function::nic("0000:00:06.0").held().owned_by("d7"));
    dom0.qube_has(7, "sys-net", "0000:00:06.0");
    dom0.run(&["plan", NIC]).exits(4);
}

#[track_caller]
fn owner_unknown(dom0: &Dom0, evidence: &str) {
    dom0.run_changing_nothing(&["plan", NIC]).exits(3).says("owner-unknown").says(evidence);
    dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(3, "owner-unknown");
}

#[test]
fn an_owner_is_not_known_without_the_list() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    dom0.xen_prints("(XEN) 0000:00:07.0 - d0 - node -1 \n");
    owner_unknown(&dom0, "Xen's log has no list of owners after the request");
    dom0.run(&["list", "--long"]).exits(0).says("not seen: Xen's owners:").says("Xen's owner ?");
    let unseen = dom0.json(&["list"])["unseen"].clone();
    assert_eq!(unseen.as_array().unwrap().len(), 1, "{unseen}");
}

#[test]
fn an_owner_is_not_known_where_the_list_is_cut_or_lacks_it() {
    let head = "(XEN) ==== PCI devices ====\n(XEN) ==== segment 0000 ====\n";
    let dom0 = Dom0::with(Function::nic(NIC).held());
    dom0.xen_prints(&format!("{head}(XEN) 0000:00:07.0 - d0 - node -1"));
    owner_unknown(&dom0, "is cut short");
    for lines in ["", "(XEN) 0000:00:06.0 - d0 - node -1 \n", "(XEN) 0000:00:07.0 - d0\n"] {
        dom0.xen_prints(&format!("{head}{lines}"));
        owner_unknown(&dom0, "Xen does not list it");
    }
    let owner = |owner: &str| format!("(XEN) 0000:00:07.0 - {owner} - node -1 \n");
    dom0.xen_prints(&format!("{head}{}{}", owner("d0"), owner("d7")));
    owner_unknown(&dom0, "two owners");
}

#[test]
fn an_owner_is_not_taken_from_a_line_a_qube_wrote() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    dom0.xen_prints(
        "(XEN) ==== PCI devices ====\n(d7) (XEN) 0000:00:07.0 - d0 - node -1 \n\
         (d7) 0000:00:07.0 - d0 - node -1 \n",
    );
    owner_unknown(&dom0, "Xen does not list it");
}

#[test]
fn an_owner_is_not_known_where_xen_does_not_answer() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    dom0.remove("proc/xen/model/owners");
    owner_unknown(&dom0, "Xen does not answer");
}

#[test]
fn it_counts_as_in_use_where_xen_does_not_list_its_domains() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    dom0.remove("proc/xen/model/domains");
    dom0.run_changing_nothing(&["plan", NIC]).exits(3).says("it cannot be ruled out that a qube has it");
    dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(3, "in-use");
    dom0.run(&["list"]).exits(0).says("not seen: which qubes have devices");
}
