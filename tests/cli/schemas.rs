//! The schemas of the JSON documents. Every document of every other test is held against them too.

use crate::model::schema::meets;
use crate::model::{Dom0, Function};
use audit::{Draft, Journal};
use serde_json::{json, Value};

const NIC: &str = "0000:00:07.0";

#[test]
fn a_schema_refuses_what_it_does_not_name() {
    let text = include_str!("../schemas/list.json");
    let schema: Value = serde_json::from_str(text).unwrap();
    let good = json!({ "schema": "qubes-dom0-pci/list/1", "pending": null, "running": null, "functions": [], "hidden": 0, "qubes": null, "unseen": ["Xen's owners"] });
    assert_eq!(meets(&good, &schema, &schema), Ok(()));
    let error = json!({ "code": "unreadable", "message": "", "hint": "" });
    assert_eq!(
        meets(&json!({ "schema": "qubes-dom0-pci/list/1", "error": error }), &schema, &schema),
        Ok(())
    );
    for bad in [
        json!({ "schema": "qubes-dom0-pci/list/2", "pending": null, "running": null, "functions": [], "hidden": 0, "qubes": null, "unseen": [] }),
        json!({ "schema": "qubes-dom0-pci/list/1", "pending": null, "running": null, "functions": [], "hidden": 0 }),
        json!({ "schema": "qubes-dom0-pci/list/1", "pending": null, "running": null, "functions": [{}], "hidden": 0, "qubes": null, "unseen": [] }),
        json!({ "schema": "qubes-dom0-pci/list/1", "pending": null, "running": null, "functions": [], "hidden": 0, "qubes": null, "unseen": [1] }),
        json!({ "schema": "qubes-dom0-pci/list/1", "pending": null, "running": null, "functions": [], "hidden": 0, "qubes": null, "unseen": [], "more": 1 }),
        json!([]),
    ] {
        assert!(meets(&bad, &schema, &schema).is_err(), "{bad}");
    }
}

/// An operation of another boot that a power cut interrupted.
fn interrupted() -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    let start = Draft::new("op").op("0badcafe").text("phase", "start").text("command", "reattach");
    let start = start.text("bdf", NIC).text("driver", "pciback").text("override", "").flag("slot", true);
    let intent =
        Draft::new("step").op("0badcafe").text("step", "pin").text("phase", "intent").text("bdf", NIC);
    Journal::open(&dom0.journal(), "22222222")
        .unwrap()
        .append(&[start.text("owner", "DomIO"), intent])
        .unwrap();
    dom0
}

#[test]
fn what_reads_and_what_mends_the_journal_keeps_to_its_schema() {
    let dom0 = interrupted();
    assert_eq!(dom0.json(&["audit", "show", "0badcafe"])["finished"], false);
    assert_eq!(dom0.json(&["recover"])["outcome"], "rebooted");
    assert_eq!(dom0.json(&["recover"])["outcome"], "nothing");
    assert_eq!(dom0.json(&["audit", "show", "0badcafe"])["finished"], true);
    let head = dom0.json(&["audit", "checkpoint"]);
    let given = format!("{}:{}", head["seq"], head["hash"].as_str().unwrap());
    dom0.json(&["audit", "prune", "--before", "2"]);
    let said = dom0.json(&["audit", "verify", "--checkpoint", &given]);
    assert_eq!((&said["verdict"], &said["compared_with_a_given_checkpoint"]), (&"ok".into(), &true.into()));
    for command in ["log", "export"] {
        assert!(!dom0.run(&["--json", "audit", command]).exits(0).records().is_empty());
    }
    // Somebody rewrites a record.
    let segment = dom0.journal().join("000000000000.jsonl");
    let text = std::fs::read_to_string(&segment).unwrap().replacen("reattach", "rollback", 1);
    std::fs::write(&segment, text).unwrap();
    let said = dom0.run(&["--json", "audit", "verify"]).exits(7).json();
    assert_eq!(said["verdict"], "altered");
    assert_eq!(dom0.json(&["audit", "repair", "--yes"])["repaired"], true);
}

#[test]
fn without_a_journal_each_command_says_so_by_its_schema() {
    let dom0 = Dom0::new();
    for command in ["log", "verify", "checkpoint", "export", "timeline", "repair"] {
        let said = dom0.run(&["--json", "audit", command]).json();
        assert_eq!(said["schema"], format!("qubes-dom0-pci/audit-{command}/1"));
    }
    assert_eq!(
        dom0.run(&["--json", "nonsense"]).fails(2, "usage").json()["schema"],
        "qubes-dom0-pci/usage/1"
    );
}
