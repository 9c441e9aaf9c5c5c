//! Stays with qubes: those of this boot one by one, those of earlier boots by qube.

use super::Place;
use crate::journal::{Moment, Stay, StayEvent};
use std::collections::{BTreeMap, BTreeSet};

/// How many stays of this boot are kept.
const MOST_STAYS: usize = 256;
/// How many qubes of earlier boots are kept.
const MOST_QUBES: usize = 256;
/// How many labels and options are kept of a qube.
const MOST_WORDS: usize = 8;

/// How a stay ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It has not, as far as is recorded.
    Open,
    /// Then; `None` where the record tells no time.
    At(Option<Moment>),
    /// Nobody recorded when.
    Unrecorded,
}

/// A stay of this boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stayed {
    /// What was recorded of it; later records fill in what the first did not know.
    pub stay: Stay,
    /// The labels it got later.
    pub relabelled: BTreeSet<String>,
    /// When it began or was first seen; `None` where only its end was.
    pub from: Option<Moment>,
    /// Its beginning was recorded, not only its being there.
    pub begun: bool,
    /// Its end.
    pub to: Ended,
    /// The boot, as the journal names it; empty where an import does not tell.
    pub boot: String,
    /// Where the journal tells of it first.
    pub seq: u64,
}

impl Stayed {
    /// The name to accept it by: that of the qube where a person can type it, else the domain's.
    #[must_use]
    pub fn name(&self) -> String {
        match crate::names::QubeName::parse(&self.stay.qube) {
            Some(name) => name.to_string(),
            None if self.stay.domain >= 0 => format!("domain-{}", self.stay.domain),
            None => "unnamed".to_owned(),
        }
    }
}

/// What a qube of earlier boots did with it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Before {
    /// The qube, escaped.
    pub qube: String,
    /// Its labels then, and those it got later.
    pub labels: BTreeSet<String>,
    /// Of a stay of it no label was recorded, or more than are kept.
    pub unlabelled: bool,
    /// Whether it once provided network; `None` where that was never recorded.
    pub network: Option<bool>,
    /// Options other than the defaults.
    pub options: BTreeSet<String>,
    /// How many stays.
    pub stays: u64,
    /// The first and the last time that is recorded.
    pub first: Option<Moment>,
    /// The last.
    pub last: Option<Moment>,
    /// The last boot, as the journal names it; empty where an import does not tell.
    pub boot: String,
    /// It stood at another address then.
    pub moved: bool,
    /// It may have been a twin of this device.
    pub perhaps: bool,
    /// All of it was imported.
    pub imported: bool,
    /// The label of the latest stay is known.
    labelled: bool,
    domain: i64,
    open: bool,
    place: u64,
}

#[derive(Default)]
pub struct Stays {
    now: Vec<Stayed>,
    more: u64,
    before: BTreeMap<String, Before>,
    more_before: u64,
    told: u64,
}

impl Stays {
    /// A record of this boot.
    pub fn now(&mut self, place: Place, boot: &str, it: &Stay) {
        let known = self.now.iter().rposition(|one| is_same(&one.stay, it));
        let known = known.filter(|&at| {
            self.now.get(at).is_some_and(|one| match it.event {
                StayEvent::Begin | StayEvent::Present => one.to == Ended::Open,
                // The end of a domain is told by several sources.
                StayEvent::End => true,
            })
        });
        if let Some(one) = known.and_then(|at| self.now.get_mut(at)) {
            add(&mut one.relabelled, &it.label);
            merge(&mut one.stay, it);
            if it.event == StayEvent::End && one.to == Ended::Open {
                one.to = Ended::At(place.time);
            }
            return;
        }
        let ends = it.event == StayEvent::End;
        // One qube has it at a time: an earlier one has ended, though nobody wrote that down.
        for one in self.now.iter_mut().filter(|one| one.to == Ended::Open && !ends && one.stay.bdf == it.bdf)
        {
            one.to = Ended::Unrecorded;
        }
        self.keep(Stayed {
            stay: it.clone(),
            relabelled: BTreeSet::new(),
            from: if ends { None } else { place.time },
            begun: it.event == StayEvent::Begin,
            to: if ends { Ended::At(place.time) } else { Ended::Open },
            boot: boot.to_owned(),
            seq: place.seq,
        });
    }

    fn keep(&mut self, stayed: Stayed) {
        if self.now.len() >= MOST_STAYS {
            // Rather one of several stays of a qube than all of one.
            let names: Vec<String> = self.now.iter().map(Stayed::name).collect();
            let again = names.iter().enumerate().position(|(at, name)| {
                *name == stayed.name() || names.iter().skip(at + 1).any(|later| later == name)
            });
            self.now.remove(again.unwrap_or(0));
            self.more += 1;
        }
        self.now.push(stayed);
    }

    /// A record of an earlier boot.
    pub fn earlier(&mut self, time: Option<Moment>, boot: &str, it: &Stay, moved: bool, perhaps: bool) {
        self.told += 1;
        let imported = it.source.starts_with("import:");
        if self.before.len() >= MOST_QUBES && !self.before.contains_key(&it.qube) {
            self.more_before += 1;
            return;
        }
        let one = self.before.entry(it.qube.clone()).or_insert_with(|| Before {
            qube: it.qube.clone(),
            imported: true,
            perhaps: true,
            moved: true,
            domain: -1,
            ..Before::default()
        });
        let goes_on = one.boot == boot && one.domain == it.domain && one.stays > 0;
        let counts = match it.event {
            StayEvent::Begin => !(goes_on && one.open),
            StayEvent::Present | StayEvent::End => !goes_on,
        };
        one.stays += u64::from(counts);
        one.unlabelled |= counts && one.stays > 1 && !one.labelled;
        one.labelled = !it.label.is_empty() || one.labelled && !counts;
        one.open = it.event != StayEvent::End;
        one.domain = it.domain;
        boot.clone_into(&mut one.boot);
        one.place = self.told;
        one.first = one.first.into_iter().chain(time).min();
        one.last = one.last.into_iter().chain(time).max();
        one.imported &= imported;
        one.perhaps &= perhaps;
        one.moved &= moved;
        one.network = match (one.network, it.network) {
            (Some(was), Some(is)) => Some(was || is),
            (was, is) => was.or(is),
        };
        one.unlabelled |= !add(&mut one.labels, &it.label);
        for option in it.options.split(',').filter(|option| is_loose(option)) {
            add(&mut one.options, option);
        }
    }

    /// A qube got another label: those of its stays that were told are of one that has it.
    pub fn relabelled(&mut self, qube: &str, label: &str) {
        for one in self.now.iter_mut().filter(|one| one.stay.qube == qube) {
            add(&mut one.relabelled, label);
        }
        if let Some(one) = self.before.get_mut(qube) {
            one.unlabelled |= !add(&mut one.labels, label);
        }
    }

    /// Stays of this boot, those not kept, earlier boots with the latest first, and stays not kept there.
    pub fn finish(self) -> (Vec<Stayed>, u64, Vec<Before>, u64) {
        let mut before: Vec<Before> = self.before.into_values().collect();
        for one in &mut before {
            one.unlabelled |= !one.labelled;
        }
        before.sort_by_key(|one| std::cmp::Reverse(one.place));
        (self.now, self.more, before, self.more_before)
    }
}

/// Keeps a word that says something; whether it could.
fn add(set: &mut BTreeSet<String>, word: &str) -> bool {
    if word.is_empty() || set.contains(word) {
        return true;
    }
    set.len() < MOST_WORDS && set.insert(word.to_owned())
}

/// Options that leave something in the device: the others are defaults.
pub fn is_loose(option: &str) -> bool {
    ["permissive=1", "rdm_policy=relaxed", "no-strict-reset=True", "permissive=True"].contains(&option)
}

/// Whether two records are of one stay: of one domain, or of one name where a domain is not known.
fn is_same(one: &Stay, other: &Stay) -> bool {
    if one.bdf != other.bdf {
        return false;
    }
    let stubs = [(one.stub, other.domain), (one.domain, other.stub), (one.stub, other.stub)];
    if one.domain >= 0 && other.domain >= 0 {
        return one.domain == other.domain || stubs.iter().any(|(stub, id)| *stub >= 0 && stub == id);
    }
    one.qube == other.qube
}

fn merge(known: &mut Stay, more: &Stay) {
    let text = |known: &mut String, more: &String| {
        if known.is_empty() {
            known.clone_from(more);
        }
    };
    // A number is what a domain is called before its name is known.
    if known.qube.is_empty() || known.qube.starts_with("domain-") && !more.qube.is_empty() {
        known.qube.clone_from(&more.qube);
    }
    text(&mut known.uuid, &more.uuid);
    text(&mut known.label, &more.label);
    text(&mut known.class, &more.class);
    known.network = known.network.or(more.network);
    if known.domain < 0 {
        known.domain = more.domain;
    }
    if known.stub < 0 {
        known.stub = more.stub;
    }
    for option in more.options.split(',').filter(|option| !option.is_empty()) {
        if !known.options.split(',').any(|one| one == option) {
            if !known.options.is_empty() {
                known.options.push(',');
            }
            known.options.push_str(option);
        }
    }
}
