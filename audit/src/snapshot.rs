//! A journal as it stood at one moment: for everything that only reads.
#![forbid(unsafe_code)]

use std::path::Path;

use crate::chain::{Lines, Next};
use crate::error::{Error, Kind, Result};
use crate::form::Says;
use crate::hash::HexHash;
use crate::head::Mark;
use crate::record::{split, Record, MAX_LINE};
use crate::store::{Folder, For, Kept, Segment, LOCK_WAIT};

/// The segments and their sizes when nobody was writing. Reading them needs no
/// lock: bytes are only ever added.
pub(crate) struct Snapshot {
    pub(crate) folder: Folder,
    /// First number and size of each segment, rising.
    pub(crate) segments: Vec<Span>,
    /// What `HEAD` said.
    pub(crate) mark: Option<Mark>,
    /// What was read of `checkpoints`.
    pub(crate) checkpoints: Kept,
}

/// One segment of a [`Snapshot`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// The number in its name.
    pub(crate) first: u64,
    /// The segment's size in bytes.
    pub(crate) size: u64,
}

impl Snapshot {
    /// Looks at the journal under the readers' lock.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let folder = Folder::open(path)?;
        let _lock = folder.lock(For::Reading, LOCK_WAIT)?;
        let mut segments = Vec::new();
        for first in folder.segments()? {
            segments.push(Span { first, size: folder.read_segment(first)?.size()? });
        }
        let (mark, checkpoints) = (folder.read_mark()?, folder.read_checkpoints()?);
        if segments.is_empty() && mark.is_none() && checkpoints.is_empty() {
            return Err(Error::new(Kind::Absent, "there is no journal", Some(path)));
        }
        Ok(Self { folder, segments, mark, checkpoints })
    }

    /// Whether any record opens this segment.
    pub(crate) fn holds_records(folder: &Folder, first: u64) -> Result<bool> {
        let segment = folder.read_segment(first)?;
        Ok(!opening(&segment, segment.size()?)?.is_empty())
    }

    /// Opens one of its segments.
    pub(crate) fn open(&self, span: Span) -> Result<Segment> {
        self.folder.read_segment(span.first)
    }

    /// As [`opening`], of one of its segments.
    pub(crate) fn opening(&self, span: Span) -> Result<Vec<Opening>> {
        opening(&self.open(span)?, span.size)
    }

    /// The journal's id, from its first segment.
    pub(crate) fn journal_id(&self) -> Result<Option<String>> {
        match self.segments.first() {
            Some(span) => Ok(journal_id(&self.opening(*span)?)),
            None => Ok(None),
        }
    }

    /// Where records of this number end, and their hashes: one, unless somebody has copied or forged some.
    pub(crate) fn find(&self, seq: u64) -> Result<Vec<(usize, u64, HexHash)>> {
        let mut found = Vec::new();
        let Some(index) = self.segments.iter().rposition(|span| span.first <= seq) else { return Ok(found) };
        let Some(span) = self.segments.get(index) else { return Ok(found) };
        let segment = self.open(*span)?;
        let mut lines = Lines::new(&segment, 0, span.size);
        while let Some(stretch) =
            lines.next().map_err(|error| segment.fail("cannot read the journal", &error))?
        {
            if split(stretch.bytes).is_some_and(|parts| parts.seq == seq) {
                found.extend(stretch.record().map(|parts| (index, stretch.end(), *parts.hash)));
            }
        }
        Ok(found)
    }
}

/// One of the records that open a segment.
pub(crate) struct Opening {
    /// What it continues.
    pub(crate) next: Next,
    line: Vec<u8>,
}

impl Opening {
    /// What it says.
    pub(crate) fn says(&self) -> Says<'_> {
        split(&self.line).map_or(Says::Other, |parts| parts.says())
    }
}

/// The first records of a segment that are whole, at most two: a torn one may
/// stand before the one that opens it.
pub(crate) fn opening(segment: &Segment, size: u64) -> Result<Vec<Opening>> {
    let mut lines = Lines::new(segment, 0, size.min(4 * MAX_LINE as u64));
    let mut found = Vec::new();
    while found.len() < 2 {
        let Some(stretch) = lines.next().map_err(|error| segment.fail("cannot read the journal", &error))?
        else {
            break;
        };
        if let Some(parts) = stretch.record() {
            let next = Next { seq: parts.seq, prev: *parts.prev };
            found.push(Opening { next, line: stretch.bytes.to_vec() });
        }
    }
    Ok(found)
}

/// The journal's id, from the records that open a segment.
pub(crate) fn journal_id(opening: &[Opening]) -> Option<String> {
    opening.iter().find_map(|first| {
        let record = Record::parse(&first.line)?;
        let key = if record.kind() == "genesis" { "id" } else { "journal" };
        record.text(key).map(str::to_owned)
    })
}
