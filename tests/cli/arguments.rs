//! Wrong arguments: exit 2, before anything is read.

use crate::model::{Dom0, Function};

const NIC: &str = "0000:00:07.0";

const NO_ADDRESSES: &[&str] = &[
    "0000:00:1f.9",
    "0000:00:20.0",
    "../../x",
    "/sys/bus/pci/devices/0000:00:07.0",
    "",
    " 0000:00:07.0",
    "0000:00:07.0 ",
    "0000:00:07.0\n",
    "00:07",
    "07.0",
    "0:7.0",
    "000:00:07.0",
    "+000:00:07.0",
    "0000:00:07.*",
    "*",
    "00:07.0-00_00.0",
    "00_07.0-",
    "dom1:00_07.0",
    "dom0:dom0:00_07.0",
    "\u{661}0:07.0",
    "\x1b[2J",
];

/// A machine on which everything that could be read says something else: that it
/// is no Xen, that its sysfs is empty.
fn unreadable() -> Dom0 {
    let dom0 = Dom0::new();
    dom0.remove("sys");
    dom0.remove("proc");
    dom0
}

#[test]
fn what_is_no_address_is_refused_before_anything_is_read() {
    let dom0 = unreadable();
    for text in NO_ADDRESSES {
        for command in ["show", "plan", "reattach", "hold"] {
            let said = dom0.run(&["--json", command, "--", text]).fails(2, "usage");
            assert!(said.out.contains("is no PCI address"), "{text:?}: {}", said.out);
        }
    }
}

#[test]
fn an_address_of_a_thousand_letters_is_no_address() {
    let dom0 = unreadable();
    dom0.run(&["--json", "show", &"0".repeat(1000)]).fails(2, "usage");
    dom0.run(&["--json", "show", &format!("00_07.0{}", "-00_00.0".repeat(100))]).fails(2, "usage");
}

#[test]
fn every_spelling_of_the_manual_is_taken() {
    let dom0 = Dom0::with(Function::nic("0000:00:1f.6").held());
    for text in [
        "0000:00:1f.6",
        "00:1f.6",
        "dom0:00_1f.6",
        "00_1f.6",
        "00:1F.6",
        "dom0:0000:00_1f.6",
        "dom0:00_1f.6:0x8086:0x10d3::p020000",
        "pci_0000_00_1f_6",
    ] {
        assert_eq!(dom0.json(&["show", text])["device"]["bdf"], "0000:00:1f.6", "{text}");
    }
}

#[test]
fn an_absent_function_is_no_such_device() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    for command in ["show", "plan", "reattach", "hold"] {
        let said = dom0.run_changing_nothing(&["--json", command, "0000:00:09.0"]).fails(2, "no-such-device");
        assert!(said.out.contains("there is no PCI function 0000:00:09.0"), "{}", said.out);
        dom0.run_changing_nothing(&[command, "0001:00:07.0"])
            .exits(2)
            .says("error: there is no PCI function 0001:00:07.0")
            .says("hint:");
    }
}

#[test]
fn only_a_hazard_that_is_known_and_a_warning_can_be_accepted() {
    let dom0 = unreadable();
    let wrong = [
        ("all", "is no hazard"),
        ("yes", "is no hazard"),
        ("", "is no hazard"),
        ("NETWORK", "is no hazard"),
        ("network,\x1b[2J", "is no hazard"),
        ("in-use", "cannot be accepted"),
        ("network,owner-unknown", "cannot be accepted"),
        ("in-use:sys-net", "cannot be accepted"),
        ("reboot-would-not-return", "is a note"),
        ("network:sys-net", "only `exposed` is accepted per qube"),
    ];
    for (accept, why) in wrong {
        for command in ["plan", "reattach"] {
            let said = dom0.run(&["--json", command, NIC, "--accept", accept]).fails(2, "usage");
            assert!(said.out.contains(why), "{accept:?}: {}", said.out);
        }
    }
}

#[test]
fn every_stop_of_the_contract_is_refused_as_one() {
    let stops = [
        "in-use",
        "owner-unknown",
        "shared-dma",
        "bridge",
        "sleep-port",
        "sriov-pf-with-vfs",
        "companion-apart",
        "dead",
        "no-driver",
        "load-takes-others",
        "dom0-needs-it",
    ];
    let dom0 = unreadable();
    for stop in stops {
        let said = dom0.run(&["--json", "plan", NIC, "--accept", stop]).fails(2, "usage");
        assert!(said.out.contains("cannot be accepted"), "{}", said.out);
    }
}

#[test]
fn a_driver_that_is_no_name_is_refused_before_anything_is_read() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    dom0.remove("sys/hypervisor");
    dom0.remove("proc");
    for name in ["../x", "", "a b", "pciback"] {
        for command in ["plan", "reattach"] {
            dom0.run(&["--json", command, NIC, "--driver", name]).fails(2, "usage");
        }
    }
}

#[test]
fn a_timeout_below_70_seconds_is_refused() {
    let dom0 = unreadable();
    for command in ["reattach", "hold"] {
        for seconds in ["69", "0", "-1", "x", "4000"] {
            let timeout = format!("--timeout={seconds}");
            dom0.run(&["--json", command, NIC, &timeout]).fails(2, "usage");
        }
    }
}

#[test]
fn a_command_line_that_is_none_is_usage() {
    let dom0 = unreadable();
    for (arguments, what) in [
        (&["--json"][..], "a command is missing"),
        (&["--json", "no-such-command"], "no-such-command"),
        (&["--json", "list", "--no-such-option"], "--no-such-option"),
        (&["--json", "plan"], "no device is named"),
        (&["--json", "rollback"], "not provided: <BDF|--last>"),
        (&["--json", "rollback", NIC, "--last"], "cannot be used with '--last'"),
        (&["--json", "audit", "prune"], "not provided: --before <SEQ>"),
        (&["--json", "audit"], "a command is missing"),
        (&["--json", "audit", "log", "-o", "x"], "[possible values: table, records, raw]"),
        (&["--json", "list", "extra"], "extra"),
    ] {
        let said = dom0.run(arguments).fails(2, "usage");
        assert!(said.json()["error"]["message"].as_str().unwrap().contains(what), "{}", said.out);
    }
    dom0.run(&["rollback"]).exits(2).says("<BDF|--last>");
    for arguments in [&[][..], &["no-such-command"], &["plan"]] {
        let said = dom0.run(arguments).exits(2);
        assert!(said.out.is_empty() && !said.err.is_empty(), "{said:?}");
    }
}

#[test]
fn help_and_version_are_answers() {
    let dom0 = unreadable();
    for arguments in [&["--help"][..], &["list", "--help"], &["reattach", "--help"], &["audit", "--help"]] {
        let said = dom0.run(arguments).exits(0).says("Usage: qubes-dom0-pci");
        assert!(said.err.is_empty());
    }
    dom0.run(&["--version"]).exits(0).says(env!("CARGO_PKG_VERSION"));
}

#[test]
fn an_error_of_the_command_line_sends_nothing_raw() {
    let dom0 = unreadable();
    for word in ["\x1b]0;x\x07", "--\x1b[2J", "\u{9b}31m", "a\rb"] {
        for arguments in [&[word][..], &["audit", word], &["list", word], &["plan", NIC, "--timeout", word]] {
            let answer = dom0.command(arguments).output().unwrap();
            assert_eq!(answer.status.code(), Some(2), "{arguments:?}");
            let raw = |byte: &u8| !matches!(byte, b'\n' | 0x20..=0x7e);
            assert!(!answer.stderr.iter().any(raw) && !answer.stdout.iter().any(raw), "{arguments:?}");
        }
    }
}
