//! Which qubes had a function in this boot: what the journal and what xenstore say, joined by qube.

use super::stays::is_loose;
use super::{Exposure, StayEnd, Stayed};
use crate::journal::Moment;
use crate::names::Sbdf;
use crate::observe::{Dom0, Use};

/// A qube that had it in this boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastHolder {
    /// What it is accepted by.
    pub name: String,
    /// What people call it, escaped.
    pub who: String,
    /// Labels it had then or got later; none where one of them is not known.
    pub labels: Vec<String>,
    /// `AppVM`, ...; empty where not known.
    pub class: String,
    /// Whether it provides network; `None` where not known.
    pub network: Option<bool>,
    /// Options that leave something in the device.
    pub options: Vec<String>,
    /// When it had it, as far as is recorded.
    pub stays: Vec<(Option<Moment>, StayEnd)>,
    /// The nodes of xenstore that say so.
    pub nodes: Vec<String>,
    /// The qube's domains and their stub domains, the latest domain first.
    domains: Vec<u16>,
}

impl PastHolder {
    fn of(name: String, who: String, domain: Option<u16>) -> Self {
        Self {
            name,
            who,
            labels: Vec::new(),
            class: String::new(),
            network: None,
            options: Vec::new(),
            stays: Vec::new(),
            nodes: Vec::new(),
            domains: domain.into_iter().collect(),
        }
    }

    fn option(&mut self, options: &str) {
        for option in options.split(',').filter(|option| is_loose(option)) {
            if !self.options.iter().any(|one| one == option) {
                self.options.push(option.to_owned());
            }
        }
    }

    fn add(&mut self, stayed: &Stayed) {
        let stay = &stayed.stay;
        for label in std::iter::once(&stay.label).chain(&stayed.relabelled) {
            if !label.is_empty() && !self.labels.contains(label) {
                self.labels.push(label.clone());
            }
        }
        if self.class.is_empty() {
            self.class.clone_from(&stay.class);
        }
        self.network = match (self.network, stay.network) {
            (Some(was), Some(is)) => Some(was || is),
            (was, is) => was.or(is),
        };
        self.domains.extend([stay.domain, stay.stub].into_iter().flatten());
        self.option(&stay.options);
        self.stays.push((stayed.from, stayed.to));
    }
}

/// The qubes that had it, the latest first.
#[must_use]
pub fn holders(dom0: &Dom0, sbdf: Sbdf, exposure: Option<&Exposure>) -> Vec<PastHolder> {
    let mut all: Vec<PastHolder> = Vec::new();
    // The journal's order: the latest first.
    for stayed in exposure.iter().flat_map(|exposure| exposure.stays.iter().rev()) {
        let name = stayed.name();
        let at = all.iter().position(|one| one.name == name).unwrap_or_else(|| {
            all.push(PastHolder::of(name, stayed.stay.qube.clone(), stayed.stay.domain));
            all.len() - 1
        });
        if let Some(one) = all.get_mut(at) {
            one.add(stayed);
        }
    }
    for one in &mut all {
        one.stays.reverse();
        let unlabelled = |stayed: &&Stayed| stayed.name() == one.name && stayed.stay.label.is_empty();
        if exposure.is_some_and(|exposure| exposure.stays.iter().any(|stayed| unlabelled(&stayed))) {
            one.labels.clear();
        }
    }
    let mut uses: Vec<&Use> = dom0.uses.as_ref().map(|uses| uses.of(sbdf).collect()).unwrap_or_default();
    // Ids rise with time: the latest first.
    uses.sort_by_key(|use_| std::cmp::Reverse(use_.domain));
    for use_ in uses {
        let typable = use_.qube.as_ref().and_then(|name| name.as_qube_name());
        let name = typable.as_ref().map_or_else(|| format!("domain-{}", use_.domain), ToString::to_string);
        let of_domain =
            |one: &PastHolder| one.domains.contains(&use_.domain) || one.domains.contains(&use_.frontend);
        // What the journal knows a domain to be counts more than the name that a node has.
        let known = all
            .iter()
            .position(|one| (typable.is_none() || use_.of_lost_stub) && of_domain(one))
            .or_else(|| all.iter().position(|one| one.name == name));
        let at = known.unwrap_or_else(|| {
            // Before those of the journal whose domain is older.
            let at = all
                .iter()
                .position(|one| one.domains.first().is_none_or(|one| *one < use_.domain))
                .unwrap_or(all.len());
            all.insert(at, PastHolder::of(name, use_.who(), Some(use_.domain)));
            at
        });
        if let Some(one) = all.get_mut(at) {
            one.option(&use_.options);
            if !one.nodes.contains(&use_.node) {
                one.nodes.push(use_.node.clone());
            }
        }
    }
    all
}
