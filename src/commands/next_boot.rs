//! `next-boot`: where each device is after the next boot, and one edit that changes it.

use super::{Context, Purpose};
use crate::assess::next_boot::{
    dead, differences, hazards_at_boot, keyboard_locked, machine, predict, setting, Dead, Fate, Prediction,
};
use crate::assess::{needed_by_dom0, Case, Hazard, Severity};
use crate::cli::NextBootArgs;
use crate::error::{Code, Exit, Failure};
use crate::names::Sbdf;
use crate::observe::next_boot::{read, Depth, Facts};
use crate::observe::{past_of, Sources};
use crate::plan::next_boot::{is_reached_already, propose, Goal, Proposal, Refusal};
use crate::report::next_boot::{document, screen, Answer, Edit, Returns, Shown};
use crate::report::{emit, emit_bytes};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Shows the prediction, and the edit that was asked for.
///
/// # Errors
/// There is no such device, something needed cannot be read, or no edit can be proposed.
pub fn run(context: &Context, args: &NextBootArgs) -> Result<Exit, Failure> {
    if args.diff && context.json {
        return Err(Failure::usage("--diff is not JSON", "--json has the diff in its answer"));
    }
    let shown = context.find(&args.devices, Purpose::Look)?;
    let goal = Goal {
        give: context.find(&args.give, Purpose::Look)?,
        keep: context.find(&args.keep_away, Purpose::Look)?,
    };
    if let Some(both) = goal.give.iter().find(|sbdf| goal.keep.contains(sbdf)) {
        let hint = "name it behind one of the two";
        return Err(Failure::usage(format!("{both} cannot be returned and kept away at once"), hint));
    }
    let facts = read(&context.root, Depth::Initramfs)?;
    let edit = edit(context, &facts, &goal)?;
    if args.diff {
        let diff = edit.as_ref().and_then(|edit| edit.proposal.as_ref()).map(Proposal::diff);
        emit_bytes(&diff.unwrap_or_default())?;
        return Ok(Exit::Done);
    }
    let wanted = if shown.is_empty() { goal.give.iter().chain(&goal.keep).copied().collect() } else { shown };
    answer(context, &facts, &wanted, edit.as_ref())?;
    Ok(Exit::Done)
}

fn answer(context: &Context, facts: &Facts, wanted: &[Sbdf], edit: Option<&Edit>) -> Result<(), Failure> {
    let machine = machine(facts);
    let setting = setting(facts);
    let prediction = predict(&machine, &setting);
    let is_wanted = |sbdf: &Sbdf| wanted.is_empty() || wanted.contains(sbdf);
    let all = prediction.functions.iter().filter(|(sbdf, _)| is_wanted(sbdf));
    let shown =
        all.map(|(sbdf, fate)| Shown { sbdf: *sbdf, fate, returns: returns(facts, &prediction, *sbdf) });
    let dead: Vec<Dead<'_>> = dead(&machine);
    let differs = differences(facts);
    let answer = Answer {
        facts,
        prediction: &prediction,
        line: setting.line.as_ref(),
        functions: shown.collect(),
        differs: &differs,
        dead: &dead,
        edit,
    };
    emit(&if context.json { document(&answer) } else { screen(&answer) })
}

/// Whether dom0 gets a function, now or after an edit.
fn returns(facts: &Facts, prediction: &Prediction, sbdf: Sbdf) -> Returns {
    match prediction.functions.get(&sbdf).map(Fate::returns) {
        Some(Some(true)) => Returns::Yes,
        Some(None) if !prediction.known => Returns::Unknown,
        _ => match propose(facts, &Goal { give: vec![sbdf], keep: Vec::new() }) {
            Ok(proposal) if !proposal.is_empty() => Returns::AfterEdits,
            Ok(_) => Returns::Unknown,
            Err(_) => Returns::No,
        },
    }
}

/// The edit that was asked for, with its hazards; `None` where none was.
fn edit(context: &Context, facts: &Facts, goal: &Goal) -> Result<Option<Edit>, Failure> {
    if goal.give.is_empty() && goal.keep.is_empty() {
        return Ok(None);
    }
    if is_reached_already(facts, goal) {
        return Ok(Some(Edit { proposal: None, hazards: BTreeMap::new() }));
    }
    if let Some(unread) = &facts.source.unread {
        return Err(Failure::new(Exit::Io, Code::Unreadable, unread.to_string(), "run it as root"));
    }
    let mut hazards = hazards(context, goal)?;
    for (sbdf, found) in &hazards {
        if let Some(stop) = found.iter().find(|hazard| hazard.severity == Severity::Stop) {
            let why = format!("refused ({}): {sbdf}: {}: {}", stop.id, stop.sentence, stop.evidence);
            return Err(Failure::new(Exit::Refused, Code::Stop(stop.id.word()), why, stop.id.way_out()));
        }
    }
    let proposal = propose(facts, goal).map_err(refused)?;
    if let Some(locked) = keyboard_locked(facts, &proposal.line, &proposal.after) {
        for sbdf in goal.give.iter().chain(&goal.keep).take(1) {
            hazards.entry(*sbdf).or_default().push(locked.clone());
        }
    }
    Ok(Some(Edit { proposal: Some(proposal), hazards }))
}

fn refused(refusal: Refusal) -> Failure {
    Failure::new(Exit::Refused, Code::NoEdit, refusal.why, refusal.hint)
}

/// Hazards of each device asked for, as far as they hold after a boot.
fn hazards(context: &Context, goal: &Goal) -> Result<BTreeMap<Sbdf, Vec<Hazard>>, Failure> {
    let mut sources = Sources::anywhere(&context.root);
    let dom0 = Rc::new(sources.observe()?);
    let all: Vec<Sbdf> = goal.give.iter().chain(&goal.keep).copied().collect();
    let past = Rc::new(past_of(&sources, &context.journal, &dom0, &all));
    let mut hazards = BTreeMap::new();
    for subject in sources.subjects(&dom0, &goal.give)? {
        let case = Case::of_return(&dom0, &past, subject, None, &goal.give);
        hazards.insert(case.sbdf(), hazards_at_boot(case.hazards));
    }
    for function in goal.keep.iter().filter_map(|sbdf| dom0.functions.get(sbdf)) {
        let uses = sources.dom0_boots_by(function)?;
        hazards.insert(function.sbdf, hazards_at_boot(needed_by_dom0(&dom0, function, &uses)));
    }
    Ok(hazards)
}
