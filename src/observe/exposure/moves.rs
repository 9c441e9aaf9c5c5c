//! Whether what was recorded at an address stands elsewhere now, or was altered in its place.
//!
//! That another function reads as that one did proves no move: it may be a card of the same model that stood
//! there all the time, beside the one that now calls itself something else.

use super::KnownIdentity;
use crate::journal::identity::{agree, same};
use crate::journal::IdentifiedFunction;
use crate::journal::{DeviceEvent, Entry, PastEvent, PastRecord};
use crate::names::Sbdf;

/// A function that may be what was recorded at another one's address in an earlier boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MoveCandidate {
    /// Where it stands now.
    pub sbdf: Sbdf,
    /// Whose address that was recorded at.
    pub of: Sbdf,
    /// What it would have been, ...
    id: String,
    /// ... and in which boot there.
    boot: String,
    /// The journal was read up to that boot.
    reached: bool,
    /// It stood where it stands now before: then it has not moved since.
    stood: bool,
}

impl MoveCandidate {
    /// The functions among these that may have been this one, which was recorded at the address of `of`.
    /// Functions of one slot do not take each other's place.
    pub fn all(of: Sbdf, known: &KnownIdentity, present: &[IdentifiedFunction]) -> Vec<Self> {
        let there = |other: &&IdentifiedFunction| other.sbdf != of && agree(&other.id, &known.identity.id);
        let there = present.iter().filter(there).map(|other| Self {
            sbdf: other.sbdf,
            of,
            id: known.identity.id.clone(),
            boot: known.boot.clone(),
            reached: false,
            stood: other.sbdf.same_slot(of),
        });
        there.collect()
    }

    /// Takes one record of where it stands now.
    pub fn tell(&mut self, told: &PastRecord) {
        let there = told.boot == self.boot;
        let PastEvent::Entry(Entry::Device(it)) = &told.what else { return };
        let imported = it.source.is_import();
        self.reached |= there;
        if it.bdf == self.sbdf && !imported && it.event != DeviceEvent::Removed {
            // What came after that boot may be the move.
            self.stood |=
                (there || !self.reached) && !it.identity.id.is_empty() && same(&it.identity.id, &self.id);
        }
    }

    /// Whether it is that one, as far as can be told. `id`: what reads there, in full.
    pub fn moved(&self, id: &str) -> bool {
        !self.stood && agree(id, &self.id)
    }
}
