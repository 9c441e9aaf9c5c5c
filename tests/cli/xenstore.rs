//! A store that is large, hostile or broken.

use crate::model::{Dom0, Fault, Function};

const NIC: &str = "0000:00:07.0";

fn held() -> Dom0 {
    Dom0::with(Function::nic(NIC).held().quarantined())
}

#[test]
fn a_listing_above_one_payload_is_read_to_its_end() {
    let dom0 = held();
    for id in 10_000..12_000 {
        dom0.node(format!("/local/domain/0/backend/pci/{id}/0/num_devs"), "0");
    }
    dom0.qube_has(65_000, "sys-net", NIC);
    assert_eq!(dom0.state(NIC), "in use by sys-net");
}

#[test]
fn a_listing_that_fills_one_payload_is_read_too() {
    let dom0 = held();
    // 4096 bytes: 818 names of four digits and one of five, each with its NUL.
    for id in (1000..1818).chain([10_000]) {
        dom0.node(format!("/local/domain/0/backend/pci/{id}/0/num_devs"), "0");
    }
    dom0.node("/local/domain/0/backend/pci/1817/0/dev-0", NIC);
    dom0.runs(1817, "sys-net");
    assert_eq!(dom0.state(NIC), "in use by sys-net");
}

#[test]
fn nobody_is_missed_in_a_listing_that_changes_while_it_is_read() {
    let dom0 = held();
    for id in 10_000..12_000 {
        dom0.node(format!("/local/domain/0/backend/pci/{id}/0/num_devs"), "0");
    }
    // The first part ends with 10681. Without 10000 the next one would begin with
    // 10683: the one between is in neither.
    dom0.xenstored_fails(Fault::ChangesWhileListed("/local/domain/0/backend/pci/10000/"));
    dom0.node("/local/domain/0/backend/pci/10682/0/dev-0", NIC);
    dom0.runs(10_682, "sys-net");
    assert_eq!(dom0.hazards(NIC)[0], "in-use");
}

#[test]
fn a_store_that_goes_wrong_counts_as_the_worse_case() {
    let faults =
        [Fault::Error("EIO"), Fault::Error("EWEIRD"), Fault::TooLong, Fault::OtherType, Fault::HangsUp];
    for fault in faults {
        let dom0 = held();
        dom0.xenstored_fails(fault);
        let said = dom0.run_changing_nothing(&["--json", "reattach", NIC]);
        assert!([3, 11].contains(&said.status), "{fault:?}: {said:?}");
        said.json();
    }
}

#[test]
fn what_only_shows_goes_on_without_a_store_that_goes_wrong() {
    for fault in [Fault::Error("EIO"), Fault::TooLong, Fault::OtherType, Fault::HangsUp] {
        let dom0 = held();
        dom0.xenstored_fails(fault);
        dom0.run(&["list"]).exits(0).says("not seen: which qubes have devices: cannot read");
        dom0.run(&["show", NIC]).exits(0).says("it cannot be ruled out that a qube has it");
        dom0.run(&["plan", NIC]).exits(3).says("it cannot be ruled out that a qube has it");
    }
}

#[test]
fn a_hostile_name_of_a_qube_cannot_act_on_the_terminal() {
    let name = b"\x1b[2J\x1b]0;owned\x07sys\n-net\xc3\xa9";
    let shown = "\\x1b[2J\\x1b]0;owned\\x07sys\\x0a-net\\xc3\\xa9";
    let dom0 = held();
    dom0.runs(7, "");
    dom0.node("/local/domain/7/name", name);
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    for command in ["list", "show", "plan", "reattach", "hold"] {
        let arguments = if command == "list" { vec!["list", "--long"] } else { vec![command, NIC] };
        dom0.run_changing_nothing(&arguments).says(shown);
        let document = dom0.run(&[&["--json"], &arguments[..]].concat()).json().to_string();
        assert!(document.contains(&shown.replace('\\', "\\\\")), "{document}");
    }
}

#[test]
fn a_hostile_name_of_a_qube_that_is_gone_adds_nothing_to_what_is_accepted() {
    let dom0 = held();
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/7/0/domain", "x,no-reset\x1b[31m");
    dom0.run(&["plan", NIC]).exits(4).says("x,no-reset\\x1b[31m had it in this boot");
    let accept = dom0.json(&["plan", NIC])["accept"].clone();
    let accept: Vec<&str> = accept.as_array().unwrap().iter().filter_map(|word| word.as_str()).collect();
    assert!(accept[0].starts_with("exposed") && !accept[0].contains("no-reset"), "{accept:?}");
    assert_eq!(accept[1..], ["unknown-history", "network"]);
    // It can be typed as it is shown.
    dom0.run(&["plan", NIC, "--accept", &accept.join(",")]).exits(0);
}

#[test]
fn a_name_of_4096_letters_keeps_to_80_columns() {
    let dom0 = held();
    dom0.qube_has(7, &"x".repeat(4096), NIC);
    dom0.run(&["list"]).exits(0);
    dom0.run(&["plan", NIC]).exits(3);
}

#[test]
fn hostile_names_of_nodes_cannot_act_on_the_terminal() {
    let nodes = [
        (&b"/local/domain/0/backend/pci/7/\x1b[2J/dev-\x1b[31m"[..], NIC),
        (b"/local/domain/0/backend/pci/\x1b[2J/0/dev-0", NIC),
        (b"/local/domain/0/backend/pci/7/0/dev-\x1b[2J", "\x1b[2J"),
        (b"/libxl/pci/0000-00-07-0-\x1b[2J/domid", "7"),
        (b"/libxl/pci/0000-00-07-0/domid", "\x1b[2J"),
    ];
    for (node, value) in nodes {
        let dom0 = held();
        dom0.runs(7, "sys-net");
        dom0.node(node, value);
        dom0.run(&["plan", NIC]).exits(3).says("in-use").says("\\x1b[2J");
        dom0.run(&["list"]).exits(0);
        dom0.run(&["reattach", NIC]).exits(3);
        dom0.json(&["plan", NIC]);
    }
}

#[test]
fn values_that_make_no_sense_are_no_path_to_anything() {
    let devices = ["", "../../x", "0000:00:07.0\n", "*", "\x1b[2J", "0000:00:07"];
    let devices = devices.map(|value| ("/local/domain/0/backend/pci/7/0/dev-0", value));
    let domains = ["", "-1", "99999", "7\n", "\x1b[2J"].map(|value| ("/libxl/pci/0000-00-07-0/domid", value));
    let keys = [("/libxl/pci/..-..-x-1/domid", "7"), ("/libxl/pci/x/domid", "7")];
    for (node, value) in devices.into_iter().chain(domains).chain(keys) {
        let dom0 = held();
        dom0.runs(7, "sys-net");
        dom0.node(node, value);
        let said = dom0.run(&["plan", NIC]);
        assert!([3, 4].contains(&said.status), "{node} {value:?}: {said:?}");
    }
}

#[test]
fn a_hostile_driver_path_names_no_driver() {
    for path in [
        "/sys/bus/pci/drivers/../../../x",
        "/sys/bus/pci/drivers/pciback",
        "\x1b[2J",
        "/sys/bus/pci/drivers/",
    ] {
        let dom0 = Dom0::with(Function::new(NIC, 0xdead, 0xbeef, 0xff_0000).held());
        dom0.node("/libxl/pci/0000-00-07-0/driver_path", path);
        assert_eq!(dom0.hazards(NIC)[0], "no-driver", "{path:?}");
    }
}
