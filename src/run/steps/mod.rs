//! The steps: what each waits for, does, proves, and how it is undone. A step and its undo stand in one file.

mod assignment;
mod disks;
mod driver;
mod guard;
mod modules;
mod owner;
mod pin;
mod rom;
mod settle;
mod slot;
mod verify;

pub use assignment::can_unassign;
pub(super) use guard::undo as undo_guard;

use super::operation::Operation;
use super::outcome::Trouble;
use crate::journal::Details;
use crate::names::{Direction, Standing, Step};

impl Operation<'_> {
    /// What the intent of a step has to hold besides its name: what is read before the step changes it.
    pub(super) fn details(&self, step: Step) -> Result<Details, Trouble> {
        match step {
            Step::Settle => Ok(self.settle_details()),
            Step::Guard => Ok(self.guard_details()),
            Step::Bind => self.bind_details(),
            _ => Ok(Details::None),
        }
    }

    /// Reads again what has to hold before a step.
    pub(super) fn is_ready(&mut self, step: Step) -> Result<(), Trouble> {
        match (step, self.plan.direction) {
            (Step::Pin, Direction::Return) => self.nobody_has_it(),
            (Step::Unbind, Direction::Return) => self.nobody_has_it(),
            (Step::Unbind, Direction::Hold) => {
                self.nobody_has_it()?;
                self.can_do_without()
            }
            // Quarantined under a driver that runs, its DMA would be torn off.
            (Step::Pin | Step::Quarantine, Direction::Hold) => {
                self.nobody_has_it()?;
                self.no_other_driver() // mutant: quarantined-under-driver
            }
            (Step::Dequarantine, _) => {
                self.nobody_has_it()?;
                self.still_driverless()?;
                self.no_qube_is_beside()
            }
            (Step::Bind, _) => {
                self.nobody_has_it()?;
                self.still_driverless()
            }
            (Step::Settle, _) => self.still_driverless(),
            (Step::Load, Direction::Return) => self.load_takes_no_other(), // mutant: load-not-looked-again
            (Step::RemoveSlot, _) | (Step::Unpin, Direction::Hold) => self.still_ours(),
            (Step::Unpin, Direction::Return) => self.still_driven(),
            _ => Ok(()),
        }
    }

    /// Carries out a step and says what was proved.
    pub(super) fn perform(&mut self, step: Step) -> Result<String, Trouble> {
        match step {
            Step::Pin => self.pin(),
            Step::Unbind => self.take_from_driver(), // mutant: opened-under-driver
            Step::Settle => self.settle(),
            Step::RemoveSlot => self.remove_slot(),
            Step::Modalias => self.modalias(),
            Step::Resolve => self.resolve(),
            Step::Load => self.load(),
            Step::Guard => self.guard_on(),
            Step::Dequarantine => self.dequarantine(),
            Step::Quarantine => self.quarantine(),
            Step::Bind => self.bind(),
            Step::Verify => self.verify(),
            Step::Unguard => self.unguard(),
            Step::Unpin => self.unpin(),
            Step::Unassign
            | Step::UndoUnbind
            | Step::UndoOwner
            | Step::UndoBind
            | Step::UndoSlot
            | Step::UndoOverride => {
                Err(Trouble::failed(format!("{} is not a step of a plan", step.name()), "report this"))
            }
        }
    }

    /// Carries out a step of the undo that leads to `goal`: what was proved; `None`
    /// where there was nothing to do.
    pub(super) fn perform_undo(&mut self, step: Step, goal: &Standing) -> Result<Option<String>, Trouble> {
        match step {
            Step::UndoUnbind => self.undo_unbind(goal),
            Step::UndoOwner => self.undo_owner(goal),
            Step::UndoBind => self.undo_bind(goal),
            Step::UndoSlot => self.undo_slot(goal),
            Step::UndoOverride => self.undo_override(goal),
            _ => Ok(None),
        }
    }
}
