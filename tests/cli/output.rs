//! Output: for people, for scripts, and where nobody reads it.

use crate::model::{Dom0, Function};
use std::fs::OpenOptions;
use std::process::Stdio;

const NIC: &str = "0000:00:07.0";

fn held() -> Dom0 {
    Dom0::with(Function::nic(NIC).held().quarantined())
}

#[test]
fn every_document_names_its_schema() {
    let dom0 = held();
    for (command, arguments) in
        [("list", vec!["list"]), ("show", vec!["show", NIC]), ("plan", vec!["plan", NIC])]
    {
        let document = dom0.json(&arguments);
        assert_eq!(document["schema"], format!("qubes-dom0-pci/{command}/1"));
    }
    for command in ["show", "plan", "reattach", "hold"] {
        let document = dom0.run(&["--json", command, "x"]).fails(2, "usage").json();
        assert_eq!(document["schema"], format!("qubes-dom0-pci/{command}/1"));
    }
}

#[test]
fn json_may_be_said_before_or_behind_the_command() {
    let dom0 = held();
    assert_eq!(dom0.run(&["list", "--json"]).out, dom0.run(&["--json", "list"]).out);
}

#[test]
fn an_error_without_json_is_on_stderr() {
    let said = held().run(&["show", "x"]).exits(2);
    assert_eq!(said.out, "");
    assert_eq!(
        said.err,
        "error: `x` is no PCI address\nhint: write it as 0000:00:1f.6, 00:1f.6, 00_1f.6 or dom0:00_1f.6, \
         or as Qubes' path (00_1c.0-00_00.0)\n"
    );
}

#[test]
fn colours_are_for_terminals_and_no_color_is_kept() {
    let dom0 = held();
    assert!(dom0.run_on_terminal(&["plan", NIC], &[]).contains("\x1b[33m"));
    let force = ("CLICOLOR_FORCE", "1");
    for variables in [&[("NO_COLOR", "1")][..], &[("TERM", "dumb")], &[("NO_COLOR", "1"), force]] {
        let shown = dom0.run_on_terminal(&["plan", NIC], variables);
        assert!(shown.contains("Hazards") && !shown.contains('\x1b'), "{shown}");
    }
    assert!(dom0.run_on_terminal(&["plan", NIC], &[("NO_COLOR", "")]).contains("\x1b[33m"));
    assert!(!dom0.run_on_terminal(&["--json", "plan", NIC], &[]).contains('\x1b'));
    assert!(!dom0.run_on_terminal(&["--color=never", "plan", NIC], &[force]).contains('\x1b'));
    let piped = |arguments: &[&str], variables: &[(&str, &str)]| {
        let answer = dom0.command(arguments).envs(variables.iter().copied()).output().unwrap();
        answer.stdout.contains(&0x1b)
    };
    for command in ["plan", "show"] {
        assert!(!piped(&[command, NIC], &[]), "{command}");
        assert!(!piped(&[command, NIC], &[("CLICOLOR_FORCE", "0")]), "{command}");
        assert!(piped(&[command, NIC], &[force]), "{command}");
        assert!(piped(&[command, NIC, "--color", "always"], &[("NO_COLOR", "1")]), "{command}");
    }
}

#[test]
fn colours_do_not_count_as_columns() {
    let dom0 = held();
    let coloured = dom0.run_on_terminal(&["plan", NIC], &[]);
    let plain = dom0.run(&["plan", NIC]).out;
    let bare = console::strip_ansi_codes(&coloured).replace("\r\n", "\n");
    assert_eq!(bare, plain);
}

#[test]
fn hostile_names_in_pci_ids_cannot_act_on_the_terminal() {
    let dom0 = held();
    dom0.write(
        "usr/share/hwdata/pci.ids",
        b"8086  Evil\x1b[2J\n\t10d3  Net\x9b31m\x07 \xff\nC 02  Net\n\t00  Ether\x1b[0m\n",
    );
    dom0.run(&["list", "--long"]).exits(0).says("Ether\\x1b[0m: Evil\\x1b[2J Net\\x9b31m\\x07 \\xff");
    let list = dom0.json(&["list"]);
    assert_eq!(list["functions"][0]["description"], "Ether\\x1b[0m: Evil\\x1b[2J Net\\x9b31m\\x07 \\xff");
}

#[test]
fn names_without_end_in_pci_ids_keep_to_80_columns() {
    let dom0 = held();
    dom0.write(
        "usr/share/hwdata/pci.ids",
        format!("8086  {}\n\t10d3  {}\n", "x".repeat(5000), "y ".repeat(500)),
    );
    for form in [&["list"][..], &["list", "--long"]] {
        dom0.run(form).exits(0);
    }
}

#[test]
fn without_pci_ids_names_are_numbers() {
    let dom0 = held();
    dom0.remove("usr/share/hwdata");
    dom0.run(&["list"]).exits(0).says("class 0200: 8086 device 10d3");
}

#[test]
fn a_hostile_override_cannot_act_on_the_terminal() {
    let text = b"\x1b[2J\x1b]0;x\x07`none`\xc3\xa9";
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined().pinned(text));
    // What is no UTF-8 or above ASCII is shown by its bytes.
    let shown = "\\x1b[2J\\x1b]0;x\\x07`none`\\xc3\\xa9";
    dom0.run(&["list", "--long"]).exits(0).says(&format!("driver_override is stuck at `{shown}`"));
    dom0.run(&["plan", NIC]).exits(4).says(shown);
    assert_eq!(dom0.json(&["show", NIC])["device"]["driver_override"], shown);
}

#[test]
fn hostile_attributes_cannot_act_on_the_terminal() {
    let function = Function::nic(NIC).held().with_modalias(b"pci:\x1b[2J\xff").resets_by("flr \x1b[31m");
    let dom0 = Dom0::with(function.attribute("sriov_numvfs", "\x1b[2J"));
    for arguments in [&["list"][..], &["show", NIC], &["plan", NIC], &["reattach", NIC]] {
        dom0.run(arguments);
        dom0.run(&[&["--json"], arguments].concat()).json();
    }
}

#[test]
fn long_attributes_keep_to_80_columns() {
    let long = "x".repeat(300);
    let dom0 = Dom0::with(Function::nic(NIC).held().pinned(&long).resets_by(&long));
    dom0.run(&["list"]).exits(0);
    dom0.run(&["show", NIC]).exits(0);
    dom0.run(&["plan", NIC]).exits(4);
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let dom0 = held();
    for arguments in [
        &["list"][..],
        &["show", NIC],
        &["plan", NIC],
        &["--json", "plan", NIC],
        &["--help"],
        &["reattach", NIC],
    ] {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        drop(reader);
        let mut command = dom0.command(arguments);
        let answer =
            command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(answer.stderr).unwrap();
        assert!(!said.contains("panicked") && !said.contains("roken pipe"), "{arguments:?}: {said}");
        assert!(answer.status.code().is_some(), "{arguments:?} ended by a signal");
    }
}

#[test]
fn a_full_disk_under_stdout_is_an_output_error() {
    let dom0 = held();
    for arguments in [&["list"][..], &["show", NIC], &["plan", NIC], &["--json", "list"], &["--help"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let answer = dom0.command(arguments).stdout(full).output().unwrap();
        assert_eq!(answer.status.code(), Some(11), "{arguments:?}");
    }
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let answer = dom0.command(&["list"]).stdout(full).output().unwrap();
    assert!(String::from_utf8(answer.stderr).unwrap().contains("cannot write to stdout"));
}

#[test]
fn a_bdf_that_is_no_text_is_no_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dom0 = held();
    for json in [&[][..], &["--json"]] {
        let mut command = dom0.command(json);
        let answer = command.arg("show").arg(OsStr::from_bytes(b"\xff\x1b[2J")).output().unwrap();
        assert_eq!(answer.status.code(), Some(2));
        assert!(!answer.stderr.contains(&0x1b) && !answer.stdout.contains(&0x1b));
    }
}

#[test]
fn an_export_sends_nothing_raw_to_a_terminal() {
    let dom0 = held();
    let forged = "{\"v\":1,\"x\":\"\x1b]0;owned\x07\u{9b}2J\"}\n";
    dom0.write("var/lib/qubes-dom0-pci/journal/000000000000.jsonl", forged);
    let export = dom0.command(&["audit", "export"]);
    let (shown, _) = crate::model::terminal::asked(&export, crate::model::terminal::Answer::Keys(""));
    assert!(shown.contains("owned") && !shown.contains(['\x1b', '\x07', '\u{9b}']), "{shown:?}");
    // A program gets every byte.
    assert_eq!(dom0.command(&["audit", "export"]).output().unwrap().stdout, forged.as_bytes());
}
