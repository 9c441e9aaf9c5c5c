//! What verifying found, in words and as JSON. It never says a bare "ok": it says what
//! the journal was compared with.
#![forbid(unsafe_code)]

use std::fmt;

use serde_json::{json, Value};

use crate::checkpoint::Checkpoint;
use crate::head::{segment_name, Head};

/// Torn regions beyond this many are counted, not listed.
const MAX_HEALED: usize = 50;

/// The three ways verifying can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every record is there and in its place, as far as what it was compared with can tell.
    Sound,
    /// As above, but behind the last record stands what a crash left; the next record will account for it.
    TornTail,
    /// Records were altered, moved or removed, or a checkpoint is not met.
    Altered,
}

/// What is wrong at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// A record's bytes do not fit its hash.
    Altered,
    /// Records are not there.
    Missing,
    /// A record stands in the wrong place.
    Order,
    /// A record does not follow the one before it.
    Link,
    /// Bytes that are no record.
    Junk,
    /// A segment is not what its successor says it was.
    Segment,
}

impl Wrong {
    /// The stable word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Missing => "missing",
            Self::Order => "order",
            Self::Link => "link",
            Self::Junk => "junk",
            Self::Segment => "segment",
        }
    }
}

/// A byte in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number in the segment's name.
    pub segment: u64,
    /// Bytes from its start.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte {}", segment_name(self.segment), self.offset)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which kind of thing.
    pub wrong: Wrong,
    /// The record that was due there.
    pub seq: u64,
    /// Where.
    pub place: Option<Place>,
    /// In words.
    pub what: String,
}

/// Who says what a record's hash was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// A checkpoint given by hand: the only witness the journal's owner does not hold.
    Given,
    /// A line of the file `checkpoints`.
    Remembered,
    /// The file `HEAD`.
    Mark,
    /// The head from which on the journal was to be verified.
    From,
}

impl Witness {
    fn word(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Remembered => "remembered",
            Self::Mark => "HEAD",
            Self::From => "from",
        }
    }
}

/// What came of holding the journal against a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The record is there, with this hash.
    Met,
    /// The record is there, with another hash.
    Differs(String),
    /// There is no such record.
    Gone,
    /// The record is older than what was verified.
    Before,
}

/// One witness and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Who says so.
    pub witness: Witness,
    /// What is said.
    pub checkpoint: Checkpoint,
    /// What came of it.
    pub outcome: Outcome,
}

/// What verifying found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The journal's id.
    pub journal: Option<String>,
    /// The first number that was verified.
    pub first: u64,
    /// The last record of the chain.
    pub head: Option<Head>,
    /// Records verified.
    pub records: u64,
    /// Segments looked at.
    pub segments: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether there were so many that the rest was not verified.
    pub gave_up: bool,
    /// Torn regions that a record accounts for: where, how many bytes, which record.
    pub healed: Vec<(Place, u64, u64)>,
    /// Torn regions that were counted only.
    pub healed_left_out: u64,
    /// What a crash left behind the last record: where, how many bytes.
    pub torn_tail: Option<(Place, u64)>,
    /// Records in which a repair accepted a break.
    pub gaps: Vec<u64>,
    /// Where the beginning was pruned: the first number left, and the record that says so.
    pub pruned: Option<(u64, u64)>,
    /// The head from which on was verified, where not from the beginning.
    pub from: Option<Checkpoint>,
    /// What the journal was held against.
    pub comparisons: Vec<Comparison>,
    /// Whether `HEAD` is missing or says nothing.
    pub mark_missing: bool,
    /// Lines of `checkpoints` that are none. Of a file of more than 4 MiB only the end is
    /// read; all before it counts as one.
    pub checkpoint_lines_unreadable: u64,
}

impl Report {
    pub(crate) fn heal(&mut self, place: Place, len: u64, seq: u64) {
        if self.healed.len() < MAX_HEALED {
            self.healed.push((place, len, seq));
        } else {
            self.healed_left_out += 1;
        }
    }

    /// How it ended.
    pub fn verdict(&self) -> Verdict {
        let unmet = |outcome: &Outcome| matches!(outcome, Outcome::Differs(_) | Outcome::Gone);
        if !self.findings.is_empty() || self.comparisons.iter().any(|comparison| unmet(&comparison.outcome)) {
            Verdict::Altered
        } else if self.torn_tail.is_some() {
            Verdict::TornTail
        } else {
            Verdict::Sound
        }
    }

    /// Whether a witness outside the journal's owner's reach was met.
    pub fn compared_with_given(&self) -> bool {
        self.comparisons
            .iter()
            .any(|comparison| comparison.witness == Witness::Given && comparison.outcome == Outcome::Met)
    }

    /// The `verify` document, without its `schema`.
    pub fn to_json(&self) -> Value {
        let place = |place: &Place| json!({"segment": segment_name(place.segment), "offset": place.offset});
        let torn = |(at, bytes): &(Place, u64)| json!({"place": place(at), "bytes": bytes});
        let healed =
            |(at, bytes, seq): &(Place, u64, u64)| json!({"place": place(at), "bytes": bytes, "seq": seq});
        json!({
            "verdict": match self.verdict() {
                Verdict::Sound => "ok",
                Verdict::TornTail => "torn-tail",
                Verdict::Altered => "altered",
            },
            "journal": self.journal,
            "first": self.first,
            "records": self.records,
            "segments": self.segments,
            "bytes": self.bytes,
            "head": self.head.map(|head| json!({"seq": head.seq, "hash": head.hex(), "short": head.short()})),
            "from": self.from.as_ref().map(ToString::to_string),
            "findings": self.findings.iter().map(|finding| json!({
                "wrong": finding.wrong.word(),
                "seq": finding.seq,
                "place": finding.place.as_ref().map(place),
                "what": finding.what,
            })).collect::<Vec<_>>(),
            "gave_up": self.gave_up,
            "torn_tail": self.torn_tail.as_ref().map(torn),
            "healed": self.healed.iter().map(healed).collect::<Vec<_>>(),
            "healed_left_out": self.healed_left_out,
            "gaps": self.gaps,
            "pruned": self.pruned.map(|(first, seq)| json!({"first_left": first, "said_by": seq})),
            "compared": self.comparisons.iter().map(|comparison| json!({
                "with": comparison.witness.word(),
                "seq": comparison.checkpoint.seq,
                "outcome": match &comparison.outcome {
                    Outcome::Met => "met",
                    Outcome::Differs(_) => "differs",
                    Outcome::Gone => "gone",
                    Outcome::Before => "before",
                },
            })).collect::<Vec<_>>(),
            "compared_with_a_given_checkpoint": self.compared_with_given(),
            "head_file_missing": self.mark_missing,
            "checkpoint_lines_unreadable": self.checkpoint_lines_unreadable,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict() {
            Verdict::Sound => "verified",
            Verdict::TornTail => "torn tail",
            Verdict::Altered => "ALTERED",
        };
        write!(f, "{word}: {} records", self.records)?;
        match self.head {
            Some(head) => writeln!(f, ", head {}", head.short())?,
            None => writeln!(f)?,
        }
        if let Some(kept) = &self.from {
            writeln!(f, "  only what follows record {}", kept.seq)?;
        }
        for finding in &self.findings {
            writeln!(f, "  {}", finding.what)?;
            if let Some(place) = &finding.place {
                writeln!(f, "    at {place}")?;
            }
        }
        if self.gave_up {
            writeln!(f, "  so much is wrong that the rest was not verified")?;
        }
        for comparison in &self.comparisons {
            self.write_comparison(f, comparison)?;
        }
        self.write_remembered(f)?;
        self.write_torn(f)?;
        self.write_accepted(f)?;
        self.write_unreadable(f)?;
        // One from before the first record that is left is compared with nothing.
        let is_given = |one: &Comparison| one.witness == Witness::Given && one.outcome != Outcome::Before;
        if !self.comparisons.iter().any(is_given) {
            writeln!(f, "  compared with no checkpoint from elsewhere: a journal that was rewritten,")?;
            writeln!(f, "  or cut at the end of a record, cannot be told from this one")?;
        }
        Ok(())
    }
}

impl Report {
    fn write_torn(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((place, bytes)) = &self.torn_tail {
            writeln!(
                f,
                "  {bytes} bytes behind the last record are what a crash left; \
                 the next record accounts for them"
            )?;
            writeln!(f, "    at {place}")?;
        }
        let healed = self.healed.len() as u64 + self.healed_left_out;
        if healed > 0 {
            writeln!(
                f,
                "  {healed} torn {}, accounted for:",
                if healed == 1 { "region" } else { "regions" }
            )?;
            for (place, bytes, seq) in &self.healed {
                writeln!(f, "    {bytes} bytes at {place}, by record {seq}")?;
            }
        }
        Ok(())
    }

    fn write_accepted(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for seq in &self.gaps {
            writeln!(f, "  record {seq} is a repair: a break before it was accepted")?;
        }
        if let Some((first, seq)) = self.pruned {
            writeln!(f, "  records before {first} were pruned, says record {seq}; not verified")?;
        }
        Ok(())
    }

    fn write_unreadable(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.checkpoint_lines_unreadable > 0 {
            writeln!(
                f,
                "  {} lines of the file checkpoints are unreadable",
                self.checkpoint_lines_unreadable
            )?;
        }
        if self.mark_missing {
            writeln!(
                f,
                "  the file HEAD is missing or damaged: a cut at the end would not be noticed by it"
            )?;
        }
        Ok(())
    }

    fn write_comparison(&self, f: &mut fmt::Formatter<'_>, comparison: &Comparison) -> fmt::Result {
        let seq = comparison.checkpoint.seq;
        let who = match comparison.witness {
            Witness::Given => format!("the checkpoint {seq} given by hand"),
            Witness::Remembered => format!("the checkpoint {seq} in the file checkpoints"),
            Witness::Mark => format!("the file HEAD, record {seq},"),
            Witness::From => format!("the head {seq} to start from"),
        };
        match &comparison.outcome {
            // The remembered ones that are met are summed up: there can be thousands.
            Outcome::Met if comparison.witness == Witness::Remembered => Ok(()),
            Outcome::Before if comparison.witness != Witness::Given => Ok(()),
            Outcome::Met => writeln!(f, "  {who} is met"),
            Outcome::Before => writeln!(f, "  {who} is older than what was verified: not compared"),
            Outcome::Differs(hash) => {
                writeln!(f, "  {who} is NOT met: that record has the hash {hash}")
            }
            Outcome::Gone if self.gave_up => {
                writeln!(f, "  {who} is NOT met as far as the journal was read")
            }
            Outcome::Gone => match self.head {
                Some(head) if head.seq < seq => {
                    writeln!(f, "  {who} is NOT met: the journal ends at record {}", head.seq)
                }
                _ => writeln!(f, "  {who} is NOT met: there is no such record"),
            },
        }
    }

    fn write_remembered(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = self
            .comparisons
            .iter()
            .filter(|c| c.witness == Witness::Remembered && c.outcome == Outcome::Met)
            .count();
        match met {
            0 => Ok(()),
            1 => writeln!(f, "  1 checkpoint in the file checkpoints is met"),
            _ => writeln!(f, "  {met} checkpoints in the file checkpoints are met"),
        }
    }
}
