//! What Qubes itself knows: the qubes, their states, and which PCI devices each is assigned.
//!
//! It is asked of qubesd; where that does not answer, the file it keeps this in is read (`qubes.xml`, which
//! knows no states). Everything in both was written by others: what is not understood is kept and counts as
//! the worse case.

#![forbid(unsafe_code)]

mod assignment;
#[cfg(test)]
mod fuzz;
mod happening;
mod lists;
mod read;
mod stored;
mod xml;

pub use assignment::{Assignment, Mode, Port, PortIdentity};
pub use happening::{Happened, Happening, PortDevice};
pub use read::{is_here, read};
pub use stored::qubes as qubes_of_file;

use super::Function;
use crate::names::{QubeName, Untrusted};

/// What Qubes knows, and who said so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Qubes {
    /// Who said so.
    pub source: QubesSource,
    /// Every qube, dom0 among them.
    pub qubes: Vec<Qube>,
}

/// Who said what Qubes knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QubesSource {
    /// qubesd of Qubes 4.2.
    Qubesd42,
    /// qubesd of Qubes 4.3 or later.
    Qubesd43,
    /// `qubes.xml`, which knows no states.
    Xml {
        /// Why qubesd did not say it.
        why: String,
        /// Whether the file is one of 4.2.
        is_42: bool,
    },
}

impl QubesSource {
    /// In words, as evidence: `qubesd`, or the file and why.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Qubesd42 | Self::Qubesd43 => "qubesd".to_owned(),
            Self::Xml { why, .. } => format!("qubes.xml, because {why}"),
        }
    }
}

/// One qube.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Qube {
    /// The name as it was told; shown escaped.
    pub name: Untrusted,
    /// The uuid, escaped; empty where not told (qubesd of 4.2).
    pub uuid: String,
    /// `AppVM`, `DispVM`, ..., escaped; empty where not told.
    pub class: String,
    /// Whether it runs.
    pub state: QubeState,
    /// The name of its label, escaped; empty where not told, or not asked: only of qubes that have devices or
    /// are not halted.
    pub label: String,
    /// Whether it gives others a network; `None` where not told or not asked.
    pub provides_network: Option<bool>,
    /// Whether it starts by itself; `None` where not told or not asked.
    pub autostart: Option<bool>,
    /// The PCI devices it is assigned, and those it was given while it ran.
    pub assignments: Vec<Assignment>,
}

impl Qube {
    /// The name, where it is one that Qubes would take.
    #[must_use]
    pub fn known_name(&self) -> Option<QubeName> {
        self.name.as_qube_name()
    }
}

/// Whether a qube runs, as libvirt sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QubeState {
    /// It does not run: the only state in which it has no device.
    Halted,
    /// It runs.
    Running,
    /// It starts, or its pause is not settled.
    Transient,
    /// It is paused.
    Paused,
    /// It is suspended.
    Suspended,
    /// It shuts down.
    Halting,
    /// Xen takes it down.
    Dying,
    /// It crashed and is kept.
    Crashed,
    /// Another word, escaped; `NA` where libvirt does not answer qubesd.
    Other(String),
    /// `qubes.xml` knows no states.
    NotTold,
}

impl QubeState {
    /// Reads the word of `admin.vm.List`.
    #[must_use]
    pub fn parse(untrusted_word: &[u8]) -> Self {
        match untrusted_word {
            b"Halted" => Self::Halted,
            b"Running" => Self::Running,
            b"Transient" => Self::Transient,
            b"Paused" => Self::Paused,
            b"Suspended" => Self::Suspended,
            b"Halting" => Self::Halting,
            b"Dying" => Self::Dying,
            b"Crashed" => Self::Crashed,
            other => Self::Other(crate::names::escape(other)),
        }
    }

    /// The word.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Halted => "Halted",
            Self::Running => "Running",
            Self::Transient => "Transient",
            Self::Paused => "Paused",
            Self::Suspended => "Suspended",
            Self::Halting => "Halting",
            Self::Dying => "Dying",
            Self::Crashed => "Crashed",
            Self::Other(word) => word,
            Self::NotTold => "not told",
        }
    }

    /// Whether it was told and is anything but halted: what is not understood counts as running.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Halted | Self::NotTold)
    }
}

impl Qubes {
    /// Whether it is of Qubes 4.2, whose assignments have no identities; its file tells by the lack of them.
    #[must_use]
    pub fn is_42(&self) -> bool {
        match self.source {
            QubesSource::Qubesd42 => true,
            QubesSource::Qubesd43 => false,
            QubesSource::Xml { is_42, .. } => is_42,
        }
    }

    /// The assignments that name a function, by its port or by its identity; one that nobody can read names
    /// every function.
    #[must_use]
    pub fn assigned(&self, function: &Function) -> Vec<(&Qube, &Assignment)> {
        let all = self.qubes.iter().flat_map(|qube| qube.assignments.iter().map(move |one| (qube, one)));
        all.filter(|(_, assignment)| assignment.names(function)).collect()
    }
}
