//! `audit log` and `audit show`: given this past, this is told.

use crate::model::Dom0;
use audit::{Draft, Journal};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

const RECORDER: &str = r#""kind":"recorder","phase":"start","run":"r","sources":["uevents","xenstore"],"missing":["qubesd"],"first":true,"interval":600"#;
const SEIZED: &str = r#""kind":"device","event":"seized","bdf":"0000:03:00.0","driver":"pciback","way":"override","before":"one","source":"uevent""#;
const USB: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:14.0","qube":"sys-usb","label":"red","class":"AppVM","network":true,"source":"xenstore","domain":3,"options":"permissive=1""#;
const LEFT: &str = r#""kind":"stay","event":"end","bdf":"0000:00:14.0","qube":"sys-usb","label":"red","source":"xenstore","domain":3"#;
const WORK: &str = r#""kind":"stay","event":"begin","bdf":"0000:03:00.0","qube":"work\\x1b[31m","label":"blue","source":"xenstore","domain":-1"#;
const RENAMED: &str =
    r#""kind":"qube","event":"name","qube":"untrusted","before":"sys-usb","source":"qubesd""#;
const LABELLED: &str =
    r#""kind":"qube","event":"label","qube":"untrusted","label":"gray","before":"red","source":"qubesd""#;
const LOST: &str =
    r#""kind":"lost","source":"uevent","count":3,"why":"overflow","since":"2026-11-22T09:00:00.000000Z""#;
const START: &str = r#""op":"9616d76e","kind":"op","phase":"start","command":"reattach","bdf":"0000:00:14.0","found":"held by pciback","accepted":["exposed:sys-usb","usb"]"#;
const INTENT: &str = r#""op":"9616d76e","kind":"step","step":"unbind","phase":"intent","bdf":"0000:00:14.0","what":"write the address""#;
const FAILED: &str =
    r#""op":"9616d76e","kind":"step","step":"unbind","phase":"failed","bdf":"0000:00:14.0","why":"EIO""#;
const ENDED: &str =
    r#""op":"9616d76e","kind":"op","phase":"end","outcome":"undone","state":"held by pciback""#;

fn remembering() -> Dom0 {
    let dom0 = Dom0::new();
    dom0.remembers(&[
        ("08:00:00", "aaaaaaaa", RECORDER),
        ("08:00:01", "aaaaaaaa", SEIZED),
        ("08:01:00", "aaaaaaaa", USB),
        ("08:02:00", "aaaaaaaa", LEFT),
        ("09:00:00", "abbbbbbb", WORK),
        ("09:01:00", "abbbbbbb", RENAMED),
        ("09:02:00", "abbbbbbb", LABELLED),
        ("09:03:00", "abbbbbbb", LOST),
        ("10:00:00", "11111111", START),
        ("10:00:01", "11111111", INTENT),
        ("10:00:02", "11111111", FAILED),
        ("10:00:03", "11111111", ENDED),
    ]);
    dom0
}

#[test]
fn every_kind_has_a_sentence_on_80_columns() {
    remembering().run(&["audit", "log"]).exits(0).shows(
        "\
2026-11-22 08:00:00                the recorder began, before any qube ran, and
                                   hears uevents, xenstore, but not qubesd
2026-11-22 08:00:01  0000:03:00.0  pciback took it, by override, before that one
2026-11-22 08:01:00  0000:00:14.0  it went to sys-usb (red AppVM, provides
                                   network, domain 3), permissive=1
2026-11-22 08:02:00  0000:00:14.0  sys-usb (red, domain 3) no longer has it
2026-11-22 09:00:00  0000:03:00.0  it went to work\\x1b[31m (blue)
2026-11-22 09:01:00                sys-usb is called untrusted now
2026-11-22 09:02:00                untrusted is gray now, no longer red
2026-11-22 09:03:00                3 events were not recorded by uevent
                                   (overflow) since 2026-11-22 09:00:00
2026-11-22 10:00:00  0000:00:14.0  reattach: undone (9616d76e)
",
    );
}

#[test]
fn what_the_journal_says_of_itself_has_its_sentences_and_what_was_accepted_stays_told() {
    let dom0 = Dom0::new();
    let mut journal = Journal::open(&dom0.journal(), "boot").unwrap();
    for number in 0..4 {
        journal.append(&[Draft::new("note").number("number", number)]).unwrap();
    }
    drop(journal);
    let segment = dom0.journal().join("000000000000.jsonl");
    let text = std::fs::read_to_string(&segment).unwrap().replacen("\"number\":1", "\"number\":7", 1);
    std::fs::write(&segment, text + "{\"v\":1").unwrap();
    dom0.run(&["audit", "show", "2"])
        .exits(2)
        .says("record 2 is not there as it was written")
        .says("`audit verify` says what is wrong");
    dom0.run(&["audit", "show", "9"]).exits(2).says("there is no operation and no record 9");
    dom0.run_changing_nothing(&["audit", "repair"])
        .exits(4)
        .says("would accept this break, for good, and go on behind it: record 2")
        .says("sudo qubes-dom0-pci audit repair --yes");
    let why = dom0.run_changing_nothing(&["--json", "audit", "repair"]).exits(4).json();
    assert!(why["why"].is_string() && why["repaired"] == false, "{why}");
    dom0.run_changing_nothing(&["audit", "checkpoint"])
        .exits(7)
        .says("a checkpoint of it would be worth nothing");
    let behind =
        dom0.run(&["audit", "repair", "--yes"]).exits(0).says("verification keeps failing at that point");
    let from =
        behind.out.split_once("audit verify --from ").unwrap().1.split_once('\n').unwrap().0.to_owned();
    dom0.run(&["audit", "repair"])
        .exits(0)
        .says("nothing is broken behind the last repair")
        .says(&format!("audit verify --from {from}"));
    dom0.run(&["audit", "verify", "--from", &from]).exits(0);
    dom0.run(&["audit", "checkpoint"]).exits(0).says(&format!("audit verify --from {from}"));
    dom0.run(&["audit", "log", "-n", "0"])
        .exits(0)
        .says("the journal begins")
        .says("7 bytes before this record are what a crash left")
        .says("a repair: a break before this record was accepted: record 2 was");
    dom0.run(&["audit", "verify"]).exits(7);
}

/// The times of day of the records that are selected.
fn times(dom0: &Dom0, arguments: &[&str]) -> Vec<String> {
    let said = dom0.run(&[&["--json", "audit", "log"], arguments].concat()).exits(0);
    let time = |record: &serde_json::Value| record["time"].as_str().unwrap()[11..19].to_owned();
    said.records().iter().map(time).collect()
}

#[test]
fn a_device_is_found_in_any_spelling() {
    let dom0 = remembering();
    for spelling in ["0000:03:00.0", "03:00.0", "03_00.0", "dom0:03_00.0"] {
        assert_eq!(times(&dom0, &["--device", spelling]), ["08:00:01", "09:00:00"]);
    }
    assert_eq!(dom0.run(&["--json", "audit", "log", "--device", "3:0.0"]).status, 2);
}

#[test]
fn a_qube_is_found_by_each_of_its_names_and_where_it_was_accepted() {
    let dom0 = remembering();
    assert_eq!(times(&dom0, &["--qube", "sys-usb"]), ["08:01:00", "08:02:00", "09:01:00", "10:00:00"]);
    assert_eq!(times(&dom0, &["--qube", "untrusted"]), ["09:01:00", "09:02:00"]);
    assert_eq!(times(&dom0, &["--qube", "work\x1b[31m"]), ["09:00:00"]);
    assert_eq!(times(&dom0, &["--qube", "sys"]), [""; 0]);
}

#[test]
fn a_label_a_kind_an_operation() {
    let dom0 = remembering();
    assert_eq!(times(&dom0, &["--label", "red"]), ["08:01:00", "08:02:00"]);
    assert_eq!(times(&dom0, &["--kind", "lost"]), ["09:03:00"]);
    assert_eq!(times(&dom0, &["--kind", "losst"]), [""; 0]);
    let said = dom0.run(&["audit", "log", "--kind", "losst"]).exits(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "note: nothing matches\n"));
    for name in ["--operation", "--op"] {
        assert_eq!(times(&dom0, &[name, "9616d76e"]).len(), 4);
    }
    assert_eq!(times(&dom0, &["--match", "event=begin", "--label", "blue"]), ["09:00:00"]);
    assert_eq!(times(&dom0, &["--failed"]), ["10:00:02"]);
    dom0.run(&["audit", "log", "--failed"]).exits(0).says("reattach: undone");
}

#[test]
fn a_boot_is_this_one_an_earlier_one_or_a_beginning_of_its_id() {
    let dom0 = remembering();
    let hours = |boot: &str| times(&dom0, &["--boot", boot]).first().map(|time| time[..2].to_owned());
    for (boot, hour) in
        [("this", "10"), ("0", "10"), ("1111", "10"), ("-1", "09"), ("-2", "08"), ("aa", "08"), ("AB", "09")]
    {
        assert_eq!(hours(boot).as_deref(), Some(hour), "{boot}");
    }
    for boot in ["-3", "a", "", "zz"] {
        dom0.run(&["--json", "audit", "log", "--boot", boot]).fails(2, "usage");
    }
}

#[test]
fn a_time_a_limit_and_the_other_way_round() {
    let dom0 = remembering();
    let between = ["--since", "2026-11-22 09:01", "--until", "2026-11-22T10:00:01"];
    assert_eq!(times(&dom0, &between), ["09:01:00", "09:02:00", "09:03:00", "10:00:00"]);
    for name in ["-n", "--limit", "--newest"] {
        assert_eq!(times(&dom0, &[name, "2"]), ["10:00:02", "10:00:03"]);
    }
    assert_eq!(times(&dom0, &["--device", "03:00.0", "--reverse"]), ["09:00:00", "08:00:01"]);
    assert_eq!(times(&dom0, &["--device", "00:14.0", "--limit", "1"]), ["10:00:02"]);
    for (since, first) in [
        ("2026", "08:00:00"),
        ("2026-11", "08:00:00"),
        ("2026-11-22T09", "09:00:00"),
        ("2026-11-22T09:02:00Z", "09:02:00"),
    ] {
        assert_eq!(times(&dom0, &["--since", since])[0], first, "{since}");
        dom0.run(&["audit", "timeline", "--since", since]).exits(0);
    }
    for none in ["yesterday", "2026-13-01", "2026-02-30", "2026-00-00", "2026-11-22T25:99", "2026-1", ""] {
        for command in ["log", "timeline"] {
            dom0.run(&["--json", "audit", command, "--since", none]).fails(2, "usage");
        }
    }
}

#[test]
fn records_can_be_listed_with_their_numbers() {
    let said = remembering().run(&["audit", "log", "-o", "records", "--operation", "9616d76e"]).exits(0);
    said.says("9 2026-11-22 10:00:01 0000:00:14.0 step: unbind intent: write the address (9616d76e)");
}

#[test]
fn json_is_the_records_as_they_are() {
    let dom0 = remembering();
    let said = dom0.run(&["--json", "audit", "log", "-n", "0"]).exits(0);
    let journal =
        std::fs::read_to_string(dom0.path("var/lib/qubes-dom0-pci/journal/000000000000.jsonl")).unwrap();
    assert_eq!(said.out, journal);
    assert_eq!(dom0.run(&["--json", "audit", "log", "-n", "0", "-o", "raw"]).out, journal);
    for table in ["table", "records"] {
        dom0.run(&["--json", "audit", "log", "-o", table]).fails(2, "usage");
    }
}

#[test]
fn colours_are_for_a_terminal_only() {
    let dom0 = remembering();
    let coloured = dom0.run_on_terminal(&["audit", "log"], &[]);
    assert!(coloured.contains("\x1b[31m2026-11-22 10:00:00"), "{coloured}");
    assert_eq!(console::strip_ansi_codes(&coloured).replace("\r\n", "\n"), dom0.run(&["audit", "log"]).out);
}

#[test]
fn one_operation_is_shown_with_its_steps() {
    let dom0 = remembering();
    dom0.run(&["audit", "show", "9616d76e"])
        .exits(0)
        .says("unbind failed")
        .says("why=EIO")
        .says("outcome=undone");
    let document = dom0.json(&["audit", "show", "9616d76e"]);
    assert_eq!(document["records"].as_array().unwrap().len(), 4);
    assert_eq!(document["finished"], true);
}

#[test]
fn one_record_is_shown_whole() {
    let dom0 = remembering();
    let said = dom0.run(&["audit", "show", "2"]).exits(0).says("record 2, 2026-11-22 08:01:00.000000");
    let said = said.says("it went to sys-usb (red AppVM, provides network, domain 3), permissive=1");
    said.says("class AppVM").says("boot aaaaaaaa").says("network true");
    assert_eq!(dom0.json(&["audit", "show", "2"])["records"][0]["qube"], "sys-usb");
    for what in ["99", "ffffffff", "", "-1", "2 "] {
        assert_eq!(dom0.run(&["--json", "audit", "show", what]).status, 2, "{what}");
    }
}

/// Follows a journal whose segments hold few records, while it grows.
fn following(
    arguments: &[&str],
    check: impl FnOnce(&mut Journal, &mut dyn FnMut() -> String, &mut std::process::Child),
) {
    let dom0 = Dom0::new();
    let folder = dom0.path("var/lib/qubes-dom0-pci/journal");
    let mut journal = Journal::open_with(&folder, "11111111", Duration::from_secs(5), 2_000).unwrap();
    for number in 0..20 {
        journal.append(&[stay(number)]).unwrap();
    }
    let mut command = dom0.command(&[&["audit", "log", "--follow"], arguments].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line
    };
    check(&mut journal, &mut next, &mut child);
    let _ = child.kill();
    let _ = child.wait();
}

fn stay(number: u32) -> Draft {
    let draft =
        Draft::new("stay").text("event", "begin").text("bdf", &format!("0000:00:{:02x}.0", number % 2));
    draft.text("qube", &format!("q{number}")).text("source", "xenstore")
}

#[test]
fn what_is_written_is_followed_over_a_change_of_segments() {
    following(&["-n", "2", "--device", "00:01.0"], |journal, next, child| {
        for wanted in ["q17", "q19"] {
            assert!(next().ends_with(&format!("0000:00:01.0  it went to {wanted}\n")));
        }
        for number in 20..40 {
            journal.append(&[stay(number)]).unwrap();
        }
        for wanted in (21..40).step_by(2) {
            assert!(next().ends_with(&format!("it went to q{wanted}\n")), "q{wanted}");
        }
        let interrupt = nix::sys::signal::Signal::SIGINT;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), interrupt)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn following_ends_when_nobody_reads() {
    let dom0 = remembering();
    let mut child =
        dom0.command(&["--json", "audit", "log", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut one = [0u8; 1];
    child.stdout.take().unwrap().read_exact(&mut one).unwrap();
    let begun = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20));
    dom0.run(&["--json", "audit", "log", "--follow", "--reverse"]).fails(2, "usage");
}
