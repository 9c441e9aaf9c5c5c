//! The records of the recorder itself.
//!
//! | phase | members |
//! | --- | --- |
//! | `start` | `run`, `sources`, `missing`, `first`, `interval` |
//! | `heartbeat`, `source`, `stop` | `run`, `sources`, `missing`, `first`, `interval` |

use super::members::{flag, list, text};
use audit::{Draft, Record};

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

words!(RecorderPhase { Start = "start", Heartbeat = "heartbeat", Source = "source", Stop = "stop" });

/// A record of the recorder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecorderRecord {
    /// What it says.
    pub phase: RecorderPhase,
    /// One run of the recorder: its records belong together.
    pub run: String,
    /// The sources that are heard: `uevents`, `xenstore`, `qubesd 4.3`.
    pub sources: Vec<String>,
    /// The sources that are not heard.
    pub missing: Vec<String>,
    /// At the start: whether no qube can have run in this boot before.
    pub first: bool,
    /// How often a heartbeat is written, in seconds: a longer silence is not covered.
    pub interval: u32,
}

impl RecorderRecord {
    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let draft = Draft::new("recorder").text("phase", self.phase.word()).text("run", &self.run);
        let draft = draft.list("sources", &self.sources).list("missing", &self.missing);
        draft.flag("first", self.first).number("interval", i64::from(self.interval))
    }

    /// What a record of kind `recorder` says.
    pub(super) fn read(record: &Record) -> Option<Self> {
        let interval = record.number("interval").and_then(|number| u32::try_from(number).ok());
        Some(Self {
            phase: record.text("phase").and_then(RecorderPhase::parse)?,
            run: text(record, "run"),
            sources: list(record, "sources"),
            missing: list(record, "missing"),
            first: flag(record, "first") == Some(true),
            interval: interval.unwrap_or(0),
        })
    }
}
