//! What Qubes assigned counts too: a qube that is not halted has its devices, or is about to, and one that is halted
//! takes them at its next start. In the recordings all qubes are halted; sys-net is assigned 00:1f.6 and 01:00.0,
//! sys-usb 00:14.0 and 07:00.3, each in the way of its release.

use crate::model::{Dom0, Function, QubesdFault, QUBES_42, QUBES_43};
use serde_json::Value;
use std::time::{Duration, Instant};

const NIC: &str = "0000:00:1f.6";
const WIFI: &str = "0000:01:00.0";
const FREE: &str = "0000:00:07.0";
const SYS_NET_43: &str = "sys-net class=AppVM state=STATE uuid=b21c7d77-4175-4dd3-8e3f-460435ce18f5\\n";

/// Three held network functions, one of them behind a bridge.
fn dom0() -> Dom0 {
    let mut dom0 = Dom0::with(Function::new(NIC, 0x8086, 0x0d4f, 0x02_0000).held());
    dom0.add(Function::root_port("0000:00:1c.0").attribute("secondary_bus_number", "1"));
    dom0.add(Function::nic(WIFI).held().behind(&["0000:00:1c.0"]));
    dom0.add(Function::nic(FREE).held());
    dom0
}

#[track_caller]
fn hazard(dom0: &Dom0, bdf: &str, id: &str) -> Option<Value> {
    let plan = dom0.json(&["plan", bdf]);
    let mut found = plan["device"]["hazards"].as_array().unwrap().iter().filter(|hazard| hazard["id"] == id);
    let first = found.next().cloned();
    assert!(found.next().is_none(), "{plan}");
    first
}

#[track_caller]
fn is_still_assigned(dom0: &Dom0, bdf: &str, sentence: &str, evidence: &str) {
    let hazard = hazard(dom0, bdf, "still-assigned").expect("it is not still-assigned");
    assert_eq!(hazard["sentence"], sentence);
    let told = hazard["evidence"].as_str().unwrap();
    assert!(told.contains(evidence), "{told}");
    assert_eq!(hazard["accept"], "still-assigned");
}

const TAKES: &str = "sys-net takes it again at its next start";

#[test]
fn a_halted_qube_takes_it_again_at_its_next_start() {
    for (transcript, port) in [(QUBES_42, "01_00.0"), (QUBES_43, "00_1c.0-00_00.0")] {
        let dom0 = dom0();
        dom0.qubes(transcript);
        is_still_assigned(&dom0, NIC, TAKES, "sys-net: 00_1f.6 is assigned with no-strict-reset (qubesd)");
        is_still_assigned(
            &dom0,
            WIFI,
            TAKES,
            &format!("sys-net: {port} is assigned with permissive, no-strict-reset (qubesd)"),
        );
        assert_eq!(hazard(&dom0, FREE, "still-assigned"), None);
        assert_eq!(hazard(&dom0, NIC, "in-use"), None);
        dom0.run(&["plan", WIFI]).exits(4).says("still-assigned");
    }
}

#[test]
fn a_qube_that_is_not_halted_has_it_though_xenstore_shows_nothing() {
    for state in
        ["Transient", "Running", "Paused", "Suspended", "Halting", "Dying", "Crashed", "NA", "", "x\\x"]
    {
        let dom0 = dom0();
        let qubesd = dom0.qubes(QUBES_43);
        qubesd.lists(&SYS_NET_43.replace("STATE", state));
        for bdf in [NIC, WIFI] {
            let hazard = hazard(&dom0, bdf, "in-use").expect("it is not in use");
            let shown = state.replace('\\', "\\\\");
            assert_eq!(hazard["sentence"], format!("sys-net is assigned it and is not halted ({shown})"));
        }
        dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(3, "in-use");
        assert_eq!(hazard(&dom0, FREE, "in-use"), None);
    }
    let dom0 = dom0();
    dom0.qubes(QUBES_42).lists("sys-net class=AppVM state=Transient\\n");
    assert!(hazard(&dom0, WIFI, "in-use").is_some());
}

#[test]
fn a_qube_that_both_xenstore_and_qubesd_name_is_told_once() {
    let dom0 = dom0();
    dom0.qubes(QUBES_43).lists(&SYS_NET_43.replace("STATE", "Running"));
    dom0.qube_has(7, "sys-net", NIC);
    assert_eq!(hazard(&dom0, NIC, "in-use").unwrap()["sentence"], "sys-net has it");
}

#[test]
fn an_assignment_of_any_port_means_every_device_of_its_identity() {
    let line = "dom0+*:0x8086:0x10d3::p020000 device_id='0x8086:0x10d3::p020000' port_id='*' devclass='pci' \
                backend_domain='dom0' mode='required' frontend_domain='work'\\n";
    let any = "any device of its identity is assigned";
    for (backend, port) in [("dom0", "*"), ("*", "*")] {
        let dom0 = dom0();
        let line = line.replace("backend_domain='dom0'", &format!("backend_domain='{backend}'"));
        dom0.qubes(QUBES_43).answers(
            "admin.vm.device.pci.Assigned+",
            "work",
            &line.replace("'*'", &format!("'{port}'")),
        );
        is_still_assigned(&dom0, FREE, "work takes it again at its next start", any);
        is_still_assigned(&dom0, WIFI, "sys-net, work take it again at their next start", any);
        is_still_assigned(&dom0, NIC, TAKES, "00_1f.6");
    }
    // Another backend's devices are not dom0's.
    let dom0 = dom0();
    let line = line.replace("backend_domain='dom0'", "backend_domain='sys-usb'");
    dom0.qubes(QUBES_43).answers("admin.vm.device.pci.Assigned+", "work", &line);
    assert_eq!(hazard(&dom0, FREE, "still-assigned"), None);
}

#[test]
fn a_device_given_to_a_running_qube_is_its_for_that_time() {
    let dom0 = dom0();
    let qubesd = dom0.qubes(QUBES_43);
    qubesd.lists(&SYS_NET_43.replace("sys-net", "work").replace("STATE", "Running"));
    let line = "dom0+00_07.0:0x8086:0x10d3::p020000 device_id='0x8086:0x10d3::p020000' port_id='00_07.0' \
                devclass='pci' backend_domain='dom0' mode='manual' frontend_domain='work'\\n";
    qubesd.answers("admin.vm.device.pci.Attached+", "work", line);
    assert!(hazard(&dom0, FREE, "in-use").is_some());
    assert_eq!(hazard(&dom0, FREE, "still-assigned"), None);

    let dom0 = self::dom0();
    let qubesd = dom0.qubes(QUBES_42);
    qubesd.lists("work class=AppVM state=Running\\n");
    qubesd.answers("admin.vm.device.pci.List+", "work", "dom0+00_07.0 persistent=no\\n");
    assert!(hazard(&dom0, FREE, "in-use").is_some());
    assert_eq!(hazard(&dom0, FREE, "still-assigned"), None);
}

#[test]
fn without_qubesd_its_file_is_read() {
    for (file, port) in [("4.2", "01_00.0"), ("4.3", "00_1c.0-00_00.0")] {
        let dom0 = dom0();
        let store = std::fs::read(format!("tests/data/qubesd/qubes-{file}.xml")).unwrap();
        dom0.write("var/lib/qubes/qubes.xml", store);
        let why = "(qubes.xml, because qubesd does not run:";
        let options = "permissive, no-strict-reset";
        is_still_assigned(&dom0, WIFI, TAKES, &format!("sys-net: {port} is assigned with {options} {why}"));
        assert_eq!(hazard(&dom0, WIFI, "in-use"), None);
        assert_eq!(hazard(&dom0, FREE, "still-assigned"), None);
        dom0.run(&["list"]).exits(0).says("not seen: which qubes run, by Qubes: qubesd does not run");
    }
}

#[test]
fn without_qubesd_a_qube_that_xen_lists_by_its_name_has_what_it_is_assigned() {
    let store = || std::fs::read("tests/data/qubesd/qubes-4.3.xml").unwrap();
    let dom0 = dom0();
    dom0.write("var/lib/qubes/qubes.xml", store());
    dom0.runs(5, "work");
    assert_eq!(hazard(&dom0, NIC, "in-use"), None);
    dom0.runs(7, "sys-net");
    let told = hazard(&dom0, NIC, "in-use").expect("it is not in use");
    assert_eq!(told["sentence"], "sys-net is assigned it and runs");
    assert!(told["evidence"].as_str().unwrap().ends_with("; domain 7 has its name"), "{told}");
    assert_eq!(hazard(&dom0, FREE, "in-use"), None);
    dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(3, "in-use");
    dom0.ends(7);
    assert_eq!(hazard(&dom0, NIC, "in-use"), None);
    // Its stub domain lives on and still answers for it.
    dom0.runs(9, "sys-net-dm");
    dom0.node("/local/domain/9/target", "7");
    dom0.node("/local/domain/7/name", "sys-net");
    assert!(hazard(&dom0, NIC, "in-use").is_some());
}

#[test]
fn without_qubesd_a_domain_without_a_name_may_be_any_qube_that_is_assigned_something() {
    let dom0 = dom0();
    dom0.write("var/lib/qubes/qubes.xml", std::fs::read("tests/data/qubesd/qubes-4.3.xml").unwrap());
    dom0.write("proc/xen/model/domains", "0\n8\n");
    let told = hazard(&dom0, NIC, "in-use").expect("it is not in use");
    assert_eq!(told["sentence"], "sys-net is assigned it, and it cannot be ruled out that it runs");
    assert!(told["evidence"].as_str().unwrap().ends_with("; domain 8 has no name in xenstore"), "{told}");
    assert_eq!(hazard(&dom0, FREE, "in-use"), None);
}

#[test]
fn where_nobody_says_what_is_assigned_any_qube_that_runs_may_have_it() {
    let dom0 = dom0();
    dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    assert_eq!(hazard(&dom0, FREE, "in-use"), None);
    dom0.runs(5, "work");
    dom0.runs(6, "vault");
    let told = hazard(&dom0, FREE, "in-use").expect("it is not in use");
    assert_eq!(told["sentence"], "it cannot be ruled out that a qube that runs is assigned it");
    assert!(
        told["evidence"].as_str().unwrap().starts_with("work and 1 more run; qubesd does not run"),
        "{told}"
    );
    dom0.run_changing_nothing(&["--json", "reattach", FREE]).fails(3, "in-use");
}

#[test]
fn where_qubes_is_there_and_says_nothing_the_worse_case_counts() {
    const UNKNOWN: &str = "it cannot be ruled out that a qube takes it again at its next start";
    let dom0 = dom0();
    dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    is_still_assigned(&dom0, FREE, UNKNOWN, "qubesd does not run");
    dom0.write(
        "var/lib/qubes/qubes.xml",
        "<!DOCTYPE x [<!ENTITY y SYSTEM '/etc/shadow'>]><qubes>&y;</qubes>",
    );
    is_still_assigned(&dom0, FREE, UNKNOWN, "/var/lib/qubes/qubes.xml: it has a document type");
    dom0.run(&["list"]).exits(0).says("not seen: what Qubes assigned: qubesd does not run");
}

#[test]
fn on_a_xen_without_qubes_nobody_is_asked() {
    let dom0 = dom0();
    assert_eq!(hazard(&dom0, NIC, "still-assigned"), None);
    let says = "no Qubes: Xen, xenstore and the journal alone tell who has or had a device";
    dom0.run(&["list"]).exits(0).says(says).never_says("not seen");
    dom0.run(&["show", NIC]).exits(0).says(says);
    dom0.run(&["plan", NIC]).says(says);
    for command in [&["list"] as &[&str], &["show", NIC], &["plan", NIC]] {
        assert_eq!(dom0.json(command)["qubes"], Value::Null);
    }
    let _qubesd = dom0.qubes(QUBES_43);
    dom0.run(&["list"]).exits(0).never_says("no Qubes");
    assert_eq!(dom0.json(&["list"])["qubes"], "qubesd");
}

#[test]
fn a_qubesd_that_goes_wrong_is_not_waited_for_and_not_believed() {
    for (fault, why) in [
        (QubesdFault::Silent, "qubesd does not answer admin.vm.List within"),
        (QubesdFault::Refuses, "qubesd gives no answer to admin.vm.List of dom0"),
        (QubesdFault::Nonsense, "qubesd answers admin.vm.List with nonsense"),
        (QubesdFault::Endless, "the answer has no end"),
        (QubesdFault::EndsAt(100), "an answer of qubesd is cut"),
        // Killed between the header and the list: it always has dom0.
        (QubesdFault::EndsAt(2), "an answer of qubesd is cut"),
    ] {
        let dom0 = dom0();
        dom0.write("var/lib/qubes/qubes.xml", std::fs::read("tests/data/qubesd/qubes-4.3.xml").unwrap());
        dom0.qubes(QUBES_43).fails(fault);
        let start = Instant::now();
        is_still_assigned(&dom0, WIFI, TAKES, why);
        assert!(start.elapsed() < Duration::from_secs(10), "{fault:?}");
    }
}

#[test]
fn a_list_that_was_cut_between_two_lines_is_asked_again() {
    let uuid = "cb084001-53d5-4ae7-809b-ec7b16c397a8";
    let whole = format!("sys-net class=AppVM state=Halted uuid={uuid}\\n");
    for (first, later) in [("", &*whole), (&*whole, &whole.replace("Halted", "Running"))] {
        let dom0 = dom0();
        let qubesd = dom0.qubes(QUBES_43);
        qubesd.lists(first);
        qubesd.lists_later(1, later);
        let id = if later.contains("Running") { "in-use" } else { "still-assigned" };
        assert!(hazard(&dom0, NIC, id).is_some(), "{first}");
    }
    // Where two lists in succession never agree, the file is read.
    let dom0 = dom0();
    let store = std::fs::read("tests/data/qubesd/qubes-4.3.xml").unwrap();
    dom0.write("var/lib/qubes/qubes.xml", store);
    let qubesd = dom0.qubes(QUBES_43);
    for nth in 0..100 {
        qubesd.lists_later(99 - nth, if nth % 2 == 0 { "" } else { &whole });
    }
    is_still_assigned(&dom0, WIFI, TAKES, "qubes.xml, because the list of qubes changes while it is read");
}

#[test]
fn a_qube_that_runs_and_of_which_qubesd_does_not_say_what_it_was_given_may_have_any_device() {
    let dom0 = dom0();
    let qubesd = dom0.qubes(QUBES_43);
    qubesd.lists(&SYS_NET_43.replace("sys-net", "work").replace("STATE", "Running"));
    assert_eq!(hazard(&dom0, FREE, "in-use"), None);
    qubesd.answers_bytes("admin.vm.device.pci.Attached+", "work", b"");
    let hazard = hazard(&dom0, FREE, "in-use").unwrap();
    assert_eq!(hazard["sentence"], "work is assigned it and is not halted (Running)");
    dom0.run_changing_nothing(&["--json", "reattach", FREE]).fails(3, "in-use");
}

#[test]
fn an_answer_in_pieces_is_the_same_answer() {
    for transcript in [QUBES_42, QUBES_43] {
        let dom0 = dom0();
        let qubesd = dom0.qubes(transcript);
        let whole = dom0.json(&["list", "--all"]);
        qubesd.fails(QubesdFault::ByteByByte);
        assert_eq!(dom0.json(&["list", "--all"]), whole);
        for at in 0..60 {
            qubesd.fails(QubesdFault::CutAt(at));
            assert_eq!(dom0.json(&["list", "--all"]), whole, "cut at {at}");
        }
    }
}

#[test]
fn a_qube_that_is_gone_meanwhile_is_none_and_one_that_is_not_told_of_may_have_anything() {
    let dom0 = dom0();
    let qubesd = dom0.qubes(QUBES_43);
    let gone = b"2\0QubesVMNotFoundError\0\0No such domain: 'sys-net'\0";
    qubesd.answers_bytes("admin.vm.device.pci.Assigned+", "sys-net", gone);
    assert_eq!(hazard(&dom0, NIC, "still-assigned"), None);
    qubesd.answers_bytes("admin.vm.device.pci.Assigned+", "sys-net", b"");
    is_still_assigned(&dom0, FREE, TAKES, "qubesd does not say which");
}

#[test]
fn names_that_qubes_would_not_take_are_shown_escaped_and_may_have_anything() {
    let long = "a".repeat(64 << 10);
    for name in ["\x1b[2J\x1b[31mok", "a\0b", "it's\\\"so\"", "\u{202e}x", "-x", "9", &long] {
        let dom0 = dom0();
        let qubesd = dom0.qubes(QUBES_43);
        let list = [
            b"0\0dom0 class=AdminVM state=Running\n",
            name.as_bytes(),
            b" class=AppVM\x1b[1m state=Running uuid=\x07\n",
        ]
        .concat();
        qubesd.answers_bytes("admin.vm.List+", "dom0", &list);
        dom0.run(&["list"]).exits(0).says("refused: in-use");
        let hazard = hazard(&dom0, FREE, "in-use").unwrap();
        assert!(hazard["evidence"].as_str().unwrap().contains("a qube of a strange name"), "{hazard}");
        assert!(qubesd.asked().iter().all(|request| request.len() < 100), "{name:?}");
    }
}

#[test]
fn hostile_assignments_are_shown_escaped_and_count_as_the_worse_case() {
    for line in [
        "dom0+00_1f.6 device_id='\x1b[2J' port_id='../../etc' backend_domain='dom0' mode='\x07'\\n",
        "\x1b[2J\\n",
        "x port_id='00_1f.6\\n",
        "x port_id='a\\0b'\\n",
    ] {
        let dom0 = dom0();
        dom0.qubes(QUBES_43).answers("admin.vm.device.pci.Assigned+", "work", line);
        is_still_assigned(
            &dom0,
            FREE,
            "work takes it again at its next start",
            "an assignment that is not understood",
        );
        dom0.run(&["show", FREE]).exits(0).says("still-assigned");
    }
}

#[test]
fn few_questions_are_asked() {
    for (transcript, most) in [(QUBES_42, 14), (QUBES_43, 14)] {
        let dom0 = dom0();
        let qubesd = dom0.qubes(transcript);
        dom0.run(&["list", "--all"]).exits(0);
        // The list, the devices of five qubes, three properties of the two that have some, and dom0's label.
        assert!(qubesd.asked().len() <= most, "{:#?}", qubesd.asked());
    }
}

/// Another device stands now where an assigned one was: Qubes 4.3 would not take it.
#[test]
fn an_assignment_of_another_device_at_its_port_does_not_count() {
    for (identity, counts) in [
        ("0x8086:0x0d4f::p020000", true),
        ("*", true),
        ("0x8086:0x0d4f:0x12:p??????", true),
        ("0x1022:0x1639::p0c0330", false),
        ("0x8086:0x0d4f::p0c0330", false),
    ] {
        for (state, id) in [("Halted", "still-assigned"), ("Running", "in-use")] {
            let dom0 = dom0();
            let qubesd = dom0.qubes(QUBES_43);
            let assigned = format!(
                "x device_id='{identity}' port_id='00_1f.6' backend_domain='dom0' mode='required'\\n"
            );
            qubesd.answers("admin.vm.device.pci.Assigned+", "sys-net", &assigned);
            qubesd.lists(&SYS_NET_43.replace("STATE", state));
            assert_eq!(hazard(&dom0, NIC, id).is_some(), counts, "{identity} {state}");
        }
    }
}
