//! Who tells what a record says.

use std::fmt;

/// The source of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The kernel's events.
    Uevent,
    /// Xenstore, while the recorder listened.
    Xenstore,
    /// qubesd's events.
    Qubesd,
    /// The recorder looked at everything.
    Snapshot,
    /// An operation of this program.
    Operation,
    /// The journal itself: of records that could not be written.
    Journal,
    /// A log from before the recorder: no proof that something did not happen.
    Import(Log),
    /// One of another version, escaped; empty where a record names none.
    Other(String),
}

/// A log that is imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Log {
    /// Libvirt's log of a qube.
    Libvirt,
    /// What journald kept.
    Journald,
    /// Xen's console.
    XenConsole,
    /// Copies of `qubes.xml`.
    QubesXml,
    /// One of another version, escaped.
    Other(String),
}

impl Source {
    /// Reads the word in the journal.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "uevent" => Self::Uevent,
            "xenstore" => Self::Xenstore,
            "qubesd" => Self::Qubesd,
            "snapshot" => Self::Snapshot,
            "operation" => Self::Operation,
            "journal" => Self::Journal,
            _ => match word.strip_prefix("import:") {
                Some(log) => Self::Import(Log::parse(log)),
                None => Self::Other(word.to_owned()),
            },
        }
    }

    /// The log, where the record was imported.
    #[must_use]
    pub fn log(&self) -> Option<&Log> {
        match self {
            Self::Import(log) => Some(log),
            _ => None,
        }
    }

    /// Whether the record was imported.
    #[must_use]
    pub fn is_import(&self) -> bool {
        self.log().is_some()
    }

    /// Whether a recorder heard or saw it.
    #[must_use]
    pub fn is_recorder(&self) -> bool {
        matches!(self, Self::Uevent | Self::Xenstore | Self::Qubesd | Self::Snapshot)
    }
}

impl Log {
    /// The logs that this version imports.
    pub const ALL: [Self; 4] = [Self::Libvirt, Self::QubesXml, Self::Journald, Self::XenConsole];

    fn parse(word: &str) -> Self {
        let known = Self::ALL.into_iter().find(|log| log.word() == word);
        known.unwrap_or_else(|| Self::Other(word.to_owned()))
    }

    /// The word behind `import:` in the journal.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Libvirt => "libvirt",
            Self::Journald => "journald",
            Self::XenConsole => "xen-console",
            Self::QubesXml => "qubes.xml",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uevent => "uevent",
            Self::Xenstore => "xenstore",
            Self::Qubesd => "qubesd",
            Self::Snapshot => "snapshot",
            Self::Operation => "operation",
            Self::Journal => "journal",
            Self::Import(log) => return write!(f, "import:{}", log.word()),
            Self::Other(word) => word,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_is_written() {
        let logs = ["import:libvirt", "import:journald", "import:xen-console", "import:qubes.xml"];
        let recorders = ["uevent", "xenstore", "qubesd", "snapshot"];
        for word in logs.iter().chain(&recorders).chain(&["operation", "journal"]) {
            let source = Source::parse(word);
            assert_eq!(source.to_string(), *word);
            assert!(!matches!(source, Source::Other(_) | Source::Import(Log::Other(_))), "{word}");
            assert_eq!(source.is_import(), logs.contains(word), "{word}");
            assert_eq!(source.is_recorder(), recorders.contains(word), "{word}");
        }
        for word in ["", "uevents", "import:", "import:\\x1b"] {
            assert_eq!(Source::parse(word).to_string(), word);
        }
    }
}
