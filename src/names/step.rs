//! The steps of an operation and their fixed names.

/// One step of an operation, forward or back. The names stand in plans, in the journal and in error messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Take back the assignment in Qubes.
    Unassign,
    /// Set `driver_override`, so that no other driver takes the function until the end.
    Pin,
    /// Take it from whatever driver holds it.
    Unbind,
    /// Reset it, end its bus mastering and read its config space again, while it is still quarantined.
    Settle,
    /// Take it off pciback's list of slots.
    RemoveSlot,
    /// Read its modalias.
    Modalias,
    /// Find the modules and drivers that claim it.
    Resolve,
    /// Load the modules.
    Load,
    /// Keep dom0 from acting on what the device brings.
    Guard,
    /// Move it from DomIO to dom0 in Xen.
    Dequarantine,
    /// Move it to DomIO in Xen.
    Quarantine,
    /// Bind the driver.
    Bind,
    /// Prove that it works.
    Verify,
    /// Put the guard's global values back.
    Unguard,
    /// Clear `driver_override`.
    Unpin,
    /// Undo: take off the driver that was bound.
    UndoUnbind,
    /// Undo: give it back to the owner it had in Xen.
    UndoOwner,
    /// Undo: bind the driver it had.
    UndoBind,
    /// Undo: put it back on pciback's list of slots, or off it.
    UndoSlot,
    /// Undo: put back the `driver_override` it had.
    UndoOverride,
}

/// Where an operation leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// To dom0's driver.
    Return,
    /// To pciback, in quarantine.
    Hold,
}

impl Direction {
    /// The direction of a command that the journal names.
    #[must_use]
    pub fn of(command: &str) -> Self {
        match command {
            "hold" => Self::Hold,
            _ => Self::Return,
        }
    }

    /// What `driver_override` is until the driver is bound.
    #[must_use]
    pub fn pin(self) -> &'static str {
        match self {
            Self::Return => "none",
            Self::Hold => "pciback",
        }
    }
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 20] = [
        Self::Unassign,
        Self::Pin,
        Self::Unbind,
        Self::Settle,
        Self::RemoveSlot,
        Self::Modalias,
        Self::Resolve,
        Self::Load,
        Self::Guard,
        Self::Dequarantine,
        Self::Quarantine,
        Self::Bind,
        Self::Verify,
        Self::Unguard,
        Self::Unpin,
        Self::UndoUnbind,
        Self::UndoOwner,
        Self::UndoBind,
        Self::UndoSlot,
        Self::UndoOverride,
    ];

    /// Whether it changes anything. A step that only reads needs no intent on disk
    /// of its own before it.
    #[must_use]
    pub fn changes(self) -> bool {
        !matches!(self, Self::Modalias | Self::Resolve | Self::Verify)
    }

    /// Whether it puts back what an operation changed.
    #[must_use]
    pub fn is_undo(self) -> bool {
        matches!(
            self,
            Self::UndoUnbind | Self::UndoOwner | Self::UndoBind | Self::UndoSlot | Self::UndoOverride
        )
    }

    /// The fixed name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unassign => "unassign",
            Self::Pin => "pin",
            Self::Unbind => "unbind",
            Self::Settle => "settle",
            Self::RemoveSlot => "remove-slot",
            Self::Modalias => "modalias",
            Self::Resolve => "resolve",
            Self::Load => "load",
            Self::Guard => "guard",
            Self::Dequarantine => "dequarantine",
            Self::Quarantine => "quarantine",
            Self::Bind => "bind",
            Self::Verify => "verify",
            Self::Unguard => "unguard",
            Self::Unpin => "unpin",
            Self::UndoUnbind => "undo-unbind",
            Self::UndoOwner => "undo-owner",
            Self::UndoBind => "undo-bind",
            Self::UndoSlot => "undo-slot",
            Self::UndoOverride => "undo-override",
        }
    }

    /// The step of that name; `None` where this version has none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for step in Step::ALL {
            assert_eq!(Step::parse(step.name()), Some(step));
            assert_eq!(step.is_undo(), step.name().starts_with("undo-"));
        }
        for name in ["", "Pin", "undo-", "undo-settle"] {
            assert_eq!(Step::parse(name), None, "{name}");
        }
    }
}
