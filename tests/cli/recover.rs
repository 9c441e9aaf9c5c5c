//! What an interrupted operation leaves to the commands after it. How the device is
//! settled is shown where the model acts.

use crate::model::{Dom0, Function};
use audit::{Draft, Journal};
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io::Write;

const NIC: &str = "0000:00:07.0";

fn held() -> Dom0 {
    Dom0::with(Function::nic(NIC).held().quarantined())
}

/// An operation of this boot began, and got to its first intent.
fn interrupted(dom0: &Dom0) {
    journal(dom0, &[start(), step("pin")]);
}

fn journal(dom0: &Dom0, drafts: &[Draft]) {
    Journal::open(&dom0.journal(), "11111111").unwrap().append(drafts).unwrap();
}

fn start() -> Draft {
    let draft = Draft::new("op").op("0badcafe").text("phase", "start").text("command", "reattach");
    let draft = draft.text("bdf", NIC).text("driver", "pciback").text("override", "");
    draft.flag("slot", true).text("owner", "DomIO")
}

fn step(name: &str) -> Draft {
    Draft::new("step").op("0badcafe").text("step", name).text("phase", "intent").text("bdf", NIC)
}

/// This process holds the lock, as the command would.
fn locked(dom0: &Dom0, command: &str) -> Flock<File> {
    let mut lock = File::create(dom0.path("run/qubes-dom0-pci.lock")).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let began = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().to_owned();
    writeln!(lock, "{} {began} {command}", std::process::id()).unwrap();
    Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap()
}

fn end(outcome: &str) -> Draft {
    Draft::new("op").op("0badcafe").text("phase", "end").text("outcome", outcome)
}

#[test]
fn with_nothing_interrupted_there_is_nothing_to_do() {
    let dom0 = held();
    dom0.run_changing_nothing(&["recover"])
        .exits(0)
        .shows("no operation is pending; there is nothing to do\n");
    assert_eq!(dom0.json(&["recover"])["outcome"], "nothing");
    journal(&dom0, &[start(), step("pin"), end("undone")]);
    dom0.run_changing_nothing(&["recover"]).exits(0).says("there is nothing to do");
}

#[test]
fn nothing_else_is_changed_until_it_is_settled() {
    let dom0 = held();
    interrupted(&dom0);
    for command in ["reattach", "hold"] {
        let said = dom0.run_changing_nothing(&["--json", command, NIC]).fails(8, "pending");
        assert!(said.out.contains("operation 0badcafe (reattach 0000:00:07.0)"), "{}", said.out);
    }
    dom0.run_changing_nothing(&["plan", NIC]).exits(8).says("run `recover` first");
    dom0.run(&["list"]).exits(0);
    dom0.run(&["audit", "verify"]).exits(0);
}

const INTERRUPTED: &str =
    "! reattach of 0000:00:07.0 was interrupted at \"pin\": run\n  sudo qubes-dom0-pci recover\n";

#[test]
fn an_operation_that_was_interrupted_stands_above_every_answer_and_nothing_is_called_well() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    interrupted(&dom0);
    for (arguments, status) in [(&["list", "--long"][..], 0), (&["show", NIC], 0), (&["plan", NIC], 8)] {
        let said = dom0.run_changing_nothing(arguments).exits(status);
        assert!(said.out.starts_with(INTERRUPTED), "{}", said.out);
        let said = said.says("an operation on it was interrupted: run `recover` first");
        said.never_says("dom0 drives").never_says("nothing to do");
        let document = dom0.json(arguments);
        assert_eq!(document["pending"]["operation"], "0badcafe", "{document}");
        assert_eq!(document["pending"]["step"], "pin");
        assert_eq!(document["pending"]["bdf"], NIC);
        assert_eq!(document["pending"]["rebooted"], false);
        assert!(document["running"].is_null());
        let device = document.get("device").unwrap_or_else(|| &document["functions"][0]);
        assert_eq!(device["verdict"]["word"], "pending", "{document}");
    }
    // The model is dom0's already, which the start of the operation does not say: somebody else did that.
    dom0.run(&["recover"]).exits(5);
    dom0.run(&["list"]).exits(0).says("No device is away from dom0.").never_says("!");
    assert!(dom0.json(&["list"])["pending"].is_null());
}

#[test]
fn an_operation_of_a_device_that_is_gone_and_one_that_a_reboot_ended_are_named_too() {
    let dom0 = Dom0::new();
    journal(&dom0, &[start(), step("unbind"), end("hung")]);
    dom0.run(&["list"])
        .says("! reattach of 0000:00:07.0 was interrupted at \"unbind\": run")
        .never_says("drives");
    dom0.reboots();
    dom0.run(&["list"]).says("was interrupted at \"unbind\" by a reboot: run sudo qubes-dom0-pci recover");
    assert_eq!(dom0.json(&["list"])["pending"]["rebooted"], true);
}

#[test]
fn an_operation_that_runs_is_named_with_its_process_and_step() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    let _lock = locked(&dom0, "reattach");
    let process = std::process::id();
    dom0.run(&["list"]).says(&format!("! reattach is running: process {process}")).never_says("drives");
    interrupted(&dom0);
    for (arguments, status) in [(&["list", "--long"][..], 0), (&["show", NIC], 0), (&["plan", NIC], 1)] {
        let line = format!("! reattach of {NIC} is running: process {process}, step pin, ");
        dom0.run(arguments).exits(status).says(&line).says("an operation on it is running");
        let document = dom0.json(arguments);
        assert_eq!(document["running"]["process"], process, "{document}");
        assert_eq!(document["running"]["step"], "pin");
        assert!(document["running"]["seconds"].as_u64().unwrap() < 60);
        assert!(document["pending"].is_null());
    }
}

#[test]
fn what_the_recorder_writes_meanwhile_hides_nothing() {
    let dom0 = held();
    interrupted(&dom0);
    for _ in 0..40 {
        journal(&dom0, &[Draft::new("recorder").text("phase", "heartbeat")]);
    }
    dom0.run_changing_nothing(&["hold", NIC]).exits(8);
}

#[test]
fn a_device_that_was_not_touched_yet_is_not_touched_now() {
    let dom0 = held();
    interrupted(&dom0);
    dom0.run_changing_nothing(&["recover"]).exits(0).says("was interrupted; undone: it is exactly as it was");
    dom0.run_changing_nothing(&["recover"]).exits(0).says("there is nothing to do");
    dom0.run(&["audit", "verify"]).exits(0);
}

#[test]
fn a_reboot_ended_it() {
    for drafts in [vec![start(), step("pin")], vec![start(), step("unbind"), end("hung")]] {
        let mut dom0 = Dom0::new();
        dom0.add(Function::nic(NIC).driven("e1000e"));
        journal(&dom0, &drafts);
        dom0.reboots();
        dom0.run_changing_nothing(&["hold", NIC]).exits(8);
        dom0.run_changing_nothing(&["recover"])
            .exits(0)
            .says("ended by a reboot; the device was not touched");
        dom0.run_changing_nothing(&["recover"]).exits(0).says("there is nothing to do");
        dom0.run(&["audit", "log"]).says("rebooted");
    }
}

#[test]
fn a_reboot_ended_what_a_power_cut_tore_the_beginning_off() {
    let mut dom0 = Dom0::new();
    dom0.add(Function::nic(NIC).driven("e1000e"));
    journal(&dom0, &[step("unbind")]);
    // In the boot that it is of, nobody knows what to go back to.
    dom0.run_changing_nothing(&["hold", NIC]).exits(8);
    dom0.run_changing_nothing(&["recover"]).exits(11).says("do not say what it began with");
    dom0.reboots();
    dom0.run_changing_nothing(&["recover"]).exits(0).says("ended by a reboot; the device was not touched");
    dom0.run_changing_nothing(&["recover"]).exits(0).says("there is nothing to do");
}

#[test]
fn a_device_another_has_now_is_not_touched() {
    let mut dom0 = Dom0::new();
    dom0.add(Function::nic(NIC).driven("vfio-pci").owned_by("d3"));
    interrupted(&dom0);
    let said = dom0.run_changing_nothing(&["--json", "recover"]).fails(5, "hands-off");
    assert!(said.out.contains("Xen's owner is d3"), "{}", said.out);
    dom0.run(&["recover"]).exits(0).says("there is nothing to do");
}

#[test]
fn a_device_that_is_gone_is_said_to_be() {
    let dom0 = Dom0::new();
    interrupted(&dom0);
    dom0.run_changing_nothing(&["--json", "recover"]).fails(5, "gone");
    dom0.run(&["recover"]).exits(0).says("there is nothing to do");
}

#[test]
fn the_write_of_a_killed_operation_is_waited_for_and_then_called_hung() {
    let dom0 = held();
    interrupted(&dom0);
    let mut lock = File::create(dom0.path("run/qubes-dom0-pci.lock")).unwrap();
    // No process has this number.
    lock.write_all(b"4194305 77 reattach\n").unwrap();
    let lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    dom0.run_changing_nothing(&["--json", "recover"]).fails(6, "hung");
    drop(lock);
    dom0.run(&["recover"]).exits(0);
}

#[test]
fn two_at_once_the_second_says_who_is_first() {
    let dom0 = held();
    let _lock = locked(&dom0, "hold");
    let said = dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(1, "busy");
    assert!(said.out.contains(&format!("(hold, process {})", std::process::id())), "{}", said.out);
}

#[test]
fn records_that_name_no_device_block_nothing_for_longer_than_this_boot() {
    let dom0 = held();
    let draft = Draft::new("step").op("0badcafe").text("step", "load").text("phase", "skipped");
    journal(&dom0, &[draft]);
    for command in ["reattach", "hold", "plan"] {
        dom0.run_changing_nothing(&["--json", command, NIC]).exits(8);
    }
    dom0.run_changing_nothing(&["--json", "recover"]).fails(11, "journal");
    dom0.reboots();
    let said = dom0.run_changing_nothing(&["recover"]).exits(0);
    said.says("a device that is not known").says("ended by a reboot");
    dom0.run_changing_nothing(&["recover"]).exits(0).says("there is nothing to do");
    dom0.run_changing_nothing(&["plan", NIC]).exits(4);
}

#[test]
fn an_earlier_record_names_the_device_where_the_newest_does_not() {
    let dom0 = held();
    journal(&dom0, &[step("unbind"), Draft::new("op").op("0badcafe").text("phase", "recover")]);
    dom0.run_changing_nothing(&["hold", NIC]).exits(8).says(NIC);
}

#[test]
fn every_record_of_an_operation_names_its_device() {
    let dom0 = held();
    interrupted(&dom0);
    dom0.run(&["recover"]).exits(0);
    let records = dom0.run(&["--json", "audit", "log", "--operation", "0badcafe"]).records();
    let of = |phase: &str| records.iter().filter(|record| record["phase"] == phase).count();
    assert!(of("recover") == 1 && of("skipped") > 0 && of("end") == 1, "{records:?}");
    for record in records.iter().filter(|record| record["kind"] == "op" || record["kind"] == "step") {
        assert_eq!(record["bdf"], NIC, "{record}");
    }
}

#[test]
fn a_beginning_that_makes_no_sense_settles_nothing() {
    let dom0 = held();
    let draft = Draft::new("op").op("0badcafe").text("phase", "start").text("command", "reattach");
    journal(&dom0, &[draft.text("bdf", NIC).text("owner", "nobody"), step("pin")]);
    let said = dom0.run_changing_nothing(&["--json", "recover"]).fails(11, "journal");
    assert!(said.out.contains("do not say what it began with"), "{}", said.out);
}
