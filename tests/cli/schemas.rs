//! The schemas of the JSON documents. Every document of every other test is held against them too.

use crate::model::schema::meets;
use serde_json::{json, Value};

#[test]
fn a_schema_refuses_what_it_does_not_name() {
    let text = include_str!("../schemas/list.json");
    let schema: Value = serde_json::from_str(text).unwrap();
    let good = json!({ "schema": "qubes-dom0-pci/list/1", "functions": [], "unseen": ["Xen's owners"] });
    assert_eq!(meets(&good, &schema, &schema), Ok(()));
    let error = json!({ "code": "unreadable", "message": "", "hint": "" });
    assert_eq!(
        meets(&json!({ "schema": "qubes-dom0-pci/list/1", "error": error }), &schema, &schema),
        Ok(())
    );
    for bad in [
        json!({ "schema": "qubes-dom0-pci/list/2", "functions": [], "unseen": [] }),
        json!({ "schema": "qubes-dom0-pci/list/1", "functions": [] }),
        json!({ "schema": "qubes-dom0-pci/list/1", "functions": [{}], "unseen": [] }),
        json!({ "schema": "qubes-dom0-pci/list/1", "functions": [], "unseen": [1] }),
        json!({ "schema": "qubes-dom0-pci/list/1", "functions": [], "unseen": [], "more": 1 }),
        json!([]),
    ] {
        assert!(meets(&bad, &schema, &schema).is_err(), "{bad}");
    }
}
