//! `list`: the devices that dom0 does not drive, a line each.

use super::Context;
use crate::assess::{state_of, Case};
use crate::cli::{ListArgs, Sort};
use crate::error::{Exit, Failure};
use crate::names::escape;
use crate::observe::{Dom0, Sources};
use crate::report::text::wrapped;
use crate::report::{
    self, device_block, emit, json, next_block, no_qubes, qubes_asked, table, unseen_block, ListOrder,
};
use crate::run::Unsettled;
use serde_json::json;
use std::rc::Rc;

/// The devices away from dom0, and how many more there are that nobody asks for.
pub struct Away {
    /// The devices that are shown.
    pub cases: Vec<Case>,
    /// Functions that nothing drives and that were never taken.
    pub hidden: usize,
}

impl Away {
    /// Gathers them; `all`: those that dom0 drives, and those that nothing drives, too.
    ///
    /// # Errors
    /// One went away in between.
    pub fn read(
        context: &Context,
        sources: &mut Sources,
        dom0: &Rc<Dom0>,
        unsettled: &Unsettled,
        all: bool,
    ) -> Result<Self, Failure> {
        // Where Xen cannot be asked, sysfs has to do; what it cannot show is said.
        let sees = dom0.owners.is_ok() && dom0.uses.is_ok();
        let wanted: Vec<_> = dom0
            .functions
            .values()
            .filter(|function| {
                let state = state_of(dom0, function);
                let fine = if sees { state.is_fine() } else { state.looks_fine() };
                all || !fine || unsettled.is_of(function.sbdf)
            })
            .map(|function| (function.sbdf, None))
            .collect();
        let found = context.returns(sources, dom0, &wanted, &[])?;
        let shown = |case: &Case| all || unsettled.is_of(case.sbdf()) || !case.was_never_taken();
        let (cases, hidden): (Vec<Case>, Vec<Case>) = found.into_iter().partition(shown);
        let beside = |case: Case| {
            let verdict = unsettled.verdict(case.sbdf());
            case.beside(verdict)
        };
        Ok(Self { cases: cases.into_iter().map(beside).collect(), hidden: hidden.len() })
    }
}

/// Lists them.
///
/// # Errors
/// This is no dom0, or sysfs cannot be read.
pub fn run(context: &Context, args: &ListArgs) -> Result<Exit, Failure> {
    let mut sources = Sources::open(&context.root)?;
    let dom0 = Rc::new(sources.observe()?);
    let unsettled = context.unsettled(&dom0);
    let filtered = args.qube.is_some() || args.state.is_some();
    let mut away = Away::read(context, &mut sources, &dom0, &unsettled, args.all || filtered)?;
    let mut not_seen = dom0.unseen();
    not_seen.extend(away.cases.first().and_then(|case| case.past.unseen()));
    away.cases.retain(|case| {
        args.qube.as_deref().is_none_or(|name| case.is_of_qube(name))
            && args.state.is_none_or(|state| case.state.word() == state)
    });
    order(args.sort).sort(&mut away.cases);
    let former = context.former_journal().map(|path| escape(path.as_os_str().as_encoded_bytes()));
    let exit = if filtered && away.cases.is_empty() { Exit::Undone } else { Exit::Done };
    if context.json {
        let (pending, running) = report::unsettled(&unsettled);
        emit(&json::document(
            "list",
            json!({
                "pending": pending,
                "running": running,
                "functions": away.cases.iter().map(json::device).collect::<Vec<_>>(),
                "hidden": away.hidden,
                "former_journal": former,
                "qubes": qubes_asked(&dom0),
                "unseen": not_seen,
            }),
        ))?;
        return Ok(exit);
    }
    let mut text = report::heading(dom0.by_root, &not_seen, &unsettled, &args.words());
    text.push_str(&devices(args, &away, filtered));
    if away.cases.is_empty() && !filtered && not_seen.is_empty() && matches!(unsettled, Unsettled::Nothing) {
        text.push_str("No device is away from dom0.\n");
    }
    text.push_str(&hidden_line(away.hidden));
    if matches!(unsettled, Unsettled::Nothing) && !args.long {
        text.push_str(&next_block(&away.cases));
    }
    text.push_str(&no_qubes(&dom0));
    text.push_str(&unseen_block(&not_seen));
    if let Some(former) = former {
        let what =
            format!("an older journal is at {former}; what counts is at {}", context.journal.display());
        text.push_str(&wrapped("note: ", &what));
    }
    emit(&text)?;
    Ok(exit)
}

fn devices(args: &ListArgs, away: &Away, filtered: bool) -> String {
    if away.cases.is_empty() && filtered {
        return "no device fits\n".to_owned();
    }
    if args.long {
        return away.cases.iter().map(device_block).collect();
    }
    table(&away.cases)
}

/// How many were left out, and how they are shown.
#[must_use]
pub fn hidden_line(hidden: usize) -> String {
    match hidden {
        0 => String::new(),
        1 => "(1 device without a driver was never taken: list --all)\n".to_owned(),
        all => format!("({all} devices without a driver were never taken: list --all)\n"),
    }
}

fn order(sort: Sort) -> ListOrder {
    match sort {
        Sort::Action => ListOrder::Action,
        Sort::Address => ListOrder::Address,
        Sort::State => ListOrder::State,
        Sort::Qube => ListOrder::Qube,
        Sort::Time => ListOrder::Time,
    }
}

impl ListArgs {
    /// The command, as it was typed.
    fn words(&self) -> String {
        let flag = |set: bool, name: &str| if set { format!(" {name}") } else { String::new() };
        let qube = self.qube.as_ref().map(|name| format!(" --qube {}", escape(name.as_bytes())));
        let state = self.state.map(|state| format!(" --state {}", state.word()));
        format!(
            "list{}{}{}{}",
            flag(self.all, "--all"),
            flag(self.long, "--long"),
            qube.unwrap_or_default(),
            state.unwrap_or_default()
        )
    }
}
