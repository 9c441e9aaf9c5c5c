//! What is asked of a person, or of a script, before one operation over one or several functions.

use super::{can_ask, Accepted, Asked, Question};
use crate::assess::{Case, Hazard};
use crate::journal::Moment;
use std::cmp::Reverse;

/// The hazards of all functions that nobody has accepted yet.
pub struct Review<'a> {
    /// Each acceptance once.
    pub missing: Vec<&'a Hazard>,
    /// What has to be typed, in this order.
    pub words: Vec<String>,
    /// How many devices it is about.
    devices: usize,
}

impl<'a> Review<'a> {
    /// What these functions ask for beyond what was accepted.
    #[must_use]
    pub fn of(cases: &[&'a Case], accepted: &Accepted) -> Self {
        let mut missing: Vec<&Hazard> = Vec::new();
        for hazard in cases.iter().flat_map(|case| accepted.missing(&case.hazards)) {
            if missing.iter().all(|known| known.acceptance() != hazard.acceptance()) {
                missing.push(hazard);
            }
        }
        let mut words = latest_first(cases, &missing);
        if words.is_empty() {
            words.extend(cases.first().map(|case| case.sbdf().to_string()));
        }
        Self { missing, words, devices: cases.len() }
    }

    /// What `--accept` takes for what is missing.
    #[must_use]
    pub fn acceptances(&self) -> Vec<String> {
        self.missing.iter().map(|hazard| hazard.acceptance()).collect()
    }

    /// Whether a person will be asked.
    #[must_use]
    pub fn asks(&self, script: bool) -> bool {
        !self.missing.is_empty() && can_ask(script)
    }

    /// Asks below `screen`: the choice first, then each word in turn.
    #[must_use]
    pub fn ask(&self, screen: &str, script: bool) -> Asked {
        if self.missing.is_empty() {
            return Asked::GoOn;
        }
        let go_on = if self.devices == 1 {
            "return it now, at these risks"
        } else {
            "return them now, at these risks"
        };
        Question { screen, go_on, reboot: true, words: &self.words }.ask(script)
    }
}

/// The qubes whose exposure is not accepted yet, the one that had one of the functions latest first.
fn latest_first(cases: &[&Case], missing: &[&Hazard]) -> Vec<String> {
    let mut qubes: Vec<(String, Option<Moment>)> = Vec::new();
    for (name, begun) in cases.iter().flat_map(|case| case.had()).map(|one| {
        let begun = one.stays.iter().filter_map(|(from, _)| *from).max();
        (one.name, begun)
    }) {
        match qubes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, latest)) => *latest = (*latest).max(begun),
            None => qubes.push((name, begun)),
        }
    }
    // Of one device the order is known without times.
    if cases.len() > 1 {
        qubes.sort_by_key(|(_, begun)| Reverse(*begun));
    }
    let asked = |name: &String| missing.iter().any(|hazard| hazard.qube.as_ref() == Some(name));
    let known: Vec<String> = qubes.into_iter().map(|(name, _)| name).filter(asked).collect();
    // One device asks for its latest qube alone.
    let most = if cases.len() > 1 { known.len() } else { 1 };
    known.into_iter().take(most).collect()
}
