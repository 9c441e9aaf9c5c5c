//! What a device may read while an operation is under way: one table of the steps, for
//! the run, its undo and `recover`.
//!
//! The run enters each step here when its intent is on disk, and once more when it was proved; `recover`
//! enters the same steps as the journal has them. A value that no step left is another actor's.

use super::lost::Lost;
use crate::journal::Details;
use crate::names::{Direction, DriverName, Owner, Standing, Step};
use crate::plan::Guarded;
use crate::system::xen::LogMark;

/// How far an operation got, and what it may have left.
#[derive(Clone, Debug)]
pub struct Expected {
    direction: Direction,
    /// How the device stood at the beginning: undo leads back there.
    pub start: Standing,
    /// The drivers that may be bound.
    pub drivers: Vec<Option<DriverName>>,
    /// What `driver_override` may be.
    pub overrides: Vec<Option<String>>,
    /// Whether pciback may list the slot.
    pub slots: Vec<bool>,
    /// Whose it may be in Xen.
    pub owners: Vec<Owner>,
    /// Whether Xen was asked to take it out of quarantine.
    pub opened: bool,
    /// The reset methods to put back, while they are narrowed.
    pub narrowed: Option<String>,
    /// What the guard set.
    pub guard: Option<Guard>,
    /// Where Xen's log ended before the bind.
    pub xen_log: Option<LogMark>,
    /// The assignments in Qubes that were taken back, or may have been.
    pub lost: Vec<Lost>,
    /// Whether a driver was going to be bound.
    binding: bool,
    bound: bool,
    /// Whether what was bound was proved to work.
    pub verified: bool,
    undoing: bool,
    failed: bool,
}

/// What the guard set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guard {
    /// From what dom0 is kept.
    pub guarded: Guarded,
    /// What the setting for all devices held, while it may be changed.
    pub before: Option<String>,
    /// Whether there may be a rule for the disks.
    pub rule: bool,
}

impl Expected {
    /// Before the first step.
    #[must_use]
    pub fn as_found(direction: Direction, start: Standing) -> Self {
        Self {
            direction,
            drivers: vec![start.driver.clone()],
            overrides: vec![start.driver_override.clone()],
            slots: vec![start.slot],
            owners: vec![start.owner],
            start,
            opened: false,
            narrowed: None,
            guard: None,
            xen_log: None,
            lost: Vec::new(),
            binding: false,
            bound: false,
            verified: false,
            undoing: false,
            failed: false,
        }
    }

    /// A step whose intent is on disk: what may be read from then on, whether it is carried out or not.
    pub fn begin(&mut self, step: Step, what: &str, details: &Details) {
        match step {
            Step::Unassign => {
                let again = match details {
                    Details::Unassign { again, .. } => again.clone(),
                    _ => String::new(),
                };
                self.lost.push(Lost { what: what.to_owned(), again, proved: false });
            }
            Step::Pin => self.overrides.push(Some(self.direction.pin().to_owned())),
            Step::Unbind => self.drivers.push(None),
            Step::Settle => {
                self.narrowed = match details {
                    Details::Settle { methods } => Some(methods.clone()),
                    _ => None,
                };
            }
            Step::RemoveSlot => self.slots.push(false),
            Step::Guard => self.guard = Some(Guard::begun(details)),
            Step::Quarantine => self.owners.push(Owner::Quarantine),
            Step::Dequarantine => {
                self.owners.push(Owner::Dom0);
                self.opened = true;
            }
            Step::Bind => self.begin_bind(details),
            Step::Unpin => self.overrides.push(None),
            Step::Modalias | Step::Resolve | Step::Load | Step::Verify | Step::Unguard => {}
            // Where it leads, the journal does not say: recover allows all of them.
            Step::UndoUnbind | Step::UndoOwner | Step::UndoBind | Step::UndoSlot | Step::UndoOverride => {
                self.undoing = true;
                // Undoing a hold leads out of quarantine: what is open is closed first.
                self.opened |= step == Step::UndoOwner && self.start.owner == Owner::Dom0;
            }
        }
    }

    fn begin_bind(&mut self, details: &Details) {
        let mut drivers = match (self.direction, details) {
            (Direction::Return, Details::Bind { drivers, .. }) => drivers.clone(),
            (Direction::Return, _) => Vec::new(),
            (Direction::Hold, _) => vec![DriverName::PCIBACK],
        };
        if let Details::Bind { xen_log, .. } = details {
            self.xen_log = *xen_log;
        }
        self.overrides.extend(drivers.iter().map(|driver| Some(driver.to_string())));
        self.overrides.extend([None, Some(Direction::Return.pin().to_owned())]);
        self.drivers.extend(drivers.drain(..).map(Some));
        self.drivers.push(None);
        self.slots = vec![true, false];
        self.binding = true;
    }

    /// A step of the undo that leads to `goal`.
    pub fn begin_undo(&mut self, step: Step, goal: &Standing) {
        match step {
            Step::UndoUnbind => self.drivers.push(None),
            Step::UndoOwner => self.owners.push(goal.owner),
            Step::UndoBind => {
                self.drivers.push(goal.driver.clone());
                self.overrides.extend(goal.driver.as_ref().map(|driver| Some(driver.to_string())));
                if goal.driver.as_ref().is_some_and(DriverName::is_pciback) {
                    self.slots.extend([true, false]);
                }
            }
            Step::UndoSlot => self.slots.push(goal.slot),
            Step::UndoOverride => self.overrides.push(goal.driver_override.clone()),
            _ => {}
        }
    }

    /// An undo runs even where the journal takes no record of it any more: where it
    /// leads is never another actor's.
    pub fn may_be_undone(&mut self) {
        let held = Standing {
            driver: Some(DriverName::PCIBACK),
            driver_override: None,
            slot: true,
            owner: Owner::Quarantine,
        };
        for goal in [self.start.clone(), held] {
            Step::ALL.into_iter().filter(|step| step.is_undo()).for_each(|step| self.begin_undo(step, &goal));
        }
    }

    /// A step that was proved: that is all that may be read; what another changes after it is told from it.
    pub fn prove(&mut self, step: Step) {
        match step {
            Step::Pin | Step::Unpin => keep_last(&mut self.overrides),
            Step::Unbind => self.drivers = vec![None],
            Step::Unassign => self.lost.iter_mut().for_each(|lost| lost.proved = true),
            Step::Settle => self.narrowed = None,
            Step::RemoveSlot => self.slots = vec![false],
            Step::Quarantine | Step::Dequarantine => keep_last(&mut self.owners),
            Step::Bind => {
                // A driver of dom0 that probes in the background may let it go yet.
                let direction = self.direction;
                self.drivers.retain(|driver| direction == Direction::Return || driver.is_some());
                self.bound = true;
            }
            Step::Verify => self.verified = true,
            // What another sets from now on is not this run's. The rule for its disks
            // stays, and goes with the rest.
            Step::Unguard => self.guard.iter_mut().for_each(|guard| guard.before = None),
            Step::Guard
            | Step::Modalias
            | Step::Resolve
            | Step::Load
            | Step::UndoUnbind
            | Step::UndoOwner
            | Step::UndoBind
            | Step::UndoSlot
            | Step::UndoOverride => {}
        }
    }

    /// A step failed.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// The operation ended with a hang: whether the step that hung failed, nobody knows.
    pub fn hang(&mut self) {
        self.failed = false;
    }

    /// Whether a driver of dom0 may have the device.
    #[must_use]
    pub fn is_driven(&self) -> bool {
        self.drivers.iter().flatten().any(|driver| !driver.is_holder())
    }

    /// Who else took the device, in words; `None` where nobody did. Override and slot alone take nothing:
    /// another's are left as they are when their turn comes.
    #[must_use]
    pub fn foreign(&self, now: &Standing) -> Option<String> {
        if !self.owners.contains(&now.owner) {
            return Some(format!("Xen's owner is {}", now.owner));
        }
        // A driver of dom0 may let it go by itself: then nobody has it.
        let let_go = now.driver.is_none() && self.is_driven();
        if !let_go && !self.drivers.contains(&now.driver) {
            let driver = now.driver.as_ref().map_or("no driver", DriverName::as_str);
            return Some(format!("{driver} is bound"));
        }
        None
    }

    /// Whether all that is missing comes after bind: it was proved, or dom0 drives the device. A hold
    /// that was not proved is undone.
    #[must_use]
    pub fn leads_on(&self, now: &Standing, has_iommu: bool) -> bool {
        let held = self.direction == Direction::Hold;
        let owner = if held && has_iommu { Owner::Quarantine } else { Owner::Dom0 };
        let driver = now.driver.as_ref().is_some_and(|driver| driver.is_holder() == held);
        (self.bound || self.binding && !held)
            && !(self.failed || self.undoing) // mutant: recover-on-after-failure
            && driver
            && self.drivers.contains(&now.driver)
            && now.owner == owner
    }
}

impl Guard {
    fn begun(details: &Details) -> Self {
        // A kernel that has the setting tells what it holds: without it, it was the disks.
        let (guarded, before) = match details {
            Details::Guard { global, before } => (Guarded::by(global), Some(before.clone())),
            _ => (None, None),
        };
        let guarded = guarded.unwrap_or(Guarded::Storage);
        Self { guarded, before, rule: guarded == Guarded::Storage }
    }
}

fn keep_last<T>(values: &mut Vec<T>) {
    let last = values.pop();
    values.clear();
    values.extend(last);
}
