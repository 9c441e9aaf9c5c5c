//! What the recorder and `audit` have given up while they run, and what a person sees who is not root.

use crate::model::{missing, Dom0, Function, Said, QUBES_43};
use landlock::{AccessFs, LandlockStatus, Ruleset, RulesetAttr};
use serde_json::json;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NIC: &str = "0000:00:07.0";
/// Bits of `linux/capability.h`.
const DAC_READ_SEARCH: u64 = 1 << 2;
const SYS_ADMIN: u64 = 1 << 21;
const SYSLOG: u64 = 1 << 34;

/// Killed with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(dom0: &Dom0, arguments: &[&str]) -> Self {
        let mut command = dom0.command(arguments);
        Self(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// A line of its `/proc/PID/status`.
    fn status(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    }

    fn capabilities(&self, name: &str) -> u64 {
        u64::from_str_radix(&self.status(name), 16).unwrap()
    }

    /// It has these capabilities, as far as the tests have them, and can get no others.
    #[track_caller]
    fn has_only(&self, kept: u64) {
        until("new privileges are not ruled out", || self.status("NoNewPrivs") == "1");
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap();
        let own = u64::from_str_radix(own.trim(), 16).unwrap();
        until("capabilities are kept", || self.capabilities("CapEff") == kept & own);
        assert_eq!(self.capabilities("CapPrm"), kept & own);
        assert_eq!((self.capabilities("CapInh"), self.capabilities("CapAmb")), (0, 0));
        if own & (1 << 8) != 0 {
            // With CAP_SETPCAP.
            assert_eq!(self.capabilities("CapBnd") & !kept, 0);
        }
    }
}

#[track_caller]
fn until(what_not: &str, what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(Instant::now() < end, "{what_not}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether this kernel can hold a program to its folder. `tests/lab` has one that can.
fn has_landlock() -> bool {
    let harmless = || {
        let ruleset = Ruleset::default().handle_access(AccessFs::MakeBlock)?.create()?;
        ruleset.restrict_self().map(|status| status.landlock)
    };
    let found = std::thread::spawn(harmless).join().unwrap();
    let has = matches!(found, Ok(LandlockStatus::Available { .. }));
    if !has {
        missing("this kernel has no Landlock");
    }
    has
}

fn fresh() -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    dom0.write("dev/kmsg", "6,0,0,-;Linux version 6.12.0-model\n");
    std::fs::create_dir_all(dom0.path("run/model")).unwrap();
    dom0
}

fn lines(journal: &Path) -> String {
    std::fs::read_to_string(journal.join("000000000000.jsonl")).unwrap_or_default()
}

/// The kernel says that a driver took the card.
fn tell_bind(dom0: &Dom0, number: u32) {
    let path = format!("/devices/pci0000:00/{NIC}");
    let text = format!("bind@{path}\0ACTION=bind\0DEVPATH={path}\0SUBSYSTEM=pci\0DRIVER=pciback\0PCI_SLOT_NAME={NIC}\0SEQNUM={number}\0");
    UnixDatagram::unbound().unwrap().send_to(text.as_bytes(), dom0.path("run/model/uevents")).unwrap();
}

#[test]
fn the_recorder_keeps_two_capabilities() {
    let dom0 = fresh();
    let recorder = Running::start(&dom0, &["record"]);
    recorder.has_only(SYS_ADMIN | SYSLOG);
    until("it does not record", || lines(&dom0.journal()).contains("\"phase\":\"start\""));
}

#[test]
fn a_recorder_whose_journal_is_swapped_for_a_link_does_not_follow_it() {
    if !has_landlock() {
        return;
    }
    let dom0 = fresh();
    let (journal, aside, trap) = (dom0.journal(), dom0.path("aside"), dom0.path("trap"));
    std::fs::create_dir(&trap).unwrap();
    std::fs::set_permissions(&trap, std::fs::Permissions::from_mode(0o700)).unwrap();
    let _recorder = Running::start(&dom0, &["record", "--heartbeat", "600"]);
    until("it does not record", || lines(&journal).contains("\"phase\":\"start\""));

    std::fs::rename(&journal, &aside).unwrap();
    symlink(&trap, &journal).unwrap();
    dom0.write(&format!("sys/bus/pci/devices/{NIC}/driver_override"), "pciback\n");
    dom0.drives(NIC, Some("pciback"));
    tell_bind(&dom0, 7);
    std::thread::sleep(Duration::from_secs(2));
    let written: Vec<_> = std::fs::read_dir(&trap).unwrap().collect();
    assert!(written.is_empty(), "{written:?}");

    // Back at its place it is written again, and says what is missing.
    std::fs::remove_file(&journal).unwrap();
    std::fs::rename(&aside, &journal).unwrap();
    until("it does not come back", || lines(&journal).contains("\"kind\":\"lost\""));
    dom0.run(&["audit", "verify"]).exits(0);
}

#[test]
fn who_follows_the_journal_can_only_read() {
    let dom0 = fresh();
    dom0.run(&["record", "--once"]).exits(0);
    let follower = Running::start(&dom0, &["audit", "log", "--follow"]);
    follower.has_only(DAC_READ_SEARCH);
}

#[test]
fn what_an_import_starts_writes_nothing() {
    if !has_landlock() {
        return;
    }
    let dom0 = fresh();
    dom0.run(&["record", "--once"]).exits(0);
    let (told, evil) = (dom0.path("told"), dom0.path("evil"));
    std::fs::write(&told, "").unwrap();
    // A file that is open already can be written; none can be opened for it.
    let script = format!(
        "#!/bin/sh\n(: >{evil}) 2>/dev/null && exit 1\n(: >>{told}) 2>/dev/null && exit 1\n\
         (: >{journal}/x) 2>/dev/null\nexit 0\n",
        evil = evil.display(),
        told = told.display(),
        journal = dom0.journal().display(),
    );
    dom0.write("usr/bin/journalctl", script);
    let program = dom0.path("usr/bin/journalctl");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    dom0.run(&["audit", "import"]).exits(0).says("journald");
    assert!(!evil.exists());
    dom0.run(&["audit", "import", "--dry-run"]).exits(0);
}

/// The program, run by somebody who is not root, on a model whose files belong to root as they do in dom0. `None` where
/// the tests are not root themselves: then all of them show it.
struct Somebody<'a> {
    dom0: &'a Dom0,
    program: PathBuf,
}

impl<'a> Somebody<'a> {
    fn on(dom0: &'a Dom0) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        // The build may lie where only root gets.
        let program = dom0.copy_of_program("usr/bin/qubes-dom0-pci");
        for (path, mode) in
            [("", 0o755), ("run/xenstored/socket", 0o600), ("dev/kmsg", 0o600), ("proc/xen/model", 0o700)]
        {
            std::fs::set_permissions(dom0.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        Some(Self { dom0, program })
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(&self.program);
        command.env_clear().env("TERM", "xterm").stdin(Stdio::null()).uid(65534).gid(65534);
        let answer = command.arg("--sysroot").arg(self.dom0.path("")).args(arguments).output().unwrap();
        let for_programs = arguments.iter().any(|argument| ["--json", "export"].contains(argument));
        Said::new(answer.status.code(), answer.stdout, answer.stderr, for_programs)
    }
}

#[test]
fn without_root_everything_is_shown_but_what_is_hidden_which_is_called_not_known() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.run(&["record", "--once"]).exits(0);
    let Some(somebody) = Somebody::on(&dom0) else { return };
    for (arguments, status) in [(&["list", "--long"][..], 0), (&["show", NIC], 0), (&["plan", NIC], 10)] {
        let said = somebody.run(arguments).exits(status);
        let run = format!("sudo qubes-dom0-pci {}\n", arguments.join(" "));
        assert!(said.out.starts_with("Not root: what follows is incomplete. Run:"), "{}", said.out);
        assert!(said.out.lines().take(2).collect::<String>().contains(run.trim_end()), "{}", said.out);
        said.says("pciback, slot listed; Xen's owner ?")
            .says("not known: run it with sudo")
            .never_says("in-use")
            .never_says("owner-unknown")
            .says("not seen: Xen's owners: Xen does not answer: Permission denied")
            .says("not seen: which qubes have devices: xenstore cannot be asked")
            .says("not seen: the journal: cannot open the journal's folder");
        let document = somebody.run(&[&["--json"], arguments].concat()).exits(status).json();
        assert_eq!(document["unseen"].as_array().unwrap().len(), 3, "{document}");
        assert_eq!((&document["pending"], &document["running"]), (&json!("unknown"), &json!("unknown")));
        let device = document.get("device").unwrap_or_else(|| &document["functions"][0]);
        assert_eq!(device["verdict"], json!({ "word": "unknown" }));
        let hazards = device["hazards"].as_array().unwrap();
        assert!(hazards.iter().all(|hazard| hazard["severity"] != "stop"), "{document}");
    }
    somebody.run(&["plan", NIC]).says("run this with sudo").never_says("shut");
    // That a right is missing is no fault of qubesd.
    dom0.qubes(QUBES_43);
    dom0.write("var/lib/qubes/qubes.xml", "");
    for path in ["run/qubesd.sock", "var/lib/qubes/qubes.xml"] {
        std::fs::set_permissions(dom0.path(path), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    somebody
        .run(&["show", NIC])
        .says("it cannot be told whether a qube that starts by itself takes it")
        .never_says("restart qubesd");
}

#[test]
fn without_root_what_can_be_seen_to_be_a_stop_stays_one_and_the_rest_is_not_guessed() {
    // What another may not see is not said of the one beside it either.
    let mut dom0 = Dom0::with(Function::root_port("0000:00:1c.0"));
    let behind = |bdf| Function::nic(bdf).held().behind(&["0000:00:1c.0"]).conventional();
    dom0.add(behind("0000:01:00.0")).add(behind("0000:01:01.0")).add(Function::nic(NIC).driven("e1000e"));
    dom0.add(Function::nic("0000:00:08.0").held().dead());
    dom0.write("etc/qubes/dom0-pci.conf", "stop unknown-history\nuntrusted-label red\n");
    let Some(somebody) = Somebody::on(&dom0) else { return };
    std::os::unix::fs::chown(dom0.path("etc/qubes/dom0-pci.conf"), Some(65534), None).unwrap();
    let word = |bdf: &str| {
        let document = somebody.run(&["--json", "show", bdf]).exits(0).json();
        document["device"]["verdict"].clone()
    };
    assert_eq!(word("0000:00:08.0"), json!({ "word": "refused", "stops": ["dead"] }));
    for bdf in ["0000:01:00.0", "0000:01:01.0", NIC] {
        assert_eq!(word(bdf), json!({ "word": "unknown" }), "{bdf}");
    }
}

#[test]
fn without_root_what_needs_it_is_refused_before_anything_is_changed() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.run(&["record", "--once"]).exits(0);
    let Some(somebody) = Somebody::on(&dom0) else { return };
    let before = lines(&dom0.journal());
    for arguments in [
        &["reattach", NIC, "--accept", "no-reset"][..],
        &["hold", NIC],
        &["rollback", NIC],
        &["recover"],
        &["record", "--once"],
    ] {
        somebody.run(arguments).exits(10).says("Permission denied");
    }
    assert_eq!(lines(&dom0.journal()), before);
}

#[test]
fn without_root_a_journal_is_refused_and_a_copy_of_it_read() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.run(&["record", "--once"]).exits(0);
    let Some(somebody) = Somebody::on(&dom0) else { return };
    let journal = dom0.journal();
    let copy = dom0.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(&journal).unwrap() {
        let entry = entry.unwrap();
        let file = copy.join(entry.file_name());
        std::fs::copy(entry.path(), &file).unwrap();
        std::os::unix::fs::chown(&file, Some(65534), Some(65534)).unwrap();
    }
    std::os::unix::fs::chown(&copy, Some(65534), Some(65534)).unwrap();
    let copy = copy.display().to_string();
    for arguments in [
        &["audit", "verify"][..],
        &["audit", "log", "-o", "records"],
        &["audit", "show", "0"],
        &["audit", "timeline"],
        &["audit", "export"],
        &["audit", "prune", "--before", "1"],
        // Writes beside the copy, which is its owner's.
        &["audit", "checkpoint"],
    ] {
        somebody.run(arguments).exits(10).says("Permission denied");
        let said = somebody.run(&[&["--journal", &copy], arguments].concat()).exits(0);
        assert_eq!(said.err, "", "{arguments:?}");
    }
    // Root reads what is somebody's; only the owner writes beside it.
    dom0.run(&["--journal", &copy, "audit", "verify"]).exits(0);
    dom0.run(&["--journal", &copy, "audit", "checkpoint"]).exits(0).says("not remembered beside the journal");
}
