//! An operation as it goes and as it ended, for people.

use super::text::wrapped;
use super::{complain, emit, json};
use crate::assess::Case;
use crate::error::{Code, Exit, Failure};
use crate::names::{Sbdf, Step};
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
    wrapped(&format!("  {:<13} {word} ", report.step.name()), &without_hashes(&report.detail))
        .trim_end()
        .to_owned()
}

/// A hash is for the journal: here its beginning tells it from another.
fn without_hashes(text: &str) -> String {
    let short = |word: &str| {
        let hash = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        word.get(..8).filter(|_| hash).map_or(word.to_owned(), |begin| format!("{begin}..."))
    };
    text.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

/// How an operation on a device ended: where it came to its end a sentence, and how to take it back.
#[must_use]
pub fn closing(command: &str, case: &Case, ending: &Ending) -> String {
    let sbdf = case.sbdf();
    if ending.code != Code::Done {
        return ending_block(ending);
    }
    let name = short_name(&case.subject.description);
    let (text, again) = if command == "hold" {
        let held =
            if case.dom0.iommu == Ok(true) { "held by pciback, in quarantine" } else { "held by pciback" };
        (
            format!("{sbdf} ({name}) is {held}."),
            format!("To return it to dom0: sudo qubes-dom0-pci reattach {sbdf}"),
        )
    } else {
        let driver = ending.state.strip_prefix("driver ").and_then(|state| state.split(',').next());
        let driver = driver.map(|driver| format!(": driver {driver}")).unwrap_or_default();
        let sign = sign(case, ending).map(|sign| format!(", {sign}")).unwrap_or_default();
        let again = format!("To take it from dom0 again: sudo qubes-dom0-pci hold {sbdf}");
        (format!("{sbdf} ({name}) is dom0's{driver}{sign}."), again)
    };
    let mut block = wrapped(&format!("{} ", style("Done:").green().bold()), &text);
    block.push_str(&format!("{again}\n"));
    block + &afterwards(ending)
}

/// What came up with the driver, as `verify` saw it; `None` where it did not look.
fn sign(case: &Case, ending: &Ending) -> Option<String> {
    let verify =
        ending.steps.iter().find(|step| step.step == Step::Verify && step.outcome == Outcome::Done)?;
    let sign = verify.detail.split(';').next()?;
    if sign.contains(' ') {
        return Some(sign.to_owned());
    }
    let noun = match case.subject.function.class_and_subclass() {
        0x0200 | 0x0280 => "network interface",
        0x0100..=0x01ff => "disk",
        0x0300..=0x03ff => "graphics device",
        0x0400..=0x04ff => "sound device",
        0x0700 => "serial port",
        0x0805 => "card slot",
        0x0c03 => "USB bus",
        0x0c05 => "I2C bus",
        _ => "",
    };
    Some(format!("{noun} {sign}").trim_start().to_owned())
}

/// A name without its class, which people know.
fn short_name(description: &str) -> &str {
    description.split_once(": ").map_or(description, |(_, name)| name)
}

/// How it ended.
#[must_use]
pub fn ending_block(ending: &Ending) -> String {
    wrapped("Now: ", &ending.state) + &afterwards(ending)
}

/// What can be done next, and the checkpoint.
fn afterwards(ending: &Ending) -> String {
    let mut block = String::new();
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
pub fn conclude(as_json: bool, command: &str, case: Option<&Case>, ending: &Ending) -> Result<Exit, Failure> {
    if as_json {
        emit(&json::document(command, json::ending(ending)))?;
        return Ok(ending.exit);
    }
    if command == "recover" && ending.exit == Exit::Done {
        emit(&wrapped("", &ending.message))?;
    }
    emit(&case.map_or_else(|| ending_block(ending), |case| closing(command, case, ending)))?;
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
        return conclude(as_json, command, None, ending);
    }
    let exit = all.iter().map(|(_, ending)| ending.exit).find(|exit| *exit != Exit::Done);
    let exit = exit.unwrap_or(Exit::Done);
    if !as_json {
        for (_, ending) in all {
            conclude(false, command, None, ending)?;
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
