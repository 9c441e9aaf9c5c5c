//! `hold`: give functions to pciback, quarantined; several are one operation.

use super::{Context, Purpose};
use crate::assess::Case;
use crate::cli::HoldArgs;
use crate::consent::{refused, Accepted};
use crate::error::{Exit, Failure};
use crate::names::Sbdf;
use crate::observe::exposure::Past;
use crate::observe::Sources;
use crate::plan::Proposal;
use crate::report::answer;
use crate::run::{new_operation_ids, Aim, Order, Task, Turn, Writer};
use crate::system::signals::HeldSignals;
use std::rc::Rc;

/// Holds the devices.
///
/// # Errors
/// It is refused or not possible here; nothing was changed.
pub fn run(context: &Context, args: &HoldArgs) -> Result<Exit, Failure> {
    let wanted = context.wanted(&args.devices.device, Purpose::Hold)?;
    context.must_be_root()?;
    let mut sources = context.open_all()?;
    let turn = Turn::take(&context.root, &context.journal, "hold")?;
    let proposals = propose(&mut sources, &wanted)?;
    turn.is_free(&sources)?;
    let cases: Vec<&Case> = proposals.iter().map(|one| &one.case).collect();
    refused(&cases, &context.called("hold", &wanted, None))?;
    let accepted = Accepted::default();
    let mut tasks = Vec::new();
    let to_do: Vec<&Proposal> = proposals.iter().filter(|one| !one.plan.steps.is_empty()).collect();
    let ids = new_operation_ids(&sources, to_do.len())?;
    for (Proposal { case, plan }, id) in to_do.into_iter().zip(ids) {
        let mut writer = Writer::open(&context.journal, &case.dom0.boot_id, id)?;
        writer.start(&context.root, "hold", case, None);
        let order = Order { known_rom: None, ..Order::of(case, plan, &accepted, args.timeout.duration())? };
        tasks.push(Task { order, writer, aim: Aim::Hold });
    }
    let mut against = |sources: &mut Sources, sbdf: Sbdf| match propose(sources, &wanted) {
        Ok(now) => {
            let stop = now.iter().find(|one| one.case.sbdf() == sbdf)?.case.stop()?;
            Some(format!("refused now: {}: {}", stop.id, stop.sentence))
        }
        Err(failure) => Some(failure.message),
    };
    let mut signals = HeldSignals::hold();
    let ended = context.carry_out(&mut sources, tasks, &mut signals, &mut against);
    answer(context.json, "hold", &cases, ended)
}

fn propose(sources: &mut Sources, wanted: &[Sbdf]) -> Result<Vec<Proposal>, Failure> {
    let dom0 = Rc::new(sources.observe()?);
    // A hold asks nothing of the past.
    let past = Rc::new(Past::not_asked());
    let mut all = Vec::new();
    for subject in sources.subjects(&dom0, wanted)? {
        let uses = sources.dom0_uses(&subject.function)?;
        all.push(Proposal::to_hold(Case::of_hold(&dom0, &past, subject, &uses, wanted)));
    }
    Ok(all)
}
