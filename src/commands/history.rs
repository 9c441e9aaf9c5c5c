//! What the journal tells of functions, led from the journal to what follows from it.

use super::Context;
use crate::assess::{same, share_a_past, Candidate, Fold, Past};
use crate::error::{Exit, Failure};
use crate::journal::{journal_boot, Uptime};
use crate::names::Sbdf;
use crate::observe::past::{self, Journal, Named};
use crate::observe::{boot_began, identity, Dom0, Sources};
use crate::system::lock::RecorderMark;
use std::collections::BTreeMap;

/// Reading for this many functions looks for each; for more it takes in everything about any.
const FEW: usize = 4;

/// Reads the past of these functions, and of those that are one device with them, in one pass.
#[must_use]
pub fn past_of(context: &Context, sources: &Sources, dom0: &Dom0, wanted: &[Sbdf]) -> Past {
    let asked: Vec<_> = wanted.iter().filter_map(|sbdf| dom0.functions.get(sbdf)).collect();
    // What is done to one function of a device, all of them may have been through.
    let functions = dom0.functions.values().filter(|function| {
        wanted.contains(&function.sbdf) || asked.iter().any(|one| share_a_past(dom0, one, function))
    });
    let identities: BTreeMap<Sbdf, _> =
        functions.map(|function| (function.sbdf, identity::of(&sources.sysfs, function))).collect();
    let present: Vec<Named> = dom0
        .functions
        .values()
        .map(|function| {
            let rough = identity::rough(function);
            let id = match identities.get(&function.sbdf) {
                Some(identity) => identity.id.clone(),
                // Only one that may be a twin is asked for its serial number.
                None if identities.values().any(|one| same(&one.id, &rough)) => {
                    identity::of(&sources.sysfs, function).id
                }
                None => rough,
            };
            Named { sbdf: function.sbdf, id }
        })
        .collect();
    let named: Vec<Named> =
        present.iter().filter(|one| identities.contains_key(&one.sbdf)).cloned().collect();
    let named = if named.len() > FEW { Vec::new() } else { named };
    let boot = journal_boot(&dom0.boot_id);
    let mut fold = Fold::new(&boot, boot_began(&context.root), present, identities);
    // Asked first: a recorder that ends meanwhile may have missed something, one that begins has not.
    let holder = RecorderMark::holder(&context.root);
    // What others could have put in its place is not the past.
    let journal = match context.journal_is_safe() {
        Ok(()) => past::read(&context.journal, &named, &boot, &mut |told| fold.tell(told)),
        Err(failure) => Journal::Unreadable(failure),
    };
    let candidates = candidates(context, sources, dom0, &mut fold);
    let holder = holder.filter(|run| RecorderMark::holder(&context.root).as_ref() == Some(run));
    fold.finish(Uptime::now(), holder.as_deref(), journal, &candidates)
}

/// What may have moved, with its serial number and with what the journal tells of where it stands now.
fn candidates(context: &Context, sources: &Sources, dom0: &Dom0, fold: &mut Fold) -> Vec<Candidate> {
    let mut candidates = fold.candidates();
    if candidates.is_empty() {
        return candidates;
    }
    let mut there: Vec<Sbdf> = candidates.iter().flat_map(|it| [it.sbdf, it.of]).collect();
    there.sort_unstable();
    there.dedup();
    for function in there.iter().filter_map(|sbdf| dom0.functions.get(sbdf)) {
        fold.reads(function.sbdf, &identity::of(&sources.sysfs, function).id);
    }
    let read = past::devices(&context.journal, &there, &mut |told| {
        candidates.iter_mut().for_each(|it| it.tell(told));
    });
    // What could not be read is no proof of a move.
    if !matches!(read, Journal::Read { .. }) {
        candidates.clear();
    }
    candidates
}

/// What a changing command would fail with for the journal's sake, before it changes anything.
///
/// # Errors
/// Exit 7: it is broken; 11, and 10 for root: it cannot be read.
pub fn usable(past: &Past) -> Result<(), Failure> {
    match &past.journal {
        Journal::Broken(failure) => Err(failure.clone()),
        Journal::Unreadable(failure) if !is_for_root_alone(failure) => Err(failure.clone()),
        _ => Ok(()),
    }
}

/// Whether a changing command could write its records; nothing is written for it. Without root it would not
/// come that far.
///
/// # Errors
/// Exit 11: the journal is not root's alone, or is on a read-only file system.
pub fn takes_records(context: &Context) -> Result<(), Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    audit::appendable(&context.journal).map_err(|error| Failure::of_journal(&error))
}

/// Whether only the right to read the journal is missing: without root a changing command would not come that
/// far, in a model neither, and what only shows goes on.
#[must_use]
pub fn is_for_root_alone(failure: &Failure) -> bool {
    failure.exit == Exit::NotDom0 && !nix::unistd::geteuid().is_root()
}

/// What of it could not be seen, in words.
#[must_use]
pub fn unseen(past: &Past) -> Option<String> {
    match &past.journal {
        Journal::Broken(failure) | Journal::Unreadable(failure) => {
            Some(format!("the journal: {}", failure.message))
        }
        Journal::Read { .. } | Journal::Absent => None,
    }
}
