//! One record of what happened, of whichever kind.
//!
//! Each kind is written and read in a file of its own. The record's own time is when it was written. Members
//! that are not known are left out. Texts are kept escaped, as the journal shows them and as `names::escape`
//! makes them: no field can act on a terminal.
//!
//! A record of an import also has `key`, by which a second import knows it, `approximate` where
//! `at` is the time of a neighbour or has no zone, and `of_boot`, the boot that the source names;
//! its own `boot` is that of the import.

use super::{DeviceRecord, LossRecord, Moment, QubeRecord, RecorderRecord, Source, StayRecord};
use crate::names::Sbdf;
use audit::{Draft, Record};

/// One record of what happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// About the recorder itself.
    Recorder(RecorderRecord),
    /// About a PCI function.
    Device(DeviceRecord),
    /// A function with a qube.
    Stay(StayRecord),
    /// About a qube.
    Qube(QubeRecord),
    /// What was not recorded.
    Lost(LossRecord),
}

impl Entry {
    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        match self {
            Self::Recorder(it) => it.draft(),
            Self::Device(it) => it.draft(),
            Self::Stay(it) => it.draft(),
            Self::Qube(it) => it.draft(),
            Self::Lost(it) => it.draft(),
        }
    }

    /// What a record says; `None` where it is of another kind, or says nothing that is understood.
    #[must_use]
    pub fn read(record: &Record) -> Option<Self> {
        match record.kind() {
            "recorder" => RecorderRecord::read(record).map(Self::Recorder),
            "device" => DeviceRecord::read(record).map(Self::Device),
            "stay" => StayRecord::read(record).map(Self::Stay),
            "qube" => QubeRecord::read(record).map(Self::Qube),
            "lost" => Some(Self::Lost(LossRecord::read(record))),
            _ => None,
        }
    }

    /// Who says what happened to a function or a qube.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::Device(it) => Some(&it.source),
            Self::Stay(it) => Some(&it.source),
            Self::Qube(it) => Some(&it.source),
            Self::Recorder(_) | Self::Lost(_) => None,
        }
    }

    /// The function it names.
    #[must_use]
    pub fn bdf(&self) -> Option<Sbdf> {
        match self {
            Self::Device(it) => Some(it.bdf),
            Self::Stay(it) => Some(it.bdf),
            Self::Qube(it) => it.bdf,
            Self::Recorder(_) | Self::Lost(_) => None,
        }
    }

    /// When it happened, by an imported source.
    #[must_use]
    pub fn at(&self) -> Option<Moment> {
        match self {
            Self::Device(it) => it.at,
            Self::Stay(it) => it.at,
            Self::Qube(it) => it.at,
            Self::Recorder(_) | Self::Lost(_) => None,
        }
    }

    /// Sets when it happened, as an imported source says.
    pub fn set_at(&mut self, at: Option<Moment>) {
        match self {
            Self::Device(it) => it.at = at,
            Self::Stay(it) => it.at = at,
            Self::Qube(it) => it.at = at,
            Self::Recorder(_) | Self::Lost(_) => {}
        }
    }

    /// Whether it tells of the time before the recorder.
    #[must_use]
    pub fn is_import(&self) -> bool {
        self.source().is_some_and(Source::is_import)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::journal::members::tests::{line, read_back};
    use crate::journal::{DeviceEvent, Identity, Log, LossCause, QubeEvent, RecorderPhase, StayEvent, Way};
    use crate::names::{DriverName, Owner};

    fn bdf() -> Sbdf {
        Sbdf::from_sysfs("0000:03:00.0").unwrap()
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn at() -> Option<Moment> {
        Moment::parse("2026-11-22T13:47:51.123456Z")
    }

    /// An entry of each kind, and its members as they always stood in the journal.
    fn entries() -> [(Entry, &'static str); 6] {
        let recorder = RecorderRecord {
            phase: RecorderPhase::Start,
            run: "1f2e3d4c".into(),
            sources: words("uevents xenstore"),
            missing: words("qubesd"),
            first: true,
            interval: 600,
        };
        let device = DeviceRecord {
            identity: Identity {
                id: "8086:10d3 8086:a01f 020000".to_owned(),
                revision: "01".into(),
                header: "00".into(),
                bars: words("0:mem32:20000 2:io:20"),
                capabilities: words("01 05 10 0003"),
                rom: "40000".into(),
                rom_sha256: String::new(),
            },
            driver: Some(DriverName::PCIBACK),
            before: DriverName::parse("e1000e"),
            way: Some(Way::Override),
            owner: Some(Owner::Dom0),
            ..DeviceRecord::new(DeviceEvent::Seized, bdf(), Source::Uevent)
        };
        let stay = StayRecord {
            label: "red".into(),
            class: "AppVM".into(),
            network: Some(true),
            domain: Some(7),
            stub: Some(8),
            options: "permissive=1".into(),
            ..StayRecord::new(StayEvent::Begin, bdf(), "\\x1b[31msys\\\\net", Source::Xenstore)
        };
        let unknown = StayRecord {
            at: at(),
            ..StayRecord::new(StayEvent::End, bdf(), "work", Source::Import(Log::XenConsole))
        };
        let qube = QubeRecord {
            label: "red".into(),
            before: "blue".into(),
            reason: "no memory".into(),
            ..QubeRecord::new(QubeEvent::Label, "work", Source::Qubesd)
        };
        let lost = LossRecord {
            source: Source::Uevent,
            qube: String::new(),
            count: 0,
            why: Some(LossCause::Overflow),
            since: at(),
        };
        [
            (
                Entry::Recorder(recorder),
                concat!(
                    r#""phase":"start","run":"1f2e3d4c","sources":["uevents","xenstore"],"#,
                    r#""missing":["qubesd"],"first":true,"interval":600,"#
                ),
            ),
            (
                Entry::Device(device),
                concat!(
                    r#""event":"seized","bdf":"0000:03:00.0","id":"8086:10d3 8086:a01f 020000","#,
                    r#""revision":"01","header":"00","rom":"40000","bars":["0:mem32:20000","2:io:20"],"#,
                    r#""capabilities":["01","05","10","0003"],"driver":"pciback","before":"e1000e","#,
                    r#""way":"override","owner":"dom0","source":"uevent","#
                ),
            ),
            (
                Entry::Stay(stay),
                concat!(
                    r#""event":"begin","bdf":"0000:03:00.0","qube":"\\x1b[31msys\\\\net","label":"red","#,
                    r#""class":"AppVM","options":"permissive=1","source":"xenstore","network":true,"#,
                    r#""domain":7,"stub":8,"#
                ),
            ),
            (
                Entry::Stay(unknown),
                concat!(
                    r#""event":"end","bdf":"0000:03:00.0","qube":"work","source":"import:xen-console","#,
                    r#""at":"2026-11-22T13:47:51.123456Z","domain":-1,"#
                ),
            ),
            (
                Entry::Qube(qube),
                concat!(
                    r#""event":"label","qube":"work","label":"red","before":"blue","reason":"no memory","#,
                    r#""source":"qubesd","#
                ),
            ),
            (
                Entry::Lost(lost),
                r#""source":"uevent","count":0,"why":"overflow","since":"2026-11-22T13:47:51.123456Z","#,
            ),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_and_its_members_stand_where_they_always_stood() {
        for (entry, members) in entries() {
            let draft = entry.draft();
            let line = line(&draft);
            assert!(line.contains(members), "{line}");
            assert_eq!(Entry::read(&read_back(&draft)), Some(entry));
        }
    }

    #[test]
    fn a_word_of_another_version_is_not_taken_for_one_of_this() {
        let draft = Draft::new("device").text("event", "present").text("bdf", "0000:03:00.0");
        let draft = draft.text("way", "tunnel").text("owner", "nobody").text("source", "oracle");
        let source = Source::Other("oracle".into());
        let plain = DeviceRecord::new(DeviceEvent::Present, bdf(), source);
        assert_eq!(Entry::read(&read_back(&draft)), Some(Entry::Device(plain)));
        let draft = Draft::new("device").text("event", "levitates").text("bdf", "0000:03:00.0");
        assert_eq!(Entry::read(&read_back(&draft)), None);
    }
}
