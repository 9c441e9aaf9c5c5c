//! One case: a run in which one operation goes wrong, `recover` twice, and what has
//! to hold then.

use super::ends::{ahead, direction, hold, left, stands, traces, Broken, Direction, Stands};
use super::scenario::{Found, Scenario};
use crate::model::acting::{Actor, Fault, Machine};
use std::fmt::Write;

/// An operation of a scenario and what happens at it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub scenario: Scenario,
    pub at: usize,
    /// Whether that operation is a write.
    pub writes: bool,
    pub fault: Fault,
    /// `recover` is killed too, after its writes of this number (from 0).
    pub again: Option<usize>,
}

impl Case {
    /// Whether it waits for nothing.
    pub fn is_quick(&self) -> bool {
        !matches!(self.fault, Fault::Hangs(_))
    }

    fn kills(&self) -> bool {
        use Fault::{ErrnoThenKilled, KilledAfter, KilledBefore, KilledWithin};
        matches!(self.fault, KilledBefore | KilledWithin | KilledAfter | ErrnoThenKilled(..))
    }

    /// What was violated, with the whole story; `None` where nothing was.
    pub fn violation(self) -> Option<String> {
        let machine = self.scenario.machine();
        let mut story = String::new();
        let broken = self.play(&machine, &mut story).err()?;
        Some(format!("{self:?}\n  {}\n{story}{}", broken.0, left(&machine)))
    }

    fn play(self, machine: &Machine, story: &mut String) -> Result<(), Broken> {
        let before = machine.state().world.clone();
        machine.arm(self.at, self.fault);
        let ran = machine.run(&self.scenario.arguments());
        let _ = writeln!(story, "  {:?}: {}", ran.status, ran.text.trim());
        self.announced(machine, "the run")?;
        let killed = self.kills() && !(machine.spares() && ran.status.is_some());
        let hung = matches!(self.fault, Fault::Hangs(_));
        let standing = stands(self.scenario, machine, &before);
        match ran.status {
            None => hold!(killed, "it died"),
            Some(0) => {
                let wanted = if self.scenario.command == "hold" { Stands::Held } else { Stands::Works };
                let after = matches!(self.fault, Fault::Before(_) | Fault::After(_) | Fault::Instead(_));
                hold!(
                    standing == wanted || after && standing != Stands::Wrong,
                    "exit 0 and it is {standing:?}"
                );
            }
            Some(1 | 5 | 11 | 12) => {
                hold!(standing != Stands::Wrong, "it is {standing:?} after exit {:?}", ran.status)
            }
            Some(2 | 3 | 4 | 10) => hold!(
                matches!(standing, Stands::AsBefore | Stands::Taken | Stands::Gone),
                "it is {standing:?} after a refusal"
            ),
            Some(6) => hold!(hung, "exit 6 and nothing hung"),
            Some(other) => hold!(false, "exit {other}"),
        }
        let complained = self.fault == Fault::After(Actor::Complains);
        hold!(
            !complained || ran.status != Some(0),
            "the kernel complains of its driver, and it counts as proved"
        );
        if hung {
            self.while_it_hangs(machine, story, ran.status)?;
        }
        let direction = direction(self.scenario, machine);
        self.recovers(machine, story)?;
        let standing = stands(self.scenario, machine, &before);
        hold!(standing != Stands::Wrong, "it is {standing:?} in the end");
        if self.scenario.command != "hold" {
            let works = standing == Stands::Works;
            hold!(
                direction != Direction::Back || !works,
                "recover led on where bind was not proved, or a step failed"
            );
            hold!(direction != Direction::On || !killed || works, "recover led back though bind was proved");
        }
        traces(self.scenario, machine, &before, standing)?;
        let state = machine.state();
        // Between a look and a write there is a moment that nobody can close.
        hold!(state.untimely.is_empty(), "untimely: {:?}", state.untimely);
        hold!(state.trespasses.len() <= 1, "touched after another took it: {:?}", state.trespasses);
        hold!(state.heedless.is_empty(), "touched though it had read who took it: {:?}", state.heedless);
        let report = audit::verify(&machine.dom0.journal(), &audit::Against::default(), &|_, _| {});
        match report {
            Ok(report) => hold!(report.findings.is_empty(), "the journal: {:?}", report.findings),
            Err(error) => hold!(error.kind() == audit::Kind::Absent, "the journal: {error}"),
        }
        Ok(())
    }

    /// The program has ended, the kernel still sits in the write: nobody touches it.
    fn while_it_hangs(
        self,
        machine: &Machine,
        story: &mut String,
        status: Option<i32>,
    ) -> Result<(), Broken> {
        hold!(status == Some(6), "a hang and exit {status:?}");
        let recovered = machine.run(&["recover"]);
        let _ = writeln!(story, "  while it hangs {:?}: {}", recovered.status, recovered.text.trim());
        hold!(recovered.status == Some(6), "recover beside a hang");
        hold!(!machine.state().ops.iter().any(|op| op.writes), "recover touched it beside a hang");
        hold!(machine.let_go(), "nothing was kept");
        Ok(())
    }

    fn recovers(self, machine: &Machine, story: &mut String) -> Result<(), Broken> {
        if let Some(passing) = self.again {
            machine.kill_after_writes(passing);
            let killed = machine.run(&["recover"]);
            let _ = writeln!(story, "  killed {:?}: {}", killed.status, killed.text.trim());
            self.announced(machine, "recover that was killed")?;
            hold!(
                machine.spares() || killed.status.is_none(),
                "a killed recover ends with {:?}",
                killed.status
            );
        }
        let first = machine.run(&["recover"]);
        let _ = writeln!(story, "  recover {:?}: {}", first.status, first.text.trim());
        self.announced(machine, "recover")?;
        let full = self.fault == Fault::JournalFull;
        hold!(
            matches!(first.status, Some(0 | 5)) || full && first.status == Some(11),
            "recover ends with {:?}",
            first.status
        );
        let settled = first.status != Some(11);
        if full {
            machine.frees_space();
        }
        let second = machine.run(&["recover"]);
        let _ = writeln!(story, "  again {:?}: {}", second.status, second.text.trim());
        hold!(second.status == Some(0), "recover ends with {:?} the second time", second.status);
        if settled {
            hold!(second.text.contains("nothing to do"), "recover is not idempotent");
            hold!(!machine.state().ops.iter().any(|op| op.writes), "recover writes a second time");
        }
        Ok(())
    }

    /// Every write had its intent on disk.
    fn announced(self, machine: &Machine, who: &str) -> Result<(), Broken> {
        let full = self.fault == Fault::JournalFull;
        let ahead = ahead(self.scenario, machine);
        hold!(ahead.is_empty(), "{who} led on without an intent: {ahead:?}");
        let state = machine.state();
        // Without a journal the start record is the intent of the way back.
        hold!(
            full || state.unannounced.is_empty(),
            "{who} did what it had not announced: {:?}",
            state.unannounced
        );
        Ok(())
    }
}

/// At most so many writes of `recover` are tried as its last.
const RECOVERS: usize = 6;

/// Every case of a scenario whose run has these operations.
pub fn cases(scenario: Scenario, every_read: bool) -> Vec<Case> {
    let machine = scenario.machine();
    let ran = machine.run(&scenario.arguments());
    assert_eq!(ran.status, Some(0), "{scenario:?}: {}", ran.text);
    let ops = machine.state().ops.clone();
    let first = ops.iter().position(|op| op.writes).unwrap();
    let driven =
        ops.iter().position(|op| op.writes && op.path.ends_with(&format!("{}/bind", scenario.kind.driver())));
    let unpin = ops.iter().rposition(|op| op.writes).unwrap();
    let actors = [Actor::Qube, Actor::Vanishes, Actor::Driver];
    let mut cases = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        let mut faults = Vec::new();
        if op.writes {
            faults.extend([5, 19].map(Fault::Errno));
            faults.extend([Fault::NoEffect, Fault::DoneAndErrno(5), Fault::JournalFull]);
            faults.extend([Fault::KilledBefore, Fault::KilledWithin, Fault::KilledAfter]);
            faults.extend([false, true].map(Fault::ChildKilled));
            faults.extend(actors.map(Fault::Before));
            faults.extend(actors.map(Fault::After));
            faults.extend(actors.map(Fault::Instead));
            if scenario.tries_reads() && at > first {
                faults.extend([0, 1].map(|passing| Fault::ErrnoThenKilled(5, passing)));
            }
            if scenario.found != Found::Broken {
                faults.extend([false, true].map(Fault::Hangs));
            }
        } else if every_read || at > first && scenario.tries_reads() {
            faults.extend([Fault::Errno(5), Fault::KilledBefore]);
            if every_read {
                faults.extend(actors.map(Fault::Before));
                faults.push(Fault::JournalFull);
            }
        }
        if driven == Some(at) {
            faults.push(Fault::After(Actor::Complains));
        }
        // A driver that gives up late is seen until the function is let go of.
        if driven.is_some_and(|bind| at >= bind) && at <= unpin && (op.writes || scenario.tries_reads()) {
            faults.push(Fault::After(Actor::LetsGo));
        }
        cases.extend(faults.into_iter().map(|fault| Case {
            scenario,
            at,
            writes: op.writes,
            fault,
            again: None,
        }));
        if op.writes {
            let twice = (0..RECOVERS).map(|writes| Case {
                scenario,
                at,
                writes: true,
                fault: Fault::KilledAfter,
                again: Some(writes),
            });
            cases.extend(twice);
        }
    }
    cases
}
