//! Why a function will be where it will be: the rule, and where it is written.

use crate::names::ModuleName;
use crate::observe::next_boot::{Place, Word};

/// A rule of the next boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Qubes hides every network device.
    Network,
    /// A word of the kernel's command line, by its name.
    Word(&'static str),
    /// `options MODULE NAME=` of modprobe's configuration, as `xen-pciback hide` or `vfio-pci ids`.
    Options(&'static str),
    /// `blacklist MODULE` of modprobe's configuration.
    Blacklist(ModuleName),
    /// `install MODULE` of modprobe's configuration, with a command that loads nothing.
    Install(ModuleName),
    /// `driverctl set-override`.
    Driverctl,
    /// It is a virtual function: somebody has to switch it on.
    VirtualFunction,
    /// It stands behind a VMD controller that gets no driver.
    BehindVmd,
    /// Nothing in this kernel drives it.
    NoModule,
    /// The boot stops, in words.
    Stops(String),
    /// Something could not be read, or is not understood.
    NotKnown(String),
}

impl Rule {
    /// The rule in a word or a few.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Network => "network-class".to_owned(),
            Self::Word(name) | Self::Options(name) => (*name).to_owned(),
            Self::Blacklist(module) => format!("blacklist {module}"),
            Self::Install(module) => format!("install {module}"),
            Self::Driverctl => "driverctl".to_owned(),
            Self::VirtualFunction => "virtual-function".to_owned(),
            Self::BehindVmd => "behind-vmd".to_owned(),
            Self::NoModule => "no-module".to_owned(),
            Self::Stops(_) => "boot-stops".to_owned(),
            Self::NotKnown(why) => format!("not known: {why}"),
        }
    }
}

/// A rule, and where it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Because {
    /// The rule.
    pub rule: Rule,
    /// The file and the line, where it is in one.
    pub place: Option<Place>,
}

impl Because {
    /// A rule that no file holds.
    #[must_use]
    pub fn rule(rule: Rule) -> Self {
        Self { rule, place: None }
    }

    /// A rule of a word of the command line.
    #[must_use]
    pub fn word(rule: Rule, word: Option<&Word>) -> Self {
        Self { rule, place: word.and_then(|word| word.place.clone()) }
    }

    /// A rule of a line of a file.
    #[must_use]
    pub fn at(rule: Rule, place: Place) -> Self {
        Self { rule, place: Some(place) }
    }
}
