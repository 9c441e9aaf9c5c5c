//! pin and unpin: `driver_override` keeps every other driver from the device until the end. undo-override.

use crate::names::{escape, Direction, Standing, Step};
use crate::run::operation::Operation;
use crate::run::outcome::Trouble;
use crate::run::takers::shown;

impl Operation<'_> {
    pub(super) fn pin(&mut self) -> Result<String, Trouble> {
        let pin = self.plan.direction.pin();
        self.set_override(Some(pin))?;
        Ok(format!("driver_override is {pin}"))
    }

    pub(super) fn unpin(&mut self) -> Result<String, Trouble> {
        // mutant: unpin-forgotten
        self.set_override(None)?;
        // A driver that gives up late must not end as dom0's without one: this is the last look.
        if self.plan.direction == Direction::Return {
            self.still_driven()?;
        }
        Ok("driver_override is clear".to_owned())
    }

    pub(super) fn undo_override(&mut self, goal: &Standing) -> Result<Option<String>, Trouble> {
        if self.sources.driver_override(self.plan.sbdf)? == goal.driver_override {
            return Ok(None);
        }
        self.override_is_ours()?;
        self.expected.begin_undo(Step::UndoOverride, goal);
        self.set_override(goal.driver_override.as_deref())?;
        let words = goal.driver_override.as_deref().unwrap_or("(null)");
        Ok(Some(format!("driver_override is {} again", escape(words.as_bytes()))))
    }

    /// What another wrote there is left alone.
    pub(super) fn override_is_ours(&self) -> Result<(), Trouble> {
        let is = self.sources.driver_override(self.plan.sbdf)?;
        if self.expected.overrides.contains(&is) {
            return Ok(());
        }
        let words = escape(is.as_deref().unwrap_or("(null)").as_bytes());
        Err(Trouble::failed(
            format!("another set driver_override to `{words}`; it is left alone"),
            "see driverctl and udev rules",
        ))
    }

    /// Sets `driver_override` and proves it; `None` clears it.
    pub(super) fn set_override(&mut self, pinned: Option<&str>) -> Result<(), Trouble> {
        self.expected.overrides.push(pinned.map(str::to_owned));
        self.write("driver_override", pinned.unwrap_or("\n"))?;
        let is = self.sources.driver_override(self.plan.sbdf)?;
        if is.as_deref() != pinned {
            // mutant: override-not-proved
            return Err(Trouble::failed(
                format!("driver_override reads `{}` after the write", shown(is.as_deref())),
                "something else writes it too: see driverctl and udev rules",
            ));
        }
        self.expected.overrides = vec![is];
        Ok(())
    }
}
