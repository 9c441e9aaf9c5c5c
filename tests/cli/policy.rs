//! The policy file: what the admin forbids besides, and what happens where it cannot be followed.

use crate::model::{Dom0, Function, Said};
use std::os::unix::fs::{symlink, PermissionsExt};

const NIC: &str = "0000:00:07.0";
const FILE: &str = "etc/qubes/dom0-pci.conf";
const ACCEPT: &str = "unknown-history,network";

fn under(policy: &str) -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.write(FILE, policy);
    mode(&dom0, 0o644);
    dom0
}

fn mode(dom0: &Dom0, mode: u32) {
    std::fs::set_permissions(dom0.path(FILE), std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The return is refused by this hazard, whatever is accepted, with this evidence.
#[track_caller]
fn stopped(dom0: &Dom0, id: &str, evidence: &str) {
    let plan = dom0.run_changing_nothing(&["--json", "plan", NIC]).exits(3).json();
    let hazards = plan["device"]["hazards"].as_array().unwrap();
    let hazard = hazards
        .iter()
        .find(|hazard| hazard["id"] == id && hazard["severity"] == "stop")
        .unwrap_or_else(|| panic!("{plan}"));
    assert!(hazard["evidence"].as_str().unwrap().contains(evidence), "{hazard}");
    assert_eq!(hazard["accept"], serde_json::Value::Null);
    let said = dom0.run_changing_nothing(&["--json", "reattach", NIC, "--accept", ACCEPT]).exits(3);
    assert!(said.json()["error"]["message"].as_str().unwrap().contains(id), "{}", said.out);
}

#[track_caller]
fn asked(dom0: &Dom0) -> Said {
    dom0.run(&["plan", NIC]).exits(4)
}

#[test]
fn without_a_policy_file_or_with_an_empty_one_nothing_is_stricter() {
    asked(&Dom0::with(Function::nic(NIC).held().quarantined()));
    asked(&under(""));
    asked(&under("# nothing yet\n\n"));
}

#[test]
fn a_device_that_is_never_to_be_returned() {
    stopped(&under("never-return 00:07.0\n"), "policy", "line 1 of the policy: never-return 0000:00:07.0");
    stopped(&under("\nnever-return 8086:10d3\n"), "policy", "line 2 of the policy: never-return 8086:10d3");
    asked(&under("never-return 00:08.0\nnever-return 8086:10d4\n"));
    let mut disguised = Function::nic(NIC).held().quarantined();
    disguised.config[2..4].copy_from_slice(&0x15b8u16.to_le_bytes());
    let dom0 = Dom0::with(disguised);
    dom0.write(FILE, "never-return 8086:15b8\n");
    mode(&dom0, 0o600);
    stopped(&dom0, "policy", "never-return 8086:15b8");
}

#[test]
fn a_hazard_that_becomes_a_stop() {
    stopped(&under("stop network\n"), "network", "class 020000; line 1 of the policy: stop network");
    asked(&under("stop usb\n"));
}

#[test]
fn a_qube_whose_label_is_not_known_may_have_the_untrusted_one() {
    let dom0 = under("untrusted-label red\n");
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/7/0/domain", "sys-net");
    stopped(&dom0, "exposed", "line 1 of the policy: untrusted-label red");
    // So may the qubes of a time that nobody recorded.
    stopped(&under("untrusted-label red\n"), "unknown-history", "untrusted-label red");
}

#[test]
fn a_label_is_the_same_in_any_letters() {
    const HAD: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:07.0","qube":"sys-net","label":"red","source":"xenstore","domain":3"#;
    for rule in ["untrusted-label red", "untrusted-label Red", "untrusted-label RED"] {
        let dom0 = under(rule);
        dom0.remembers(&[("08:00:00", "11111111", HAD)]);
        stopped(&dom0, "exposed", rule);
    }
}

#[test]
fn a_policy_that_cannot_be_followed_is_a_stop_and_no_default() {
    for (policy, why) in [
        ("stop network\nallow usb\n", "line 2 is not a rule: `allow usb`"),
        ("never-return\n", "line 1 is not a rule"),
        ("stop netwrok\n", "line 1 of the policy: stop netwrok: no warning has that id"),
        ("stop in-use\n", "no warning has that id"),
        ("stop never-exposed\n", "no warning has that id"),
        ("stop \x1b[2J\n", "line 1 is not a rule: `stop \\x1b[2J`"),
    ] {
        stopped(&under(policy), "policy", why);
    }
    stopped(&under(&"# long\n".repeat(20_000)), "policy", "is larger than 64 KiB");
}

#[test]
fn a_policy_that_others_could_have_written_is_a_stop() {
    for loose in [0o664, 0o646, 0o666] {
        let dom0 = under("# nothing\n");
        mode(&dom0, loose);
        stopped(&dom0, "policy", "can be written by others than root: look who changed it; then chown");
    }
}

#[test]
fn what_is_no_regular_file_is_a_stop() {
    let dom0 = under("");
    dom0.remove(FILE);
    std::fs::create_dir(dom0.path(FILE)).unwrap();
    stopped(&dom0, "policy", "is no regular file");
    dom0.remove(FILE);
    symlink("nowhere", dom0.path(FILE)).unwrap();
    stopped(&dom0, "policy", "is a link");
    std::fs::remove_file(dom0.path(FILE)).unwrap();
    // A pipe nobody writes to does not hold the program up.
    nix::unistd::mkfifo(&dom0.path(FILE), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    let said = dom0.run(&["--json", "plan", NIC]).exits(3);
    assert!(said.out.contains("is no regular file"), "{}", said.out);
}

#[test]
fn what_dom0_drives_already_is_not_touched_by_a_policy() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    dom0.write(FILE, "never-return 00:07.0\n");
    dom0.run(&["plan", NIC]).exits(0).says("there is nothing to do");
}

#[test]
fn the_way_back_to_pciback_is_open_under_every_policy() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.write(FILE, "nonsense\n");
    dom0.run(&["hold", NIC]).exits(0).says("there is nothing to do");
}

#[test]
fn another_policy_is_another_plan() {
    let dom0 = under("# one\n");
    let reviewed = dom0.plan_id(NIC);
    dom0.write(FILE, "# two\n");
    assert_ne!(dom0.plan_id(NIC), reviewed);
    let arguments = ["--json", "reattach", NIC, "--accept", ACCEPT, "--plan", &reviewed];
    dom0.run_changing_nothing(&arguments).fails(4, "plan-stale");
}
