//! `recover`: settles what was interrupted.
//!
//! The journal says what was intended, the machine what is. First it looks whether the same device stands
//! there. It goes forward where dom0's driver is bound and nothing failed: then verify, unguard and unpin are
//! made up for. Else it goes back, by the same undo that a failed step has.

use super::operation::Operation;
use super::outcome::{Ending, Trouble};
use super::pending::{unclear, Interrupted};
use super::steps::undo_guard;
use super::writer::Writer;
use crate::error::{Code, Exit, Failure};
use crate::journal::Details;
use crate::names::{Direction, Owner, Standing, Step};
use crate::system::kernel_log::KernelLog;
use crate::system::root::Sysroot;
use crate::system::worker::{Answer, Worker};
use crate::system::xen::LogMark;
use std::time::Duration;

/// Puts back what an interrupted operation set for all devices, where its own is gone; in
/// words, where there was anything.
///
/// # Errors
/// It could not be put back, or its intent not be written.
pub fn settle_gone(
    root: &Sysroot,
    found: &Interrupted,
    writer: &mut Writer,
    timeout: Duration,
) -> Result<Option<String>, Failure> {
    let guard = found.trail.as_ref().and_then(|trail| trail.expected.guard.clone());
    let Some(mut guard) = guard else { return Ok(None) }; // mutant: guard-of-the-gone-stays
    let sbdf = found.clear()?;
    let what = "what was set for all devices is put back";
    writer.intent(Step::Unguard, sbdf, what, &Details::None)?;
    let mut worker = Worker::start(root, timeout)?;
    let undone = undo_guard(&mut guard, root, sbdf, &mut |act| match worker.carry_out(act) {
        Answer::Accepted => Ok(()),
        Answer::Refused { message, .. } => Err(Trouble::failed(message, "")),
        Answer::Hung => Err(Trouble::Hung(worker.stuck_in())),
        Answer::Lost(why) => Err(Trouble::Lost(format!("the child for kernel writes was lost: {why}"))),
    });
    match undone {
        Ok(note) => {
            let said = note.unwrap_or_else(|| what.to_owned());
            writer.done(Step::Unguard, sbdf, &said);
            Ok(Some(said))
        }
        Err(trouble) => {
            let why = trouble.message();
            writer.failed(Step::Unguard, sbdf, &why);
            Err(Failure::new(Exit::NotUndone, Code::Gone, why, "put it back by hand, or reboot"))
        }
    }
}

/// Settles an operation of this boot. The order's plan has the steps that come
/// after bind; the operation was prepared with what the interrupted one began with.
/// `keep`: forward only, and only where verify holds.
pub fn settle(mut operation: Operation<'_>, found: Interrupted, keep: bool) -> Ending {
    let was = format!("{} was interrupted", found.words());
    let sbdf = operation.plan.sbdf;
    let Some(trail) = found.trail else {
        let failure = unclear(&found.id);
        return operation.end(failure.exit, failure.code, failure.message, failure.hint);
    };
    operation.expected = trail.expected;
    operation.find_lost();
    if let Some(differs) = trail.device.differs(operation.sources, operation.function) {
        return operation.another_device(&was, &differs);
    }
    let now = match operation.sources.standing(sbdf) {
        Ok(now) => now,
        Err(_) if operation.is_gone() => return operation.gone(&was),
        Err(failure) => return operation.unreadable(&was, failure),
    };
    if let Some(foreign) = operation.expected.foreign(&now) {
        return operation.hands_off(&format!("{was}; meanwhile {foreign}"));
    }
    let driven = now.owner == Owner::Dom0 && now.driver.as_ref().is_some_and(|driver| !driver.is_holder());
    if keep && !driven {
        let message = format!("{was}; no driver of dom0 has it, so there is nothing to keep");
        return operation.leave(&message);
    }
    let leads_on = operation.expected.leads_on(&now, operation.has_iommu());
    if !keep && !leads_on {
        // mutant: recover-never-on
        // What dom0 drives as it did at the beginning is not open.
        operation.expected.opened &= !(driven && now.driver == operation.expected.start.driver);
        return operation.undo(&was, String::new(), Exit::Done);
    }
    operation.lead_on(&was, &now, keep)
}

impl Operation<'_> {
    /// Makes up for the steps after bind.
    fn lead_on(mut self, was: &str, now: &Standing, keep: bool) -> Ending {
        self.expected.drivers = vec![now.driver.clone(), None];
        // What speaks against it may have been said before the crash.
        match KernelLog::from_boot(&self.sources.root) {
            Ok(log) => self.kernel_log = log,
            Err(failure) if keep => return self.leave(&format!("{was}; {}", failure.message)),
            Err(failure) => {
                return self.undo(&format!("{was}; {}", failure.message), failure.hint, Exit::Done)
            }
        }
        // A hold notes no place in Xen's log: then all of it counts.
        self.expected.xen_log = self.expected.xen_log.or_else(|| LogMark::from_number(0).filter(|_| keep));
        for planned in &self.plan.steps {
            if !self.lacks(planned.step, now, keep) {
                continue;
            }
            match self.take(planned) {
                Ok(()) => {}
                Err(trouble) if keep && planned.step == Step::Verify => {
                    return self.leave(&format!("{was}; {}", trouble.message()))
                }
                Err(trouble) => return self.fail(trouble),
            }
        }
        self.end(Exit::Done, Code::Done, format!("{was}; what was missing is made up for"), String::new())
    }

    /// Whether a step is still to be done.
    fn lacks(&self, step: Step, now: &Standing, keep: bool) -> bool {
        match step {
            // mutant: recover-on-unproved
            Step::Verify => keep || !self.expected.verified && self.plan.direction == Direction::Return,
            Step::Unguard => self.expected.guard.as_ref().is_some_and(|guard| guard.before.is_some()),
            Step::RemoveSlot => now.slot,
            _ => true,
        }
    }
}
