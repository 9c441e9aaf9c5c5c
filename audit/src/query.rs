//! Finding records: a needle in the raw bytes first, a parse on hits only. No index: a million records take a
//! tenth of a second, and an index is one more thing that can be corrupt.
#![forbid(unsafe_code)]

use std::ops::ControlFlow;
use std::path::Path;

use memchr::memmem::{self, Finder};

use crate::chain::{Source, PIECE};
use crate::error::Result;
use crate::record::{json_string, split, whole, Record, MAX_LINE};
use crate::snapshot::{Snapshot, Span};
use crate::store::Segment;

/// Which records are wanted: those that fulfil all of it.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// A member (any, where no key is given) is this string, or a list that has it.
    pub values: Vec<(Option<String>, String)>,
    /// One of these is fulfilled, each a list of the same kind; none given asks for nothing. The journal is
    /// read once, however many there are.
    pub any: Vec<Vec<(Option<String>, String)>>,
    /// Not before this time: RFC 3339 in UTC, or a beginning of it.
    pub since: Option<String>,
    /// Before this time.
    pub until: Option<String>,
    /// Also the records right behind a hit that belong to the same operation:
    /// its end names the operation only.
    pub with_operation: bool,
}

/// What a reading came by besides what it was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Lines that matched but are no records: altered, or torn. Verifying tells which.
    pub lines: u64,
}

/// Gives each wanted record's line, without its line feed, in the journal's order.
///
/// # Errors
/// [`Kind::Absent`](crate::Kind::Absent), `Io`, `Permission`, `Busy`.
pub fn select(path: &Path, query: &Query, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<Skipped> {
    select_in(&Snapshot::take(path)?, query, each)
}

pub(crate) fn select_in(
    snapshot: &Snapshot,
    query: &Query,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<Skipped> {
    let mut reading = Reading::new(query);
    for span in &snapshot.segments {
        let segment = snapshot.open(*span)?;
        if reading.segment(&segment, 0, span.size, each)?.is_break() {
            break;
        }
    }
    Ok(reading.skipped)
}

pub(crate) struct Reading<'a> {
    query: &'a Query,
    /// The rarest looking value, as it stands in a line.
    needle: Option<Vec<u8>>,
    /// The alternatives of [`Query::any`] as they stand in a line.
    any: Vec<Alternative>,
    /// Operations that had a hit lately: their further records are hits too.
    lately: Vec<Lately>,
    pub(crate) skipped: Skipped,
}

struct Lately {
    operation: Vec<u8>,
    /// For so many lines more that belong to no such operation.
    patience: u32,
}

/// How many lines of others (a recorder, another operation) may stand between two records of an operation.
const PATIENCE: u32 = 64;
/// So many operations at a time are followed: changing commands exclude each other.
const MOST_OPERATIONS: usize = 8;

/// What a line must hold to be worth a parse.
struct Alternative {
    /// The kind of record, which stands at a place of its own.
    kind: Option<Vec<u8>>,
    needles: Vec<Finder<'static>>,
}

impl Alternative {
    fn of(values: &[(Option<String>, String)]) -> Self {
        let mut one = Self { kind: None, needles: Vec::new() };
        for (key, value) in values {
            let text = json_string(value.as_bytes());
            if key.as_deref() == Some("kind") && one.kind.is_none() {
                one.kind = Some(text);
            } else {
                one.needles.push(Finder::new(&text).into_owned());
            }
        }
        one
    }

    fn may_be(&self, kind: Option<&[u8]>, line: &[u8]) -> bool {
        // A kind that is not at its place is looked for by the parse.
        let of_kind = self.kind.as_deref().zip(kind).is_none_or(|(wanted, kind)| kind.starts_with(wanted));
        of_kind && self.needles.iter().all(|needle| needle.find(line).is_some())
    }
}

/// What follows `"kind":` in a line of the format, where it stands at its place: behind
/// number, time, boot and operation.
fn kind_of(line: &[u8]) -> Option<&[u8]> {
    /// Behind `prev`, where the number begins.
    const NUMBER: usize = 87;
    let rest = line.get(NUMBER..)?;
    let digits = rest.iter().take(17).take_while(|byte| byte.is_ascii_digit()).count();
    let rest = rest.get(digits..)?.strip_prefix(b",\"time\":\"")?.get(crate::clock::TEXT_LEN..)?;
    let rest = behind_string(rest.strip_prefix(b"\",\"boot\":\"")?)?;
    let rest = match rest.strip_prefix(b",\"op\":\"") {
        Some(operation) => behind_string(operation)?,
        None => rest,
    };
    rest.strip_prefix(b",\"kind\":")
}

/// What follows a short string without escapes.
fn behind_string(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().take(80).position(|byte| matches!(byte, b'"' | b'\\'))?;
    text.get(end..)?.strip_prefix(b"\"")
}

impl<'a> Reading<'a> {
    pub(crate) fn new(query: &'a Query) -> Self {
        let needle = query.values.iter().map(|(_, value)| json_string(value.as_bytes())).max_by_key(Vec::len);
        let any = query.any.iter().map(|values| Alternative::of(values)).collect();
        Self { query, needle, any, lately: Vec::new(), skipped: Skipped::default() }
    }

    /// Gives the wanted lines between two places of a segment, the first of them where a line begins.
    pub(crate) fn segment(
        &mut self,
        segment: &Segment,
        from: u64,
        size: u64,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut buffer = vec![0u8; PIECE + 2 * MAX_LINE];
        let (mut at, mut filled) = (from, 0usize);
        loop {
            let left = usize::try_from(size - at - filled as u64).unwrap_or(usize::MAX);
            let room = buffer.get_mut(filled..).unwrap_or_default();
            let wish = room.len().min(left).min(PIECE);
            let count = segment
                .read_at(room.get_mut(..wish).unwrap_or_default(), at + filled as u64)
                .map_err(|error| segment.fail("cannot read the journal", &error))?;
            filled += count;
            let end = count == 0 || at + filled as u64 >= size;
            let bytes = buffer.get(..filled).unwrap_or_default();
            // Only whole lines, but for the last of the file, which may lack its line feed.
            let usable = if end { filled } else { memchr::memrchr(b'\n', bytes).map_or(0, |last| last + 1) };
            if self.lines(bytes.get(..usable).unwrap_or_default(), each).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if end {
                return Ok(ControlFlow::Continue(()));
            }
            // A line longer than the buffer is no record: its beginning is let go.
            let keep_from = if usable == 0 && filled > 2 * MAX_LINE { filled } else { usable };
            buffer.copy_within(keep_from..filled, 0);
            at += keep_from as u64;
            filled -= keep_from;
        }
    }

    fn lines(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        let finder = self.needle.as_deref().map(|needle| Finder::new(needle).into_owned());
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            // Where operations are followed each line is looked at; else what cannot be a hit is jumped over.
            let following = !self.lately.is_empty();
            let hit = match &finder {
                Some(finder) if !following => match finder.find(rest) {
                    Some(hit) => at + hit,
                    None => break,
                },
                _ => at,
            };
            let from = bytes
                .get(..hit)
                .and_then(|before| memchr::memrchr(b'\n', before))
                .map_or(0, |feed| feed + 1)
                .max(at);
            let to = bytes
                .get(hit..)
                .and_then(|behind| memchr::memchr(b'\n', behind))
                .map_or(bytes.len(), |feed| hit + feed);
            let line = bytes.get(from..to).unwrap_or_default();
            at = to + 1;
            let follows = following && self.follows(line);
            let may_be = || !following || finder.as_ref().is_none_or(|finder| finder.find(line).is_some());
            if follows && self.in_time(line) || !follows && may_be() && self.wanted(line) {
                if whole(line).is_none() {
                    self.skipped.lines += 1;
                    continue;
                }
                if self.query.with_operation {
                    self.follow(line);
                }
                each(line)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether a line belongs to an operation that had a hit lately. Each other line makes it less late.
    fn follows(&mut self, line: &[u8]) -> bool {
        let operation = operation_of(line);
        if self.lately.iter().any(|one| operation == Some(one.operation.as_slice())) {
            return true;
        }
        self.lately.retain_mut(|one| {
            one.patience -= 1;
            one.patience > 0
        });
        false
    }

    /// A line was a hit: the further records of its operation are.
    fn follow(&mut self, line: &[u8]) {
        let Some(operation) = operation_of(line) else { return };
        if let Some(known) = self.lately.iter_mut().find(|one| one.operation == operation) {
            known.patience = PATIENCE;
            return;
        }
        if self.lately.len() >= MOST_OPERATIONS {
            self.lately.remove(0);
        }
        self.lately.push(Lately { operation: operation.to_vec(), patience: PATIENCE });
    }

    fn in_time(&self, line: &[u8]) -> bool {
        let (since, until) = (self.query.since.as_deref(), self.query.until.as_deref());
        if since.is_none() && until.is_none() {
            return true;
        }
        let time = split(line).map(|parts| parts.time()).unwrap_or_default();
        since.is_none_or(|since| time >= since.as_bytes())
            && until.is_none_or(|until| time < until.as_bytes())
    }

    fn wanted(&self, line: &[u8]) -> bool {
        if !self.in_time(line) || line.is_empty() {
            return false;
        }
        if !self.any.is_empty() {
            let kind = kind_of(line);
            if !self.any.iter().any(|one| one.may_be(kind, line)) {
                return false;
            }
        }
        if self.query.values.is_empty() && self.query.any.is_empty() {
            return true;
        }
        let fulfils = |record: &Record, values: &[(Option<String>, String)]| {
            values.iter().all(|(key, value)| record.has(key.as_deref(), value))
        };
        Record::parse(line).is_some_and(|record| {
            fulfils(&record, &self.query.values)
                && (self.query.any.is_empty() || self.query.any.iter().any(|one| fulfils(&record, one)))
        })
    }
}

/// The operation a line belongs to.
pub(crate) fn operation_of(line: &[u8]) -> Option<&[u8]> {
    member(line, b",\"op\":\"")
}

/// The string that follows `opening`. Within a string the quotes would be escaped, so
/// that this finds the member alone.
pub(crate) fn member<'a>(line: &'a [u8], opening: &[u8]) -> Option<&'a [u8]> {
    let rest = line.get(memmem::find(line, opening)? + opening.len()..)?;
    rest.get(..memchr::memchr(b'"', rest)?)
}

/// Gives each line, the newest first, without its line feed, until `each` has enough:
/// for what is sought near the end.
///
/// # Errors
/// As [`select`].
pub fn newest_first(path: &Path, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<()> {
    let snapshot = Snapshot::take(path)?;
    for span in snapshot.segments.iter().rev() {
        if backwards(&snapshot.open(*span)?, *span, each)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Reads a segment line by line from its end.
pub(crate) fn backwards(
    segment: &Segment,
    span: Span,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    let mut rest: Vec<u8> = Vec::new();
    let mut to = span.size;
    while to > 0 {
        let from = to.saturating_sub(PIECE as u64 / 4);
        let mut bytes = vec![0u8; usize::try_from(to - from).unwrap_or(0)];
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match segment
                .read_at(room, from + filled as u64)
                .map_err(|error| segment.fail("cannot read the journal", &error))?
            {
                0 => break,
                count => filled += count,
            }
        }
        bytes.extend_from_slice(&rest);
        let mut end = bytes.len();
        while let Some(feed) = bytes.get(..end).and_then(|before| memchr::memrchr(b'\n', before)) {
            let line = bytes.get(feed + 1..end).unwrap_or_default();
            if !line.is_empty() && each(line).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            end = feed;
        }
        bytes.truncate(end);
        // A line that grows beyond any record is let go.
        rest = if bytes.len() > 4 * MAX_LINE { Vec::new() } else { bytes };
        to = from;
    }
    if rest.is_empty() {
        Ok(ControlFlow::Continue(()))
    } else {
        Ok(each(&rest))
    }
}

/// Gives all bytes of all segments as they are, in the journal's order: lines of
/// JSON that verify by themselves.
///
/// # Errors
/// As [`select`], and what `sink` returns.
pub fn export(path: &Path, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let snapshot = Snapshot::take(path)?;
    let mut buffer = vec![0u8; PIECE];
    for span in &snapshot.segments {
        let segment = snapshot.open(*span)?;
        let mut at = 0;
        while at < span.size {
            let wish = usize::try_from(span.size - at).unwrap_or(usize::MAX).min(buffer.len());
            let count = segment
                .read_at(buffer.get_mut(..wish).unwrap_or_default(), at)
                .map_err(|error| segment.fail("cannot read the journal", &error))?;
            if count == 0 {
                break;
            }
            sink(buffer.get(..count).unwrap_or_default())?;
            at += count as u64;
        }
    }
    Ok(())
}
