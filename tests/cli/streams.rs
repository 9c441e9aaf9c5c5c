//! `audit` on what left dom0: a file that `export` wrote, the same on stdin, a tar of several journals.

use crate::model::Dom0;
use std::process::Command;

const REATTACH: &str =
    r#""op":"9616d76e","kind":"op","phase":"start","command":"reattach","bdf":"0000:00:14.0""#;
const DONE: &str = r#""op":"9616d76e","kind":"op","phase":"end","outcome":"done","state":"driven""#;

fn remembering() -> Dom0 {
    let dom0 = Dom0::new();
    dom0.remembers(&[
        ("08:00:00", "aaaaaaaa", r#""kind":"genesis","id":"0123456789abcdef0123456789abcdef""#),
        ("08:07:00", "aaaaaaaa", REATTACH),
        ("08:07:01", "aaaaaaaa", DONE),
        ("08:08:00", "aaaaaaaa", r#""kind":"other","number":1"#),
        ("08:09:00", "aaaaaaaa", r#""kind":"other","number":2"#),
    ]);
    dom0
}

/// What `export` wrote, in a file of a machine that has no dom0.
fn exported(elsewhere: &Dom0) -> String {
    let path = elsewhere.path("tmp/exported.jsonl");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, remembering().run(&["--json", "audit", "export"]).exits(0).out).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_export_wrote_is_read_as_a_file() {
    let elsewhere = Dom0::new();
    let file = exported(&elsewhere);
    let of = |command: &[&str]| elsewhere.run(&[&["--journal", &file, "audit"], command].concat());
    drop(of(&["verify"]).exits(0).says("verified: 5 records"));
    drop(of(&["log"]).exits(0).says("reattach: done (9616d76e)"));
    drop(of(&["show", "9616d76e"]).exits(0).says("op end"));
    drop(of(&["report"]).exits(0).says(&format!("Journal      {file}")[..30]).says("reattach: done"));
    assert_eq!(
        elsewhere.run(&["--json", "--journal", &file, "audit", "export"]).exits(0).out,
        std::fs::read_to_string(&file).unwrap()
    );
    let document = elsewhere.json(&["--journal", &file, "audit", "verify"]);
    assert_eq!((&document["verdict"], &document["input"]), (&"ok".into(), &file.as_str().into()));
    // One letter is another: the same verdict as of a folder.
    let text = std::fs::read_to_string(&file).unwrap().replace("\"reattach\"", "\"replaced\"");
    std::fs::write(&file, text).unwrap();
    drop(of(&["verify"]).exits(7).says("ALTERED"));
}

#[test]
fn a_command_that_writes_needs_the_folder() {
    let elsewhere = Dom0::new();
    let file = exported(&elsewhere);
    for command in [&["audit", "repair"][..], &["audit", "checkpoint"], &["audit", "log", "--follow"]] {
        let said = elsewhere.run(&[&["--json", "--journal", &file], command].concat());
        assert_eq!(said.status, 11, "{command:?}: {}{}", said.out, said.err);
    }
}

#[test]
fn a_tar_of_several_gives_each_with_its_name_and_the_worst_exit_status() {
    let elsewhere = Dom0::new();
    let folder = elsewhere.path("tmp/fleet");
    for name in ["office-1", "office-2"] {
        let to = folder.join(name);
        std::fs::create_dir_all(&to).unwrap();
        let dom0 = remembering();
        let text = std::fs::read_to_string(dom0.journal().join("000000000000.jsonl")).unwrap();
        let text = if name == "office-2" { text.replace("\"reattach\"", "\"replaced\"") } else { text };
        std::fs::write(to.join("000000000000.jsonl"), text).unwrap();
    }
    let tar = elsewhere.path("tmp/fleet.tar");
    let made = Command::new("tar")
        .arg("-cf")
        .arg(&tar)
        .arg("-C")
        .arg(&folder)
        .args(["office-1", "office-2"])
        .status();
    assert!(made.unwrap().success());
    let tar = tar.to_str().unwrap();
    let said = elsewhere.run(&["--journal", tar, "audit", "verify"]).exits(7);
    drop(said.says("Journal office-1\nverified: 5 records").says("Journal office-2\nALTERED"));
    let said = elsewhere.run(&["--json", "--journal", tar, "audit", "verify"]).exits(7);
    let parsed = said.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let inputs: Vec<String> = parsed.map(|one| one["input"].as_str().unwrap().to_owned()).collect();
    assert_eq!(inputs, ["office-1", "office-2"]);
    drop(elsewhere.run(&["--journal", tar, "audit", "report"]).exits(7).says("Journal      office-2"));
    let page = elsewhere.run(&["--json", "--journal", tar, "audit", "report", "--csv"]);
    drop(page.fails(2, "usage"));
    elsewhere.run(&["--journal", tar, "audit", "report", "--csv"]).exits(2).says("this needs one journal");
    // Nothing is left behind.
    let room = elsewhere.path("tmp/room");
    std::fs::create_dir_all(&room).unwrap();
    let mut command = elsewhere.command(&["--journal", tar, "audit", "verify"]);
    assert_eq!(command.env("TMPDIR", &room).output().unwrap().status.code(), Some(7));
    assert_eq!(std::fs::read_dir(&room).unwrap().count(), 0);
}
