//! Assess: pure functions from facts to state, hazards and the verdict. The same
//! facts give the same answer; nothing is read here.

#![forbid(unsafe_code)]

mod assign_again;
mod case;
mod hazards;
pub mod naming;
pub mod next_boot;
mod reboot;
mod remedy;
mod state;
#[cfg(test)]
pub mod tests;
mod words;

pub use assign_again::assign_again;
pub use case::Case;
pub use hazards::{are_companions, needed_by_dom0, of_one_requester, Hazard, HazardId, Severity};
pub use reboot::{advice, Reboot};
pub use state::{state_of, Kind, State, StateWord};
pub use words::{gap_words, span, when};

/// What the tool says of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// dom0 drives it; there is nothing to return.
    Nothing,
    /// These hazards nobody can accept.
    Refused(Vec<HazardId>),
    /// It can be returned if these hazards are accepted; a reboot is better.
    Ask(Vec<String>),
    /// Only root could tell: what would refuse it, or not, rests on what this user may not see.
    Unknown,
    /// An operation on it was interrupted and is not settled: that comes first.
    Pending,
    /// An operation on it is running.
    Running,
}

impl Verdict {
    /// The verdict that follows from the hazards.
    #[must_use]
    pub fn from(state: &State, hazards: &[Hazard], by_root: bool) -> Self {
        let unseen = hazards.iter().any(|hazard| hazard.unseen);
        let stops = if by_root { stops(hazards) } else { stops(&seen(hazards.to_vec())) };
        // What only a return would meet says nothing where there may be nothing to return.
        if !by_root && unseen && (stops.is_empty() || state.looks_fine()) {
            return Self::Unknown;
        }
        if state.is_fine() && stops.is_empty() {
            return Self::Nothing;
        }
        if !stops.is_empty() {
            return Self::Refused(stops);
        }
        let warned = hazards.iter().filter(|hazard| hazard.severity == Severity::Warn);
        Self::Ask(warned.map(Hazard::acceptance).collect())
    }

    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Nothing => "nothing to do".to_owned(),
            Self::Refused(ids) => format!("refused: {}", HazardId::list(ids)),
            Self::Ask(accept) if accept.is_empty() => "can be healed".to_owned(),
            Self::Ask(_) => "reboot; or reattach at a risk".to_owned(),
            Self::Unknown => "not known: run it with sudo".to_owned(),
            Self::Pending => "an operation on it was interrupted: run `recover` first".to_owned(),
            Self::Running => "an operation on it is running".to_owned(),
        }
    }
}

/// Without the stops that rest on nothing but what could not be read: to somebody who may not read it they
/// say nothing.
#[must_use]
pub fn seen(mut hazards: Vec<Hazard>) -> Vec<Hazard> {
    hazards.retain(|hazard| !hazard.unseen || hazard.severity != Severity::Stop);
    hazards
}

/// The ids that nobody can accept, in their order; several of one kind are one reason.
#[must_use]
pub fn stops(hazards: &[Hazard]) -> Vec<HazardId> {
    let mut stops = Vec::new();
    for hazard in hazards.iter().filter(|hazard| hazard.severity == Severity::Stop) {
        if !stops.contains(&hazard.id) {
            stops.push(hazard.id);
        }
    }
    stops
}
