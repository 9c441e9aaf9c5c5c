//! Every error that the manual lists: provoked here, or by the test that is named. What is listed is what the program
//! has (src/manual.rs).

use crate::model::{missing, Dom0, Function, Said};
use audit::{Draft, Journal};
use nix::fcntl::{Flock, FlockArg};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const NIC: &str = "0000:00:07.0";

/// Where an error is shown.
enum Shown {
    /// By this function, with the error's word.
    Here(fn(&str)),
    /// By this test of this file.
    In(&'static str, &'static str),
}
use Shown::{Here, In};

const WALK: &[(&str, Shown)] = &[
    ("busy", In("tests/cli/recover.rs", "two_at_once_the_second_says_who_is_first")),
    ("consent-missing", Here(|word| drop(held().run(&["--json", "reattach", NIC]).fails(4, word)))),
    ("gone", In("tests/cli/recover.rs", "a_device_that_is_gone_is_said_to_be")),
    ("hands-off", In("tests/cli/recover.rs", "a_device_another_has_now_is_not_touched")),
    (
        "hung",
        In("tests/cli/recover.rs", "the_write_of_a_killed_operation_is_waited_for_and_then_called_hung"),
    ),
    ("journal", In("tests/cli/recover.rs", "a_beginning_that_makes_no_sense_settles_nothing")),
    ("journal-broken", In("tests/cli/machine.rs", "a_broken_journal_comes_before_a_stale_plan_and_a_stop")),
    ("journal-busy", Here(another_has_the_journal)),
    ("journal-full", Here(the_disk_is_full)),
    ("lock", Here(the_lock_is_a_folder)),
    ("modules", Here(the_index_is_none)),
    ("no-dom0", In("tests/cli/machine.rs", "a_qube_is_no_dom0")),
    ("no-edit", In("tests/cli/next_boot.rs", "who_decides_elsewhere_makes_it_unknown_and_is_named")),
    ("no-journal", Here(|word| drop(held().run(&["--json", "audit", "timeline"]).fails(11, word)))),
    ("no-qubesd", In("tests/cli/rollback.rs", "an_assignment_is_taken_back_only_by_qubesd")),
    ("no-right", Here(nobody_asks)),
    ("no-such-device", Here(|word| drop(held().run(&["--json", "show", "0000:7f:00.0"]).fails(2, word)))),
    ("no-such-operation", Here(no_operation_has_this_name)),
    ("no-xen", In("tests/cli/machine.rs", "a_machine_without_xen_is_no_dom0")),
    ("no-xenstore", In("tests/cli/machine.rs", "nothing_changes_without_xenstored")),
    (
        "not-returned",
        In(
            "tests/cli/rollback.rs",
            "an_assignment_that_qubes_still_lists_afterwards_leaves_the_device_alone",
        ),
    ),
    ("not-trusted", Here(others_could_have_written)),
    (
        "not-unassigned",
        In(
            "tests/cli/rollback.rs",
            "an_assignment_that_qubes_still_lists_afterwards_leaves_the_device_alone",
        ),
    ),
    ("not-undone", In("tests/matrix/mod.rs", "whatever_goes_wrong_nothing_is_left_half_done")),
    ("nothing-known", Here(|word| drop(held().run(&["--json", "rollback", NIC]).fails(3, word)))),
    ("owner-unknown", Here(xen_tells_no_owner)),
    (
        "page",
        In("tests/cli/report.rs", "the_page_for_a_browser_is_one_static_file_that_may_load_and_run_nothing"),
    ),
    ("partly", In("tests/matrix/mod.rs", "whatever_goes_wrong_nothing_is_left_half_done")),
    ("pending", In("tests/cli/recover.rs", "nothing_else_is_changed_until_it_is_settled")),
    (
        "plan-stale",
        Here(|word| {
            drop(held().run(&["--json", "reattach", NIC, "--plan", "0123456789abcdef"]).fails(4, word))
        }),
    ),
    ("poll", Here(|word| struck("ppoll,poll", "ENOMEM", &["--json", "record"], 11, word))),
    (
        "qubesd-exception",
        In("src/system/qubesd/tests.rs", "what_qubesd_says_against_it_is_told_as_it_says_it"),
    ),
    ("qubesd-gone", In("src/system/qubesd/tests.rs", "events_come_through_a_descriptor_that_can_be_polled")),
    (
        "qubesd-nonsense",
        In("src/system/qubesd/tests.rs", "a_qubesd_that_goes_wrong_is_an_error_and_never_a_wait"),
    ),
    ("qubesd-refused", In("src/system/qubesd/tests.rs", "what_qubesd_says_against_it_is_told_as_it_says_it")),
    (
        "qubesd-silent",
        In("src/system/qubesd/tests.rs", "a_qubesd_that_goes_wrong_is_an_error_and_never_a_wait"),
    ),
    ("refused", In("tests/cli/rollback.rs", "an_act_of_which_nothing_can_be_given_back_is_refused")),
    ("stdout", In("tests/cli/output.rs", "a_full_disk_under_stdout_is_an_output_error")),
    ("uevents", Here(nothing_tells_of_uevents)),
    ("undone", In("tests/matrix/mod.rs", "whatever_goes_wrong_nothing_is_left_half_done")),
    ("unreadable", In("tests/cli/machine.rs", "what_has_to_be_read_and_cannot_be_is_an_input_error")),
    ("usage", Here(|word| drop(held().run(&["--json", "show", "first"]).fails(2, word)))),
    ("worker", Here(the_child_does_not_start)),
    ("xenstore", In("tests/cli/xenstore.rs", "a_store_that_goes_wrong_counts_as_the_worse_case")),
];

fn held() -> Dom0 {
    Dom0::with(Function::nic(NIC).held().quarantined())
}

fn accepting() -> Vec<String> {
    let ids = held().hazards(NIC).join(",");
    ["--json", "reattach", NIC, "--accept", &ids].map(str::to_owned).to_vec()
}

fn reattach(dom0: &Dom0) -> Said {
    let arguments = accepting();
    dom0.run_changing_nothing(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn another_has_the_journal(word: &str) {
    let dom0 = held();
    Journal::open(&dom0.journal(), "11111111").unwrap();
    let folder = File::open(dom0.journal()).unwrap();
    let _lock = Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
    reattach(&dom0).fails(11, word);
}

fn others_could_have_written(word: &str) {
    for (name, mode) in [("", 0o777), ("000000000000.jsonl", 0o620)] {
        let dom0 = held();
        Journal::open(&dom0.journal(), "11111111").unwrap();
        let path = dom0.journal().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        // A plan ends as the return it is for would; without root there is none.
        if nix::unistd::geteuid().is_root() {
            dom0.run_changing_nothing(&["--json", "plan", NIC]).fails(11, word);
        }
        let said = reattach(&dom0).fails(11, word);
        assert!(
            said.json()["error"]["hint"].as_str().unwrap().starts_with("look who changed it"),
            "{}",
            said.out
        );
    }
}

/// A disk that takes nothing: the journal cannot reserve what an operation may need.
fn the_disk_is_full(word: &str) {
    let dom0 = held();
    let arguments = accepting();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    struck_on(&dom0, "fallocate", "ENOSPC", &arguments, 11, word);
}

fn the_lock_is_a_folder(word: &str) {
    let dom0 = held();
    fs::create_dir_all(dom0.path("run/qubes-dom0-pci.lock")).unwrap();
    reattach(&dom0).fails(11, word);
}

fn no_operation_has_this_name(word: &str) {
    let dom0 = held();
    Journal::open(&dom0.journal(), "11111111").unwrap().append(&[Draft::new("test")]).unwrap();
    dom0.run(&["--json", "audit", "show", "0badcafe"]).fails(2, word);
}

fn the_child_does_not_start(word: &str) {
    let dom0 = held();
    let arguments = accepting();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    struck_on(&dom0, "clone,clone3,vfork", "EAGAIN", &arguments, 1, word);
}

/// The journal is root's, and nobody else's to read.
fn nobody_asks(word: &str) {
    if !nix::unistd::geteuid().is_root() {
        return missing("only root can become nobody");
    }
    let dom0 = held();
    Journal::open(&dom0.journal(), "11111111").unwrap();
    let program = dom0.copy_of_program("program");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    command.arg("--sysroot").arg(dom0.path("")).args(["--json", "audit", "verify"]);
    let answer = command.output().unwrap();
    Said::new(answer.status.code(), answer.stdout, answer.stderr, true).fails(10, word);
}

fn struck(calls: &str, error: &str, arguments: &[&str], status: i32, word: &str) {
    struck_on(&held(), calls, error, arguments, status, word);
}

/// Runs it while the kernel refuses these calls.
fn struck_on(dom0: &Dom0, calls: &str, error: &str, arguments: &[&str], status: i32, word: &str) {
    if Command::new("strace").arg("-V").output().is_err() {
        return missing("no strace");
    }
    let mut command = Command::new("timeout");
    command.args(["60", "strace", "-qq", "-o", "/dev/null", "-e"]);
    command.arg(format!("inject={calls}:error={error}:when=1..64"));
    command.arg(env!("CARGO_BIN_EXE_qubes-dom0-pci")).arg("--sysroot").arg(dom0.path("")).args(arguments);
    let answer = command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap();
    Said::new(answer.status.code(), answer.stdout, answer.stderr, true).fails(status, word);
}

/// The words of the manual's section.
fn listed() -> BTreeSet<String> {
    let page = include_str!("../../man/qubes-dom0-pci.1");
    let (_, section) = page.split_once("from the program's errors\n").unwrap();
    let section = section.split(".\\\" end\n").next().unwrap();
    let words = section.lines().filter_map(|line| line.strip_prefix(".B "));
    words.filter_map(|line| line.split(' ').next()).map(|word| word.replace("\\-", "-")).collect()
}

#[test]
fn every_error_of_the_manual_is_met() {
    let walked: BTreeSet<String> = WALK.iter().map(|(word, _)| (*word).to_owned()).collect();
    assert_eq!(listed(), walked);
    for (word, shown) in WALK {
        match shown {
            Here(provoke) => provoke(word),
            In(file, test) => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
                let text = fs::read_to_string(path).unwrap();
                assert!(text.contains(&format!("fn {test}(")), "{word}: no test {test} in {file}");
            }
        }
    }
}

/// An operation was interrupted, and Xen does not say whose the function is.
fn xen_tells_no_owner(word: &str) {
    let dom0 = held();
    let start = Draft::new("op").op("0badcafe").text("phase", "start").text("command", "reattach");
    let start = start.text("bdf", NIC).text("driver", "pciback").text("override", "");
    let start = start.flag("slot", true).text("owner", "DomIO");
    let step = Draft::new("step").op("0badcafe").text("step", "pin").text("phase", "intent").text("bdf", NIC);
    Journal::open(&dom0.journal(), "11111111").unwrap().append(&[start, step]).unwrap();
    dom0.xen_prints("");
    dom0.run_changing_nothing(&["--json", "recover"]).fails(11, word);
}

/// The recorder goes on without, and says what it lacks.
fn nothing_tells_of_uevents(_: &str) {
    let dom0 = held();
    let mut command = Command::new("timeout");
    command
        .arg("3")
        .arg(env!("CARGO_BIN_EXE_qubes-dom0-pci"))
        .arg("--sysroot")
        .arg(dom0.path(""))
        .arg("record");
    let answer = command.output().unwrap();
    let said = String::from_utf8(answer.stderr).unwrap();
    assert!(said.contains("the kernel's uevents cannot be heard"), "{said}");
}

/// The kernel's modules are not there.
fn the_index_is_none(word: &str) {
    let dom0 = held();
    let index = dom0.contents().into_keys().find(|path| path.ends_with("modules.alias.bin")).unwrap();
    fs::remove_file(dom0.path(index.to_str().unwrap())).unwrap();
    dom0.run(&["--json", "plan", NIC]).fails(11, word);
}
