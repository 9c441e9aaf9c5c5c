//! `audit report`: given this past, this page.

use crate::model::Dom0;

const START: &str = r#""kind":"recorder","phase":"start","run":"r","sources":["uevents","xenstore"],"missing":[],"first":true,"interval":600"#;
const HEARTBEAT: &str = r#""kind":"recorder","phase":"heartbeat","run":"r","sources":["uevents","xenstore"],"missing":[],"first":false,"interval":600"#;
const BEGIN: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:14.0","qube":"sys-usb","label":"red","source":"xenstore","domain":3"#;
const END: &str = r#""kind":"stay","event":"end","bdf":"0000:00:14.0","qube":"sys-usb","label":"red","source":"xenstore","domain":3"#;
const REATTACH: &str = r#""op":"9616d76e","kind":"op","phase":"start","command":"reattach","bdf":"0000:00:14.0","device":"8086:a36d","plan":"p","accepted":["exposed:sys-usb","usb"],"consent":"prompt","loginuid":"1000","sudo_user":"alice","tty":"/dev/pts/0""#;
const DONE: &str =
    r#""op":"9616d76e","kind":"op","phase":"end","bdf":"0000:00:14.0","outcome":"done","state":"driven""#;
const HOLD: &str = r#""op":"0badcafe","kind":"op","phase":"start","command":"hold","bdf":"0000:03:00.0","device":"8086:10d3","loginuid":"0","sudo_user":"","tty":"""#;
const UNDONE: &str =
    r#""op":"0badcafe","kind":"op","phase":"end","bdf":"0000:03:00.0","outcome":"undone","state":"driven""#;
const ROLLBACK: &str = r#""op":"beefbeef","kind":"op","phase":"start","command":"rollback","bdf":"0000:03:00.0","device":"8086:10d3","plan":"p","act":3,"accepted":[],"consent":"accept","loginuid":"","sudo_user":"","tty":"""#;

fn remembering() -> Dom0 {
    let dom0 = Dom0::new();
    dom0.remembers(&[
        ("08:00:00", "aaaaaaaa", START),
        ("08:02:00", "aaaaaaaa", BEGIN),
        ("08:06:00", "aaaaaaaa", END),
        ("08:07:00", "aaaaaaaa", REATTACH),
        ("08:07:01", "aaaaaaaa", DONE),
        ("08:08:00", "aaaaaaaa", HOLD),
        ("08:08:02", "aaaaaaaa", UNDONE),
        ("08:09:00", "aaaaaaaa", ROLLBACK),
        ("08:10:00", "aaaaaaaa", HEARTBEAT),
        ("09:10:00", "aaaaaaaa", HEARTBEAT),
    ]);
    dom0
}

#[test]
fn one_page_says_who_returned_what_after_which_qube_and_what_nobody_recorded() {
    let said = remembering().run(&["audit", "report"]).exits(0);
    let page = said.out.split_once("Period").unwrap().1;
    assert_eq!(
        page,
        "       2026-11-22 08:00:00 to 2026-11-22 09:10:00 UTC
Records      10 in 1 boot, head 9 HEAD
Verified     Every record follows from the one before it.
             No checkpoint was given, so a rewritten journal would look the
             same. Use --checkpoint.

Operations
       1  hold: undone
       1  reattach: done
       1  rollback: not finished

By whom
       1  alice (login uid 1000): all done
       1  nobody logged in (a service): 0 done
       1  root: 0 done

With a qube, then returned to dom0
  2026-11-22 08:07:00 0000:00:14.0 (8086:a36d), reattach 9616d76e by alice
  (login uid 1000)
      after sys-usb (red), until 2026-11-22 08:06:00
      accepted at the prompt: exposed:sys-usb, usb

Rolled back
  2026-11-22 08:09:00 0000:03:00.0 (8086:10d3), rollback beefbeef by nobody
  logged in (a service): not finished

Not done
  2026-11-22 08:08:00 0000:03:00.0 (8086:10d3), hold 0badcafe by root: undone
  2026-11-22 08:09:00 0000:03:00.0 (8086:10d3), rollback beefbeef by nobody
  logged in (a service): not finished

Not recorded
  1 h in 1 gap: nobody knows who had a device then
  2026-11-22 08:10:00 to 2026-11-22 09:10:00
"
        .replace("HEAD", page.split("head 9 ").nth(1).unwrap().lines().next().unwrap())
    );
}

#[test]
fn a_script_gets_the_same_and_a_spreadsheet_a_line_for_each_operation() {
    let dom0 = remembering();
    let document = dom0.json(&["audit", "report"]);
    let returned = &document["returned"][0];
    assert_eq!(returned["operation"]["person"], "alice (login uid 1000)");
    assert_eq!(returned["operation"]["accepted"][0], "exposed:sys-usb");
    assert_eq!(returned["after"][0]["qube"], "sys-usb");
    assert_eq!(document["not_recorded"]["seconds"], 3600);
    assert_eq!(document["verified"]["verdict"], "ok");
    let table = dom0.run(&["audit", "report", "--csv"]).exits(0).out;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[0].starts_with("began,ended,op,seq,command,bdf,device,person,tty,consent,accepted"));
    assert!(lines[1].contains(",9616d76e,3,reattach,0000:00:14.0,8086:a36d,\"alice (login uid 1000)\""));
    assert!(lines[3].contains(",,beefbeef,7,rollback,"), "{table}");
}

#[test]
fn only_a_part_of_the_time_or_one_device_is_reported_where_that_is_asked_for() {
    let dom0 = remembering();
    let said = dom0.run(&["audit", "report", "--since", "2026-11-22T08:07:30"]).exits(0);
    drop(said.says("1  hold: undone").never_says("reattach"));
    let said = dom0.run(&["audit", "report", "--device", "00:14.0"]).exits(0);
    drop(said.says("reattach: done").never_says("hold"));
    dom0.run(&["--json", "audit", "report", "--until", "2026-11-22"]).fails(2, "usage");
    dom0.run(&["--json", "audit", "report", "--csv"]).fails(2, "usage");
}

#[test]
fn the_page_for_a_browser_is_one_static_file_that_may_load_and_run_nothing() {
    let dom0 = remembering();
    let page = dom0.run(&["audit", "report", "--html", "-"]).exits(0).out;
    for part in [
        "<!DOCTYPE html>",
        "content=\"default-src 'none'; style-src 'sha256-",
        "'; base-uri 'none'; form-action 'none'\">",
        "<html lang=\"en\">",
        "<svg ",
        "<title id=\"drawn-title\">",
        "<desc id=\"drawn-says\">",
        "<a href=\"#op-9616d76e-3\">",
        "<tr id=\"op-9616d76e-3\">",
        "<th scope=\"col\">",
        "fill=\"#cc0000\"",
        "url(#gap)",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for never in ["<script", "http:", "https:", "src=", "@import", "<link", "<img", " on", "javascript"] {
        let words_apart = never == " on";
        let found =
            page.match_indices(never).any(|(at, _)| !words_apart || page[at..].starts_with(" onload="));
        assert!(!found, "{never}: {page}");
    }
    let path = dom0.path("tmp/report.html");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    dom0.run(&["audit", "report", "--html", path.to_str().unwrap()]).exits(0).shows("");
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), page.lines().count());
    dom0.run(&["audit", "report", "--html", "/nowhere/at/all.html"])
        .exits(11)
        .says("give a file in a folder");
}

#[test]
fn a_hostile_name_is_text_and_nothing_else() {
    let dom0 = Dom0::new();
    let name = r#"</text><script>alert(1)</script>&\"' onload=x"#;
    let stay = format!(
        r#""kind":"stay","event":"begin","bdf":"0000:00:14.0","qube":"{name}","label":"\"red","source":"xenstore","domain":3"#
    );
    let start = format!(
        r#""op":"\"><b>","kind":"op","phase":"start","command":"reattach","bdf":"0000:00:14.0","device":"{name}","plan":"p","accepted":["{name}"],"consent":"accept","loginuid":"{name}","sudo_user":"{name}","tty":"""#
    );
    let done =
        r#""op":"\"><b>","kind":"op","phase":"end","bdf":"0000:00:14.0","outcome":"done","state":"<i>""#;
    dom0.remembers(&[
        ("08:00:00", "aaaaaaaa", START),
        ("08:02:00", "aaaaaaaa", &stay),
        ("08:03:00", "aaaaaaaa", &start),
        ("08:04:00", "aaaaaaaa", done),
    ]);
    let page = dom0.run(&["audit", "report", "--html", "-"]).exits(0).out;
    for never in ["<script", "<b>", "<i>", "</text><script", "\"' onload"] {
        assert!(!page.contains(never), "{never}: {page}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;"), "{page}");
}

#[test]
fn a_journal_that_was_altered_says_so_first_and_by_its_exit_status() {
    let dom0 = remembering();
    let path = dom0.journal().join("000000000000.jsonl");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"reattach\"", "\"replaced\"");
    std::fs::write(path, text).unwrap();
    let said = dom0.run(&["audit", "report"]).exits(7);
    drop(said.says("Verified     ALTERED: this journal is not as it was written."));
    dom0.run(&["audit", "report", "--html", "-"]).exits(7).says("class=\"bad\">ALTERED");
    dom0.run(&["audit", "report", "--csv"]).exits(7).says("began,ended,op,");
}
