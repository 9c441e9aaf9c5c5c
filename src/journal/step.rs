//! The records of an operation's steps: what is intended before it is done, and what came of it.
//!
//! | phase | members |
//! | --- | --- |
//! | `intent` | `step`, `bdf`, `what`, and what the step is going to change: [`Details`] |
//! | `done` | `step`, `bdf`, `proof`; settle: `rom_sha256` |
//! | `failed` | `step`, `bdf`, `why` |
//! | `skipped` | `step`, `bdf`, `why` |
//!
//! Texts are kept escaped, as the journal shows them.

use super::members::{text, whole};
use crate::names::{escape, unescape, DriverName, Sbdf, Step};
use crate::system::xen::LogMark;
use audit::{Draft, Record};

/// A record of a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepRecord {
    /// The operation.
    pub operation: String,
    /// The step.
    pub step: StepName,
    /// What the record says of it.
    pub phase: StepPhase,
    /// The function; older versions named none where a step was skipped.
    pub bdf: Option<Sbdf>,
    /// What is going to be done, what was proved, or why it failed or was not needed.
    pub said: String,
    /// Intent: what the step is going to change.
    pub details: Details,
    /// Done: the hash of the ROM that was read; empty where none was.
    pub rom_sha256: String,
}

/// A step, as a record names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepName {
    /// One that this version knows.
    Known(Step),
    /// One of another version.
    Other(String),
}

/// What a record says of its step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepPhase {
    /// It is going to be done.
    Intent,
    /// It was done and proved.
    Done,
    /// It failed.
    Failed,
    /// It was not needed.
    Skipped,
    /// Something that this version does not know.
    Other(String),
}

/// What is read before a step changes it, for `recover`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Details {
    /// The step's name says it all.
    #[default]
    None,
    /// Settle: the reset methods in force, where they are narrowed.
    Settle {
        /// As sysfs lists them.
        methods: String,
    },
    /// Guard: a setting of all devices that is changed.
    Guard {
        /// The setting's file.
        global: String,
        /// What it held.
        before: String,
    },
    /// Bind: what may be bound.
    Bind {
        /// The drivers that are tried.
        drivers: Vec<DriverName>,
        /// Where Xen's log ended; `None` where it could not be read.
        xen_log: Option<LogMark>,
    },
    /// Unassign: what is taken back.
    Unassign {
        /// The qube.
        qube: String,
        /// The command that assigns it again; empty where none can be named.
        again: String,
    },
}

impl StepName {
    /// The name in the journal.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Known(step) => step.name(),
            Self::Other(name) => name,
        }
    }

    /// The step, where this version knows it.
    #[must_use]
    pub fn known(&self) -> Option<Step> {
        match self {
            Self::Known(step) => Some(*step),
            Self::Other(_) => None,
        }
    }

    fn read(name: &str) -> Self {
        Step::parse(name).map_or_else(|| Self::Other(name.to_owned()), Self::Known)
    }
}

impl StepPhase {
    /// The word in the journal.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Intent => "intent",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Other(word) => word,
        }
    }

    /// The phase alone, where nothing else of a record is needed; `None` where it is of another kind.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        (record.kind() == "step").then(|| Self::read(record.text("phase").unwrap_or_default()))
    }

    fn read(word: &str) -> Self {
        match word {
            "intent" => Self::Intent,
            "done" => Self::Done,
            "failed" => Self::Failed,
            "skipped" => Self::Skipped,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The member that holds what is said.
    fn member(&self) -> Option<&'static str> {
        match self {
            Self::Intent => Some("what"),
            Self::Done => Some("proof"),
            Self::Failed | Self::Skipped => Some("why"),
            Self::Other(_) => None,
        }
    }
}

impl StepRecord {
    /// A record without details. `said` is taken as it is, and escaped here.
    #[must_use]
    pub fn new(operation: &str, step: Step, phase: StepPhase, bdf: Sbdf, said: &str) -> Self {
        Self {
            operation: operation.to_owned(),
            step: StepName::Known(step),
            phase,
            bdf: Some(bdf),
            said: escape(said.as_bytes()),
            details: Details::None,
            rom_sha256: String::new(),
        }
    }

    /// What it says, as it was before the journal escaped it; `None` where it was cut.
    #[must_use]
    pub fn whole(&self) -> Option<String> {
        whole(&self.said)
    }

    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let draft = Draft::new("step")
            .op(&self.operation)
            .text("step", self.step.word())
            .text("phase", self.phase.word());
        let draft = self.bdf.iter().fold(draft, |draft, bdf| draft.text("bdf", &bdf.to_string()));
        let member = self.phase.member().into_iter();
        let draft = member.fold(draft, |draft, key| draft.bytes(key, &unescape(&self.said)));
        let draft = self.details.onto(draft);
        if self.rom_sha256.is_empty() {
            draft
        } else {
            draft.text("rom_sha256", &self.rom_sha256)
        }
    }

    /// What a record says; `None` where it is of another kind.
    #[must_use]
    pub fn read(record: &Record) -> Option<Self> {
        let phase = StepPhase::of(record)?;
        let step = StepName::read(record.text("step").unwrap_or_default());
        let details = match (&phase, step.known()) {
            (StepPhase::Intent, Some(step)) => Details::read(step, record),
            _ => Details::None,
        };
        let said =
            phase.member().into_iter().chain(["what", "proof", "why"]).find_map(|key| record.text(key));
        Some(Self {
            operation: text(record, "op"),
            step,
            phase,
            bdf: record.text("bdf").and_then(Sbdf::from_sysfs),
            said: said.unwrap_or_default().to_owned(),
            details,
            rom_sha256: text(record, "rom_sha256"),
        })
    }
}

impl Details {
    fn onto(&self, draft: Draft) -> Draft {
        match self {
            Self::None => draft,
            Self::Settle { methods } => draft.text("methods", methods),
            Self::Guard { global, before } => draft.text("global", global).text("before", before),
            Self::Bind { drivers, xen_log } => {
                let draft = draft.list("drivers", drivers.iter().map(DriverName::as_str));
                xen_log.iter().fold(draft, |draft, end| draft.number("xen_log", end.number()))
            }
            Self::Unassign { qube, again } => draft.text("qube", qube).text("again", again),
        }
    }

    /// What was cut is not there.
    fn read(step: Step, record: &Record) -> Self {
        let raw = |key: &str| record.text(key).and_then(whole);
        match step {
            Step::Settle => raw("methods").map(|methods| Self::Settle { methods }).unwrap_or_default(),
            Step::Guard => raw("global")
                .zip(raw("before"))
                .map(|(global, before)| Self::Guard { global, before })
                .unwrap_or_default(),
            Step::Bind => {
                let names = record.get("drivers").and_then(serde_json::Value::as_array).into_iter().flatten();
                Self::Bind {
                    drivers: names.filter_map(|name| name.as_str().and_then(DriverName::parse)).collect(),
                    xen_log: record.number("xen_log").and_then(LogMark::from_number),
                }
            }
            Step::Unassign => Self::Unassign {
                qube: raw("qube").unwrap_or_default(),
                again: raw("again").unwrap_or_default(),
            },
            _ => Self::None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::journal::members::tests::{line, read_back};

    fn record(step: Step, phase: StepPhase) -> StepRecord {
        StepRecord::new("9616d76e", step, phase, Sbdf::from_sysfs("0000:03:00.0").unwrap(), "said \x1b\\ so")
    }

    #[test]
    fn what_is_written_is_read_back() {
        for step in Step::ALL {
            for phase in [StepPhase::Intent, StepPhase::Done, StepPhase::Failed, StepPhase::Skipped] {
                let mut written = record(step, phase);
                if step == Step::Bind && written.phase == StepPhase::Intent {
                    written.details = Details::Bind { drivers: Vec::new(), xen_log: None };
                }
                if step == Step::Unassign && written.phase == StepPhase::Intent {
                    written.details = Details::Unassign { qube: "sys-net".into(), again: "a \\ b".into() };
                }
                assert_eq!(StepRecord::read(&read_back(&written.draft())), Some(written));
            }
        }
        let drivers = ["e1000e", "pciback"].iter().filter_map(|name| DriverName::parse(name)).collect();
        let guard = Details::Guard { global: "/sys/bus/usb".into(), before: "1".into() };
        for (step, details) in [
            (Step::Settle, Details::Settle { methods: "flr bus".into() }),
            (Step::Guard, guard),
            (Step::Bind, Details::Bind { drivers, xen_log: LogMark::from_number(7) }),
        ] {
            let written = StepRecord { details, ..record(step, StepPhase::Intent) };
            assert_eq!(StepRecord::read(&read_back(&written.draft())), Some(written));
        }
        let hash = StepRecord { rom_sha256: "ab".into(), ..record(Step::Settle, StepPhase::Done) };
        assert_eq!(StepRecord::read(&read_back(&hash.draft())), Some(hash));
    }

    #[test]
    fn the_members_stand_where_they_always_stood() {
        let details = Details::Bind {
            drivers: vec![DriverName::parse("e1000e").unwrap()],
            xen_log: LogMark::from_number(7),
        };
        let line = line(&StepRecord { details, ..record(Step::Bind, StepPhase::Intent) }.draft());
        let want = concat!(
            r#""op":"9616d76e","kind":"step","step":"bind","phase":"intent","bdf":"0000:03:00.0","#,
            r#""what":"said \\x1b\\\\ so","drivers":["e1000e"],"xen_log":7,"#,
        );
        assert!(line.contains(want), "{line}");
    }

    #[test]
    fn a_step_of_another_version_is_shown_and_not_understood() {
        let draft =
            Draft::new("step").text("step", "polish").text("phase", "shone").text("proof", "it shines");
        let read = StepRecord::read(&read_back(&draft)).unwrap();
        assert_eq!((read.step.known(), read.step.word(), read.phase.word()), (None, "polish", "shone"));
        assert_eq!(read.said, "it shines");
        let cut = Draft::new("step")
            .text("step", "settle")
            .text("phase", "intent")
            .text("methods", &"x".repeat(600));
        assert_eq!(StepRecord::read(&read_back(&cut)).unwrap().details, Details::None);
    }
}
