//! Consent: what a script says, and what it is held to.

use crate::model::{Dom0, Function};

const NIC: &str = "0000:00:07.0";

fn exposed() -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/7/0/domain", "sys-net");
    dom0
}

#[test]
fn without_consent_nothing_happens_and_the_hint_lists_what_to_accept() {
    let dom0 = exposed();
    let said = dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(4, "consent-missing");
    let hint = said.json()["error"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.starts_with("reboot (recommended)"), "{hint}");
    assert!(hint.ends_with("--accept exposed:sys-net,unknown-history,network"), "{hint}");
}

#[test]
fn without_a_terminal_the_hazards_are_shown_and_nobody_is_asked() {
    let dom0 = exposed();
    let said = dom0.run_changing_nothing(&["reattach", NIC]).exits(4);
    let said = said.says("Hazards of giving 0000:00:07.0 back to dom0:").says("Recommended: reboot;");
    assert!(said.err.contains("not accepted: exposed:sys-net, unknown-history, network"), "{}", said.err);
}

#[test]
fn every_hazard_and_every_qube_has_to_be_named() {
    let dom0 = exposed();
    dom0.node("/local/domain/0/backend/pci/8/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/8/0/domain", "work");
    let attempts = [
        ("unknown-history,network", &["exposed:sys-net", "exposed:work"][..]),
        ("unknown-history,network,exposed", &["exposed:sys-net", "exposed:work"]),
        ("unknown-history,network,exposed:sys-net", &["exposed:work"]),
        ("unknown-history,exposed:work,exposed:sys-net", &["network"]),
        ("unknown-history,exposed:work,exposed:sys-net,no-reset", &["network"]),
    ];
    for (accept, missing) in attempts {
        let said = dom0.run_changing_nothing(&["--json", "reattach", NIC, "--accept", accept]);
        let said = said.fails(4, "consent-missing");
        let document = said.json();
        let named = document["accept"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
        let mut named: Vec<&str> = named.collect();
        named.sort_unstable();
        assert_eq!(named, missing, "{accept}: {document}");
    }
}

#[test]
fn plan_says_what_is_still_missing_and_exits_as_reattach_would() {
    let dom0 = exposed();
    let plan = dom0.run(&["--json", "plan", NIC, "--accept", "network"]).exits(4).json();
    assert_eq!(plan["accept"], serde_json::json!(["exposed:sys-net", "unknown-history"]));
    let all = ["--json", "plan", NIC, "--accept", "network,exposed:sys-net", "--accept", "unknown-history"];
    let plan = dom0.run_changing_nothing(&all).exits(0).json();
    assert_eq!(plan["accept"], serde_json::json!([]));
    assert_eq!(plan["exit"], 0);
}

#[test]
fn a_stop_is_refused_whatever_was_accepted() {
    let dom0 = exposed();
    dom0.runs(7, "sys-net");
    let accept = ["--json", "reattach", NIC, "--accept", "exposed:sys-net,unknown-history,network"];
    dom0.run_changing_nothing(&accept).fails(3, "in-use");
}

#[test]
fn the_same_facts_give_the_same_plan() {
    let dom0 = exposed();
    let id = dom0.plan_id(NIC);
    assert_eq!(id.len(), 16);
    assert_eq!(dom0.plan_id(NIC), id);
    dom0.run(&["plan", NIC, "--accept", "network"]).says(&format!("Plan {id}"));
    dom0.run(&["plan", "00_07.0"]).says(&format!("Plan {id}"));
    // What an attempt leaves behind (a journal, a lock) is not part of it.
    dom0.run(&["reattach", NIC]).exits(4);
    assert_eq!(dom0.plan_id(NIC), id);
    // Nor is a dom0 of the same facts elsewhere.
    assert_eq!(exposed().plan_id(NIC), id);
}

#[test]
fn another_fact_gives_another_plan() {
    let function = || Function::nic(NIC).held().quarantined();
    let mut ids = std::collections::BTreeSet::from([Dom0::with(function()).plan_id(NIC)]);
    let mut another = |what: &str, dom0: &Dom0| {
        assert!(ids.insert(dom0.plan_id(NIC)), "the same plan although {what} differs");
    };
    another("the owner", &Dom0::with(Function::nic(NIC).held()));
    another("the override", &Dom0::with(function().pinned("e1000e")));
    another("the slot", &Dom0::with(Function { slot: false, ..function() }));
    another("the driver", &Dom0::with(Function { slot: true, ..Function::nic(NIC).quarantined() }));
    another("the way of reset", &Dom0::with(function().resets_by("pm")));
    another("the modalias", &Dom0::with(function().with_modalias("pci:v00008086d000010D3sv0sd0bc02sc00i00")));
    another("who had it", &exposed());
    let mut other = function();
    other.config[8] = 2;
    another("the revision", &Dom0::with(other));
    let mut other = function();
    other.config[0x2e] = 2;
    another("the subsystem", &Dom0::with(other));
    another("the serial number", &Dom0::with(function().serial(1)));
    another("the capabilities", &Dom0::with(function().conventional()));
    let dom0 = Dom0::with(function());
    dom0.write("proc/sys/kernel/random/boot_id", "22222222-2222-3333-4444-555555555555\n");
    another("the boot", &dom0);
    let mut dom0 = Dom0::with(function());
    dom0.claim("other", "pci:v00008086d000010D3sv*sd*bc*sc*i*");
    another("the modules", &dom0);
}

#[test]
fn a_reviewed_plan_that_no_longer_holds_is_not_run() {
    let dom0 = exposed();
    let accept = "exposed:sys-net,unknown-history,network";
    let id = dom0.plan_id(NIC);
    dom0.write("sys/bus/pci/drivers/pciback/permissive", format!("{NIC}\n"));
    for id in [id.as_str(), "", "x", "0123456789abcdef", "\x1b[2J"] {
        let said = dom0.run_changing_nothing(&["--json", "reattach", NIC, "--accept", accept, "--plan", id]);
        said.fails(4, "plan-stale");
    }
}

/// The words of the command that `plan` prints, as a shell takes them apart.
fn printed(plan: &str) -> Vec<String> {
    let (_, command) = plan.split_once("in a script:\n").unwrap_or_else(|| panic!("{plan}"));
    let (command, _) = command.split_once("\n\n").unwrap_or((command, ""));
    let words = command.replace("qubes-dom0-pci ", "printf '%s\\n' ");
    let words = std::process::Command::new("sh").args(["-c", &words]).output().unwrap().stdout;
    String::from_utf8(words).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_command_that_plan_prints_leads_to_that_plan_and_needs_no_more() {
    let given: [&[&str]; 5] = [
        &[],
        &["--accept", "network"],
        &["--accept", "network,exposed:sys-net,unknown-history"],
        &["--driver", "two words", "--accept", "network"],
        &["--journal", "JOURNAL"],
    ];
    for given in given {
        let dom0 = exposed();
        dom0.register("two words");
        let journal = dom0.path("var/it's/journal").display().to_string();
        let given: Vec<&str> =
            given.iter().map(|&word| if word == "JOURNAL" { journal.as_str() } else { word }).collect();
        let plan = dom0.run_changing_nothing(&[&["plan", "00:07.0"][..], &given].concat());
        let words = printed(&plan.out);
        for word in &given {
            assert!(words.iter().any(|printed| printed.contains(word)), "{word}: {words:?}");
        }
        // The hint of `reattach` leads there too.
        if plan.status == 4 {
            let said = dom0.run_changing_nothing(&[&["--json", "reattach", NIC][..], &given].concat());
            let said = said.fails(4, "consent-missing");
            let hint = said.json()["error"]["hint"].as_str().unwrap().to_owned();
            let accept = words.last().unwrap();
            assert!(hint.ends_with(&format!("and --accept {accept}")), "{hint}");
            assert_eq!(hint.contains("--driver 'two words'"), given.contains(&"two words"), "{hint}");
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = dom0.run(&[&["--json"][..], &words].concat());
        assert!(said.out.contains("\"steps\""), "{words:?}: {}", said.out);
    }
}

#[test]
fn a_plans_id_is_no_consent() {
    let dom0 = exposed();
    let id = dom0.plan_id(NIC);
    dom0.run_changing_nothing(&["--json", "reattach", NIC, "--plan", &id]).fails(4, "consent-missing");
}

#[test]
fn a_plan_reviewed_before_a_fact_changed_is_not_run() {
    const ACCEPT: &str = "exposed:sys-net,unknown-history,network";
    type Change = fn(&Dom0);
    let changes: [(&str, Change); 6] = [
        ("a qube started", |dom0| dom0.runs(7, "sys-net")),
        ("another qube had it", |dom0| dom0.node("/local/domain/0/backend/pci/8/0/dev-0", NIC)),
        ("the driver changed", |dom0| dom0.remove("sys/bus/pci/devices/0000:00:07.0/driver")),
        ("the override changed", |dom0| {
            dom0.write("sys/bus/pci/devices/0000:00:07.0/driver_override", "vfio-pci\n");
        }),
        ("the policy changed", |dom0| {
            dom0.write("etc/qubes/dom0-pci.conf", "stop usb\n");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            std::fs::set_permissions(dom0.path("etc/qubes/dom0-pci.conf"), mode).unwrap();
        }),
        ("the machine was started anew", |dom0| {
            dom0.write("proc/sys/kernel/random/boot_id", "22222222-2222-3333-4444-555555555555\n");
        }),
    ];
    for (what, change) in changes {
        let dom0 = exposed();
        let id = dom0.plan_id(NIC);
        change(&dom0);
        let said = dom0.run_changing_nothing(&["--json", "reattach", NIC, "--accept", ACCEPT, "--plan", &id]);
        assert_eq!(said.status, 4, "{what}: {}", said.out);
        said.fails(4, "plan-stale");
    }
}

#[test]
fn who_accepted_what_is_in_the_journal() {
    let dom0 = exposed();
    dom0.write("proc/self/loginuid", "1000\n");
    let accept = "exposed:sys-net,unknown-history,network";
    let mut command = dom0.command(&["reattach", NIC, "--accept", accept]);
    command.env("SUDO_USER", "user\x1b[2J").output().unwrap();
    let journal = dom0.path("var/lib/qubes-dom0-pci/journal/000000000000.jsonl");
    let text = std::fs::read_to_string(journal).unwrap();
    let start =
        text.lines().find(|line| line.contains("\"phase\":\"start\"")).unwrap_or_else(|| panic!("{text}"));
    for member in [
        "\"accepted\":[\"exposed:sys-net\",\"unknown-history\",\"network\"]",
        "\"consent\":\"accept\"",
        "\"loginuid\":\"1000\"",
        "\"sudo_user\":\"user\\",
    ] {
        assert!(start.contains(member), "{member}: {start}");
    }
}

#[test]
fn quiet_says_nothing_but_errors() {
    let dom0 = exposed();
    for (arguments, status) in
        [(&["--quiet", "plan", NIC][..], 4), (&["list", "--quiet"], 0), (&["--quiet", "hold", NIC], 0)]
    {
        let said = dom0.run(arguments).exits(status);
        assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""), "{arguments:?}");
    }
    let said = dom0.run_changing_nothing(&["--quiet", "reattach", NIC]).exits(4);
    assert_eq!(said.out, "");
    assert!(said.err.starts_with("error: not accepted: exposed:sys-net"), "{}", said.err);
    dom0.run(&["--quiet", "--json", "list"]).exits(2);
    // A head that nobody sees is no checkpoint; records are what was asked for.
    dom0.run(&["--quiet", "audit", "checkpoint"]).exits(2).says("leave out --quiet");
    assert!(!dom0.journal().join("checkpoints").exists());
    assert!(dom0.command(&["--quiet", "audit", "export"]).output().unwrap().stdout.ends_with(b"}\n"));
}
