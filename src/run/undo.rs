//! The way back from every step.
//!
//! Only what still reads as this run left it is put back. What counts first is
//! that the function is never dom0's without a driver: after a dequarantine the
//! driver goes off, then Xen quarantines it again, then the rest.

use super::outcome::{Outcome, StepReport, Trouble};
use super::{free_of, Ending, Operation};
use crate::error::{Code, Exit, Failure};
use crate::journal::Details;
use crate::names::{DriverName, Owner, Standing, Step};
use crate::system::worker::Act;
use std::time::Instant;

/// One step of the way back: `None` where there was nothing to do, else its proof.
type UndoStep<'a> = fn(&mut Operation<'a>, &Standing) -> Result<Option<String>, Trouble>;

impl<'a> Operation<'a> {
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

    /// Whether the device was pulled.
    pub(super) fn is_gone(&self) -> bool {
        self.sources.sysfs.is_there(self.plan.sbdf).is_ok_and(|there| !there)
    }

    /// There is nothing left to put back but what the guard changed for others.
    pub(super) fn gone(mut self, message: &str) -> Ending {
        let note = self.guard_undone().unwrap_or_else(|trouble| Some(trouble.message()));
        let note = note.map(|note| format!("; {note}")).unwrap_or_default();
        let message = format!("{message}; the device is gone{note}");
        let hint = "look at it; plugged in again, it is in the hands of whoever takes it: run `list`";
        self.end(Exit::NotUndone, Code::Gone, message, hint.to_owned())
    }

    /// Another has the function: nothing of it is touched any more, but where nobody took it, it is not left open.
    pub(super) fn hands_off(mut self, message: &str) -> Ending {
        let mut notes = Vec::new();
        if self.may_be_open() && !self.a_qube_takes_it() {
            notes.extend(self.leave_nothing_open().err().map(|trouble| trouble.message()));
        }
        // What was set to reset it is put back, whoever has it now.
        notes.extend(self.widen_reset().err().map(|trouble| trouble.message()));
        // A driver of another actor may be reading its disks: the rule for them stays.
        notes.extend(self.restore_global_or_say());
        let notes: String = notes.iter().map(|note| format!("; {note}")).collect();
        let message = format!("{message}; nothing more is done to it{notes}");
        self.end(Exit::NotUndone, Code::HandsOff, message, "run `list` to see who has it".to_owned())
    }

    /// Another device stands where this operation's was: nothing of it is written, but what the guard changed for all
    /// devices is put back.
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
        if self.opened {
            // These come first and need to know nothing else: driver off, then DomIO.
            let close: [(Step, UndoStep<'a>); 2] =
                [(Step::UndoUnbind, Self::driver_off), (Step::UndoOwner, Self::close)];
            if let Err(trouble) = self.walk(&close, &self.start.clone(), &mut troubles) {
                return self.stopped(message, trouble);
            }
        }
        let now = match self.sources.standing(self.plan.sbdf) {
            Ok(now) => now,
            Err(_) if self.is_gone() => return self.gone(message),
            Err(failure) => return self.unreadable(message, failure),
        };
        if let Some(foreign) = self.left.foreign(&now) {
            return self.hands_off(&format!("{message}; meanwhile {foreign}"));
        }
        let goal = goal(&self.start, &now, self.sources.sysfs.has_pciback(), self.has_iommu());
        let rest: [(Step, UndoStep<'a>); 5] = [
            (Step::UndoUnbind, Self::undo_driver),
            (Step::UndoOwner, Self::undo_owner),
            (Step::UndoBind, Self::undo_bind),
            (Step::UndoSlot, Self::undo_slot),
            (Step::UndoOverride, Self::undo_override),
        ];
        if let Err(trouble) = self.walk(&rest, &goal, &mut troubles) {
            return self.stopped(message, trouble);
        }
        troubles.extend(self.widen_reset().err().map(|trouble| trouble.message()));
        // The guard stays until its driver is off.
        let mut message = message.to_owned();
        match self.guard_undone() {
            // What another set is no trouble: it is left alone.
            Ok(note) => message.extend(note.map(|note| format!("; {note}"))),
            Err(trouble) => troubles.push(trouble.message()),
        }
        if !troubles.is_empty() {
            troubles.extend(self.leave_nothing_open().err().map(|trouble| trouble.message()));
        }
        self.conclude(&message, hint, undone, &goal, &troubles)
    }

    /// Takes undo steps one by one. A step that fails does not keep the next from
    /// being tried; only a hang or another actor ends it.
    fn walk(
        &mut self,
        steps: &[(Step, UndoStep<'a>)],
        goal: &Standing,
        troubles: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        for &(step, undo) in steps {
            let began = Instant::now();
            // Without a journal the way back is still the safer one.
            let _ = self.record.intent(step, self.plan.sbdf, &goal.to_string(), Details::None);
            match undo(self, goal) {
                Ok(None) => self.record.skipped(step, self.plan.sbdf, "nothing to do"),
                Ok(Some(proof)) => {
                    self.record.done(step, self.plan.sbdf, &proof);
                    self.report(step, Outcome::Done, proof, began.elapsed());
                }
                Err(trouble) => {
                    self.record.failed(step, self.plan.sbdf, &trouble.message());
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

    /// Before dom0's driver is taken off: what cannot be read counts as used.
    fn dom0_does_not_use_it(&self) -> Result<(), Trouble> {
        match self.sources.dom0_uses(self.function) {
            Ok(uses) if uses.is_empty() => Ok(()),
            Ok(uses) => Err(Trouble::Used(format!("dom0 uses it by now: {}", uses.join(", ")))),
            Err(failure) => {
                Err(Trouble::Used(format!("whether dom0 uses it cannot be told: {}", failure.message)))
            }
        }
    }

    pub(super) fn has_iommu(&self) -> bool {
        self.sources.xen.as_ref().is_ok_and(|xen| xen.has_iommu().unwrap_or(true))
    }

    /// What cannot be read cannot be put back; it is not left open for all that.
    pub(super) fn unreadable(mut self, message: &str, failure: Failure) -> Ending {
        let note = if self.may_be_open() { self.leave_nothing_open().err() } else { None };
        let note = note.map(|trouble| format!("; {}", trouble.message())).unwrap_or_default();
        let message = format!("{message}; its state cannot be read, for {}{note}", failure.message);
        self.end(Exit::NotUndone, Code::NotUndone, message, failure.hint)
    }

    /// Whether it may be dom0's without a driver: this run took it out of quarantine, took its driver off, or met one that
    /// let it go by itself.
    fn may_be_open(&self) -> bool {
        let none = || matches!(self.sources.sysfs.driver(self.plan.sbdf), Ok(None));
        self.opened || (self.start.driver.is_some() && (self.left.drivers.contains(&None) || none()))
    }

    /// The last resort: dom0's without a driver is the one state that must not stay. A holder is none, but where it was
    /// found so.
    fn leave_nothing_open(&mut self) -> Result<(), Trouble> {
        let bound = self.sources.sysfs.driver(self.plan.sbdf)?;
        let as_found = bound == self.start.driver && self.start.owner == Owner::Dom0;
        if bound.is_some_and(|driver| !driver.is_holder() || as_found) || !self.has_iommu() {
            return Ok(());
        }
        self.close(&self.start.clone()).map(|_| ())
    }

    /// Whether a qube is taking the function, whose driver is another than this run left: nothing is written beside that.
    fn a_qube_takes_it(&mut self) -> bool {
        let Ok(driver) = self.sources.sysfs.driver(self.plan.sbdf) else { return false };
        let by_another = match &driver {
            // Whoever starts a qube takes dom0's driver off first.
            None => self.left.is_driven(),
            Some(_) => !self.left.drivers.contains(&driver),
        };
        by_another && matches!(self.nobody_takes_it(), Err(Trouble::HandsOff(_)))
    }

    /// Takes off the driver this run bound; one that gave up by itself is off.
    fn driver_off(&mut self, _: &Standing) -> Result<Option<String>, Trouble> {
        let sbdf = self.plan.sbdf;
        let Some(driver) = self.sources.sysfs.driver(sbdf)? else { return Ok(None) };
        self.no_other_driver()?;
        if driver.is_holder() {
            self.nobody_takes_it()?;
        } else {
            self.dom0_does_not_use_it()?;
        }
        match self.take_from_driver() {
            Ok(proof) => Ok(Some(proof)),
            Err(Trouble::Failed { .. }) if self.sources.sysfs.driver(sbdf)?.is_none() => {
                self.left.drivers = vec![None];
                Ok(Some("its driver let it go by itself".to_owned()))
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Into quarantine again; where the owner cannot be read it is asked for all
    /// the same: Xen refuses it for a function that a domain owns.
    fn close(&mut self, _: &Standing) -> Result<Option<String>, Trouble> {
        match self.sources.owner(self.plan.sbdf) {
            Ok(Owner::Quarantine) => Ok(None),
            Ok(Owner::Domain(id)) => Err(Trouble::HandsOff(format!("Xen gave it to domain {id}"))),
            Ok(Owner::Dom0 | Owner::Xen) | Err(_) => self.quarantine().map(Some),
        }
    }

    /// Before a change on the way back: nobody may be taking it. qubesd is not asked again, for it may be what broke:
    /// what it announced and said last counts. What cannot be asked is no other actor: the rest of the way is still tried.
    pub(super) fn nobody_takes_it(&mut self) -> Result<(), Trouble> {
        let free = match self.nobody_is_seen_with_it() {
            Ok(()) => free_of(self.starting.taker_by_last_answer()),
            seen => seen,
        };
        free.map_err(|trouble| match trouble {
            Trouble::InUse { message, .. } => Trouble::HandsOff(message),
            other => other,
        })
    }

    fn conclude(
        self,
        message: &str,
        hint: String,
        undone: Exit,
        goal: &Standing,
        troubles: &[String],
    ) -> Ending {
        let is = self.sources.standing(self.plan.sbdf);
        match is {
            Ok(is) if is == *goal && troubles.is_empty() => {
                let how =
                    if is == self.start { "it is exactly as it was" } else { "it is safer than it was" };
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
            Err(_) if self.is_gone() => self.gone(message),
            Err(failure) => {
                let message = format!("{message}; its state cannot be read: {}", failure.message);
                self.end(Exit::NotUndone, Code::NotUndone, message, failure.hint)
            }
        }
    }

    /// Driver off, where another or none belongs there.
    fn undo_driver(&mut self, goal: &Standing) -> Result<Option<String>, Trouble> {
        let bound = self.sources.sysfs.driver(self.plan.sbdf)?;
        if bound.is_none() || bound == goal.driver {
            return Ok(None);
        }
        self.driver_off(goal)
    }

    /// Xen's owner: back into quarantine, or (undoing a hold) back to dom0, on the
    /// way to dom0's driver and not otherwise.
    fn undo_owner(&mut self, goal: &Standing) -> Result<Option<String>, Trouble> {
        let driven = goal.driver.as_ref().is_some_and(|driver| !driver.is_holder());
        match (self.sources.owner(self.plan.sbdf)?, goal.owner) {
            (Owner::Dom0, Owner::Quarantine) => self.quarantine().map(Some),
            (Owner::Quarantine, Owner::Dom0) if driven => {
                self.nobody_takes_it()?;
                self.no_other_driver()?;
                // Its holder did not let it go: no driver of dom0 could take it then.
                if let Some(driver) = self.sources.sysfs.driver(self.plan.sbdf)? {
                    return Err(Trouble::failed(format!("{driver} still holds it"), "reboot"));
                }
                self.left.owners.push(Owner::Dom0);
                self.opened = true;
                self.act(&Act::Dequarantine(self.plan.sbdf))?;
                self.prove_owner(Owner::Dom0)?;
                Ok(Some("Xen's owner is dom0".to_owned()))
            }
            _ => Ok(None),
        }
    }

    fn undo_bind(&mut self, goal: &Standing) -> Result<Option<String>, Trouble> {
        let sbdf = self.plan.sbdf;
        let bound = self.sources.sysfs.driver(sbdf)?;
        let Some(driver) = goal.driver.clone().filter(|_| bound != goal.driver) else { return Ok(None) };
        self.nobody_takes_it()?;
        let owner = self.sources.owner(sbdf)?;
        if !driver.is_holder() && owner != Owner::Dom0 {
            return Err(Trouble::failed(format!("{driver} cannot work in quarantine"), "reboot"));
        }
        self.override_is_ours()?;
        self.set_override(Some(driver.as_str()))?;
        if driver.is_pciback() {
            return self.bind_pciback().map(Some);
        }
        self.left.drivers.push(Some(driver.clone()));
        let path = self.sources.sysfs.driver_folder(&driver).join("bind");
        self.act(&Act::Write(path, sbdf.to_string()))?;
        if self.sources.sysfs.driver(sbdf)?.as_ref() != Some(&driver) {
            return Err(Trouble::failed(format!("{driver} does not take it back"), "see dmesg"));
        }
        self.left.drivers = vec![Some(driver.clone())];
        Ok(Some(format!("{driver} has it again")))
    }

    /// What another wrote there is left alone.
    fn override_is_ours(&self) -> Result<(), Trouble> {
        let is = self.sources.driver_override(self.plan.sbdf)?;
        if self.left.overrides.contains(&is) {
            return Ok(());
        }
        let words = crate::names::escape(is.as_deref().unwrap_or("(null)").as_bytes());
        Err(Trouble::failed(
            format!("another set driver_override to `{words}`; it is left alone"),
            "see driverctl and udev rules",
        ))
    }

    fn undo_slot(&mut self, goal: &Standing) -> Result<Option<String>, Trouble> {
        let sbdf = self.plan.sbdf;
        let listed = self.sources.sysfs.slots()?.contains(&sbdf);
        if listed == goal.slot || !self.left.slots.contains(&listed) {
            return Ok(None);
        }
        let (file, words) = if goal.slot {
            ("new_slot", "pciback lists it again")
        } else {
            ("remove_slot", "pciback lists it no more")
        };
        self.left.slots = vec![true, false];
        let path = self.sources.sysfs.pciback_path(file);
        self.act(&Act::Write(path, sbdf.to_string()))?;
        if self.sources.sysfs.slots()?.contains(&sbdf) != goal.slot {
            return Err(Trouble::failed(
                format!("pciback's slots are not as before after {file}"),
                "see dmesg",
            ));
        }
        self.left.slots = vec![goal.slot];
        Ok(Some(words.to_owned()))
    }

    fn undo_override(&mut self, goal: &Standing) -> Result<Option<String>, Trouble> {
        if self.sources.driver_override(self.plan.sbdf)? == goal.driver_override {
            return Ok(None);
        }
        self.override_is_ours()?;
        self.set_override(goal.driver_override.as_deref())?;
        let words = goal.driver_override.as_deref().unwrap_or("(null)");
        Ok(Some(format!("driver_override is {} again", crate::names::escape(words.as_bytes()))))
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
    let pciback = DriverName::parse("pciback").filter(|_| has_pciback);
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
