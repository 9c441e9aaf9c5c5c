//! What kind of machine this is; and which of several reasons decides the exit
//! status.

use crate::model::{Dom0, Function};

const NIC: &str = "0000:00:07.0";

const COMMANDS: &[&[&str]] = &[&["list"], &["show", NIC], &["plan", NIC], &["reattach", NIC], &["hold", NIC]];

fn held() -> Dom0 {
    Dom0::with(Function::nic(NIC).held().quarantined())
}

#[test]
fn a_machine_without_xen_is_no_dom0() {
    let dom0 = held();
    dom0.remove("sys/hypervisor");
    for command in COMMANDS {
        let said = dom0.run_changing_nothing(&[&["--json"], *command].concat()).fails(10, "no-xen");
        assert!(said.out.contains("this is no Xen machine"), "{}", said.out);
        dom0.run(command).exits(10).says("error: this is no Xen machine").says("hint: run it in dom0");
    }
}

#[test]
fn another_hypervisor_is_no_xen() {
    let dom0 = held();
    dom0.write("sys/hypervisor/type", "kvm\x1b[2J\n");
    for command in COMMANDS {
        dom0.run_changing_nothing(&[&["--json"], *command].concat()).fails(10, "no-xen");
        dom0.run(command).exits(10).says("under kvm");
    }
}

#[test]
fn a_qube_is_no_dom0() {
    let dom0 = held();
    dom0.write("proc/xen/capabilities", "\n");
    for command in COMMANDS {
        let said = dom0.run_changing_nothing(&[&["--json"], *command].concat()).fails(10, "no-dom0");
        assert!(said.out.contains("lacks control_d"), "{}", said.out);
    }
}

#[test]
fn a_dom0_without_xenfs_may_still_be_one() {
    let dom0 = held();
    dom0.remove("proc/xen/capabilities");
    dom0.run(&["list"]).exits(0);
}

#[test]
fn nothing_changes_without_xenstored() {
    let mut dom0 = Dom0::without_xenstored();
    dom0.add(Function::nic(NIC).held().quarantined());
    for command in ["reattach", "hold"] {
        let said = dom0.run_changing_nothing(&["--json", command, NIC]).fails(10, "no-xenstore");
        assert!(said.out.contains("start xenstored"), "{}", said.out);
    }
}

#[test]
fn what_only_shows_says_that_xenstored_is_missing() {
    let mut dom0 = Dom0::without_xenstored();
    dom0.add(Function::nic(NIC).held().quarantined());
    dom0.run(&["list"]).exits(0).says("not seen: which qubes have devices: xenstore cannot be asked");
    dom0.run(&["show", NIC]).exits(0).says("not seen: which qubes have devices");
    for command in [&["list"][..], &["show", NIC], &["plan", NIC]] {
        let unseen = dom0.json(command)["unseen"].clone();
        assert_eq!(unseen.as_array().unwrap().len(), 1, "{unseen}");
    }
    // Whether a qube has it is not known: that is the worse case.
    let said = dom0.run(&["plan", NIC]).says("it cannot be ruled out that a qube has it");
    if nix::unistd::geteuid().is_root() {
        // A return would fail for that.
        said.exits(10)
            .says("It would fail: xenstore cannot be asked")
            .says("start xenstored")
            .never_says("shut");
        dom0.run(&["--json", "reattach", NIC]).fails(10, "no-xenstore");
    }
}

#[test]
fn without_root_it_says_what_it_could_not_see() {
    let dom0 = Dom0::with(Function::nic(NIC).held().seen_without_root());
    dom0.run(&["show", NIC]).exits(0).says("capabilities not seen (no root)");
    dom0.run(&["plan", NIC]).exits(4);
}

#[test]
fn a_wrong_argument_comes_before_a_wrong_machine() {
    let dom0 = held();
    dom0.remove("sys/hypervisor");
    dom0.run(&["--json", "reattach", "0000:00:09.0"]).fails(2, "no-such-device");
    dom0.run(&["--json", "reattach", NIC, "--accept", "in-use"]).fails(2, "usage");
}

#[test]
fn a_wrong_machine_comes_before_a_broken_journal_and_a_stop() {
    let dom0 = held();
    dom0.qube_has(7, "sys-net", NIC);
    dom0.write("var/lib/qubes-dom0-pci/journal", "not a folder");
    dom0.write("proc/xen/capabilities", "\n");
    dom0.run(&["--json", "reattach", NIC]).fails(10, "no-dom0");
}

#[test]
fn a_journal_that_cannot_be_read_comes_before_a_stop() {
    let dom0 = held();
    dom0.qube_has(7, "sys-net", NIC);
    dom0.write("var/lib/qubes-dom0-pci/journal", "not a folder");
    for command in ["reattach", "hold"] {
        let said = dom0.run_changing_nothing(&["--json", command, NIC]).fails(11, "journal");
        assert!(said.out.contains("name the journal's folder, no file"), "{}", said.out);
    }
    dom0.run(&["--json", "reattach", NIC, "--plan", "0123456789abcdef"]).exits(11);
}

#[test]
fn a_broken_journal_comes_before_a_stale_plan_and_a_stop() {
    let dom0 = held();
    dom0.qube_has(7, "sys-net", NIC);
    dom0.run(&["--json", "reattach", NIC]).fails(3, "in-use");
    let folder = "var/lib/qubes-dom0-pci/journal";
    let segments: Vec<_> = std::fs::read_dir(dom0.path(folder)).into_iter().flatten().flatten().collect();
    let segment = segments.iter().find(|entry| entry.file_name().to_string_lossy().ends_with(".jsonl"));
    let path = match segment {
        Some(entry) => entry.path(),
        None => dom0.path(&format!("{folder}/00000000000000000001.jsonl")),
    };
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "{\"this\":\"is no record\"}\n{\"nor\":\"is this\"}\n").unwrap();
    for command in ["reattach", "hold"] {
        dom0.run_changing_nothing(&["--json", command, NIC]).fails(7, "journal-broken");
    }
    dom0.run(&["--json", "reattach", NIC, "--plan", "0123456789abcdef"]).fails(7, "journal-broken");
}

#[test]
fn a_stale_plan_comes_before_a_stop_and_a_stop_before_consent() {
    let dom0 = held();
    let reviewed = dom0.plan_id(NIC);
    dom0.qube_has(7, "sys-net", NIC);
    dom0.run_changing_nothing(&["--json", "reattach", NIC, "--plan", &reviewed]).fails(4, "plan-stale");
    let now = dom0.plan_id(NIC);
    dom0.run_changing_nothing(&["--json", "reattach", NIC, "--plan", &now]).fails(3, "in-use");
    dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(3, "in-use");
}

#[test]
fn another_operation_is_not_disturbed() {
    let dom0 = held();
    dom0.write("run/qubes-dom0-pci.lock", "");
    let file = std::fs::File::open(dom0.path("run/qubes-dom0-pci.lock")).unwrap();
    let _lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .unwrap();
    // Reading does not wait for it.
    dom0.run(&["list"]).exits(0);
    dom0.run(&["plan", NIC]).exits(4);
}

#[test]
fn what_has_to_be_read_and_cannot_be_is_an_input_error() {
    for path in ["proc/cmdline", "proc/sys/kernel/random/boot_id", "proc/sys/kernel/osrelease"] {
        let dom0 = held();
        dom0.remove(path);
        dom0.run(&["--json", "plan", NIC]).fails(11, "unreadable");
    }
}
