//! An operation as it goes and as it ended, for people.

use super::text::wrapped;
use super::{complain, emit, json};
use crate::error::{Exit, Failure};
use crate::names::Sbdf;
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

/// Says how an operation ended.
///
/// # Errors
/// stdout takes no more.
pub fn conclude(as_json: bool, command: &str, ending: &Ending) -> Result<Exit, Failure> {
    if as_json {
        emit(&json::document(command, json::ending(ending)))?;
        return Ok(ending.exit);
    }
    if command == "recover" && ending.exit == Exit::Done {
        emit(&wrapped("", &ending.message))?;
    }
    emit(&ending_block(ending))?;
    if ending.exit != Exit::Done {
        complain(&ending.failure());
    }
    Ok(ending.exit)
}

/// Says how several operations ended that were settled one after the other; the status is that of the first
/// that did not come to a good end.
///
/// # Errors
/// stdout takes no more.
pub fn conclude_all(as_json: bool, command: &str, all: &[(Option<Sbdf>, Ending)]) -> Result<Exit, Failure> {
    if let [(_, ending)] = all {
        return conclude(as_json, command, ending);
    }
    let exit = all.iter().map(|(_, ending)| ending.exit).find(|exit| *exit != Exit::Done);
    let exit = exit.unwrap_or(Exit::Done);
    if !as_json {
        for (_, ending) in all {
            conclude(false, command, ending)?;
        }
        return Ok(exit);
    }
    let one = |(sbdf, ending): &(Option<Sbdf>, Ending)| {
        let bdf = sbdf.map(|sbdf| sbdf.to_string());
        json::with(json::ending(ending), serde_json::json!({ "bdf": bdf }))
    };
    let failed = all.iter().map(|(_, ending)| ending).find(|ending| ending.exit != Exit::Done);
    let outcome = failed.map_or("done", |ending| ending.code.word());
    let functions: Vec<serde_json::Value> = all.iter().map(one).collect();
    let members = serde_json::json!({ "outcome": outcome, "exit": exit.status(), "functions": functions });
    let error = failed.map_or(serde_json::json!({}), |ending| json::error(&ending.failure()));
    emit(&json::document(command, json::with(members, error)))?;
    Ok(exit)
}
