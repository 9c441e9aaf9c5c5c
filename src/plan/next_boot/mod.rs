//! One edit of the boot configuration for all devices asked for, as pure functions of the facts.

mod commands;
mod companions;
mod diff;
mod draft;
mod give;
mod keep;
mod name;
#[cfg(test)]
mod tests;
mod text;
mod way_out;
mod work;

pub use commands::unassigning;

use crate::assess::next_boot::script::{self, HIDE_PCI};
use crate::assess::next_boot::{
    deciding, machine, predict, setting, with_line, Because, Fate, Machine, Next, Prediction, Rule, Setting,
};
use crate::names::Sbdf;
use crate::observe::next_boot::{Booting, CommandLine, Facts, Release};
use draft::Drafts;
use work::Work;

/// What is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Goal {
    /// dom0 shall get these.
    pub give: Vec<Sbdf>,
    /// dom0 shall not get these.
    pub keep: Vec<Sbdf>,
}

/// Why no edit can be proposed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// In words.
    pub why: String,
    /// What to do instead.
    pub hint: String,
}

impl Refusal {
    /// With the usual hint.
    #[must_use]
    pub fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: "see `next-boot` for what decides, and edit it by hand".to_owned() }
    }

    /// Of a function.
    #[must_use]
    pub fn of(sbdf: Sbdf, why: &str) -> Self {
        Self::because(format!("{sbdf}: {why}"))
    }

    /// Of a file.
    #[must_use]
    pub fn of_file(path: &str, why: &str) -> Self {
        Self::because(format!("{path}: {why}"))
    }
}

/// A file before and after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileEdit {
    /// The path.
    pub path: String,
    /// What it holds now.
    pub before: Vec<u8>,
    /// What it shall hold.
    pub after: Vec<u8>,
}

impl FileEdit {
    /// As a unified diff.
    #[must_use]
    pub fn diff(&self) -> Vec<u8> {
        diff::unified(&self.path, &self.before, &self.after)
    }
}

/// The edit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// Files to change.
    pub files: Vec<FileEdit>,
    /// What to run afterwards, in this order.
    pub commands: Vec<String>,
    /// What an admin should know about it.
    pub notes: Vec<String>,
    /// The line and the prediction once all that is done.
    pub line: CommandLine,
    /// Where everything is then.
    pub after: Prediction,
    /// What to do at the boot menu where the machine does not come up.
    pub way_out: String,
}

impl Proposal {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.commands.is_empty()
    }

    /// All files as one diff.
    #[must_use]
    pub fn diff(&self) -> Vec<u8> {
        self.files.iter().flat_map(FileEdit::diff).collect()
    }
}

/// Proposes an edit.
///
/// # Errors
/// None can be proposed, and why.
pub fn propose(facts: &Facts, goal: &Goal) -> Result<Proposal, Refusal> {
    if let Some(decider) = facts.deciders.first() {
        return Err(Refusal { why: decider.why(), hint: decider.advice().to_owned() });
    }
    if let Some(Booting::Unknown(unknown)) = facts.generated.first().map(|generated| &generated.booting) {
        return Err(Refusal::because(unknown.to_string()));
    }
    let machine = machine(facts);
    let line = base_line(facts)?;
    let base = with_line(facts, Ok(line.clone()));
    let mut work = Work::new(&machine, base.clone(), &line);
    if !is_reached(&predict(&machine, &base), goal) {
        change(&mut work, goal)?;
    }
    let (files, line_after) = edited(facts, &line, &work)?;
    let done = Setting { line: Ok(line_after.clone()), ..work.setting.clone() };
    let after = predict(&machine, &done);
    check(&machine, goal, &predict(&machine, &base), &after)?;
    let mut notes = work.notes.clone();
    notes.extend(doubts(goal, &after));
    let mut proposal = Proposal {
        commands: Vec::new(),
        way_out: way_out::words(&line, &work.drafts),
        files,
        notes,
        line: line_after,
        after,
    };
    proposal.commands = commands::commands(facts, &machine, goal, &Done { work: &work, proposal: &proposal });
    Ok(proposal)
}

/// What to run so that the next boot returns these functions: one edit for all of them.
///
/// # Errors
/// No edit can be proposed, and why.
pub fn commands_to_return(facts: &Facts, give: &[Sbdf]) -> Result<Vec<String>, Refusal> {
    let mut commands = Vec::new();
    if facts.qubes.is_err() {
        commands.push("systemctl status qubesd".to_owned());
    }
    let goal = Goal { give: give.to_vec(), keep: Vec::new() };
    commands.extend(propose(facts, &goal)?.commands);
    Ok(commands)
}

/// What the commands are made of.
pub struct Done<'a> {
    /// The work.
    work: &'a Work<'a>,
    /// The edit without its commands.
    proposal: &'a Proposal,
}

/// Whether the next boot, as things stand, does what is wanted, and the source will not undo it.
#[must_use]
pub fn is_reached_already(facts: &Facts, goal: &Goal) -> bool {
    let machine = machine(facts);
    let prediction = predict(&machine, &setting(facts));
    let is_driven =
        |sbdf: &Sbdf| prediction.functions.get(sbdf).is_some_and(|fate| fate.returns() == Some(true));
    let now = is_reached(&prediction, goal) && goal.give.iter().all(is_driven);
    let later = !facts.source.is_there()
        || facts
            .source
            .evaluated()
            .line()
            .is_ok_and(|line| is_reached(&predict(&machine, &with_line(facts, Ok(line))), goal));
    now && later
}

/// The line that the edit begins with: what the source makes; without a source, and on XCP-ng, whose tool
/// changes it there, what is booted.
fn base_line(facts: &Facts) -> Result<CommandLine, Refusal> {
    let line = if facts.release == Release::XcpNg || !facts.source.is_there() {
        setting(facts).line
    } else {
        facts.source.evaluated().line()
    };
    line.map_err(|unknown| Refusal::because(unknown.to_string()))
}

fn change(work: &mut Work<'_>, goal: &Goal) -> Result<(), Refusal> {
    for sbdf in &goal.keep {
        if let Some(device) = work.machine.devices.get(sbdf) {
            keep::keep(work, device)?;
        }
    }
    for sbdf in &goal.give {
        if let Some(device) = work.machine.devices.get(sbdf) {
            give::give(work, device)?;
        }
    }
    mend(work);
    Ok(())
}

/// Takes out of `rd.qubes.hide_pci` what the boot would stop for.
fn mend(work: &mut Work<'_>) {
    let Some(script) = work.machine.release.script() else { return };
    for _ in 0..256 {
        if script::run(script, work.machine.devices, &work.line()).stops.is_none() {
            return;
        }
        let mut entries = give::entries(work.drafts.last(HIDE_PCI, false).unwrap_or_default());
        let bad = entries.iter().position(|entry| {
            !entry.chars().all(|letter| script::may_be_listed(script, letter))
                || script::resolved(script, work.machine.devices, entry).is_none()
        });
        let Some(at) = bad.or(entries.len().checked_sub(1)) else { return };
        let gone = crate::names::escape(entries.remove(at).as_bytes());
        work.notes
            .push(format!("`{gone}` goes from {HIDE_PCI}: nothing is there, and the boot would stop for it"));
        work.drafts.set_list(HIDE_PCI, false, &entries, ",");
    }
}

/// The files with the changes, and the line that they make.
fn edited(
    facts: &Facts,
    line: &CommandLine,
    work: &Work<'_>,
) -> Result<(Vec<FileEdit>, CommandLine), Refusal> {
    let mut files = Vec::new();
    let mut line_after = work.line();
    let is_changed = work.drafts != Drafts::of(line);
    if is_changed && facts.release != Release::XcpNg {
        if !facts.source.is_there() {
            return Err(Refusal::because("there is no /etc/default/grub to edit"));
        }
        let evaluated = facts.source.evaluated();
        let mut source = facts.source.clone();
        for (path, after) in text::apply(&facts.source, &evaluated, line, &work.drafts)? {
            let all = facts.source.files.iter().chain(&facts.source.more);
            let before = all.into_iter().find(|file| file.path == path).map(|file| file.bytes.clone());
            source = source.with(&path, after.clone());
            files.push(FileEdit { path, before: before.unwrap_or_default(), after });
        }
        let made = source.evaluated().line().map_err(|unknown| Refusal::because(unknown.to_string()))?;
        if sorted(&Drafts::of(&made)) != sorted(&work.drafts) {
            return Err(Refusal::because("the words cannot be changed by themselves where they stand"));
        }
        line_after = made;
    }
    for (old, new) in facts.modules.files.iter().zip(&work.setting.modules.files) {
        if old.bytes != new.bytes {
            let (before, after) = (old.bytes.clone(), new.bytes.clone());
            files.push(FileEdit { path: old.path.clone(), before, after });
        }
    }
    Ok((files, line_after))
}

fn sorted(drafts: &Drafts) -> Vec<(String, Option<String>)> {
    let mut all: Vec<_> = drafts.0.iter().map(|draft| (draft.name.clone(), draft.value.clone())).collect();
    all.sort();
    all
}

fn is_reached(prediction: &Prediction, goal: &Goal) -> bool {
    let fate = |sbdf: &Sbdf| prediction.functions.get(sbdf);
    prediction.stops.is_none()
        && goal.give.iter().all(|sbdf| fate(sbdf).is_some_and(gets))
        && goal.keep.iter().all(|sbdf| fate(sbdf).is_some_and(is_kept))
}

/// Whether dom0 gets it. A driver built into the kernel that nothing tells of, and qubes that cannot be
/// asked for, are left open and said.
fn gets(fate: &Fate) -> bool {
    let is_driven = match &fate.next {
        Next::Driver(_) => true,
        Next::Unknown => fate.because.iter().all(is_open),
        _ => false,
    };
    is_driven && !fate.takers.as_ref().is_ok_and(|takers| !takers.is_empty())
}

fn is_open(because: &Because) -> bool {
    matches!(because.rule, Rule::NoModule | Rule::NotKnown(_))
}

fn is_kept(fate: &Fate) -> bool {
    matches!(fate.next, Next::Hidden | Next::Stub)
}

/// What stays open of what is promised.
fn doubts(goal: &Goal, after: &Prediction) -> Vec<String> {
    let mut notes = Vec::new();
    for sbdf in &goal.give {
        let Some(fate) = after.functions.get(sbdf) else { continue };
        if fate.next == Next::Unknown {
            notes.push(format!(
                "{sbdf}: nothing keeps it from dom0 then, but which driver takes it cannot be told"
            ));
        }
        if let Err(why) = &fate.takers {
            notes.push(format!("{sbdf}: whether a qube then takes it cannot be told: {why}"));
        }
    }
    notes
}

/// The edit gives what was asked for, nothing else, and a machine that comes up.
fn check(machine: &Machine<'_>, goal: &Goal, before: &Prediction, after: &Prediction) -> Result<(), Refusal> {
    if let Some(stop) = &after.stops {
        return Err(Refusal::because(format!("the next boot would stop: {}", stop.why)));
    }
    for (wanted, good) in [(&goal.give, gets as fn(&Fate) -> bool), (&goal.keep, is_kept)] {
        for sbdf in wanted {
            let Some(fate) = after.functions.get(sbdf).filter(|fate| !good(fate)) else { continue };
            let rules: Vec<String> = fate.because.iter().map(|because| because.rule.name()).collect();
            let why = if rules.is_empty() { "nothing decides about it".to_owned() } else { rules.join(", ") };
            let place = fate.next.word();
            return Err(Refusal::of(
                *sbdf,
                &format!("no change of the files gets it there; it would be: {place} ({why})"),
            ));
        }
    }
    if let Some((one, other)) = companions::parted(machine, before, after) {
        return Err(Refusal {
            why: format!(
                "{one} would be dom0's and {other} beside it would not: the kernel crashes where \
                 companion USB controllers are parted"
            ),
            hint: format!("name {other} too, or leave both"),
        });
    }
    if before.stops.is_some() {
        return Ok(());
    }
    let asked = |sbdf: &Sbdf| goal.give.contains(sbdf) || goal.keep.contains(sbdf);
    for (sbdf, fate) in &after.functions {
        let behind = machine.devices.get(sbdf).and_then(|device| device.behind);
        if asked(sbdf) || behind.is_some_and(|above| asked(&above)) {
            continue;
        }
        let Some(was) = before.functions.get(sbdf) else { continue };
        let driven = |fate: &Fate| matches!(fate.next, Next::Driver(_));
        if driven(was) != driven(fate) {
            let what = if driven(fate) { "return" } else { "take away" };
            return Err(Refusal {
                why: format!("the same edit would {what} {sbdf}, which was not asked for"),
                hint: format!("name {sbdf} too, or leave both"),
            });
        }
    }
    Ok(())
}

/// Whether a generated configuration has the words that the source has now.
fn is_behind(line: &CommandLine, booting: &Booting) -> bool {
    match booting {
        Booting::Xen(booted) => deciding(&booted.line) != deciding(line),
        Booting::Unreadable(_) | Booting::Unknown(_) => true,
    }
}
