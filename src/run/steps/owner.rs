//! dequarantine and quarantine: whose the device is in Xen. undo-owner.

use crate::names::{Owner, Standing, Step};
use crate::run::operation::Operation;
use crate::run::outcome::Trouble;
use crate::system::worker::Act;

impl Operation<'_> {
    /// Has Xen give it to dom0 and proves it.
    pub(super) fn dequarantine(&mut self) -> Result<String, Trouble> {
        self.expected.opened = true;
        self.act(&Act::Dequarantine(self.plan.sbdf))?;
        self.prove_owner(Owner::Dom0)?;
        Ok("Xen's owner is dom0".to_owned())
    }

    /// Has Xen quarantine it and proves it.
    pub(super) fn quarantine(&mut self) -> Result<String, Trouble> {
        self.act(&Act::Quarantine(self.plan.sbdf))?; // mutant: undo-leaves-open
        self.prove_owner(Owner::Quarantine)?; // mutant: undo-leaves-open
        Ok("Xen's owner is DomIO".to_owned())
    }

    /// Reads Xen's owner back.
    pub(super) fn prove_owner(&mut self, wanted: Owner) -> Result<(), Trouble> {
        let owner = self.sources.owner(self.plan.sbdf)?;
        if let Owner::Domain(id) = owner {
            return Err(Trouble::HandsOff(format!("Xen gave it to domain {id} meanwhile")));
        }
        if owner != wanted {
            // mutant: owner-not-proved
            return Err(Trouble::failed(
                format!("Xen's owner is {owner} and not {wanted} after the call"),
                "see Xen's log (xl dmesg)",
            ));
        }
        self.expected.owners = vec![owner];
        Ok(())
    }

    /// Back into quarantine, or (undoing a hold) back to dom0: on the way to dom0's driver and not
    /// otherwise. Where the owner cannot be read, quarantine is asked for all the same: Xen
    /// refuses it for what a domain owns.
    pub(super) fn undo_owner(&mut self, goal: &Standing) -> Result<Option<String>, Trouble> {
        let driven = goal.driver.as_ref().is_some_and(|driver| !driver.is_holder());
        match (self.sources.owner(self.plan.sbdf), goal.owner) {
            (Ok(Owner::Quarantine), Owner::Quarantine) => Ok(None),
            (Ok(Owner::Domain(id)), _) => Err(given_to(id)), // mutant: undo-of-anothers gone
            (_, Owner::Quarantine) => {
                self.expected.begin_undo(Step::UndoOwner, goal);
                self.quarantine().map(Some)
            }
            (Ok(Owner::Quarantine), Owner::Dom0) if driven => {
                self.nobody_takes_it()?;
                self.no_other_driver()?;
                // Its holder did not let it go: no driver of dom0 could take it then.
                let bound = self.sources.sysfs.driver(self.plan.sbdf)?; // mutant: open-under-holder
                if let Some(driver) = bound {
                    return Err(Trouble::failed(format!("{driver} still holds it"), "reboot"));
                }
                self.expected.begin_undo(Step::UndoOwner, goal);
                self.dequarantine().map(Some)
            }
            (Err(failure), _) => Err(failure.into()),
            _ => Ok(None),
        }
    }

    /// The last resort: dom0's without a driver is the one state that must not stay. A holder is
    /// none, but where it was found so.
    pub(in crate::run) fn leave_nothing_open(&mut self) -> Result<(), Trouble> {
        let bound = self.sources.sysfs.driver(self.plan.sbdf)?;
        let as_found = bound == self.expected.start.driver && self.expected.start.owner == Owner::Dom0;
        if bound.is_some_and(|driver| !driver.is_holder() || as_found) || !self.has_iommu() {
            return Ok(());
        }
        let closed = self.closed();
        self.undo_owner(&closed).map(|_| ())
    }

    /// Whether it may be dom0's without a driver: this run took it out of quarantine, took its driver off, or
    /// met one that let it go by itself.
    pub(in crate::run) fn may_be_open(&self) -> bool {
        // mutant: open-once-unbound
        let none = || matches!(self.sources.sysfs.driver(self.plan.sbdf), Ok(None));
        self.expected.opened
            || (self.expected.start.driver.is_some() && (self.expected.drivers.contains(&None) || none()))
    }

    /// Driverless and in quarantine.
    pub(in crate::run) fn closed(&self) -> Standing {
        Standing { driver: None, owner: Owner::Quarantine, ..self.expected.start.clone() }
    }

    pub(in crate::run) fn has_iommu(&self) -> bool {
        self.sources.xen.as_ref().is_ok_and(|xen| xen.has_iommu().unwrap_or(true))
    }
}

fn given_to(id: u16) -> Trouble {
    Trouble::HandsOff(format!("Xen gave it to domain {id}"))
}
