//! How a step and an operation end.

use crate::error::{Exit, Failure};
use crate::names::Step;
use std::time::Duration;

/// How one step ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done and proved.
    Done,
    /// The proof held already.
    Skipped,
    /// It failed.
    Failed,
}

impl Outcome {
    /// The word used in output.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// One step, as it went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepReport {
    /// Which.
    pub step: Step,
    /// How it ended.
    pub outcome: Outcome,
    /// What was proved, why it was skipped, or what failed.
    pub detail: String,
    /// How long it took, its journal records included.
    pub took: Duration,
}

/// What an operation tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A step begins.
    Begins(Step),
    /// The step has waited for so long, and waits for so long at most.
    Waits(Duration, Duration),
    /// A signal asks to end. The step has so long to its end; `None` where it ends at once.
    Interrupted(Option<Duration>),
    /// A step is over.
    Over(&'a StepReport),
}

/// How an operation ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// The exit status.
    pub exit: Exit,
    /// A stable word.
    pub code: crate::error::Code,
    /// One sentence.
    pub message: String,
    /// What to do; empty where nothing.
    pub hint: String,
    /// The function's state, read at the end.
    pub state: String,
    /// Every step.
    pub steps: Vec<StepReport>,
    /// The journal's head in the short form; `None` where it could not be written.
    pub head: Option<String>,
    /// What the admin may do next, as commands.
    pub advice: Vec<String>,
}

impl Ending {
    /// The end of what could not go on.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        Self {
            exit: failure.exit,
            code: failure.code,
            message: failure.to_string(),
            hint: failure.hint.clone(),
            state: "not read".to_owned(),
            steps: Vec::new(),
            head: None,
            advice: Vec::new(),
        }
    }

    /// Why it is not the wanted one.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure::new(self.exit, self.code, self.message.clone(), self.hint.clone())
    }
}

/// Why a step did not succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It failed; what was done can be undone.
    Failed {
        /// What happened.
        message: String,
        /// What to do.
        hint: String,
        /// The errno of a refused write; 0 where there is none.
        errno: i32,
    },
    /// A qube is about to take it: seen before the change was made.
    InUse {
        /// Which, and how that is known.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Somebody else has the function now: nothing of it is touched any more.
    HandsOff(String),
    /// dom0 uses it: what it uses is not taken from it.
    Used(String),
    /// The child that carried it out is gone; the change may have been made.
    Lost(String),
    /// The kernel does not return from a write; where it sits.
    Hung(String),
    /// The journal cannot be written: nothing may be done that it does not hold.
    Journal(Failure),
}

impl Trouble {
    /// A failure that can be undone.
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: hint.into(), errno: 0 }
    }

    /// A signal asks to end, and nothing more is begun.
    pub fn interrupted() -> Self {
        Self::failed("it was interrupted by a signal", "run it again when ready")
    }

    /// In words.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Failed { message, .. }
            | Self::InUse { message, .. }
            | Self::HandsOff(message)
            | Self::Used(message)
            | Self::Lost(message) => message.clone(),
            Self::Hung(place) => format!("the kernel did not return from the write ({place})"),
            Self::Journal(failure) => failure.message.clone(),
        }
    }

    /// The trouble with the step named in its message.
    #[must_use]
    pub fn at(self, step: Step) -> Self {
        let step = step.name();
        match self {
            Self::Failed { message, hint, errno } => {
                Self::Failed { message: format!("{step}: {message}"), hint, errno }
            }
            Self::InUse { message, hint } => Self::InUse { message: format!("{step}: {message}"), hint },
            Self::HandsOff(message) => Self::HandsOff(format!("{step}: {message}")),
            Self::Used(message) => Self::Used(format!("{step}: {message}")),
            Self::Lost(message) => Self::Lost(format!("{step}: {message}")),
            Self::Hung(place) => Self::Hung(format!("{step}, {place}")),
            other => other,
        }
    }
}

/// What cannot be read is not proved.
impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::failed(failure.message, failure.hint)
    }
}
