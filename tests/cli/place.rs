//! Where the journal and the policy stand: only root can write the folders on the way there, and none is a link.

use crate::model::{Dom0, Function};
use std::fs::{create_dir_all, set_permissions, Permissions};
use std::os::unix::fs::{chown, symlink, PermissionsExt};

const NIC: &str = "0000:00:07.0";
const ABOVE: &str = "var/lib/qubes-dom0-pci";

fn held() -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.write("log", "[2026-11-22 13:47:51] (XEN) [VT-D]d3:PCIe: map 0000:00:07.0\n");
    create_dir_all(dom0.path(ABOVE)).unwrap();
    dom0
}

fn mode(dom0: &Dom0, path: &str, mode: u32) {
    set_permissions(dom0.path(path), Permissions::from_mode(mode)).unwrap();
}

fn import(dom0: &Dom0) -> Vec<String> {
    ["--json", "audit", "import", "--xen-console"]
        .map(str::to_owned)
        .into_iter()
        .chain([dom0.path("log").display().to_string()])
        .collect()
}

/// Every command that writes the journal, or goes by it, refuses and says what to type.
#[track_caller]
fn refused(dom0: &Dom0, doubt: &str, remedy: &str) {
    let import = import(dom0);
    let import: Vec<&str> = import.iter().map(String::as_str).collect();
    for command in [
        &["--json", "reattach", NIC][..],
        &["--json", "hold", NIC],
        &["--json", "plan", NIC],
        &["--json", "recover"],
        &["--json", "rollback", "--last"],
        &["--json", "record", "--once"],
        &["--json", "audit", "repair", "--yes"],
        &["--json", "audit", "prune", "--before", "9", "--yes"],
        &import,
    ] {
        let said = dom0.run_changing_nothing(command).fails(11, "not-trusted").json();
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains(&dom0.path(doubt).display().to_string()), "{command:?}: {message}");
        let hint = said["error"]["hint"].as_str().unwrap();
        assert!(hint.contains(remedy), "{command:?}: {hint}");
    }
    let unseen = dom0.json(&["list"])["unseen"].to_string();
    assert!(unseen.contains("is not safe where it is"), "{unseen}");
    let shown = dom0.json(&["show", NIC]).to_string();
    assert!(shown.contains("unknown-history"), "{shown}");
}

#[test]
fn a_folder_above_the_journal_that_others_can_write_is_refused() {
    for (above, loose) in [("var/lib", 0o2770), ("var/lib", 0o775), (ABOVE, 0o757), ("var", 0o777)] {
        let dom0 = held();
        mode(&dom0, above, loose);
        refused(&dom0, above, "chmod go-w");
        assert!(!dom0.journal().exists());
        mode(&dom0, above, 0o755);
        dom0.run(&["record", "--once"]).exits(0);
        mode(&dom0, above, loose);
        refused(&dom0, above, "chmod go-w");
        // To look at it is another thing.
        dom0.run(&["audit", "verify"]).exits(0);
        dom0.run(&["audit", "log"]).exits(0);
    }
}

#[test]
fn a_link_on_the_way_to_the_journal_is_refused_and_not_followed() {
    for link in [ABOVE, "var/lib/qubes-dom0-pci/journal"] {
        let dom0 = held();
        create_dir_all(dom0.path("var/log/journal")).unwrap();
        let _ = std::fs::remove_dir(dom0.path(link));
        let target = if link == ABOVE { dom0.path("var/log") } else { dom0.path("var/log/journal") };
        symlink(target, dom0.path(link)).unwrap();
        refused(&dom0, link, "rm ");
        assert_eq!(std::fs::read_dir(dom0.path("var/log/journal")).unwrap().count(), 0);
    }
}

#[test]
fn a_folder_of_another_user_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let dom0 = held();
    chown(dom0.path(ABOVE), Some(12345), None).unwrap();
    refused(&dom0, ABOVE, "chown root:root");
}

#[test]
fn where_others_cannot_move_what_is_roots_a_journal_is_safe() {
    let dom0 = held();
    mode(&dom0, "var/lib", 0o1777);
    dom0.run(&["record", "--once"]).exits(0);
}

#[test]
fn a_journal_that_was_named_is_held_to_the_same() {
    let dom0 = held();
    create_dir_all(dom0.path("mnt/shared/copy")).unwrap();
    mode(&dom0, "mnt/shared", 0o777);
    let copy = dom0.path("mnt/shared/copy").display().to_string();
    dom0.run(&["--json", "--journal", &copy, "record", "--once"]).fails(11, "not-trusted");
    mode(&dom0, "mnt/shared", 0o755);
    dom0.run(&["--journal", &copy, "record", "--once"]).exits(0);
    mode(&dom0, "mnt/shared", 0o777);
    dom0.run(&["--journal", &copy, "audit", "verify"]).exits(0);
}

#[test]
fn a_policy_that_may_have_been_taken_away_is_a_stop() {
    let hazard = |dom0: &Dom0| {
        let plan = dom0.run_changing_nothing(&["--json", "plan", NIC]).exits(3).json();
        let hazards = plan["device"]["hazards"].as_array().unwrap();
        hazards.iter().find(|hazard| hazard["id"] == "policy").unwrap()["evidence"].to_string()
    };
    // There is no policy file: in a folder that others can write that proves nothing.
    let dom0 = held();
    create_dir_all(dom0.path("etc/qubes")).unwrap();
    dom0.run(&["plan", NIC]).exits(4);
    mode(&dom0, "etc/qubes", 0o2775);
    let said = hazard(&dom0);
    assert!(said.contains("can be written by group") && said.contains("chmod go-w"), "{said}");
    mode(&dom0, "etc/qubes", 0o755);
    std::fs::remove_dir(dom0.path("etc/qubes")).unwrap();
    create_dir_all(dom0.path("etc/other")).unwrap();
    symlink("other", dom0.path("etc/qubes")).unwrap();
    let said = hazard(&dom0);
    assert!(said.contains("is a link"), "{said}");
}
