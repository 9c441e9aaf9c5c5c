//! A step of one plan.

use crate::names::Step;

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
