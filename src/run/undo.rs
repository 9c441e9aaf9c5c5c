//! The undo of an operation: after a step that failed, and for `recover`.
//!
//! Only what still reads as this run left it is put back. What counts first is
//! that the function is never dom0's without a driver: after a dequarantine the
//! driver goes off, then Xen quarantines it again, then the rest.

use super::operation::Operation;
use super::outcome::{Ending, Outcome, Progress, StepReport, Trouble};
use crate::error::{Code, Exit, Failure};
use crate::journal::Details;
use crate::names::{DriverName, Owner, Standing, Step};
use std::time::Instant;

/// These come first where it is open, and need to know nothing else.
const CLOSE: [Step; 2] = [Step::UndoUnbind, Step::UndoOwner]; // mutant: undo-wrong-order
const REST: [Step; 5] =
    [Step::UndoUnbind, Step::UndoOwner, Step::UndoBind, Step::UndoSlot, Step::UndoOverride];

impl Operation<'_> {
    /// Ends an operation that met trouble.
    pub(super) fn fail(self, trouble: Trouble) -> Ending {
        let message = trouble.message();
        match trouble {
            Trouble::Hung(_) => self.end(
                Exit::Hung,
                Code::Hung,
                format!("{message}; nothing more is done to it"),
                "reboot: a write that hangs cannot be taken back".to_owned(),
            ),
            _ if self.is_gone() => self.gone(&message),
            Trouble::HandsOff(_) => self.hands_off(&message),
            Trouble::Used(_) => self.leave(&message),
            Trouble::Failed { hint, .. } => self.undo(&message, hint, Exit::Undone),
            // A function that was only pinned until then is untouched once the pin is off: that is a refusal.
            Trouble::InUse { hint, .. } => {
                let changed =
                    |report: &StepReport| report.outcome == Outcome::Done && report.step != Step::Pin;
                let refused = if self.reports.iter().any(changed) { Exit::Undone } else { Exit::Refused };
                self.undo(&message, hint, refused)
            }
            Trouble::Lost(_) => self.undo(&message, "check free memory (dmesg)".to_owned(), Exit::Undone),
            Trouble::Journal(Failure { hint, .. }) => self.undo(&message, hint, Exit::Io),
        }
    }

    /// There is nothing left to put back but what the guard changed for others.
    pub(super) fn gone(mut self, message: &str) -> Ending {
        let note = self.guard_undone().unwrap_or_else(|trouble| Some(trouble.message()));
        let note = note.map(|note| format!("; {note}")).unwrap_or_default();
        let message = format!("{message}; the device is gone{note}");
        let hint = "look at it; plugged in again, it is in the hands of whoever takes it: run `list`";
        self.end(Exit::NotUndone, Code::Gone, message, hint.to_owned())
    }

    /// Another has the function: nothing of it is touched any more, but where
    /// nobody took it, it is not left open.
    pub(super) fn hands_off(mut self, message: &str) -> Ending {
        let mut notes = Vec::new();
        if self.may_be_open() && !self.a_qube_takes_it() {
            // mutant: hands-off-leaves-open
            notes.extend(self.leave_nothing_open().err().map(|trouble| trouble.message()));
        }
        // What was set to reset it is put back, whoever has it now.
        notes.extend(self.widen_reset().err().map(|trouble| trouble.message()));
        // A driver of another actor may be reading its disks: the rule for them stays.
        notes.extend(self.restore_settings_or_say());
        let notes: String = notes.iter().map(|note| format!("; {note}")).collect();
        let message = format!("{message}; nothing more is done to it{notes}");
        self.end(Exit::NotUndone, Code::HandsOff, message, "run `list` to see who has it".to_owned())
    }

    /// Another device stands where this operation's was: nothing of it is written, but what the guard
    /// changed for all devices is put back.
    pub(super) fn another_device(mut self, message: &str, differs: &str) -> Ending {
        let note = self.guard_undone().unwrap_or_else(|trouble| Some(trouble.message()));
        let note = note.map(|note| format!("; {note}")).unwrap_or_default();
        let message = format!(
            "{message}; another device stands at the address now ({differs}), and is left alone{note}"
        );
        self.end(Exit::NotUndone, Code::HandsOff, message, "run `list` to see what it is".to_owned())
    }

    pub(super) fn undo(mut self, message: &str, hint: String, undone: Exit) -> Ending {
        let mut troubles = Vec::new();
        if self.a_qube_takes_it() {
            return self.hands_off(message);
        }
        if self.expected.opened && self.has_iommu() {
            let (closed, what) = (self.closed(), self.expected.start.to_string());
            if let Err(trouble) = self.walk(&CLOSE, &closed, &what, &mut troubles) {
                return self.stopped(message, trouble);
            }
        }
        let now = match self.sources.standing(self.plan.sbdf) {
            Ok(now) => now,
            Err(_) if self.is_gone() => return self.gone(message),
            Err(failure) => return self.unreadable(message, failure),
        };
        if let Some(foreign) = self.expected.foreign(&now) {
            // mutant: undo-of-anothers
            return self.hands_off(&format!("{message}; meanwhile {foreign}"));
        }
        let goal = goal(&self.expected.start, &now, self.sources.sysfs.has_pciback(), self.has_iommu());
        if let Err(trouble) = self.walk(&REST, &goal, &goal.to_string(), &mut troubles) {
            return self.stopped(message, trouble);
        }
        // mutant: reset-not-widened
        troubles.extend(self.widen_reset().err().map(|trouble| trouble.message()));

        // The rule for its disks stays until its driver is off; what is set for all devices does not.
        let mut message = message.to_owned();
        let driven = self
            .sources
            .standing(self.plan.sbdf)
            .map_or(true, |now| now.driver.as_ref().is_some_and(|driver| !driver.is_holder()));
        let unguarded = match driven && goal.driver.as_ref().is_none_or(DriverName::is_holder) {
            true => self.restore_settings(), // mutant: guard-off-under-driver
            false => self.guard_undone(),
        };
        match unguarded {
            // What another set is no trouble: it is left alone.
            Ok(note) => message.extend(note.map(|note| format!("; {note}"))),
            Err(trouble) => troubles.push(trouble.message()),
        }
        if !troubles.is_empty() {
            troubles.extend(self.leave_nothing_open().err().map(|trouble| trouble.message()));
        }
        self.conclude((message, hint), undone, &goal, &troubles)
    }

    /// Takes undo steps one by one. A step that fails does not keep the next from
    /// being tried; only a hang or another actor ends it.
    fn walk(
        &mut self,
        steps: &[Step],
        goal: &Standing,
        what: &str,
        troubles: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        let sbdf = self.plan.sbdf;
        for &step in steps {
            let began = Instant::now();
            // Without a journal the way back is still the safer one.
            let _ = self.writer.intent(step, sbdf, what, &Details::None); // mutant: undo-without-journal-not
            (self.progress)(&Progress::Begins(step));
            let undone = self.perform_undo(step, goal); // mutant: undo-does-nothing
            match undone {
                Ok(None) => self.writer.skipped(step, sbdf, "nothing to do"),
                Ok(Some(proof)) => {
                    self.writer.done(step, sbdf, &proof);
                    self.report(step, Outcome::Done, proof, began.elapsed());
                }
                Err(trouble) => {
                    self.writer.failed(step, sbdf, &trouble.message());
                    self.report(step, Outcome::Failed, trouble.message(), began.elapsed());
                    match trouble {
                        Trouble::Hung(_) | Trouble::HandsOff(_) | Trouble::Used(_) => {
                            return Err(trouble.at(step))
                        }
                        other => troubles.push(other.message()),
                    }
                }
            }
        }
        Ok(())
    }

    fn stopped(self, message: &str, trouble: Trouble) -> Ending {
        match trouble {
            Trouble::HandsOff(message) => self.hands_off(&message),
            Trouble::Used(used) => self.leave(&format!("{message}; {used}")),
            other => self.fail(other),
        }
    }

    /// What cannot be read cannot be put back; it is not left open for all that.
    pub(super) fn unreadable(mut self, message: &str, failure: Failure) -> Ending {
        let note = if self.may_be_open() { self.leave_nothing_open().err() } else { None };
        let note = note.map(|trouble| format!("; {}", trouble.message())).unwrap_or_default();
        let message = format!("{message}; its state cannot be read, for {}{note}", failure.message);
        self.end(Exit::NotUndone, Code::NotUndone, message, failure.hint)
    }

    fn conclude(
        self,
        (message, hint): (String, String),
        undone: Exit,
        goal: &Standing,
        troubles: &[String],
    ) -> Ending {
        let is = self.sources.standing(self.plan.sbdf);
        match is {
            Ok(is) if is == *goal && troubles.is_empty() => {
                let how = if is == self.expected.start {
                    "it is exactly as it was"
                } else {
                    "it is safer than it was"
                };
                self.end(undone, Code::Undone, format!("{message}; undone: {how}"), hint)
            }
            Ok(is) => {
                let safe = is.driver.is_none() && is.owner == Owner::Quarantine;
                let how = if safe { "driverless and quarantined" } else { "not as it was" };
                let why =
                    if troubles.is_empty() { String::new() } else { format!(" ({})", troubles.join("; ")) };
                let message = format!("{message}; not undone{why}: it is {how}: {is}");
                self.end(Exit::NotUndone, Code::NotUndone, message, "run `list`; reboot".to_owned())
            }
            Err(_) if self.is_gone() => self.gone(&message),
            Err(failure) => {
                let message = format!("{message}; its state cannot be read: {}", failure.message);
                self.end(Exit::NotUndone, Code::NotUndone, message, failure.hint)
            }
        }
    }
}

/// Where the undo goes: the state before, or, where that was broken (a driver
/// bound in quarantine, dom0's without a driver) and something was changed, held
/// by pciback and quarantined; without pciback, driverless and quarantined; without
/// an IOMMU there is no quarantine.
fn goal(start: &Standing, now: &Standing, has_pciback: bool, has_iommu: bool) -> Standing {
    let quarantined = start.owner == Owner::Quarantine;
    let driven = start.driver.as_ref().is_some_and(|driver| !driver.is_holder());
    let broken = (driven && quarantined) || (start.driver.is_none() && !quarantined);
    if !broken || now == start {
        // What a hold quarantined stays so, unless a driver of dom0 gets it back.
        let owner = if driven { start.owner } else { now.owner.max_contained(start.owner) };
        return Standing { owner, ..start.clone() };
    }
    let pciback = Some(DriverName::PCIBACK).filter(|_| has_pciback);
    Standing {
        slot: pciback.is_some(),
        driver: pciback,
        driver_override: None,
        owner: if has_iommu { Owner::Quarantine } else { start.owner },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn state(driver: Option<&str>, owner: Owner) -> Standing {
        Standing {
            driver: driver.map(|name| DriverName::parse(name).unwrap()),
            driver_override: None,
            slot: driver == Some("pciback"),
            owner,
        }
    }

    #[test]
    fn a_state_that_was_whole_is_rebuilt_exactly() {
        let now = state(None, Owner::Dom0);
        for start in [
            state(Some("pciback"), Owner::Quarantine),
            state(Some("pciback"), Owner::Dom0),
            state(None, Owner::Quarantine),
            state(Some("e1000e"), Owner::Dom0),
        ] {
            assert_eq!(goal(&start, &now, true, true), start);
        }
    }

    #[test]
    fn a_broken_state_is_not_rebuilt_but_made_safe() {
        let now = state(None, Owner::Quarantine);
        for start in [state(Some("nvme"), Owner::Quarantine), state(None, Owner::Dom0)] {
            assert_eq!(goal(&start, &now, true, true), state(Some("pciback"), Owner::Quarantine));
            assert_eq!(goal(&start, &now, false, true), state(None, Owner::Quarantine));
            assert_eq!(goal(&start, &start, true, true), start);
        }
    }
}
