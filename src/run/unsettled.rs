//! The operation that is not settled, as whoever looks sees it: running, interrupted, or not known.

use super::pending::{pending, Interrupted};
use crate::assess::Verdict;
use crate::error::Failure;
use crate::journal::{journal_boot, Moment};
use crate::names::Sbdf;
use crate::system::lock::Holder;
use crate::system::root::Sysroot;
use std::path::Path;

/// Whether an operation stands between the admin and the next one.
pub enum Unsettled {
    /// None does.
    Nothing,
    /// One runs.
    Running {
        /// The process.
        holder: Holder,
        /// What the journal has of it; `None` before its first step.
        operation: Option<Box<Interrupted>>,
    },
    /// One was interrupted.
    Pending {
        /// What the journal has of it.
        operation: Box<Interrupted>,
        /// Whether a reboot came since.
        rebooted: bool,
    },
    /// The journal does not say, or not to this user.
    Unknown(Failure),
}

impl Unsettled {
    /// Reads it. `boot_id` is the kernel's id of this boot.
    #[must_use]
    pub fn read(root: &Sysroot, journal: &Path, boot_id: &str) -> Self {
        // Asked first: an operation that ends in between is then settled in the journal.
        let holder = Holder::read(root);
        let found = match pending(journal) {
            Ok(found) => found.map(Box::new),
            Err(failure) => return Self::Unknown(failure),
        };
        match (holder, found) {
            (None, None) => Self::Nothing,
            (Some(holder), None) => Self::Running { holder, operation: None },
            // Whatever else has the lock beside an operation that is pending will be refused.
            (Some(holder), Some(found)) if ["recover", &found.command].contains(&holder.command.as_str()) => {
                Self::Running { holder, operation: Some(found) }
            }
            (_, Some(found)) => {
                let rebooted = found.boot != journal_boot(boot_id);
                Self::Pending { operation: found, rebooted }
            }
        }
    }

    /// What the journal has of it.
    #[must_use]
    pub fn operation(&self) -> Option<&Interrupted> {
        match self {
            Self::Running { operation, .. } => operation.as_deref(),
            Self::Pending { operation, .. } => Some(operation),
            Self::Nothing | Self::Unknown(_) => None,
        }
    }

    /// Whether it is of this function.
    #[must_use]
    pub fn is_of(&self, sbdf: Sbdf) -> bool {
        self.operation().is_some_and(|operation| operation.sbdf == Some(sbdf))
    }

    /// What comes before every other verdict on this function.
    #[must_use]
    pub fn verdict(&self, sbdf: Sbdf) -> Option<Verdict> {
        let verdict = match self {
            Self::Running { .. } => Verdict::Running,
            _ => Verdict::Pending,
        };
        self.is_of(sbdf).then_some(verdict)
    }

    /// What is going on, in words; `None` where nothing is.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let at = |operation: &Interrupted| {
            operation.step.as_ref().map(|step| format!(" at \"{step}\"")).unwrap_or_default()
        };
        match self {
            Self::Nothing => None,
            Self::Running { holder, operation: None } => {
                Some(format!("{} is running: process {}", holder.command, holder.process))
            }
            Self::Running { holder, operation: Some(one) } => {
                let step = one.step.as_ref().map(|step| format!(", step {step}")).unwrap_or_default();
                let seconds = one.seconds().map(|seconds| format!(", {seconds} s")).unwrap_or_default();
                let (command, process) = (&holder.command, holder.process);
                Some(format!("{command} of {} is running: process {process}{step}{seconds}", one.device()))
            }
            Self::Pending { operation, rebooted } => {
                let by = if *rebooted { " by a reboot" } else { "" };
                let (command, device) = (&operation.command, operation.device());
                Some(format!("{command} of {device} was interrupted{}{by}", at(operation)))
            }
            Self::Unknown(why) => {
                Some(format!("whether an operation is pending is not known: {}", why.message))
            }
        }
    }
}

impl Interrupted {
    /// The device, in words.
    fn device(&self) -> String {
        self.sbdf.map_or_else(|| "a device that is not known".to_owned(), |sbdf| sbdf.to_string())
    }

    /// Seconds since its newest record.
    #[must_use]
    pub fn seconds(&self) -> Option<u64> {
        let micros = Moment::now().micros().checked_sub(self.since?.micros())?;
        Some(micros / 1_000_000)
    }
}
