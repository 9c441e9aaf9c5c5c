//! The state a function is found in, in words.

use crate::names::{DriverName, Owner};
use crate::observe::{Dom0, Function, Use};

/// Where a function stands between dom0 and a qube.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// Who has it now.
    pub kind: Kind,
    /// Xen holds it in quarantine.
    pub quarantined: bool,
    /// Xen's owner and the qubes' nodes could be read, and Xen owns it to dom0 or
    /// DomIO: without that nothing is fine.
    pub certain: bool,
    /// pciback lists its slot and would take it at the next probe.
    pub slot: bool,
    /// An override that is set though no operation runs.
    pub stuck_override: Option<String>,
    /// Backend nodes of domains that are gone.
    pub stale: Vec<String>,
    /// xen-pciback is not loaded.
    pub pciback_missing: bool,
}

/// Who has a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A domain has it or is about to.
    InUse(String),
    /// A driver that only keeps it for others.
    Held(DriverName),
    /// A driver of dom0.
    Driven(DriverName),
    /// Nobody.
    Driverless,
}

/// A state in a word, for filters and for scripts: the same in every version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum StateWord {
    /// A domain has it or is about to.
    InUse,
    /// Nobody has it, and Xen lets it do DMA nowhere.
    Quarantine,
    /// A driver keeps it for others.
    Held,
    /// dom0's driver is bound to it, but Xen holds it in quarantine.
    Broken,
    /// Nobody has it.
    NoDriver,
    /// A driver of dom0 has it.
    Driven,
}

impl StateWord {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::InUse, Self::Quarantine, Self::Held, Self::Broken, Self::NoDriver, Self::Driven];

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::InUse => "in-use",
            Self::Quarantine => "quarantine",
            Self::Held => "held",
            Self::Broken => "broken",
            Self::NoDriver => "no-driver",
            Self::Driven => "driven",
        }
    }
}

/// Derives the state.
#[must_use]
pub fn state_of(dom0: &Dom0, function: &Function) -> State {
    let uses: Vec<&Use> = dom0.uses.as_ref().map(|uses| uses.of(function.sbdf).collect()).unwrap_or_default();
    let owner = dom0.owners.as_ref().ok().and_then(|owners| owners.get(&function.sbdf).copied());
    let user = uses.iter().find(|use_| use_.alive).map(|use_| use_.who());
    let owned = match owner {
        Some(Owner::Domain(id)) => {
            let name = dom0.uses.as_ref().ok().and_then(|uses| uses.name(id));
            Some(name.map_or_else(|| format!("domain {id}"), ToString::to_string))
        }
        Some(Owner::Xen) => Some("Xen itself".to_owned()),
        _ => None,
    };
    let kind = match (user.or(owned), &function.driver) {
        (Some(who), _) => Kind::InUse(who),
        (None, Some(driver)) if driver.is_holder() => Kind::Held(driver.clone()),
        (None, Some(driver)) => Kind::Driven(driver.clone()),
        (None, None) => Kind::Driverless,
    };
    let pinned_to_its_driver = match (&function.driver, &function.driver_override) {
        (Some(driver), Some(pinned)) => driver.as_str() == pinned,
        (_, pinned) => pinned.is_none(),
    };
    let stuck = function.driver_override.clone().filter(|_| !pinned_to_its_driver);
    State {
        kind,
        quarantined: owner == Some(Owner::Quarantine),
        certain: matches!(owner, Some(Owner::Dom0 | Owner::Quarantine)) && dom0.uses.is_ok(),
        slot: dom0.slots.contains(&function.sbdf),
        stuck_override: stuck,
        stale: uses.iter().filter(|use_| !use_.alive).map(|use_| use_.who()).collect(),
        pciback_missing: !dom0.has_pciback,
    }
}

impl State {
    /// Whether dom0 drives it and nothing is left to put right.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.certain && self.looks_fine()
    }

    /// The state by sysfs alone, which does not show a quarantine.
    #[must_use]
    pub fn looks_fine(&self) -> bool {
        matches!(self.kind, Kind::Driven(_))
            && !self.quarantined
            && !self.slot
            && self.stuck_override.is_none()
    }

    /// Whether dom0's driver has to be bound anew.
    #[must_use]
    pub fn needs_driver(&self) -> bool {
        !matches!(self.kind, Kind::Driven(_)) || self.quarantined || !self.certain
    }

    /// In a word.
    #[must_use]
    pub fn word(&self) -> StateWord {
        match &self.kind {
            Kind::InUse(_) => StateWord::InUse,
            Kind::Driven(_) if self.quarantined => StateWord::Broken,
            Kind::Driven(_) => StateWord::Driven,
            Kind::Held(_) | Kind::Driverless if self.quarantined => StateWord::Quarantine,
            Kind::Held(_) => StateWord::Held,
            Kind::Driverless => StateWord::NoDriver,
        }
    }

    /// In few words, for a table.
    #[must_use]
    pub fn brief(&self) -> String {
        match &self.kind {
            Kind::InUse(who) => format!("in use: {who}"),
            Kind::Driven(driver) if self.quarantined => format!("in quarantine, {driver} bound"),
            Kind::Driven(driver) if self.is_fine() => format!("dom0: {driver}"),
            Kind::Driven(driver) if self.slot => format!("dom0: {driver}; slot listed"),
            Kind::Driven(driver) if self.stuck_override.is_some() => {
                format!("dom0: {driver}; override stuck")
            }
            Kind::Driven(driver) => format!("{driver} is bound"),
            Kind::Held(_) | Kind::Driverless if self.quarantined => "in quarantine".to_owned(),
            Kind::Held(driver) => format!("held by {driver}"),
            Kind::Driverless => "no driver".to_owned(),
        }
    }

    /// In words, as `show` has it.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        match &self.kind {
            Kind::InUse(who) => words.push(format!("in use by {who}")),
            Kind::Held(driver) if self.quarantined => {
                words.push(format!("held by {driver}, in quarantine"));
            }
            Kind::Held(driver) => words.push(format!("held by {driver}")),
            Kind::Driven(driver) if self.quarantined => {
                words.push(format!("{driver} is bound, but Xen holds it in quarantine: it cannot work"))
            }
            Kind::Driven(driver) => words.push(format!("driven by {driver}")),
            Kind::Driverless if self.quarantined => words.push("no driver, in quarantine".to_owned()),
            Kind::Driverless => words.push("no driver".to_owned()),
        }
        if self.slot && !matches!(self.kind, Kind::Held(_) | Kind::InUse(_)) {
            words.push("pciback still lists its slot".to_owned());
        }
        if let Some(pinned) = &self.stuck_override {
            let shown = crate::names::escape(pinned.as_bytes());
            words.push(format!("driver_override is stuck at `{shown}`"));
        }
        if matches!(self.kind, Kind::Driverless) && self.pciback_missing {
            words.push("pciback is not loaded".to_owned());
        }
        if !self.stale.is_empty() && !matches!(self.kind, Kind::InUse(_)) {
            words.push(format!("a stale backend node of {} (gone)", self.stale.join(", ")));
        }
        words.join("; ")
    }
}
