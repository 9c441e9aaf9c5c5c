//! The system calls by which the program reads and writes its journal, each of them going wrong in turn: `strace` makes
//! the kernel refuse it to the unmodified program, or kills the program at it.

use super::ends::{ahead, hold, journal, left, stands, traces, Broken, Stands};
use super::scenario::{Found, Kind, Scenario, BDF};
use crate::model::acting::{Fault, Machine, Ran};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goes {
    /// It is refused with this errno, once.
    Wrong(&'static str),
    /// From it on every call of its name to the journal is.
    WrongForGood(&'static str),
    /// It says that it wrote less than it was given.
    Short,
    /// The program is killed at it.
    Deadly,
}

/// One call of a run and what becomes of it.
#[derive(Clone, Debug)]
pub struct CallCase {
    pub scenario: Scenario,
    /// `recover` meets it, after the run was killed behind this operation.
    pub interrupted: Option<usize>,
    pub call: String,
    pub number: usize,
    pub goes: Goes,
}

/// The calls that can fail, and how they do: what they take or make, disks that break, fill up or turn read-only, and a
/// kernel without memory.
const CALLS: [(&str, &[&str]); 11] = [
    ("openat", &["EIO", "EINTR", "ENOMEM", "EROFS", "ENOSPC"]),
    ("write", &["EIO", "ENOSPC", "EINTR", "EROFS", "ENOMEM"]),
    ("pwrite64", &["EIO", "ENOSPC", "EINTR", "EROFS", "ENOMEM"]),
    ("fdatasync", &["EIO", "ENOSPC", "EINTR", "EROFS", "ENOMEM"]),
    ("fsync", &["EIO", "ENOSPC", "EINTR", "EROFS", "ENOMEM"]),
    ("fallocate", &["EIO", "ENOSPC", "EINTR", "EROFS", "ENOMEM"]),
    ("flock", &["EINTR", "ENOMEM", "EIO"]),
    ("pread64", &["EIO", "EINTR", "ENOMEM"]),
    ("read", &["EIO", "EINTR", "ENOMEM"]),
    ("getdents64", &["EIO", "ENOMEM"]),
    ("close", &["EIO", "EINTR", "ENOSPC"]),
];

/// The words that make `strace` trace what touches the journal, and nothing else.
fn tracing(machine: &Machine) -> Vec<String> {
    let folder = machine.dom0.journal();
    let names: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    let mut words = vec!["-o".to_owned(), log(machine).display().to_string()];
    words.extend(["-e".to_owned(), format!("trace={}", names.join(","))]);
    for path in [folder.clone(), folder.join("000000000000.jsonl"), folder.join("HEAD")] {
        words.extend(["-P".to_owned(), path.display().to_string()]);
    }
    words
}

fn log(machine: &Machine) -> PathBuf {
    machine.dom0.path("strace")
}

/// Whether `strace` can be used here; why not.
pub fn possible() -> Result<(), String> {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    match traced {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("strace: {error}")),
    }
}

/// Which runs: a command on a device, and for `recover` the write behind which it was killed (from the end of its path).
pub fn runs() -> Vec<(Scenario, Option<&'static str>)> {
    let card = |command, found| Scenario { command, kind: Kind::Nic, found };
    vec![
        (card("reattach", Found::Held), None),
        (card("hold", Found::Driven), None),
        (card("rollback", Found::Held), None),
        // Back from where Xen holds it no more, and forward from a driver that was proved to be bound.
        (card("reattach", Found::Held), Some(".xen/dequarantine")),
        (card("reattach", Found::Held), Some("rom")),
        (card("hold", Found::Driven), Some(".xen/quarantine")),
    ]
}

/// Every call of a run, with every fault; one of `share` of them.
pub fn cases(scenario: Scenario, killed_at: Option<&str>, share: usize) -> Vec<CallCase> {
    let machine = scenario.machine();
    let interrupted = killed_at.map(|end| {
        let ran = machine.run(&scenario.arguments());
        assert_eq!(ran.status, Some(0), "{}", ran.text);
        let ops = machine.state().ops.clone();
        ops.iter().position(|op| op.writes && op.path.ends_with(end)).unwrap()
    });
    let machine = scenario.machine();
    if let Some(at) = interrupted {
        machine.arm(at, Fault::KilledAfter);
        assert_eq!(machine.run(&scenario.arguments()).status, None);
    }
    let ran = traced(&machine, &arguments(scenario, interrupted), None);
    assert_eq!(ran.status, Some(0), "{scenario:?}: {}", ran.text);
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(log(&machine)).unwrap().lines() {
        if let Some((name, _)) = line.split_once('(') {
            *counts.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    let mut cases = Vec::new();
    for (name, errors) in CALLS {
        for number in 1..=counts.get(name).copied().unwrap_or(0) {
            let mut all: Vec<Goes> = errors.iter().map(|errno| Goes::Wrong(errno)).collect();
            if ["write", "pwrite64"].contains(&name) {
                all.push(Goes::Short);
            }
            if ["write", "fdatasync", "fsync"].contains(&name) {
                all.push(Goes::Deadly);
            }
            if name != "close" {
                // No signal comes for ever: that is waited for.
                let lasting = errors.iter().filter(|errno| **errno != "EINTR");
                all.extend(lasting.take(2).map(|errno| Goes::WrongForGood(errno)));
            }
            cases.extend(all.into_iter().map(|goes| CallCase {
                scenario,
                interrupted,
                call: name.to_owned(),
                number,
                goes,
            }));
        }
    }
    cases.into_iter().step_by(share).collect()
}

fn arguments(scenario: Scenario, interrupted: Option<usize>) -> Vec<&'static str> {
    if interrupted.is_some() {
        vec!["recover", "--timeout", "70"]
    } else {
        scenario.arguments()
    }
}

fn traced(machine: &Machine, arguments: &[&str], injected: Option<String>) -> Ran {
    let mut words = tracing(machine);
    words.extend(injected.into_iter().flat_map(|inject| ["-e".to_owned(), inject]));
    machine.run_by("strace", &words, arguments)
}

/// A run whose last word the disk does not take.
pub fn without_its_end(scenario: Scenario, arguments: &[&str]) -> (Machine, Ran) {
    let whole = scenario.machine();
    let ran = traced(&whole, arguments, None);
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    let calls = std::fs::read_to_string(log(&whole)).unwrap();
    let last = calls.lines().filter(|line| line.starts_with("fdatasync(")).count();
    let machine = scenario.machine();
    let ran = traced(&machine, arguments, Some(format!("inject=fdatasync:error=EIO:when={last}")));
    (machine, ran)
}

impl CallCase {
    /// What was violated, with the whole story; `None` where nothing was.
    pub fn violation(&self) -> Option<String> {
        let machine = self.scenario.machine();
        let mut story = String::new();
        let broken = self.play(&machine, &mut story).err()?;
        Some(format!("{self:?}\n  {}\n{story}{}", broken.0, left(&machine)))
    }

    fn injection(&self) -> String {
        let (call, number) = (&self.call, self.number);
        match self.goes {
            Goes::Wrong(errno) => format!("inject={call}:error={errno}:when={number}"),
            Goes::WrongForGood(errno) => format!("inject={call}:error={errno}:when={number}+"),
            Goes::Short => format!("inject={call}:retval=7:when={number}"),
            Goes::Deadly => format!("inject={call}:signal=KILL:when={number}"),
        }
    }

    fn play(&self, machine: &Machine, story: &mut String) -> Result<(), Broken> {
        let before = machine.state().world.clone();
        if let Some(at) = self.interrupted {
            machine.arm(at, Fault::KilledAfter);
            hold!(machine.run(&self.scenario.arguments()).status.is_none(), "it was not killed");
        }
        let had = journal(machine).lines().count();
        let ran = traced(machine, &arguments(self.scenario, self.interrupted), Some(self.injection()));
        let _ = writeln!(story, "  {:?}: {}", ran.status, ran.text.trim());
        let met = std::fs::read_to_string(log(machine)).unwrap_or_default();
        let deadly = self.goes == Goes::Deadly;
        hold!(met.contains("(INJECTED") || deadly && ran.status.is_none(), "the call did not come");
        let standing = stands(self.scenario, machine, &before);
        let held = self.scenario.command == "hold";
        let wanted = if held { Stands::Held } else { Stands::Works };
        match ran.status {
            None => hold!(deadly, "it died"),
            // What the journal can do without.
            Some(0) if self.interrupted.is_none() => {
                hold!(standing == wanted, "exit 0 and it is {standing:?}")
            }
            Some(0) => hold!(standing != Stands::Wrong, "exit 0 and it is {standing:?}"),
            // Nothing was begun, for the journal could not be opened; or it was undone, or done and not written down.
            Some(10 | 11) => {
                hold!(self.interrupted.is_some() || standing != Stands::Wrong, "it is {standing:?}")
            }
            // What the journal says cannot be shown, and counts as the worse case.
            Some(3 | 7) => {
                let touched = machine.state().ops.iter().any(|op| op.writes);
                hold!(!touched && self.call == "pread64", "exit {:?} for a failing journal", ran.status)
            }
            other => hold!(false, "exit {other:?} for a failing journal"),
        }
        self.announced(machine)?;
        if ran.status.is_some() {
            self.told(machine, &ran, had, standing)?;
        }
        self.settles(machine, story)?;
        let standing = stands(self.scenario, machine, &before);
        hold!(standing != Stands::Wrong, "it is {standing:?} in the end");
        hold!(machine.state().untimely.is_empty(), "untimely: {:?}", machine.state().untimely);
        traces(self.scenario, machine, &before, standing)?;
        verifies(machine)
    }

    /// Every write that leads on had its intent on disk; of the way back the operation's start is the intent.
    fn announced(&self, machine: &Machine) -> Result<(), Broken> {
        let ahead = ahead(self.scenario, machine);
        hold!(ahead.is_empty(), "it did what it had not announced: {ahead:?}");
        let begun = journal(machine).contains("\"phase\":\"start\"");
        hold!(
            begun || !machine.state().ops.iter().any(|op| op.writes),
            "it wrote without a start in the journal"
        );
        Ok(())
    }

    /// Where the journal does not say how it ended, stderr and the kernel's log do.
    fn told(&self, machine: &Machine, ran: &Ran, had: usize, standing: Stands) -> Result<(), Broken> {
        let text = journal(machine);
        let begun =
            self.interrupted.is_some() || text.lines().skip(had).any(|it| it.contains("\"phase\":\"start\""));
        let ended = text.lines().skip(had).any(|it| it.contains("\"phase\":\"end\""));
        let touched = machine.state().ops.iter().any(|op| op.writes);
        if ended || !(begun && touched) {
            return Ok(());
        }
        let log = std::fs::read_to_string(machine.dom0.path("dev/kmsg")).unwrap_or_default();
        let told = log.lines().find(|line| line.starts_with("<11>qubes-dom0-pci: operation "));
        let Some(told) = told else {
            return Err(Broken("neither journal nor kernel log tell the end".into()));
        };
        let owner = match machine.state().world.devices.get(BDF).map(|it| it.owner) {
            Some(crate::model::acting::Owner::Quarantine) => "DomIO",
            _ => "dom0",
        };
        hold!(told.contains(BDF) && told.contains(owner), "{standing:?} is told as {told}");
        hold!(ran.text.contains("the journal lacks this end"), "stderr does not tell the end");
        Ok(())
    }

    /// A disk that is well again: what was left open is settled, once.
    fn settles(&self, machine: &Machine, story: &mut String) -> Result<(), Broken> {
        let first = machine.run(&["recover"]);
        let _ = writeln!(story, "  recover {:?}: {}", first.status, first.text.trim());
        hold!(matches!(first.status, Some(0 | 5)), "recover ends with {:?}", first.status);
        hold!(machine.state().unannounced.is_empty(), "recover did what it had not announced");
        let second = machine.run(&["recover"]);
        hold!(second.status == Some(0), "recover ends with {:?} the second time", second.status);
        hold!(second.text.contains("nothing to do"), "recover is not idempotent");
        hold!(!machine.state().ops.iter().any(|op| op.writes), "recover writes a second time");
        Ok(())
    }
}

/// The next record accounts for a torn tail; then nothing is wrong with the journal.
fn verifies(machine: &Machine) -> Result<(), Broken> {
    let next = audit::Journal::open(&machine.dom0.journal(), "11111111")
        .and_then(|mut journal| journal.append(&[audit::Draft::new("test")]));
    hold!(next.is_ok(), "the journal takes no more: {next:?}");
    let report = audit::verify(&machine.dom0.journal(), &audit::Against::default(), &|_, _| {});
    match report {
        Ok(report) => hold!(report.findings.is_empty(), "the journal: {:?}", report.findings),
        Err(error) => hold!(false, "the journal: {error}"),
    }
    Ok(())
}
