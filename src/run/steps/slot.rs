//! remove-slot: pciback takes a device that it lists whenever it is probed. undo-slot.

use crate::names::{Standing, Step};
use crate::run::operation::Operation;
use crate::run::outcome::Trouble;
use crate::system::worker::Act;

impl Operation<'_> {
    pub(super) fn remove_slot(&mut self) -> Result<String, Trouble> {
        let sbdf = self.plan.sbdf;
        let path = self.sources.sysfs.pciback_path("remove_slot");
        self.act(&Act::Write(path, sbdf.to_string()))?;
        if self.sources.sysfs.slots()?.contains(&sbdf) {
            // mutant: slot-not-proved
            return Err(Trouble::failed("pciback still lists its slot", "see dmesg"));
        }
        Ok("pciback does not list it".to_owned())
    }

    pub(super) fn undo_slot(&mut self, goal: &Standing) -> Result<Option<String>, Trouble> {
        let sbdf = self.plan.sbdf;
        let listed = self.sources.sysfs.slots()?.contains(&sbdf);
        if listed == goal.slot || !self.expected.slots.contains(&listed) {
            return Ok(None);
        }
        let (file, words) = if goal.slot {
            ("new_slot", "pciback lists it again")
        } else {
            ("remove_slot", "pciback lists it no more")
        };
        self.expected.begin_undo(Step::UndoSlot, goal);
        let path = self.sources.sysfs.pciback_path(file);
        self.act(&Act::Write(path, sbdf.to_string()))?;
        if self.sources.sysfs.slots()?.contains(&sbdf) != goal.slot {
            return Err(Trouble::failed(
                format!("pciback's slots are not as before after {file}"),
                "see dmesg",
            ));
        }
        self.expected.slots = vec![goal.slot];
        Ok(Some(words.to_owned()))
    }
}
