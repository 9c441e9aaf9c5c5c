//! An operation as it goes and as it ended, for people.

use super::text::wrapped;
use crate::run::{Ending, Outcome, StepReport};
use console::style;

/// One step, when it is over.
#[must_use]
pub fn step_line(report: &StepReport) -> String {
    let word = match report.outcome {
        Outcome::Done => style("done   ").green(),
        Outcome::Skipped => style("skipped").dim(),
        Outcome::Failed => style("failed ").red().bold(),
    };
    wrapped(&format!("  {:<13} {word} ", report.step.name()), &report.detail).trim_end().to_owned()
}

/// How it ended.
#[must_use]
pub fn ending_block(ending: &Ending) -> String {
    let mut block = wrapped("Now: ", &ending.state);
    for advice in &ending.advice {
        block.push_str(&format!("To {advice}\n"));
    }
    if let Some(head) = &ending.head {
        block.push_str(&format!("Journal: {head}\n"));
    }
    block
}
