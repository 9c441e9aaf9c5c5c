//! The steps and their fixed names.

/// One step of a sequence. The names stand in plans, in the journal and in error
/// messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Set `driver_override`, so that nobody takes the function meanwhile.
    Pin,
    /// Take it from whatever driver holds it.
    Unbind,
    /// Reset it, end its bus mastering and read its config space anew, while it is still quarantined.
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
}

impl Step {
    /// Whether it changes anything. A step that only reads needs no intent on disk
    /// of its own before it.
    #[must_use]
    pub fn changes(self) -> bool {
        !matches!(self, Self::Modalias | Self::Resolve | Self::Verify)
    }

    /// Its fixed name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
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
        }
    }
}

/// A step of one plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// The step.
    pub step: Step,
    /// Why it is skipped; `None` where it is to be done.
    pub skip: Option<String>,
    /// What it does here, in words.
    pub what: String,
    /// The equal shell commands.
    pub shell: Vec<String>,
}

impl Planned {
    /// A step to be done.
    pub fn run(step: Step, what: impl Into<String>, shell: Vec<String>) -> Self {
        Self { step, skip: None, what: what.into(), shell }
    }

    /// A step whose proof already holds.
    pub fn skip(step: Step, why: impl Into<String>) -> Self {
        Self { step, skip: Some(why.into()), what: String::new(), shell: Vec::new() }
    }

    /// One or the other.
    pub fn when(condition: bool, run: Self, why_not: &str) -> Self {
        if condition {
            run
        } else {
            Self::skip(run.step, why_not)
        }
    }
}
