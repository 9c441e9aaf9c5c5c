//! The past of functions, as the journal tells it.

use super::exposure::{Fold, MoveCandidate, Past};
use super::neighbours::share_a_past;
use super::{boot_began, identity, Dom0, Sources};
use crate::journal::identity::same;
use crate::journal::{
    is_safe, journal_boot, records_at, records_of_functions, IdentifiedFunction, JournalReading, Uptime,
};
use crate::names::Sbdf;
use crate::system::lock::RecorderMark;
use std::collections::BTreeMap;
use std::path::Path;

/// Reading for this many functions looks for each; for more it takes in everything about any.
const FEW: usize = 4;

/// Reads the past of these functions, and of those that are one device with them, in one pass.
#[must_use]
pub fn past_of(sources: &Sources, folder: &Path, dom0: &Dom0, wanted: &[Sbdf]) -> Past {
    let asked: Vec<_> = wanted.iter().filter_map(|sbdf| dom0.functions.get(sbdf)).collect();
    // What is done to one function of a device, all of them may have been through.
    let functions = dom0.functions.values().filter(|function| {
        wanted.contains(&function.sbdf) || asked.iter().any(|one| share_a_past(dom0, one, function))
    });
    let identities: BTreeMap<Sbdf, _> =
        functions.map(|function| (function.sbdf, identity::of(&sources.sysfs, function))).collect();
    let present: Vec<IdentifiedFunction> = dom0
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
            IdentifiedFunction { sbdf: function.sbdf, id }
        })
        .collect();
    let named: Vec<IdentifiedFunction> =
        present.iter().filter(|one| identities.contains_key(&one.sbdf)).cloned().collect();
    let named = if named.len() > FEW { Vec::new() } else { named };
    let boot = journal_boot(&dom0.boot_id);
    let mut fold = Fold::new(&boot, boot_began(&sources.root), present, identities);
    // Asked first: a recorder that ends meanwhile may have missed something, one that begins has not.
    let holder = RecorderMark::holder(&sources.root);
    // What others could have put in its place is not the past.
    let journal = match is_safe(&sources.root, folder) {
        Ok(()) => records_of_functions(folder, &named, &boot, &mut |record| fold.tell(record)),
        Err(failure) => JournalReading::Unreadable(failure),
    };
    let candidates = candidates(sources, folder, dom0, &mut fold);
    let holder = holder.filter(|run| RecorderMark::holder(&sources.root).as_ref() == Some(run));
    fold.finish(Uptime::now(), holder.as_deref(), journal, &candidates)
}

/// What may have moved, with its serial number and with what the journal tells of where it stands now.
fn candidates(sources: &Sources, folder: &Path, dom0: &Dom0, fold: &mut Fold) -> Vec<MoveCandidate> {
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
    let read = records_at(folder, &there, &mut |record| {
        candidates.iter_mut().for_each(|it| it.tell(record));
    });
    // What could not be read is no proof of a move.
    if !matches!(read, JournalReading::Read { .. }) {
        candidates.clear();
    }
    candidates
}
