//! One device, its hazards and its plan, for people.

use super::text::wrapped;
use crate::assess::{Hazard, Past, Reboot, Severity, State, Verdict};
use crate::names::Owner;
use crate::observe::{Dom0, Function};
use crate::plan::Plan;
use console::style;

/// A function with all that was found out about it.
pub struct Described<'a> {
    /// The facts it stands among.
    pub dom0: &'a Dom0,
    /// The function.
    pub function: &'a Function,
    /// Class, vendor and name, from pci.ids.
    pub description: &'a str,
    /// Its state.
    pub state: &'a State,
    /// Its hazards.
    pub hazards: &'a [Hazard],
    /// The verdict.
    pub verdict: &'a Verdict,
    /// Functions of its slot and behind its bridge.
    pub siblings: &'a [String],
    /// What the journal tells.
    pub past: &'a Past,
}

impl Described<'_> {
    /// Xen's owner in a word.
    #[must_use]
    pub fn owner(&self) -> String {
        let owner = self.dom0.owners.as_ref().ok().and_then(|owners| owners.get(&self.function.sbdf));
        owner.map_or("?".to_owned(), Owner::to_string)
    }

    /// The qube that has it, if one does.
    #[must_use]
    pub fn qube(&self) -> Option<String> {
        match &self.state.kind {
            crate::assess::Kind::InUse(who) => Some(who.clone()),
            _ => None,
        }
    }
}

/// The block `list` shows.
#[must_use]
pub fn device_block(described: &Described<'_>) -> String {
    let function = described.function;
    let driver = function.driver.as_ref().map_or("-", |driver| driver.as_str());
    let mut block = wrapped(&format!("{}  ", style(function.sbdf).bold()), described.description);
    let mut line = |name: &str, text: &str| block.push_str(&wrapped(&format!("  {name:<9} "), text));
    let slot = if described.state.slot { ", slot listed" } else { "" };
    let qube = described.qube().map(|qube| format!(", qube {qube}")).unwrap_or_default();
    line("driver", &format!("{driver}{slot}; Xen's owner {}{qube}", described.owner()));
    line("state", &described.state.words());
    if !described.siblings.is_empty() {
        line("siblings", &described.siblings.join(" "));
    }
    if let Some(latest) = super::history::latest(described) {
        line("had by", &latest);
    }
    line("verdict", &described.verdict.words());
    block
}

/// The hazards, the worst first.
#[must_use]
pub fn hazards_block(hazards: &[Hazard]) -> String {
    let mut sorted: Vec<&Hazard> = hazards.iter().collect();
    sorted.sort_by_key(|hazard| hazard.rank());
    let mut block = String::new();
    for hazard in sorted {
        let word = match hazard.severity {
            Severity::Stop => style("stop").red().bold(),
            Severity::Warn => style("warn").yellow().bold(),
            Severity::Note => style("note").cyan(),
        };
        let evidence =
            if hazard.evidence.is_empty() { String::new() } else { format!(" ({})", hazard.evidence) };
        block.push_str(&wrapped(
            &format!("  {word}  "),
            &format!("{}: {}{evidence}", hazard.acceptance(), hazard.sentence),
        ));
    }
    block
}

/// What to run before a reboot, so that it returns the function; empty where nothing is.
#[must_use]
pub fn reboot_block(reboot: &Reboot) -> String {
    let commands = reboot.commands();
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
