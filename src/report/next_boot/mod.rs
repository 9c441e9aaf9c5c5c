//! Where each device is after the next boot: a table for people, a document for scripts.

mod document;
mod screen;

pub use document::document;
pub use screen::screen;

use crate::assess::next_boot::{Dead, Differs, Fate, Prediction};
use crate::assess::Hazard;
use crate::names::Sbdf;
use crate::observe::next_boot::{CommandLine, Facts, Unknown};
use crate::plan::next_boot::Proposal;
use std::collections::BTreeMap;

/// Whether dom0 gets a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Returns {
    /// At the next boot.
    Yes,
    /// Not at the next boot, and no edit changes that.
    No,
    /// After an edit that can be proposed.
    AfterEdits,
    /// Nobody can tell.
    Unknown,
}

impl Returns {
    /// The word in a script's answer.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::AfterEdits => "after-edits",
            Self::Unknown => "unknown",
        }
    }
}

/// One function of the answer.
pub struct Shown<'a> {
    /// The address.
    pub sbdf: Sbdf,
    /// Where it is.
    pub fate: &'a Fate,
    /// Whether dom0 gets it.
    pub returns: Returns,
}

/// An edit that was asked for.
pub struct Edit {
    /// The edit; `None` where the devices are already where they are wanted.
    pub proposal: Option<Proposal>,
    /// Hazards of each device.
    pub hazards: BTreeMap<Sbdf, Vec<Hazard>>,
}

/// Everything that is answered.
pub struct Answer<'a> {
    /// The facts.
    pub facts: &'a Facts,
    /// The prediction.
    pub prediction: &'a Prediction,
    /// The command line of the next boot, or why it is not known.
    pub line: Result<&'a CommandLine, &'a Unknown>,
    /// The functions asked for.
    pub functions: Vec<Shown<'a>>,
    /// Where the source, what was made of it and this boot differ.
    pub differs: &'a [Differs],
    /// Assignments that lead nowhere.
    pub dead: &'a [Dead<'a>],
    /// The edit.
    pub edit: Option<&'a Edit>,
}

/// The commands that take a dead assignment away.
fn removal(answer: &Answer<'_>, dead: &Dead<'_>) -> Option<String> {
    let Ok(Some(known)) = &answer.facts.qubes else { return None };
    crate::plan::next_boot::unassigning(known, dead.qube, dead.assignment, dead.assignment.port.text())
}

/// What an assignment names, as Qubes writes it.
fn identity(dead: &Dead<'_>) -> String {
    use crate::observe::qubes::PortIdentity;
    match &dead.assignment.identity {
        PortIdentity::Any => "*".to_owned(),
        PortIdentity::Is { vendor, device, class } => {
            let part =
                |number: Option<u16>| number.map_or("*".to_owned(), |number| format!("0x{number:04x}"));
            let class = class.map_or("*".to_owned(), |class| format!("p{class:06x}"));
            format!("{}:{}::{class}", part(*vendor), part(*device))
        }
    }
}
