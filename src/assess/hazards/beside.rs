//! The functions beside it: who has them, and who had those of its own device. Of a neighbour on the bus only
//! the present counts: what it wrote into this function's registers is gone with the reset, what it wrote
//! into shared firmware is not.

use super::past::{few, is_unexplained, present, with_present};
use super::{owner, Hazard, HazardId};
use crate::assess::state::state_of;
use crate::names::{Owner, Sbdf};
use crate::observe::exposure::{holders, Past};
use crate::observe::neighbours::{reach_each_other, share_a_past, siblings};
use crate::observe::{Dom0, Function};

/// One thing to say of a function beside it.
struct Beside {
    words: String,
    /// Labels of the qubes it is about; none where one of them is not known.
    labels: Vec<String>,
    /// It is so now.
    now: bool,
    /// It rests on nothing but what could not be read.
    unseen: bool,
}

/// Who has, or had, what is beside it. `known`: who had the function itself is known; where it is not, that
/// says it all.
pub fn beside(dom0: &Dom0, function: &Function, past: &Past, known: bool) -> Option<Hazard> {
    let own = neighbours_holders(dom0, function.sbdf, past);
    let mut all = Vec::new();
    let reached = dom0.functions.values().filter(|other| reach_each_other(dom0, function, other));
    let mut others = siblings(dom0, function);
    others.extend(reached);
    let mut reach = false;
    for other in others {
        let shared = share_a_past(dom0, function, other);
        let before = all.len();
        all.extend(of_sibling(dom0, other, past, shared.then_some(own.as_slice())));
        if shared && known && is_unknown(dom0, other, past) {
            let words = format!("{} (who had it is not known for sure)", other.sbdf);
            all.push(Beside { words, labels: Vec::new(), now: false, unseen: false });
        }
        let only_reach = !siblings(dom0, function).iter().any(|one| one.sbdf == other.sbdf);
        reach |= only_reach && all.len() > before;
    }
    if all.is_empty() {
        return None;
    }
    let sentence = if all.iter().any(|one| one.now) {
        "other functions of its slot, bus or card are with a qube and may reach it past the IOMMU"
    } else if reach {
        "a qube had other functions of its device or that can reach it, or may have had, and could have \
         altered it"
    } else {
        "a qube had other functions of its device, or may have had, and could have altered what they share"
    };
    let words: Vec<&str> = all.iter().map(|one| one.words.as_str()).collect();
    let mut hazard = Hazard::new(HazardId::SiblingsElsewhere, sentence, words.join(", "));
    hazard.unseen = all.iter().all(|one| one.unseen);
    hazard.labels = together(all.into_iter().map(|one| one.labels).collect());
    Some(hazard)
}

/// Who has it, and who had it besides those that are said of the function itself; `None` where that does not
/// count.
fn of_sibling(dom0: &Dom0, other: &Function, past: &Past, own: Option<&[NeighbourHolder]>) -> Vec<Beside> {
    let sbdf = other.sbdf;
    let (live, former): (Vec<_>, Vec<_>) =
        neighbours_holders(dom0, sbdf, past).into_iter().partition(|holder| holder.live);
    let mut all = Vec::new();
    if !live.is_empty() {
        all.push(Beside {
            words: format!("{sbdf} ({})", named(&live)),
            labels: labels(live),
            now: true,
            unseen: false,
        });
    } else if let Some(owner) = foreign_owner(dom0, sbdf) {
        all.push(Beside {
            words: format!("{sbdf} ({owner})"),
            labels: Vec::new(),
            now: true,
            unseen: dom0.owners.is_err(),
        });
    }
    let Some(own) = own else { return all };
    let unsaid = |holder: &NeighbourHolder| !own.iter().any(|one| one.says(holder));
    let former: Vec<NeighbourHolder> = former.into_iter().filter(unsaid).collect();
    if !former.is_empty() {
        let words = format!("{sbdf} (was with {})", named(&former));
        all.push(Beside { words, labels: labels(former), now: false, unseen: false });
    }
    all
}

/// A qube that has or had a function.
struct NeighbourHolder {
    name: String,
    who: String,
    /// All it had then, got since, and has now; none where one of them is not known.
    labels: Vec<String>,
    live: bool,
    /// In an earlier boot, and not in this one.
    earlier: bool,
}

impl NeighbourHolder {
    /// Whether what is said of the function for this holder of it covers that the other one had its sibling.
    fn says(&self, other: &Self) -> bool {
        let labels_too = self.labels.is_empty()
            || !other.labels.is_empty() && other.labels.iter().all(|label| self.labels.contains(label));
        !self.live && self.name == other.name && self.earlier <= other.earlier && labels_too
    }
}

fn neighbours_holders(dom0: &Dom0, sbdf: Sbdf, past: &Past) -> Vec<NeighbourHolder> {
    let exposure = past.of.get(&sbdf);
    let uses: Vec<_> = dom0.uses.iter().flat_map(|uses| uses.of(sbdf)).filter(|use_| use_.alive).collect();
    let mut all: Vec<NeighbourHolder> = Vec::new();
    for one in holders(dom0, sbdf, exposure) {
        let live = uses.iter().any(|use_| one.nodes.contains(&use_.node));
        // What it is called now it was called when it got it, where that is all there is to know.
        let labels = match (one.stays.is_empty(), live) {
            (true, true) => present(dom0, &one.name).into_iter().collect(),
            _ => with_present(dom0, [one.name.as_str()], one.labels),
        };
        all.push(NeighbourHolder { name: one.name, who: one.who, labels, live, earlier: false });
    }
    for one in exposure.map(|it| it.before.as_slice()).unwrap_or_default() {
        let then = if one.had.unlabelled { Vec::new() } else { one.had.labels.iter().cloned().collect() };
        let then = with_present(dom0, [one.had.qube.as_str()], then);
        match all.iter_mut().find(|known| known.name == one.had.qube) {
            Some(known) => known.labels = together(vec![std::mem::take(&mut known.labels), then]),
            None => all.push(NeighbourHolder {
                name: one.had.qube.clone(),
                who: format!("{} in an earlier boot", one.had.qube),
                labels: then,
                live: false,
                earlier: true,
            }),
        }
    }
    let forgotten = past.pruned.is_some_and(|prune| prune.forgotten);
    if forgotten || exposure.is_some_and(|it| it.more_stays > 0 || it.more_before > 0) {
        let who = "more qubes".to_owned();
        all.push(NeighbourHolder {
            name: String::new(),
            who,
            labels: Vec::new(),
            live: false,
            earlier: false,
        });
    }
    all
}

fn named(holders: &[NeighbourHolder]) -> String {
    few(&holders.iter().map(|holder| holder.who.clone()).collect::<Vec<_>>())
}

fn labels(holders: Vec<NeighbourHolder>) -> Vec<String> {
    together(holders.into_iter().map(|holder| holder.labels).collect())
}

/// All of these labels; none where there are none of one of them: then not all are known.
fn together(all: Vec<Vec<String>>) -> Vec<String> {
    if all.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let mut labels = all.concat();
    labels.sort();
    labels.dedup();
    labels
}

/// Xen's owner where it is neither dom0 nor the quarantine, or not known.
fn foreign_owner(dom0: &Dom0, sbdf: Sbdf) -> Option<String> {
    match owner(dom0, sbdf) {
        Some(Owner::Dom0 | Owner::Quarantine) => None,
        Some(owner) => Some(owner.to_string()),
        None => Some("owner not known".to_owned()),
    }
}

/// Whether a qube may have had the sibling that nobody knows of. What dom0 drives is as good as what dom0
/// drove until it was taken.
fn is_unknown(dom0: &Dom0, other: &Function, past: &Past) -> bool {
    let state = state_of(dom0, other);
    if state.is_fine() {
        return false;
    }
    let Some(exposure) = past.of.get(&other.sbdf) else { return true };
    let nobody = holders(dom0, other.sbdf, Some(exposure)).is_empty();
    !exposure.uncovered.is_empty() || nobody && is_unexplained(&state, Some(exposure))
}
