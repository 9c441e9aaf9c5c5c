//! Qubes behind a stub domain: what is known of them while the stub domain lives, dies alone, or is left over.

use crate::model::{Dom0, Function};
use crate::recording::{count, found, held, log, prepare, Running, NIC};
use std::time::Duration;

const QUBE: (u16, u16) = (7, 8);

fn owned_by(dom0: &Dom0, owner: &str) {
    dom0.xen_prints(&format!("(XEN) ==== PCI devices ====\n(XEN) {NIC} - {owner} - node -1 \n"));
}

/// The qube ends after its stub domain powered itself off: libxl leaves the backend of the stub domain.
fn ends_and_leaves_the_backend(dom0: &Dom0) {
    dom0.ends(8);
    dom0.store().remove("/libxl/pci/0000-00-07-0/domid");
    owned_by(dom0, "d[IO]");
    dom0.ends(7);
}

fn exposures(dom0: &Dom0) -> Vec<String> {
    let plan = dom0.json(&["plan", NIC]);
    let hazards = plan["device"]["hazards"].as_array().unwrap();
    let named = hazards.iter().filter(|one| one["id"] == "exposed");
    named.map(|one| one["accept"].as_str().unwrap_or_else(|| panic!("{one}")).to_owned()).collect()
}

#[test]
fn a_stub_domain_that_died_does_not_turn_into_a_qube() {
    let dom0 = held();
    let recorder = Running::start(&dom0, &[]);
    owned_by(&dom0, "d7");
    dom0.qube_with_a_stub_has(QUBE, "hvm", NIC);
    recorder.until(|| count(&dom0, "stay", "event=begin,qube=hvm,domain=7,stub=8") == 1);
    ends_and_leaves_the_backend(&dom0);
    recorder.until(|| count(&dom0, "stay", "event=end,qube=hvm,domain=7") == 1);
    recorder.stop();
    assert_eq!(count(&dom0, "stay", ""), 2, "{}", log(&dom0));
    assert_eq!(exposures(&dom0), ["exposed:hvm"]);
    dom0.run(&["list"]).exits(0).says("hvm").never_says("hvm-dm");
    dom0.run(&["show", NIC]).exits(0).says("a stale backend node of hvm (gone)");
}

#[test]
fn a_stub_domain_that_died_unseen_leaves_the_name_of_its_qube() {
    let dom0 = held();
    dom0.qube_with_a_stub_has(QUBE, "hvm", NIC);
    ends_and_leaves_the_backend(&dom0);
    assert_eq!(exposures(&dom0), ["exposed:hvm"]);
    for _ in 0..2 {
        dom0.run(&["record", "--once"]).exits(0);
        assert_eq!(count(&dom0, "stay", "event=end,qube=hvm,domain=-1,stub=8,source=snapshot"), 1);
        assert_eq!(count(&dom0, "stay", ""), 1, "{}", log(&dom0));
    }
    assert_eq!(exposures(&dom0), ["exposed:hvm"]);
}

#[test]
fn a_stay_lasts_as_long_as_xen_owns_the_function_to_the_qube() {
    let dom0 = held();
    let recorder = Running::start(&dom0, &[]);
    owned_by(&dom0, "d7");
    dom0.qube_with_a_stub_has(QUBE, "hvm", NIC);
    recorder.until(|| count(&dom0, "stay", "event=begin,qube=hvm") == 1);
    // The stub domain is destroyed alone: the guest lives, and has the device.
    dom0.store().remove("/local/domain/0/backend/pci/8");
    dom0.store().remove("/libxl/pci/0000-00-07-0/domid");
    dom0.ends(8);
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(count(&dom0, "stay", ""), 1, "{}", log(&dom0));
    owned_by(&dom0, "d[IO]");
    dom0.ends(7);
    recorder.until(|| count(&dom0, "stay", "event=end,qube=hvm,domain=7,stub=8") == 1);
    recorder.stop();
    assert_eq!(count(&dom0, "stay", ""), 2, "{}", log(&dom0));
}

#[test]
fn a_qube_that_only_xen_knows_to_have_it_is_recorded_by_its_name() {
    let dom0 = Dom0::with(Function::nic(NIC).held().owned_by("d7"));
    prepare(&dom0);
    dom0.runs(7, "hvm");
    let recorder = Running::start(&dom0, &[]);
    recorder.until(|| count(&dom0, "stay", "event=present,qube=hvm,domain=7") == 1);
    // Xen alone says when it is over.
    owned_by(&dom0, "d[IO]");
    recorder.until(|| count(&dom0, "stay", "event=end,qube=hvm,domain=7") == 1);
    recorder.stop();
    assert_eq!(found(&dom0, "stay", "").len(), 2, "{}", log(&dom0));
}
