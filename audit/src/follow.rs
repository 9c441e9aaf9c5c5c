//! More ways to read: on from where it was read before, one record by its number, the boots.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::chain::Source;
use crate::error::Result;
use crate::query::{member, select, Query, Reading, Skipped};
use crate::record::{split, MAX_LINE};
use crate::snapshot::Snapshot;
use crate::store::Segment;

/// The boots that the journal's records belong to, in its order; one that comes again later stands once.
///
/// # Errors
/// As [`select`].
pub fn boots(path: &Path) -> Result<Vec<String>> {
    let mut boots: Vec<Vec<u8>> = Vec::new();
    let mut known = HashSet::new();
    select(path, &Query::default(), &mut |line| {
        let boot = member(line, b",\"boot\":\"").unwrap_or_default();
        if boots.last().is_none_or(|last| last != boot) && known.insert(boot.to_vec()) {
            boots.push(boot.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    Ok(boots.iter().map(|boot| String::from_utf8_lossy(boot).into_owned()).collect())
}

/// The lines of records with this number: one, unless somebody has copied or forged some.
///
/// # Errors
/// As [`select`].
pub fn numbered(path: &Path, seq: u64) -> Result<Vec<Vec<u8>>> {
    let snapshot = Snapshot::take(path)?;
    let mut found = Vec::new();
    let Some(span) = snapshot.segments.iter().rev().find(|span| span.first <= seq) else { return Ok(found) };
    let query = Query::default();
    let mut each = |line: &[u8]| {
        if split(line).is_some_and(|parts| parts.seq == seq) {
            found.push(line.to_vec());
        }
        ControlFlow::Continue(())
    };
    let _ = Reading::new(&query).segment(&snapshot.open(*span)?, 0, span.size, &mut each)?;
    Ok(found)
}

/// Reads a journal on from where it was read before: for those who want each record as it is written.
pub struct Follow {
    path: PathBuf,
    query: Query,
    /// The segment that was read last, and how far.
    place: Option<(u64, u64)>,
}

impl Follow {
    /// A journal that has not been read yet: the first [`Follow::poll`] gives all of it.
    pub fn new(path: &Path, query: Query) -> Self {
        Self { path: path.to_path_buf(), query, place: None }
    }

    /// Gives each wanted record's line since the last time, also over a change of segments. A line that is
    /// not whole yet is left for later.
    ///
    /// # Errors
    /// As [`select`].
    pub fn poll(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<Skipped> {
        let snapshot = Snapshot::take(&self.path)?;
        let mut reading = Reading::new(&self.query);
        for span in &snapshot.segments {
            let from = match self.place {
                Some((first, _)) if span.first < first => continue,
                Some((first, at)) if span.first == first => at,
                _ => 0,
            };
            let segment = snapshot.open(*span)?;
            let to = whole_lines(&segment, from, span.size)?;
            if to > from {
                let _ = reading.segment(&segment, from, to, &mut |line| {
                    each(line);
                    ControlFlow::Continue(())
                })?;
            }
            self.place = Some((span.first, to.max(from)));
        }
        Ok(reading.skipped)
    }
}

/// Where the last whole line of a stretch ends. A line that is longer than any record may be is passed over.
fn whole_lines(segment: &Segment, from: u64, size: u64) -> Result<u64> {
    let window = size.saturating_sub(2 * MAX_LINE as u64).max(from);
    let mut bytes = vec![0u8; usize::try_from(size.saturating_sub(window)).unwrap_or(0)];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match segment
            .read_at(room, window + filled as u64)
            .map_err(|error| segment.fail("cannot read the journal", &error))?
        {
            0 => break,
            count => filled += count,
        }
    }
    let feed = bytes.get(..filled).and_then(|bytes| memchr::memrchr(b'\n', bytes));
    Ok(match feed {
        Some(feed) => window + feed as u64 + 1,
        None if window > from => size,
        None => from,
    })
}
