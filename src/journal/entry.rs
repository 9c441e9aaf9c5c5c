//! What a record of the history says.
//!
//! | kind | members |
//! | --- | --- |
//! | `recorder` | `phase` start, heartbeat, source, stop; `run`; `sources`, `missing`; start: `first` |
//! | `device` | `event`, `bdf`, identity; `driver`, `before`, `way`, `owner` |
//! | `stay` | `event` begin, present, end; `bdf`, `id`; `qube`, `uuid`, `label`, `class`, `network`, `domain`, `stub`,
//! |  | `options` |
//! | `qube` | `event`, `qube`; `label`, `before`, `port`, `options` |
//! | `lost` | `source`, `qube`, `count`, `since` |
//!
//! Every one names its `source`: `uevent`, `xenstore`, `qubesd`, `snapshot`, `operation`, or `import:` and what was
//! imported, then with `at`, the time the source gives, where it gives one. The record's own time is when it was
//! written. Members that are not known are left out.
//!
//! A record of an import also has `key`, by which a second import knows it, `approximate` where `at` is the time of a
//! neighbour or has no zone, and `of_boot`, the boot that the source names; its own `boot` is that of the import.
//!
//! Texts are kept escaped, as the journal shows them and as `names::escape` makes them: no field can act on a terminal.

use super::shown::{known, list, text};
use crate::names::{unescape, Sbdf};
use audit::{Draft, Record};

/// One record of the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// About the recorder itself.
    Recorder(Recorder),
    /// About a PCI function.
    Device(Device),
    /// A function with a qube.
    Stay(Stay),
    /// About a qube.
    Qube(Qube),
    /// What was not recorded.
    Lost(Lost),
}

/// What the recorder says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecorderPhase {
    /// It began; a snapshot follows.
    Start,
    /// It still runs: time up to here is covered.
    Heartbeat,
    /// A source came or went.
    Source,
    /// It was told to stop.
    Stop,
}

/// The recorder's own record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorder {
    /// What it says.
    pub phase: RecorderPhase,
    /// One run of the recorder: its records belong together.
    pub run: String,
    /// The sources that are heard: `uevents`, `xenstore`, `qubesd 4.3`.
    pub sources: Vec<String>,
    /// Those that are not.
    pub missing: Vec<String>,
    /// At the start: whether no qube can have run in this boot before.
    pub first: bool,
    /// How often a heartbeat is written, in seconds: a longer silence is not covered.
    pub interval: u32,
}

/// What makes a function the same as before, wherever it stands. Unknown parts are empty.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Identity {
    /// `8086:10d3 8086:a01f 020000`, and the serial number where it tells one: what does not change with the address.
    pub id: String,
    /// Revision, two hexadecimal digits.
    pub revision: String,
    /// Header type, two hexadecimal digits, without the multi-function bit.
    pub header: String,
    /// Base addresses in use: `0 mem32 20000`, `2 io 20`, `4 mem64p 4000` (index, kind, size in hexadecimal bytes).
    pub bars: Vec<String>,
    /// Capabilities in order: `01 05 10 11`, extended ones with four digits.
    pub capabilities: Vec<String>,
    /// Size of the expansion ROM in hexadecimal bytes.
    pub rom: String,
    /// SHA-256 of the expansion ROM; taken only at settle, because reading it writes to the device.
    pub rom_sha256: String,
}

/// What happened to a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceEvent {
    /// Found so by a snapshot.
    Present,
    /// It appeared.
    Added,
    /// It went away.
    Removed,
    /// pciback took it.
    Seized,
    /// Another driver took it.
    Bound,
    /// Its driver let it go.
    Unbound,
}

/// A record of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// What happened.
    pub event: DeviceEvent,
    /// Where it stands.
    pub bdf: Sbdf,
    /// What it is.
    pub identity: Identity,
    /// Its driver now; empty where none.
    pub driver: String,
    /// Seized, bound or unbound: the driver it had before, where it is known.
    pub before: String,
    /// Seized: by which way (`boot`, `override`, `slot`, `xl`), as far as can be told.
    pub way: String,
    /// Xen's owner, where it was asked; seized: the one it had before.
    pub owner: String,
    /// Who says so.
    pub source: String,
    /// When, by an imported source.
    pub at: String,
}

/// A function's stay with a qube.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StayEvent {
    /// The toolstack gave it.
    Begin,
    /// Found so by a snapshot.
    Present,
    /// The toolstack took it back, or the qube is gone. Without a begin in the same boot, all that is left of a stay
    /// that nobody saw.
    End,
}

/// A record of a stay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stay {
    /// Begin, present or end.
    pub event: StayEvent,
    /// Where the function stands.
    pub bdf: Sbdf,
    /// [`Identity::id`].
    pub id: String,
    /// The qube's name, escaped; `domain-7` where it has none.
    pub qube: String,
    /// Its uuid.
    pub uuid: String,
    /// Its label then.
    pub label: String,
    /// `AppVM`, `DispVM`, ...
    pub class: String,
    /// Whether it provides network to others; `None` where not known.
    pub network: Option<bool>,
    /// The domain; -1 where not known. That of the qube, not of its stub domain.
    pub domain: i64,
    /// The stub domain that holds it for the qube; -1 where there is none, or it is not known.
    pub stub: i64,
    /// The toolstack's options: `permissive=1,rdm_policy=relaxed`.
    pub options: String,
    /// Who says so.
    pub source: String,
    /// When, by an imported source.
    pub at: String,
}

/// What happened to a qube.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QubeEvent {
    /// It is about to start: from now on its devices are taken.
    Starting,
    /// It has started; in older journals and by imports also that it is about to.
    Started,
    /// It did not start, or not all the way.
    StartFailed,
    /// It ended.
    Stopped,
    /// Its label changed.
    Label,
    /// Its name changed.
    Name,
    /// A device was assigned to it.
    Assigned,
    /// An assignment was taken back.
    Unassigned,
}

/// A record of a qube.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Qube {
    /// What happened.
    pub event: QubeEvent,
    /// Its name, escaped.
    pub qube: String,
    /// Its uuid.
    pub uuid: String,
    /// Its label, or its new one.
    pub label: String,
    /// The label or name before.
    pub before: String,
    /// The device: Qubes' port.
    pub port: String,
    /// The function the port leads to, where there is one.
    pub bdf: Option<Sbdf>,
    /// Options of the assignment.
    pub options: String,
    /// Why it did not start, in Qubes' words, escaped.
    pub reason: String,
    /// Who says so.
    pub source: String,
    /// When, by an imported source.
    pub at: String,
}

/// Something that happened and was not recorded: the time since counts as uncovered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// Where it was lost: `uevent`, `xenstore`, `qubesd`, `journal`.
    pub source: String,
    /// Of this qube only; empty: of all.
    pub qube: String,
    /// How many; 0 where nobody knows.
    pub count: i64,
    /// Why: `overflow`, `brief`, `rate`, `space`, `busy`, `journal`.
    pub why: String,
    /// Since when, as the journal writes times.
    pub since: String,
}

macro_rules! words {
    ($type:ty { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// The word in the journal.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(RecorderPhase { Start = "start", Heartbeat = "heartbeat", Source = "source", Stop = "stop" });
words!(DeviceEvent {
    Present = "present",
    Added = "added",
    Removed = "removed",
    Seized = "seized",
    Bound = "bound",
    Unbound = "unbound",
});
words!(StayEvent { Begin = "begin", Present = "present", End = "end" });
words!(QubeEvent {
    Starting = "starting",
    Started = "started",
    StartFailed = "start-failed",
    Stopped = "stopped",
    Label = "label",
    Name = "name",
    Assigned = "assigned",
    Unassigned = "unassigned",
});

fn bdf(record: &Record) -> Option<Sbdf> {
    record.text("bdf").and_then(Sbdf::from_sysfs)
}

impl Entry {
    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        match self {
            Self::Recorder(it) => {
                let draft = Draft::new("recorder").text("phase", it.phase.word()).text("run", &it.run);
                let draft = draft.list("sources", &it.sources).list("missing", &it.missing);
                draft.flag("first", it.first).number("interval", i64::from(it.interval))
            }
            Self::Device(it) => {
                let draft =
                    Draft::new("device").text("event", it.event.word()).text("bdf", &it.bdf.to_string());
                let draft = it.identity.onto(draft).text("driver", &it.driver);
                known(
                    draft,
                    &[
                        ("before", &it.before),
                        ("way", &it.way),
                        ("owner", &it.owner),
                        ("source", &it.source),
                        ("at", &it.at),
                    ],
                )
            }
            Self::Stay(it) => {
                let draft =
                    Draft::new("stay").text("event", it.event.word()).text("bdf", &it.bdf.to_string());
                let draft = known(
                    draft,
                    &[
                        ("id", &it.id),
                        ("qube", &it.qube),
                        ("uuid", &it.uuid),
                        ("label", &it.label),
                        ("class", &it.class),
                        ("options", &it.options),
                        ("source", &it.source),
                        ("at", &it.at),
                    ],
                );
                let draft =
                    it.network.into_iter().fold(draft, |draft, network| draft.flag("network", network));
                let draft = draft.number("domain", it.domain);
                if it.stub < 0 {
                    draft
                } else {
                    draft.number("stub", it.stub)
                }
            }
            Self::Qube(it) => {
                let draft =
                    Draft::new("qube").text("event", it.event.word()).bytes("qube", &unescape(&it.qube));
                let function = it.bdf.map(|bdf| bdf.to_string()).unwrap_or_default();
                known(
                    draft,
                    &[
                        ("uuid", &it.uuid),
                        ("label", &it.label),
                        ("before", &it.before),
                        ("port", &it.port),
                        ("bdf", &function),
                        ("options", &it.options),
                        ("reason", &it.reason),
                        ("source", &it.source),
                        ("at", &it.at),
                    ],
                )
            }
            Self::Lost(it) => {
                let draft = Draft::new("lost").text("source", &it.source).number("count", it.count);
                known(draft, &[("qube", &it.qube), ("why", &it.why), ("since", &it.since)])
            }
        }
    }

    /// What a record says; `None` where it is of another kind, or says nothing that is understood.
    #[must_use]
    pub fn read(record: &Record) -> Option<Self> {
        let word = |key: &str| record.text(key).unwrap_or_default();
        Some(match record.kind() {
            "recorder" => Self::Recorder(Recorder {
                phase: RecorderPhase::parse(word("phase"))?,
                run: text(record, "run"),
                sources: list(record, "sources"),
                missing: list(record, "missing"),
                first: record.get("first").and_then(serde_json::Value::as_bool) == Some(true),
                interval: record
                    .number("interval")
                    .and_then(|number| u32::try_from(number).ok())
                    .unwrap_or(0),
            }),
            "device" => Self::Device(Device {
                event: DeviceEvent::parse(word("event"))?,
                bdf: bdf(record)?,
                identity: Identity::read(record),
                driver: text(record, "driver"),
                before: text(record, "before"),
                way: text(record, "way"),
                owner: text(record, "owner"),
                source: text(record, "source"),
                at: text(record, "at"),
            }),
            "stay" => Self::Stay(Stay {
                event: StayEvent::parse(word("event"))?,
                bdf: bdf(record)?,
                id: text(record, "id"),
                qube: text(record, "qube"),
                uuid: text(record, "uuid"),
                label: text(record, "label"),
                class: text(record, "class"),
                network: record.get("network").and_then(serde_json::Value::as_bool),
                domain: record.number("domain").unwrap_or(-1),
                stub: record.number("stub").unwrap_or(-1),
                options: text(record, "options"),
                source: text(record, "source"),
                at: text(record, "at"),
            }),
            "qube" => Self::Qube(Qube {
                event: QubeEvent::parse(word("event"))?,
                qube: text(record, "qube"),
                uuid: text(record, "uuid"),
                label: text(record, "label"),
                before: text(record, "before"),
                port: text(record, "port"),
                bdf: bdf(record),
                options: text(record, "options"),
                reason: text(record, "reason"),
                source: text(record, "source"),
                at: text(record, "at"),
            }),
            "lost" => Self::Lost(Lost {
                source: text(record, "source"),
                qube: text(record, "qube"),
                count: record.number("count").unwrap_or(0),
                why: text(record, "why"),
                since: text(record, "since"),
            }),
            _ => return None,
        })
    }
}

impl Qube {
    /// What happened to a qube (its name escaped) and who says so; nothing else is known.
    #[must_use]
    pub fn new(event: QubeEvent, qube: &str, source: &str) -> Self {
        Self {
            event,
            qube: qube.to_owned(),
            uuid: String::new(),
            label: String::new(),
            before: String::new(),
            port: String::new(),
            bdf: None,
            options: String::new(),
            reason: String::new(),
            source: source.to_owned(),
            at: String::new(),
        }
    }
}

impl Identity {
    /// Adds its members.
    #[must_use]
    pub fn onto(&self, draft: Draft) -> Draft {
        let draft = known(
            draft,
            &[
                ("id", &self.id),
                ("revision", &self.revision),
                ("header", &self.header),
                ("rom", &self.rom),
                ("rom_sha256", &self.rom_sha256),
            ],
        );
        let with = |draft: Draft, key: &str, items: &[String]| {
            if items.is_empty() {
                draft
            } else {
                draft.list(key, items)
            }
        };
        with(with(draft, "bars", &self.bars), "capabilities", &self.capabilities)
    }

    /// The members of a record.
    #[must_use]
    pub fn read(record: &Record) -> Self {
        Self {
            id: text(record, "id"),
            revision: text(record, "revision"),
            header: text(record, "header"),
            bars: list(record, "bars"),
            capabilities: list(record, "capabilities"),
            rom: text(record, "rom"),
            rom_sha256: text(record, "rom_sha256"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use audit::Journal;

    #[test]
    fn what_is_written_is_read_back() {
        let bdf = Sbdf::from_sysfs("0000:03:00.0").unwrap();
        let id = "8086:10d3 8086:a01f 020000".to_owned();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let identity = Identity {
            id: id.clone(),
            revision: "01".into(),
            header: "00".into(),
            bars: words("0:mem32:20000 2:io:20"),
            capabilities: words("01 05 10 0003"),
            rom: "40000".into(),
            rom_sha256: String::new(),
        };
        let entries = [
            Entry::Recorder(Recorder {
                phase: RecorderPhase::Start,
                run: "1f2e3d4c".into(),
                sources: words("uevents xenstore"),
                missing: words("qubesd"),
                first: true,
                interval: 600,
            }),
            Entry::Device(Device {
                event: DeviceEvent::Seized,
                bdf,
                identity,
                driver: "pciback".into(),
                before: "e1000e".into(),
                way: "override".into(),
                owner: String::new(),
                source: "uevent".into(),
                at: String::new(),
            }),
            Entry::Stay(Stay {
                event: StayEvent::Begin,
                bdf,
                id,
                qube: "\\x1b[31msys\\\\net".into(),
                uuid: String::new(),
                label: "red".into(),
                class: "AppVM".into(),
                network: Some(true),
                domain: 7,
                stub: 8,
                options: "permissive=1".into(),
                source: "xenstore".into(),
                at: String::new(),
            }),
            Entry::Qube(Qube {
                event: QubeEvent::Label,
                qube: "work".into(),
                uuid: String::new(),
                label: "red".into(),
                before: "blue".into(),
                port: String::new(),
                bdf: None,
                reason: "no memory".into(),
                options: String::new(),
                source: "qubesd".into(),
                at: String::new(),
            }),
            Entry::Lost(Lost {
                source: "uevent".into(),
                qube: String::new(),
                count: 0,
                why: "overflow".into(),
                since: "2026-11-22T13:47:51.123456Z".into(),
            }),
        ];
        let folder = std::env::temp_dir().join(format!("history-entry-{}", std::process::id()));
        let mut journal = Journal::open(&folder, "1c0ffee0").unwrap();
        journal.append(&entries.iter().map(Entry::draft).collect::<Vec<_>>()).unwrap();
        drop(journal);
        let mut read = Vec::new();
        audit::export(&folder, &mut |bytes| {
            read.extend(
                bytes
                    .split(|byte| *byte == b'\n')
                    .filter_map(Record::parse)
                    .filter_map(|it| Entry::read(&it)),
            );
            Ok(())
        })
        .unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(read, entries);
    }
}
