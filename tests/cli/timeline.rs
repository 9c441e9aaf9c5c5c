//! `audit timeline`: given this past, this picture.

use crate::model::Dom0;

const START: &str = r#""kind":"recorder","phase":"start","run":"r","sources":["uevents","xenstore"],"missing":[],"first":true,"interval":600"#;
const HEARTBEAT: &str = r#""kind":"recorder","phase":"heartbeat","run":"r","sources":["uevents","xenstore"],"missing":[],"first":false,"interval":600"#;
const BEGIN: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:14.0","qube":"sys-usb","label":"red","source":"xenstore","domain":3"#;
const END: &str = r#""kind":"stay","event":"end","bdf":"0000:00:14.0","qube":"sys-usb","label":"red","source":"xenstore","domain":3"#;
const OTHER: &str = r#""kind":"stay","event":"begin","bdf":"0000:03:00.0","qube":"work","label":"blue","source":"xenstore","domain":4"#;
const REATTACH: &str =
    r#""op":"9616d76e","kind":"op","phase":"start","command":"reattach","bdf":"0000:00:14.0""#;
const DONE: &str = r#""op":"9616d76e","kind":"op","phase":"end","outcome":"done","state":"driven""#;

fn remembering() -> Dom0 {
    let dom0 = Dom0::new();
    dom0.remembers(&[
        ("08:00:00", "aaaaaaaa", START),
        ("08:02:00", "aaaaaaaa", BEGIN),
        ("08:03:00", "aaaaaaaa", OTHER),
        ("08:06:00", "aaaaaaaa", END),
        ("08:07:00", "aaaaaaaa", REATTACH),
        ("08:07:01", "aaaaaaaa", DONE),
        ("08:10:00", "aaaaaaaa", HEARTBEAT),
    ]);
    dom0
}

#[test]
fn who_had_what_when_fits_80_columns() {
    remembering().run(&["audit", "timeline"]).exits(0).shows(
        "\
2026-11-22 08:00:00 to 2026-11-22 08:10:00 UTC, 9.0 s a column

              08:00        08:02        08:04        08:06        08:08
recorder      |-----------------------------------------------------------------
0000:00:14.0  |............AAAAAAAAAAAAAAAAAAAAAAAAAAA..........................
                                                            ^
0000:03:00.0  |..................BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB

A sys-usb (red)
B work (blue)
. recorded, no qube   - recorded   | a boot begins   ^ an operation

^ 2026-11-22 08:07:00  0000:00:14.0  9616d76e  reattach: done
",
    );
}

#[test]
fn one_function_in_any_spelling_and_a_part_of_the_time() {
    let dom0 = remembering();
    for spelling in ["0000:03:00.0", "03:00.0", "03_00.0", "dom0:03_00.0"] {
        let said =
            dom0.run(&["audit", "timeline", "--device", spelling, "--since", "2026-11-22T08:05"]).exits(0);
        let said = said.says("0000:03:00.0  AAAA").says("A work").never_says("0000:00:14.0");
        drop(said);
    }
}

#[test]
fn time_that_nobody_recorded_is_hatched() {
    let said = remembering().run(&["audit", "timeline", "--until", "2026-11-22 08:20"]).exits(0);
    said.says("/ not recorded: nobody knows")
        .says("18 s a column")
        .says("--//////")
        .says("0000:00:14.0  |.....AAAAAAAAAAAAAA............./////");
}

#[test]
fn colours_are_for_a_terminal_only() {
    let dom0 = remembering();
    let coloured = dom0.run_on_terminal(&["audit", "timeline"], &[]);
    assert!(coloured.contains("\x1b[41m") && coloured.contains("\x1b[44m"), "{coloured}");
    let bare = console::strip_ansi_codes(&coloured).replace("\r\n", "\n");
    assert_eq!(bare, dom0.run(&["audit", "timeline"]).out);
    assert!(!dom0.run_on_terminal(&["audit", "timeline"], &[("NO_COLOR", "1")]).contains('\x1b'));
}

#[test]
fn a_script_gets_the_stays_and_the_gaps() {
    let document = remembering().json(&["audit", "timeline", "--until", "2026-11-22 08:20"]);
    assert_eq!(document["schema"], "qubes-dom0-pci/audit-timeline/1");
    let stay = &document["lanes"][0]["stays"][0];
    assert_eq!(stay["qube"], "sys-usb");
    assert_eq!(stay["to"], "2026-11-22T08:06:00.000000Z");
    assert_eq!(document["not_recorded"][0]["from"], "2026-11-22T08:10:00.000000Z");
    assert_eq!(document["operations"][0]["outcome"], "done");
}

#[test]
fn a_journal_without_history_says_so_and_no_journal_is_an_error() {
    let dom0 = Dom0::new();
    dom0.run(&["--json", "audit", "timeline"]).fails(11, "no-journal");
    dom0.remembers(&[("08:00:00", "aaaaaaaa", r#""kind":"genesis","id":"x""#)]);
    dom0.run(&["audit", "timeline"]).exits(0).shows("nothing is told yet\n");
    for (argument, value) in [("--device", "x"), ("--since", "now"), ("--width", "3")] {
        dom0.run(&["--json", "audit", "timeline", argument, value]).fails(2, "usage");
    }
}
