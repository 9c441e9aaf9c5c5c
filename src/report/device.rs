//! One device, its hazards and its plan, for people.

use super::text::wrapped;
use crate::assess::{Case, Hazard, Reboot, Severity};
use crate::plan::Plan;
use console::style;

/// The block `list` shows.
#[must_use]
pub fn device_block(case: &Case) -> String {
    let function = &case.subject.function;
    let driver = function.driver.as_ref().map_or("-", |driver| driver.as_str());
    let mut block = wrapped(&format!("{}  ", style(function.sbdf).bold()), &case.subject.description);
    let mut line = |name: &str, text: &str| block.push_str(&wrapped(&format!("  {name:<9} "), text));
    let slot = if case.state.slot { ", slot listed" } else { "" };
    let qube = case.qube().map(|qube| format!(", qube {qube}")).unwrap_or_default();
    line("driver", &format!("{driver}{slot}; Xen's owner {}{qube}", case.owner()));
    line("state", &case.state.words());
    let siblings = case.siblings();
    if !siblings.is_empty() {
        line("siblings", &siblings.join(" "));
    }
    if let Some(latest) = super::history::latest(case) {
        line("had by", &latest);
    }
    line("verdict", &case.verdict.words());
    block
}

/// The hazards, the worst first.
#[must_use]
pub fn hazards_block(hazards: &[Hazard]) -> String {
    let mut sorted: Vec<&Hazard> = hazards.iter().collect();
    sorted.sort_by_key(|hazard| hazard.rank());
    sorted.into_iter().map(|hazard| hazard_line(hazard, "")).collect()
}

/// One hazard, with what is to be said behind it.
#[must_use]
pub fn hazard_line(hazard: &Hazard, behind: &str) -> String {
    let word = match hazard.severity {
        Severity::Stop => style("stop").red().bold(),
        Severity::Warn => style("warn").yellow().bold(),
        Severity::Note => style("note").cyan(),
    };
    let evidence = if hazard.evidence.is_empty() { String::new() } else { format!(" ({})", hazard.evidence) };
    let text = format!("{}: {}{evidence}{behind}", hazard.acceptance(), hazard.sentence);
    wrapped(&format!("  {word}  "), &text)
}

/// What to run before a reboot, so that it returns the function; empty where nothing is.
#[must_use]
pub fn reboot_block(reboot: &Reboot) -> String {
    let commands = &reboot.commands;
    if commands.is_empty() {
        return String::new();
    }
    let mut block = String::from("So that a reboot returns it, as root:\n");
    for command in commands {
        block.push_str(&format!("  {command}\n"));
    }
    block
}

/// The steps, and the commands that would do the same.
#[must_use]
pub fn plan_block(plan: &Plan) -> String {
    let mut block = String::from("Steps\n");
    for planned in &plan.steps {
        let what = match &planned.skip {
            Some(why) => format!("skipped: {why}"),
            None => planned.what.clone(),
        };
        block.push_str(&wrapped(&format!("  {:<13} ", planned.step.name()), &what));
    }
    block.push_str("\nThe same by hand (without the proof, the journal and the way back)\n");
    for command in plan.steps.iter().flat_map(|planned| &planned.shell) {
        block.push_str(&format!("  {command}\n"));
    }
    block.push_str(&format!("\nPlan {}\n", plan.id));
    block
}
