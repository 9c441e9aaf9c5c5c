//! Which hazards of a return hold after a boot.

use super::keyboard::locked;
use super::predict::Prediction;
use crate::assess::{Hazard, HazardId};
use crate::observe::next_boot::{CommandLine, Facts};

/// What a boot ends, or what the prediction itself says.
const ENDED: [HazardId; 9] = [
    HazardId::InUse,
    HazardId::OwnerUnknown,
    HazardId::Dead,
    HazardId::NoDriver,
    HazardId::LoadTakesOthers,
    HazardId::SriovPfWithVfs,
    HazardId::CompanionApart,
    HazardId::NeverExposed,
    HazardId::RebootWouldNotReturn,
];

/// The hazards that hold after a boot too.
#[must_use]
pub fn hazards_at_boot(hazards: Vec<Hazard>) -> Vec<Hazard> {
    hazards.into_iter().filter(|hazard| !ENDED.contains(&hazard.id)).collect()
}

/// The warning that no keyboard might work at the passphrase prompt.
#[must_use]
pub fn keyboard_locked(facts: &Facts, line: &CommandLine, after: &Prediction) -> Option<Hazard> {
    let evidence = locked(facts, line, after)?;
    let sentence = "after the next boot no keyboard might work at the passphrase prompt";
    Some(Hazard::new(HazardId::KeyboardLocked, sentence, evidence))
}
