//! Stays with qubes, folded from the journal's records in their order. Whoever looks back uses this one fold:
//! hazards, `list`, `show`, `rollback`, `timeline`.
//!
//! - Records are of one stay where they are of one domain (or its stub domain), or of one name where a domain
//!   is not known. What a domain is called before its name is known is no other qube.
//! - One qube has a function at a time: where another begins, the one before had ended.
//! - A record that shows the function with a driver of dom0, and dom0 as its owner in Xen, ends a stay: so
//!   does the proof of a return. The end itself was not seen then: it was at that time at the latest.

use super::{DeviceRecord, Moment, Place, StayEvent, StayRecord};
use crate::names::Sbdf;
use std::collections::{BTreeMap, BTreeSet};

/// How many stays are looked back at for the one that a record is of, and how
/// many are kept where not all are.
const MOST_STAYS: usize = 256;
/// How many labels are kept of a stay.
const MOST_WORDS: usize = 8;

/// How a stay ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StayEnd {
    /// It has not, as far as is recorded.
    Open,
    /// Then; `None` where the record tells no time.
    At(Option<Moment>),
    /// Nobody saw it end; by then it had. `None` where the record tells no time.
    By(Option<Moment>),
}

/// A stay, as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stayed {
    /// What was recorded of it; later records fill in what the first did not know.
    pub stay: StayRecord,
    /// The labels it got later.
    pub relabelled: BTreeSet<String>,
    /// When it began or was first seen; `None` where only its end was.
    pub from: Option<Moment>,
    /// The beginning was recorded, not only that it was there.
    pub begun: bool,
    /// When it ended.
    pub to: StayEnd,
    /// The boot, as the journal names it; empty where an import does not tell.
    pub boot: String,
    /// Where the journal tells of it first.
    pub seq: u64,
    /// Where the journal tells of it last, and when that was.
    pub latest: (u64, Option<Moment>),
    /// Since a new run of the recorder began nobody has seen it: then it is known to have lasted to here.
    pub seen_to: Option<Moment>,
    /// Where the clock was set back while it lasted: to when it lasted by the one
    /// time, and since when by the other.
    pub steps: Vec<(Moment, Moment)>,
}

impl Stayed {
    /// The name to accept it by: that of the qube where a person can type it, else the domain's.
    #[must_use]
    pub fn name(&self) -> String {
        match crate::names::QubeName::parse(&self.stay.qube) {
            Some(name) => name.to_string(),
            None => self.stay.domain.map_or("unnamed".to_owned(), |domain| format!("domain-{domain}")),
        }
    }

    /// An import tells of it: no proof of anything else.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.stay.source.is_import()
    }

    /// Ends it by this time, where it is still open.
    fn over_by(&mut self, time: Option<Moment>) {
        if self.to == StayEnd::Open {
            self.to = StayEnd::By(time);
        }
    }
}

/// The stays of one boot.
#[derive(Clone, Debug, Default)]
pub struct Stays {
    stays: Vec<Stayed>,
    /// Whether all of them are kept.
    all: bool,
    /// When each function was last shown to be dom0's.
    dom0s: BTreeMap<Sbdf, Option<Moment>>,
}

impl Stays {
    /// Keeps every stay.
    #[must_use]
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Takes one record. Gives the stay it is of, and one that is not kept any longer.
    pub fn take(
        &mut self,
        place: Place,
        boot: &str,
        it: &StayRecord,
    ) -> (Option<&mut Stayed>, Option<Stayed>) {
        let ends = it.event == StayEvent::End;
        let first = self.stays.len().saturating_sub(MOST_STAYS);
        // The end of a domain is told by several sources.
        let fits = |one: &Stayed| (ends || one.to == StayEnd::Open) && is_same(&one.stay, it);
        let known = self.stays.iter().skip(first).rposition(fits).map(|at| at + first);
        if let Some(at) = known {
            let one = self.stays.get_mut(at);
            return (one.map(|one| one.adds(place, it)), None);
        }
        let mut stayed = Stayed {
            stay: it.clone(),
            relabelled: BTreeSet::new(),
            from: if ends { None } else { place.time },
            begun: it.event == StayEvent::Begin,
            to: if ends { StayEnd::At(place.time) } else { StayEnd::Open },
            boot: boot.to_owned(),
            seq: place.seq,
            latest: (place.seq, place.time),
            seen_to: None,
            steps: Vec::new(),
        };
        if !ends {
            self.succeed(&mut stayed, first);
        }
        let dropped = if !self.all && self.stays.len() >= MOST_STAYS {
            let names: Vec<String> = self.stays.iter().map(Stayed::name).collect();
            // Rather one of several stays of a qube than all of one.
            let again = names.iter().enumerate().position(|(at, name)| {
                *name == stayed.name() || names.iter().skip(at + 1).any(|later| later == name)
            });
            Some(self.stays.remove(again.unwrap_or(0)))
        } else {
            None
        };
        self.stays.push(stayed);
        (self.stays.last_mut(), dropped)
    }

    /// One qube has a function at a time: the one before had ended. An import tells late of what was before.
    fn succeed(&mut self, stayed: &mut Stayed, first: usize) {
        let (imported, bdf, from) = (stayed.is_imported(), stayed.stay.bdf, stayed.from);
        let later =
            |time: Option<Moment>| imported && time.zip(from).is_some_and(|(time, from)| time >= from);
        for one in self.stays.iter_mut().skip(first).filter(|one| one.stay.bdf == bdf) {
            if later(one.from) {
                stayed.over_by(one.from);
            } else {
                one.over_by(from);
            }
        }
        let dom0s = self.dom0s.get(&bdf).copied().flatten();
        if later(dom0s) {
            stayed.over_by(dom0s);
        }
    }

    /// Takes what a record says of a function: where that is dom0's, no qube has it any more.
    pub fn device(&mut self, time: Option<Moment>, it: &DeviceRecord) {
        if it.is_dom0s() {
            self.dom0s.insert(it.bdf, time);
            for one in self.stays.iter_mut().rev().take(MOST_STAYS).filter(|one| one.stay.bdf == it.bdf) {
                one.over_by(time);
            }
        }
    }

    /// A qube got another label: those of its stays that were told are of one that has it.
    pub fn relabelled(&mut self, qube: &str, label: &str) {
        for one in self.stays.iter_mut().filter(|one| one.stay.qube == qube) {
            add(&mut one.relabelled, label);
        }
    }

    /// A new run of the recorder began: what it does not see any more is known to have lasted up to `latest`.
    pub fn doubt(&mut self, latest: Moment) {
        for one in self.open().filter(|one| one.seen_to.is_none()) {
            one.seen_to = Some(one.from.map_or(latest, |from| latest.max(from)));
        }
    }

    /// The clock went back: what is open lasted to `to` by the one time, and since `from` by the other.
    pub fn went_back(&mut self, to: Moment, from: Moment) {
        for one in self.open() {
            let to = one.seen_to.unwrap_or(to);
            one.seen_to = one.seen_to.map(|_| from);
            one.steps.push((to, from));
        }
    }

    fn open(&mut self) -> impl Iterator<Item = &mut Stayed> {
        self.stays.iter_mut().rev().take(MOST_STAYS).filter(|one| one.to == StayEnd::Open)
    }

    /// The boot is over: its stays, in the order in which they were told of first.
    pub fn finish(&mut self) -> Vec<Stayed> {
        self.dom0s.clear();
        std::mem::take(&mut self.stays)
    }
}

impl Stayed {
    fn adds(&mut self, place: Place, it: &StayRecord) -> &mut Self {
        add(&mut self.relabelled, &it.label);
        merge(&mut self.stay, it);
        self.latest = (place.seq, place.time);
        self.seen_to = None;
        let late = self.is_imported() && matches!(self.to, StayEnd::By(_));
        if it.event == StayEvent::End && (self.to == StayEnd::Open || late) {
            self.to = StayEnd::At(place.time);
        }
        self
    }
}

/// Keeps a word that says something; whether it could.
pub fn add(set: &mut BTreeSet<String>, word: &str) -> bool {
    if word.is_empty() || set.contains(word) {
        return true;
    }
    set.len() < MOST_WORDS && set.insert(word.to_owned())
}

/// Whether two records are of one stay: of one domain, or of one name where a domain is not known.
fn is_same(one: &StayRecord, other: &StayRecord) -> bool {
    if one.bdf != other.bdf {
        return false;
    }
    if one.domain.is_none() || other.domain.is_none() {
        return one.qube == other.qube;
    }
    let stubs = [(one.stub, other.domain), (one.domain, other.stub), (one.stub, other.stub)];
    one.domain == other.domain || stubs.iter().any(|(stub, id)| stub.is_some() && stub == id)
}

fn merge(known: &mut StayRecord, more: &StayRecord) {
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
    known.domain = known.domain.or(more.domain);
    known.stub = known.stub.or(more.stub);
    for option in more.options.split(',').filter(|option| !option.is_empty()) {
        if !known.options.split(',').any(|one| one == option) {
            if !known.options.is_empty() {
                known.options.push(',');
            }
            known.options.push_str(option);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::journal::{DeviceEvent, Log, Source};
    use crate::names::{DriverName, Owner};

    fn bdf() -> Sbdf {
        Sbdf::from_sysfs("0000:03:00.0").unwrap()
    }

    fn at(second: u64) -> Option<Moment> {
        Some(Moment::from_micros(second * 1_000_000))
    }

    fn stay(event: StayEvent, qube: &str, domain: u16) -> StayRecord {
        let domain = Some(domain);
        StayRecord { domain, ..StayRecord::new(event, bdf(), qube, Source::Xenstore) }
    }

    fn device(event: DeviceEvent, driver: &str, before: &str, owner: &str) -> DeviceRecord {
        DeviceRecord {
            driver: DriverName::parse(driver),
            before: DriverName::parse(before),
            owner: Owner::parse(owner),
            ..DeviceRecord::new(event, bdf(), Source::Operation)
        }
    }

    fn take(stays: &mut Stays, second: u64, it: &StayRecord) {
        stays.take(Place { seq: second, time: at(second), up: None }, "b", it);
    }

    fn told(stays: &mut Stays) -> Vec<(String, bool, StayEnd)> {
        stays.finish().into_iter().map(|one| (one.stay.qube, one.begun, one.to)).collect()
    }

    #[test]
    fn what_a_domain_is_called_before_its_name_is_known_is_no_other_qube() {
        let mut stays = Stays::default();
        take(&mut stays, 1, &stay(StayEvent::Begin, "domain-7", 7));
        take(&mut stays, 2, &stay(StayEvent::Present, "sys-net", 7));
        take(&mut stays, 5, &stay(StayEvent::End, "sys-net", 7));
        take(&mut stays, 6, &stay(StayEvent::End, "domain-7", 7));
        assert_eq!(told(&mut stays), [("sys-net".to_owned(), true, StayEnd::At(at(5)))]);
    }

    #[test]
    fn only_a_driver_of_dom0_with_dom0_as_the_owner_ends_a_stay() {
        use DeviceEvent::{Bound, Present, Seized, Unbound};
        for (record, ends) in [
            (device(Bound, "e1000e", "pciback", "dom0"), true),
            (device(Present, "e1000e", "", "dom0"), true),
            (device(Seized, "pciback", "e1000e", "dom0"), true),
            (device(Seized, "pciback", "", "dom0"), false),
            (device(Bound, "e1000e", "pciback", "DomIO"), false),
            (device(Bound, "e1000e", "pciback", ""), false),
            (device(Present, "pciback", "e1000e", "dom0"), false),
            (device(Unbound, "", "e1000e", "dom0"), false),
            (
                DeviceRecord { source: Source::Import(Log::Journald), ..device(Bound, "e1000e", "", "dom0") },
                false,
            ),
            (
                DeviceRecord {
                    bdf: Sbdf::from_sysfs("0000:04:00.0").unwrap(),
                    ..device(Bound, "e1000e", "", "dom0")
                },
                false,
            ),
        ] {
            let mut stays = Stays::default();
            take(&mut stays, 1, &stay(StayEvent::Begin, "sys-net", 7));
            stays.device(at(9), &record);
            let to = if ends { StayEnd::By(at(9)) } else { StayEnd::Open };
            assert_eq!(told(&mut stays), [("sys-net".to_owned(), true, to)], "{record:?}");
        }
    }

    #[test]
    fn a_stay_that_begins_after_a_return_is_open_and_one_that_is_imported_after_it_is_not() {
        let mut stays = Stays::default();
        stays.device(at(9), &device(DeviceEvent::Bound, "e1000e", "pciback", "dom0"));
        take(&mut stays, 10, &stay(StayEvent::Begin, "sys-net", 7));
        let late = StayRecord::new(StayEvent::Begin, bdf(), "work", Source::Import(Log::Libvirt));
        take(&mut stays, 3, &late);
        // The import speaks of a time before, and the journal's order is not that of what it tells.
        let ends: Vec<StayEnd> = stays.finish().into_iter().map(|one| one.to).collect();
        assert_eq!(ends, [StayEnd::Open, StayEnd::By(at(10))]);
        stays.device(at(9), &device(DeviceEvent::Bound, "e1000e", "pciback", "dom0"));
        take(&mut stays, 3, &late);
        assert_eq!(stays.finish()[0].to, StayEnd::By(at(9)));
    }
}
