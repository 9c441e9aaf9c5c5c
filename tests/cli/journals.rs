//! Journals that were written before, and what they read as: made by the program as it was before one fold told the
//! history (`JOURNALS_WRITE=1` writes them again). Of `whole` all reads as it did, but that an imported stay of which no
//! end is known is not open behind later stays of the same device. In `unseen` three answers were wrong: one stay was two,
//! named by its domain's number and by its name; a return did not end it; and the log did not say so.

use crate::model::{Dom0, Function};
use serde_json::{json, Value};
use std::path::PathBuf;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/journals").join(name)
}

/// What members were added since is no other reading of what was there.
fn without_news(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for key in ["to_at_latest", "at_latest"] {
                members.remove(key);
            }
            members.values_mut().for_each(|member| *member = without_news(member.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_news(item.take())),
        _ => {}
    }
    value
}

/// What the log, the picture and `show` say of it.
fn readings(journal: &str) -> Vec<(&'static str, String)> {
    let dom0 = Dom0::with(Function::nic("0000:00:07.0").held());
    let bytes = std::fs::read(data(&format!("{journal}.jsonl"))).unwrap();
    let folder = dom0.path("old-journal");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("000000000000.jsonl"), bytes).unwrap();
    let folder = folder.to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| dom0.run(&[&["--journal", &folder], arguments].concat());
    let until = ["--until", "2026-11-23T07:40", "--since", "2026-11-23T06:55"];
    let json = |value: Value| serde_json::to_string_pretty(&without_news(value)).unwrap() + "\n";
    let mut show = run(&["--json", "show", "00:07.0"]).json()["device"]["history"].take();
    // Which device it is now is not what the journal reads as.
    for key in ["identity", "uncovered"] {
        if let Some(last) = show.as_object_mut() {
            drop(last.remove(key));
        }
    }
    let mut timeline = run(&[&["--json", "audit", "timeline"], &until[..2]].concat()).json();
    for key in ["from", "to", "schema"] {
        timeline[key] = json!(null);
    }
    // Where it was read from is not what it tells.
    drop(timeline.as_object_mut().unwrap().remove("input"));
    vec![
        ("log", run(&["audit", "log", "-n", "0", "-o", "records"]).exits(0).out),
        ("operations", run(&["audit", "log", "-n", "0"]).exits(0).out),
        ("timeline", run(&[&["audit", "timeline"], &until[..]].concat()).exits(0).out),
        ("timeline.json", json(timeline)),
        ("show.json", json(show)),
    ]
}

#[test]
fn journals_that_were_written_before_read_as_they_did() {
    for journal in ["whole", "unseen"] {
        for (name, read) in readings(journal) {
            let file = data(&format!("{journal}.{name}"));
            if std::env::var_os("JOURNALS_WRITE").is_some() {
                std::fs::write(&file, &read).unwrap();
            }
            let was = std::fs::read_to_string(&file).unwrap();
            assert_eq!(read, was, "{}", file.display());
        }
    }
}
