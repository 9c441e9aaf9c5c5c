//! Several devices in one command: one review, one consent, and nothing is done where one is refused.

use crate::model::terminal::{Answer, GO_ON};
use crate::model::{Dom0, Function};
use serde_json::json;

const NIC: &str = "0000:00:07.0";
const USB: &str = "0000:00:08.0";

/// A card that sys-net had, and then a controller that sys-usb had.
fn two() -> Dom0 {
    let mut dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.add(Function::usb(USB).held().quarantined());
    for (bdf, qube, domain) in [(NIC, "sys-net", "3"), (USB, "sys-usb", "4")] {
        dom0.node(format!("/local/domain/0/backend/pci/{domain}/0/dev-0"), bdf);
        dom0.node(format!("/local/domain/0/backend/pci/{domain}/0/domain"), qube);
        let begin = audit::Draft::new("stay").text("event", "begin").text("bdf", bdf).text("qube", qube);
        let begin = begin.number("domain", domain.parse().unwrap()).text("source", "xenstore");
        audit::Journal::open(&dom0.journal(), "11111111").unwrap().append(&[begin]).unwrap();
    }
    dom0
}

#[test]
fn show_and_plan_list_each_and_one_id_covers_all() {
    let dom0 = two();
    let shown = dom0.json(&["show", NIC, "00:08.0", NIC]);
    let bdfs: Vec<_> = shown["functions"].as_array().unwrap().iter().map(|it| &it["device"]["bdf"]).collect();
    assert_eq!(bdfs, [NIC, USB]);
    dom0.run(&["show", NIC, USB]).exits(0).says(&format!("{NIC}  ")).says(&format!("{USB}  "));

    let plan = dom0.run_changing_nothing(&["--json", "plan", NIC, USB]).exits(4).json();
    let id = plan["id"].as_str().unwrap();
    let own = |at: usize| plan["functions"][at]["plan"]["id"].as_str().unwrap();
    assert!(id != own(0) && id != own(1) && own(0) == dom0.plan_id(NIC), "{plan}");
    let text = dom0.run(&["plan", NIC, USB]).exits(4);
    text.says(&format!("qubes-dom0-pci reattach {NIC} {USB} --plan {id}")).says("exposed:sys-usb");
    let stale = ["--json", "reattach", NIC, USB, "--plan", own(0)];
    dom0.run_changing_nothing(&stale).fails(4, "plan-stale");
    let said = dom0.run_changing_nothing(&["--json", "reattach", NIC, USB, "--plan", id]);
    let said = said.fails(4, "consent-missing").json();
    assert_eq!(said["plan"], id);
    let mut asked: Vec<_> =
        said["accept"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["exposed:sys-net", "exposed:sys-usb", "network", "unknown-history", "usb"]);
}

#[test]
fn one_that_is_refused_keeps_all_and_the_command_without_it_is_named() {
    let dom0 = two();
    dom0.qube_has(5, "work", USB);
    for command in ["reattach", "hold"] {
        let said = dom0.run_changing_nothing(&["--json", command, NIC, USB]).fails(3, "in-use").json();
        let error = &said["error"];
        assert!(error["message"].as_str().unwrap().contains(&format!("{USB}: work has it")), "{error}");
        let without = format!("`qubes-dom0-pci {command} {NIC}`");
        assert!(error["hint"].as_str().unwrap().contains(&without), "{error}");
    }
    assert_eq!(dom0.run(&["--json", "plan", NIC, USB]).exits(3).json()["exit"], 3);
}

#[test]
fn functions_behind_one_bridge_go_together_unless_a_qube_has_one() {
    let mut dom0 = Dom0::with(Function::root_port("0000:00:1c.0").conventional());
    let (one, other) = ("0000:01:00.0", "0000:01:01.0");
    for bdf in [one, other] {
        dom0.add(Function::nic(bdf).held().quarantined().behind(&["0000:00:1c.0"]).conventional());
    }
    dom0.run_changing_nothing(&["--json", "reattach", one]).fails(3, "shared-dma");
    dom0.run_changing_nothing(&["--json", "reattach", one, other]).fails(4, "consent-missing");
    dom0.qube_has(5, "work", other);
    let said = dom0.run_changing_nothing(&["--json", "reattach", one, other]).fails(3, "shared-dma").json();
    assert!(said["error"]["message"].as_str().unwrap().contains("work has it"), "{said}");
}

#[test]
fn a_person_types_each_qube_the_latest_first() {
    let dom0 = two();
    let wrong = "sys-net\r";
    for (answers, asked) in [
        (&[GO_ON, wrong, wrong][..], 2),
        (&[GO_ON, "sys-usb\r", "sys-usb\r", "\r"], 3),
        (&[GO_ON, "sys-usb\r", "\r"], 2),
    ] {
        let (said, status) = dom0.ask(&["reattach", NIC, USB], Answer::Each(answers));
        assert_eq!(status.code(), Some(4), "{said}");
        assert_eq!(said.matches("To go on, type ").count(), asked, "{said}");
        assert!(said.contains("Nothing was changed."), "{said}");
        let first = said.find("To go on, type sys-usb").unwrap();
        assert!(said.find("To go on, type sys-net").is_none_or(|at| at > first), "{said}");
    }
    assert!(!dom0.run(&["audit", "log"]).out.contains("reattach"));
}

#[test]
fn what_dom0_has_already_is_left_as_it_is() {
    let mut dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    dom0.add(Function::usb(USB).driven("xhci_hcd"));
    let said = dom0.json(&["reattach", NIC, USB]);
    assert_eq!((&said["outcome"], &said["exit"]), (&json!("nothing"), &json!(0)));
    dom0.run_changing_nothing(&["reattach", NIC, USB]).exits(0).says("there is nothing to do");
}
