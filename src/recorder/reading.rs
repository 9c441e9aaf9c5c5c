//! What the recorder reads beside the news: everything at a moment, who has what, who the qubes are.

use super::backoff::Backoff;
use super::sources::Connections;
use super::story::{About, Occupancy, Seen, Snapshot, Using};
use super::Recorder;
use crate::journal::Moment;
use crate::names::{Owner, Sbdf};
use crate::observe::qubes::QubesSource;
use crate::observe::{identity, traces, Function, Owners, Use};
use std::collections::{BTreeMap, BTreeSet};

/// What was found: whether the domain is still there, and where.
type FoundUse = BTreeMap<(bool, Occupancy), Using>;

impl Recorder {
    /// Everything that is to be seen now. What cannot be read is left out, and its source counts as missing.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let clock = self.began.elapsed();
        if self.stale_qubes {
            self.meet_if_it_answers();
        }
        let given = traces::read(&self.connections.read.root);
        let devices = self.connections.read.devices();
        let owners = devices.as_ref().ok().and_then(|devices| devices.owners.clone().ok());
        let uses = match self.uses(owners) {
            Ok(uses) => Some(uses),
            Err(why) => {
                if self.connections.has_xenstore() {
                    self.connections.lose_xenstore(clock, &why);
                }
                None
            }
        };
        let first = uses.is_some() && self.connections.read.no_qube_ran(&given);
        let (uses, left) = uses.map_or((None, Vec::new()), |(uses, left)| (Some(uses), left));
        let mut snapshot = Snapshot {
            uses,
            left,
            first,
            given: given.map(|traces| traces.given).unwrap_or_default(),
            ..Snapshot::default()
        };
        let Ok(devices) = devices else { return snapshot };
        for (sbdf, function) in &devices.functions {
            let owner = devices.owners.as_ref().ok().and_then(|owners| owners.get(sbdf)).copied();
            let held = function.driver.as_ref().is_some_and(crate::names::DriverName::is_holder);
            if held || matches!(owner, Some(Owner::Quarantine | Owner::Domain(_))) {
                let mut seen = seen(&mut self.connections, function, devices.slots.contains(sbdf));
                seen.owner = owner;
                snapshot.held.insert(*sbdf, seen);
            }
            snapshot.owners.extend(owner.map(|owner| (*sbdf, owner)));
            snapshot.drivers.insert(*sbdf, function.driver.clone());
        }
        snapshot
    }

    /// Who has what, and what is left of those who had. Xen's owners are asked where they are not known and a
    /// function seems to be given back.
    pub(super) fn uses(&mut self, owners: Option<Owners>) -> Result<(Vec<Using>, Vec<Using>), String> {
        let (clock, moment) = (self.began.elapsed(), Moment::now());
        let uses = self.connections.read.uses().inspect_err(|_| self.nodes.forget())?;
        let since = std::mem::replace(&mut self.read, moment);
        let missed = self.nodes.read(uses.iter().map(|one| one.node.clone()), clock);
        if missed > 0 {
            let (count, first) = self.brief.unwrap_or((0, since));
            self.brief = Some((count + missed, first));
        }
        let mut merged: FoundUse = BTreeMap::new();
        for one in uses.iter() {
            let using = self.using(one);
            let known = merged.entry((one.alive, using.place)).or_insert_with(|| using.clone());
            if known.options.is_empty() {
                known.options = using.options;
            }
            known.stub = known.stub.max(using.stub);
        }
        self.add_owned(&mut merged, owners);
        let news = merged.keys().any(|(_, place)| self.story.knows(*place).is_none());
        if self.stale_qubes && news {
            self.meet_if_it_answers();
        }
        let (alive, dead): (Vec<_>, Vec<_>) = merged.into_iter().partition(|((alive, _), _)| *alive);
        let alive: Vec<Using> = alive.into_iter().map(|(_, using)| using).collect();
        // A stub domain that died may have left nodes of a qube that lives.
        let lives = |left: &Using| {
            alive
                .iter()
                .any(|one| one.place == left.place || one.place.0 == left.place.0 && one.qube == left.qube)
        };
        let dead = dead.into_iter().map(|(_, using)| using).filter(|using| !lives(using)).collect();
        Ok((alive, dead))
    }

    /// A function that Xen owns to a domain is with it, whatever xenstore says: its stub domain may be gone,
    /// and their nodes with it. Such a stay lasts until Xen says otherwise, or the domain is gone.
    fn add_owned(&mut self, found: &mut FoundUse, owners: Option<Owners>) {
        let read = &self.connections.read;
        let listed = read.xen.as_ref().ok().and_then(|xen| xen.domains().ok()).unwrap_or_default();
        let gone: Vec<Occupancy> = self
            .story
            .places()
            .filter(|place| !found.contains_key(&(true, *place)))
            .filter(|place| listed.iter().any(|domain| domain.id == place.1))
            .collect();
        let owners = owners.or_else(|| (!gone.is_empty()).then(|| read.owners().ok()).flatten());
        let mut owned: BTreeSet<Occupancy> = match &owners {
            Some(owners) => owners.iter().filter_map(place_of).collect(),
            // Nobody says that it was given back.
            None => gone.into_iter().collect(),
        };
        owned.retain(|place| {
            let stub = |one: &Using| one.place.0 == place.0 && one.stub == Some(place.1);
            !found.contains_key(&(true, *place)) && !found.values().any(stub)
        });
        self.owned = (!owned.is_empty()).then(|| {
            let mut again = self.owned.unwrap_or_else(Backoff::new);
            again.failed(self.began.elapsed());
            again
        });
        for place in owned {
            let using = self.story.knows(place).cloned().unwrap_or_else(|| {
                let one = self.connections.read.owned(place.0, place.1);
                self.using(&one)
            });
            found.insert((true, place), using);
        }
    }

    fn using(&mut self, one: &Use) -> Using {
        let place = (one.sbdf, one.domain);
        let stub = (one.frontend != one.domain || one.of_lost_stub).then_some(one.frontend);
        let known = self.story.knows(place).map(|known| (known.uuid.clone(), known.id.clone()));
        let (uuid, id) = known.unwrap_or_else(|| {
            let read = &mut self.connections.read;
            let function = read.function(one.sbdf).ok();
            let id = function.map(|function| identity::of(&read.sysfs, &function).id);
            (read.uuid_of(one.domain), id.unwrap_or_default())
        });
        let qube = one.qube.as_ref().map(ToString::to_string).filter(|name| !name.is_empty());
        let qube = qube.unwrap_or_else(|| format!("domain-{}", one.domain));
        Using { place, stub, qube, uuid, id, options: crate::names::escape(one.options.as_bytes()) }
    }

    /// Asks Qubes who its qubes are, or as soon as qubesd answers.
    fn meet_if_it_answers(&mut self) {
        if self.busy.until(self.began.elapsed()).is_some() {
            self.ask_qubes = true;
        } else {
            self.meet();
        }
    }

    /// Asks Xen who owns what a driver of dom0 has now: as long as it has it, nobody else can.
    pub(super) fn ask_owners(&mut self) {
        let read = &self.connections.read;
        let Ok(owners) = read.owners() else { return };
        for sbdf in self.story.unowned() {
            // Asked afterwards: what has it still had it when Xen was asked.
            let driver = read.function(sbdf).ok().and_then(|function| function.driver);
            if let (Some(driver), Some(owner)) = (driver, owners.get(&sbdf)) {
                self.story.owned(sbdf, &driver, *owner);
            }
        }
    }

    /// Asks Qubes who its qubes are.
    pub(super) fn meet(&mut self) {
        (self.stale_qubes, self.ask_qubes) = (false, false);
        let known = self.connections.qubes();
        let answered = known.as_ref().is_some_and(|known| !matches!(known.source, QubesSource::Xml { .. }));
        if answered || !self.connections.has_qubesd() {
            self.unanswered = None;
        } else {
            self.unanswered.get_or_insert_with(Backoff::new).failed(self.began.elapsed());
        }
        let Some(known) = known else { return };
        let about = |qube: &crate::observe::qubes::Qube| About {
            uuid: qube.uuid.clone(),
            label: qube.label.clone(),
            class: qube.class.clone(),
            network: qube.provides_network,
        };
        self.story.meet(known.qubes.iter().map(|qube| (qube.name.to_string(), about(qube))).collect());
    }
}

/// The function and the domain that Xen owns it to.
fn place_of((sbdf, owner): (&Sbdf, &Owner)) -> Option<Occupancy> {
    match owner {
        Owner::Domain(id) => Some((*sbdf, *id)),
        Owner::Dom0 | Owner::Quarantine | Owner::Xen => None,
    }
}

/// A function as it is now; `None` where it is gone.
pub(super) fn look(connections: &mut Connections, sbdf: Sbdf) -> Option<Seen> {
    let function = connections.read.function(sbdf).ok()?;
    let listed = connections.read.sysfs.slots().is_ok_and(|slots| slots.contains(&sbdf));
    Some(seen(connections, &function, listed))
}

fn seen(connections: &mut Connections, function: &Function, listed: bool) -> Seen {
    Seen {
        identity: identity::of(&connections.read.sysfs, function),
        driver: function.driver.clone(),
        pinned: function.driver_override.as_deref() == Some("pciback"),
        listed,
        xl: connections.read.xl_took(function.sbdf),
        owner: None,
    }
}
