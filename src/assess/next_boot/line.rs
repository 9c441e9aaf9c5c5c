//! Which command line the next boot has, and where the source, what was made of it and this boot differ.

use super::setting::{Machine, Setting};
use crate::observe::next_boot::{Booting, CommandLine, Facts, Unknown, Word};
use std::collections::BTreeSet;

/// The machine, as the facts show it.
#[must_use]
pub fn machine(facts: &Facts) -> Machine<'_> {
    Machine {
        release: &facts.release,
        devices: &facts.devices,
        qubes: &facts.qubes,
        built_in: &facts.built_in,
    }
}

/// What decides about the next boot, as things stand.
#[must_use]
pub fn setting(facts: &Facts) -> Setting {
    with_line(facts, next_line(facts))
}

/// The setting with another command line.
#[must_use]
pub fn with_line(facts: &Facts, line: Result<CommandLine, Unknown>) -> Setting {
    Setting {
        line,
        modules: facts.modules.clone(),
        initramfs: facts.initramfs.clone().ok(),
        overrides: facts.overrides.clone(),
        unassigned: BTreeSet::new(),
    }
}

/// The command line of the next boot.
///
/// # Errors
/// It cannot be told.
pub fn next_line(facts: &Facts) -> Result<CommandLine, Unknown> {
    if let Some(decider) = facts.deciders.first() {
        return Err(Unknown::because(decider.why()));
    }
    match facts.generated.first().map(|generated| &generated.booting) {
        Some(Booting::Xen(booted)) => Ok(booted.line.clone()),
        Some(Booting::Unknown(unknown)) => Err(unknown.clone()),
        // Where the source and this boot agree, what lies between them does too.
        Some(Booting::Unreadable(why)) => {
            let agreed = source_line(facts)
                .filter(|source| facts.this_boot.as_ref().is_ok_and(|now| deciding(now) == deciding(source)));
            agreed
                .ok_or_else(|| Unknown::because(format!("{why}, and its source and this boot do not agree")))
        }
        None if facts.source.is_there() => facts.source.evaluated().line(),
        None => facts.this_boot.clone(),
    }
}

fn source_line(facts: &Facts) -> Option<CommandLine> {
    facts.source.is_there().then(|| facts.source.evaluated().line().ok()).flatten()
}

/// Whether a word has a say in where functions are.
#[must_use]
pub fn decides(word: &Word) -> bool {
    const NAMES: [&str; 9] = [
        "usbcore.authorized_default",
        "usbcore.nousb",
        "xen_pciback.hide",
        "pci_stub.ids",
        "vfio_pci.ids",
        "modprobe.blacklist",
        "module_blacklist",
        "rd.driver.blacklist",
        "rd.driver.pre",
    ];
    word.name.starts_with("rd.qubes.")
        || word.name == "qubes.skip_autostart"
        || NAMES.contains(&word.name.replace('-', "_").as_str())
}

/// The words that have a say, in their order.
#[must_use]
pub fn deciding(line: &CommandLine) -> Vec<(String, Option<String>)> {
    let words = line.words.iter().filter(|word| decides(word));
    words.map(|word| (word.name.clone(), word.value.clone())).collect()
}

/// How another command line differs from that of the next boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Differs {
    /// The file of the other one.
    pub file: String,
    /// What it is.
    pub kind: Kind,
    /// Words with a say that it has and the next boot has not.
    pub has: Vec<String>,
    /// Words with a say that the next boot has and it has not.
    pub lacks: Vec<String>,
}

/// Which command line it is that differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The source: the generator has not run since it was changed.
    Source,
    /// Another configuration that was made of the source.
    Generated,
    /// This boot: a word was typed or deleted at the boot menu, or the configuration was changed since.
    ThisBoot,
}

impl Kind {
    /// The word in a script's answer.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Generated => "generated",
            Self::ThisBoot => "this-boot",
        }
    }
}

/// Where the other command lines differ from that of the next boot.
#[must_use]
pub fn differences(facts: &Facts) -> Vec<Differs> {
    let Ok(next) = next_line(facts) else { return Vec::new() };
    let mut others: Vec<(Kind, CommandLine)> = Vec::new();
    others.extend(source_line(facts).map(|line| (Kind::Source, line)));
    let generated = facts.generated.iter().filter_map(|generated| match &generated.booting {
        Booting::Xen(booted) => Some((Kind::Generated, booted.line.clone())),
        _ => None,
    });
    others.extend(generated);
    others.extend(facts.this_boot.clone().ok().map(|line| (Kind::ThisBoot, line)));
    let differs = |(kind, other): (Kind, CommandLine)| {
        if deciding(&other) == deciding(&next) {
            return None;
        }
        let lacking = |one: &CommandLine, other: &CommandLine| -> Vec<String> {
            let all = deciding(other);
            let words = one.words.iter().filter(|word| decides(word));
            words
                .filter(|word| !all.contains(&(word.name.clone(), word.value.clone())))
                .map(Word::shown)
                .collect()
        };
        let file = other.from.clone();
        Some(Differs { file, kind, has: lacking(&other, &next), lacks: lacking(&next, &other) })
    };
    others.into_iter().filter_map(differs).collect()
}
