//! Verifying: every record, on all processors, in constant memory.
//!
//! The segments are cut into pieces at line ends. Each piece is checked by itself ([`quick`]): form, hash, link, number.
//! Then the pieces are joined in order. Wherever a piece does not verify or does not join, the one slow path walks over
//! that stretch ([`Walk::slowly`]), and only it says what is wrong: the quick path never accepts what the slow one would
//! not, and never words anything.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Mutex;

use memchr::memmem::Finder;

use crate::chain::{follow, Junk, Lines, Next, Source, Step, PIECE};
use crate::checkpoint::{remembered, Checkpoint};
use crate::error::{Error, Result};
use crate::form::Says;
use crate::hash::{self, HexHash};
use crate::head::{segment_name, Head};
use crate::lanes::Lanes;
use crate::record::{shape, split, Parts, MAX_LINE};
use crate::report::{Comparison, Finding, Outcome, Place, Report, Witness, Wrong};
use crate::snapshot::{Opening, Snapshot, Span};
use crate::store::Segment;
use crate::tail::{record_ending_at, WINDOW};

/// A piece is at most this long, where [`MOST_SHARES`] of them are enough: short enough to share the work evenly and to walk
/// again slowly, in bytes.
const MAX_SHARE: u128 = 2 * 1024 * 1024;
/// Of more bytes than this many pieces hold, 16 GiB, the pieces are longer instead of more: what is kept of each stays
/// bounded, whatever size a sparse file claims.
const MOST_SHARES: u128 = 8192;
/// Towards the end pieces get shorter, down to this, so that no thread waits long for the last one, in bytes.
const MIN_SHARE: u128 = 256 * 1024;
/// What the kernel keeps of a file in one piece.
const PAGE: usize = 4096;
/// So many of the latest prunes may have been interrupted, each in the middle of the one before.
const MAX_INTERRUPTED: usize = 8;
/// With this many findings verifying ends.
const MAX_FINDINGS: usize = 50;

/// What to hold the journal against.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// Heads that were kept elsewhere.
    pub checkpoints: Vec<Checkpoint>,
    /// Verify only what follows this head.
    pub from: Option<Checkpoint>,
    /// How many threads; by default one for each processor.
    pub threads: Option<NonZeroUsize>,
}

/// Verifies the journal in `path`. `progress` is told the bytes done and the bytes there are, from any thread.
///
/// # Errors
/// [`Kind::Absent`](crate::Kind::Absent), `Io`, `Permission`, `Busy`. That the journal does not verify is no error
/// but a [`Report`].
pub fn verify(path: &Path, against: &Against, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Report> {
    let snapshot = Snapshot::take(path)?;
    let mut witnesses = Vec::new();
    witnesses.extend(against.checkpoints.iter().map(|kept| (Witness::Given, kept.clone())));
    let (from_file, unreadable) = remembered(&snapshot.checkpoints.text);
    witnesses.extend(from_file.into_iter().map(|kept| (Witness::Remembered, kept)));
    witnesses.extend(snapshot.mark.map(|mark| (Witness::Mark, Checkpoint::from(mark.head))));

    let mut walk = Walk::new(&snapshot, &witnesses);
    walk.report.journal = snapshot.journal_id()?;
    walk.report.mark_missing = snapshot.mark.is_none();
    if snapshot.segments.is_empty() && witnesses.is_empty() {
        let what = "the records are gone: there is only a file checkpoints, in which nothing is readable";
        walk.report.findings.push(Finding {
            wrong: Wrong::Missing,
            seq: 0,
            place: None,
            what: what.to_owned(),
        });
    }
    walk.report.checkpoint_lines_unreadable = unreadable + u64::from(snapshot.checkpoints.more);
    let start = match &against.from {
        None => walk.begin()?,
        Some(kept) => match walk.begin_after(kept)? {
            Some(start) => start,
            None => return Ok(walk.report),
        },
    };
    let wanted: Vec<u64> = walk.found.keys().copied().collect();
    let pruned_wanted = start.pruned;
    let pieces = cut(&snapshot.segments, &start);
    let checked = check_all(&snapshot, &pieces, &wanted, pruned_wanted, threads(against), progress)?;
    walk.join(&start, &pieces, checked)?;
    walk.compare(&witnesses, pruned_wanted)?;
    walk.compare_place_of_mark()?;
    Ok(walk.report)
}

fn threads(against: &Against) -> usize {
    let available = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(16);
    against.threads.map_or_else(available, NonZeroUsize::get)
}

/// Where verifying starts.
struct Start {
    /// Which segment.
    index: usize,
    /// Where in it.
    offset: u64,
    /// What is expected there; `None` takes the first record's own word, to be found in a `pruned` record.
    next: Option<Next>,
    /// Whether earlier records are gone, so that a `pruned` record has to say so.
    pruned: bool,
}

/// A range of one segment. Its lines are those that begin in it.
#[derive(Debug, Clone, Copy)]
struct Piece {
    index: usize,
    span: Span,
    from: u64,
    to: u64,
}

/// A piece that verifies by itself.
#[derive(Debug)]
struct Checked {
    /// Where its first line begins.
    from: u64,
    /// Behind its last line.
    to: u64,
    /// What its first record needs before it.
    first: Next,
    /// What has to follow its last one.
    next: Next,
    records: u64,
    found: Vec<(u64, HexHash)>,
    pruned: Vec<Pruned>,
}

/// What a `pruned` record says.
#[derive(Debug, Clone)]
struct Pruned {
    seq: u64,
    last: u64,
    hash: String,
}

impl Pruned {
    fn read(parts: &Parts<'_>) -> Option<Self> {
        let Says::Pruned(Some((last, hash))) = parts.says() else { return None };
        Some(Self { seq: parts.seq, last, hash: String::from_utf8_lossy(hash).into_owned() })
    }
}

fn cut(segments: &[Span], start: &Start) -> Vec<Piece> {
    let mut pieces = Vec::new();
    // Sparse files can claim more together than fits into 64 bits.
    let mut left: u128 = segments.iter().skip(start.index).map(|span| u128::from(span.size)).sum();
    let longest = (left / MOST_SHARES).max(MAX_SHARE);
    for (index, span) in segments.iter().enumerate().skip(start.index) {
        let mut from = if index == start.index { start.offset } else { 0 };
        while from < span.size {
            let share = (left / 32).clamp(MIN_SHARE, longest);
            let to = from.saturating_add(u64::try_from(share).unwrap_or(u64::MAX)).min(span.size);
            left = left.saturating_sub(u128::from(to - from));
            pieces.push(Piece { index, span: *span, from, to });
            from = to;
        }
    }
    pieces
}

/// Checks every piece by itself, on `threads` threads that take the next piece whenever they are done with one.
fn check_all(
    snapshot: &Snapshot,
    pieces: &[Piece],
    wanted: &[u64],
    pruned: bool,
    threads: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Vec<Option<Checked>>> {
    let total = pieces.iter().map(|piece| piece.to - piece.from).fold(0, u64::saturating_add);
    let (taken, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let results: Mutex<Vec<Option<Checked>>> = Mutex::new(pieces.iter().map(|_| None).collect());
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    let work = || {
        let mut buffer = vec![0; MAX_LINE + PAGE + PIECE];
        let mut open: Option<Segment> = None;
        loop {
            let at = taken.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(at) else { break };
            let checked = match open.take().filter(|segment| segment.first == piece.span.first) {
                Some(segment) => Ok(segment),
                None => snapshot.open(piece.span),
            }
            .and_then(|segment| {
                let checked = quick(&segment, piece, wanted, pruned, &mut buffer)
                    .map_err(|error| segment.fail("cannot read the journal", &error));
                open = Some(segment);
                checked
            });
            match checked {
                Ok(checked) => {
                    if let Some(slot) =
                        results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_mut(at)
                    {
                        *slot = checked;
                    }
                    let size = piece.to - piece.from;
                    progress(done.fetch_add(size, Ordering::Relaxed) + size, total);
                }
                Err(error) => {
                    failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
                    taken.store(pieces.len(), Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(pieces.len()) {
            scope.spawn(work);
        }
        work();
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)),
    }
}

/// Checks the lines of one piece against each other; `None` where anything is not as it should be.
fn quick(
    segment: &Segment,
    piece: &Piece,
    wanted: &[u64],
    pruned: bool,
    buffer: &mut [u8],
) -> io::Result<Option<Checked>> {
    let finder = pruned.then(|| Finder::new(b"\"kind\":\"pruned\""));
    let mut checked: Option<Checked> = None;
    // Whole pages to whole pages: the kernel copies those the fastest. What is left of a line is put before them.
    let pages =
        MAX_LINE + buffer.get(MAX_LINE..).map_or(0, |pages| pages.as_ptr().align_offset(PAGE).min(PAGE));
    // Earlier than the piece, to see whether a line begins at `from` itself.
    let mut next = piece.from.saturating_sub(1) / PAGE as u64 * PAGE as u64;
    let mut skip = piece.from > 0;
    let mut kept = 0;
    let mut complete = false;
    loop {
        let at = next - kept as u64;
        let room = buffer.get_mut(pages..).unwrap_or_default();
        // Of what follows the piece, no more than the end of the longest line that begins in it.
        let needed = piece.span.size.min(piece.to + MAX_LINE as u64).saturating_sub(next);
        let wish = room.len().min(PIECE).min(usize::try_from(needed).unwrap_or(usize::MAX));
        let count = segment.read_at(room.get_mut(..wish).unwrap_or_default(), next)?;
        next += count as u64;
        let bytes = buffer.get(pages - kept..pages + count).unwrap_or_default();
        let filled = bytes.len();
        let mut start = 0;
        let mut feeds = memchr::memchr_iter(b'\n', bytes);
        // The lines that begin in this piece, one by one: kept in a list they would be written and read again.
        let mut line = || -> Option<(u64, &[u8])> {
            loop {
                let feed = feeds.next()?;
                let line = bytes.get(start..feed).unwrap_or_default();
                let begins = at + start as u64;
                if begins >= piece.to && !skip {
                    complete = true;
                    return None;
                }
                start = feed + 1;
                if !std::mem::replace(&mut skip, false) && begins >= piece.from {
                    return Some((begins, line));
                }
            }
        };
        let mut lanes = Lanes::new();
        while let Some((begins, line)) = line() {
            let Some(parts) = shape(line) else { return Ok(None) };
            // What it accounts for is no record: where it stands, the slow path has to look.
            if !parts.is_common() {
                return Ok(None);
            }
            lanes.take(line, &parts);
            if !add(&mut checked, begins, line, &parts, wanted, finder.as_ref()) {
                return Ok(None);
            }
        }
        if !lanes.hold() {
            return Ok(None);
        }
        if complete {
            break;
        }
        if at + filled as u64 >= piece.span.size {
            // Bytes behind the last line feed that begin in this piece: for the slow path.
            if start < filled && !skip && at + (start as u64) < piece.to {
                return Ok(None);
            }
            break;
        }
        if count == 0 || filled - start > MAX_LINE {
            return Ok(None);
        }
        if at + start as u64 >= piece.to && !skip {
            break;
        }
        kept = filled - start;
        buffer.copy_within(pages + count - kept..pages + count, pages - kept);
    }
    // A first line that is no record's end could hide a `prev` that is no hash.
    Ok(checked.filter(|sum| hash::from_hex(&sum.first.prev).is_some()))
}

/// Adds a line to `checked` where it follows; whether its hash holds is looked at elsewhere.
#[inline(always)]
fn add(
    checked: &mut Option<Checked>,
    begins: u64,
    line: &[u8],
    parts: &Parts<'_>,
    wanted: &[u64],
    finder: Option<&Finder<'_>>,
) -> bool {
    let sum = checked.get_or_insert_with(|| {
        let first = Next { seq: parts.seq, prev: *parts.prev };
        Checked {
            from: begins,
            to: begins,
            first,
            next: first,
            records: 0,
            found: Vec::new(),
            pruned: Vec::new(),
        }
    });
    if !sum.next.accepts(parts) {
        return false;
    }
    sum.next = Next::after(parts);
    sum.to = begins + line.len() as u64 + 1;
    sum.records += 1;
    if wanted.binary_search(&parts.seq).is_ok() {
        sum.found.push((parts.seq, *parts.hash));
    }
    if finder.is_some_and(|finder| finder.find(line).is_some()) {
        sum.pruned.extend(Pruned::read(parts));
    }
    true
}

/// The joining of the pieces, and what it comes to.
struct Walk<'a> {
    snapshot: &'a Snapshot,
    report: Report,
    /// The records somebody has a hash of.
    found: BTreeMap<u64, Option<HexHash>>,
    pruned: Vec<Pruned>,
    /// The highest number that is known to have been committed.
    known: Option<u64>,
    /// Numbers before this were not looked at.
    first: u64,
}

impl<'a> Walk<'a> {
    fn new(snapshot: &'a Snapshot, witnesses: &[(Witness, Checkpoint)]) -> Self {
        let found: BTreeMap<u64, Option<HexHash>> =
            witnesses.iter().map(|(_, kept)| (kept.seq, None)).collect();
        let known = found.keys().next_back().copied();
        Self { snapshot, report: Report::default(), found, pruned: Vec::new(), known, first: 0 }
    }

    /// From the first record there is.
    fn begin(&mut self) -> Result<Start> {
        let Some(span) = self.snapshot.segments.first() else {
            return Ok(Start { index: 0, offset: 0, next: Some(Next::FIRST), pruned: false });
        };
        self.first = span.first;
        let next = if span.first == 0 { Some(Next::FIRST) } else { None };
        Ok(Start { index: 0, offset: 0, next, pruned: span.first > 0 })
    }

    /// Behind a head that is known; `None`, and a finding, where there is no such record.
    fn begin_after(&mut self, kept: &Checkpoint) -> Result<Option<Start>> {
        self.first = kept.seq + 1;
        self.report.from = Some(kept.clone());
        // A repair goes on behind a record that is gone: its own first record still names the hash.
        if let Some(index) = self.snapshot.segments.iter().position(|span| span.first == kept.seq + 1) {
            let span = self.snapshot.segments.get(index).copied().unwrap_or(Span { first: 0, size: 0 });
            let opening = self.snapshot.opening(span)?;
            if let Some(Opening { next, .. }) =
                opening.first().filter(|it| it.next.seq == kept.seq + 1 && kept.is(&it.next.prev))
            {
                return Ok(Some(Start { index, offset: 0, next: Some(*next), pruned: false }));
            }
        }
        let hit = self.snapshot.find(kept.seq)?.into_iter().find(|(_, _, hash)| kept.is(hash));
        let Some((index, offset, hash)) = hit else {
            self.report.comparisons.push(Comparison {
                witness: Witness::From,
                checkpoint: kept.clone(),
                outcome: Outcome::Gone,
            });
            return Ok(None);
        };
        Ok(Some(Start { index, offset, next: Some(Next { seq: kept.seq + 1, prev: hash }), pruned: false }))
    }

    /// Joins the pieces in order; walks slowly where they do not verify or do not join.
    fn join(&mut self, start: &Start, pieces: &[Piece], checked: Vec<Option<Checked>>) -> Result<()> {
        let mut next = start.next;
        let mut pieces = pieces.iter().zip(checked).peekable();
        for (index, span) in self.snapshot.segments.iter().enumerate().skip(start.index) {
            let mut at = if index == start.index { start.offset } else { 0 };
            if at == 0 {
                next = Some(self.enter(index, *span, next)?);
            }
            let mut expected = next.unwrap_or(Next::FIRST);
            let mut open: Option<Segment> = None;
            while let Some((piece, sum)) = pieces.next_if(|(piece, _)| piece.index == index) {
                match sum {
                    _ if self.gave_up() => {}
                    Some(sum) if sum.from == at && sum.first == expected => {
                        at = sum.to;
                        expected = sum.next;
                        self.report.records += sum.records;
                        self.pruned.extend(sum.pruned);
                        for (seq, hash) in sum.found {
                            self.found.insert(seq, Some(hash));
                        }
                    }
                    // No line begins in it: a slow walk before it has gone beyond.
                    _ if at >= piece.to => {}
                    _ => {
                        let segment = match open.take() {
                            Some(segment) => segment,
                            None => self.snapshot.open(*span)?,
                        };
                        (at, expected) = self.slowly(&segment, index, *span, at, piece.to, expected)?;
                        open = Some(segment);
                    }
                }
            }
            next = Some(expected);
            self.report.segments += 1;
            self.report.bytes = self.report.bytes.saturating_add(span.size);
        }
        self.report.first = self.first;
        if let Some(next) = next {
            self.report.head =
                next.seq.checked_sub(1).zip(hash::from_hex(&next.prev)).map(|(seq, hash)| Head { seq, hash });
        }
        Ok(())
    }

    /// What is expected at the beginning of a segment, and whether what opens it says so too.
    fn enter(&mut self, index: usize, span: Span, next: Option<Next>) -> Result<Next> {
        let opening = self.snapshot.opening(span)?;
        if let Some(gap) = opening.iter().find(|first| first.says() == Says::Gap) {
            self.report.gaps.push(gap.next.seq);
        }
        let before = index.checked_sub(1).and_then(|index| self.snapshot.segments.get(index));
        let said = opening.iter().find_map(|first| match first.says() {
            Says::Segment(said) => Some((first.next.seq, said.unwrap_or_default())),
            _ => None,
        });
        if let Some((before, (seq, (after, bytes)))) = before.zip(said) {
            let fits = after == segment_name(before.first).as_bytes() && bytes == before.size;
            if !fits {
                let what = format!(
                    "record {} says that {} of {} bytes came before; there is {} of {} bytes",
                    seq,
                    if after.is_empty() { "nothing".to_owned() } else { crate::record::escape(after) },
                    bytes,
                    segment_name(before.first),
                    before.size
                );
                self.find(Wrong::Segment, seq, Place { segment: span.first, offset: 0 }, what);
            }
        }
        let next = match next {
            Some(next) => next,
            None => opening.first().map_or(Next { seq: span.first, prev: hash::NO_HASH }, |first| first.next),
        };
        // Where another record stands there than the one that is due, the slow path says so.
        let due_stands = opening.first().is_none_or(|first| first.next.seq == next.seq);
        if next.seq != span.first && due_stands {
            let what = format!(
                "{} begins with record {}: it had another name, or records before it are gone",
                segment_name(span.first),
                next.seq
            );
            self.find(Wrong::Segment, next.seq, Place { segment: span.first, offset: 0 }, what);
        }
        Ok(next)
    }

    /// The one slow path: walks record by record to the first end of one at or behind `enough`, and words what it finds.
    /// It begins again behind each finding, so that one change does not hide the next.
    fn slowly(
        &mut self,
        segment: &Segment,
        index: usize,
        span: Span,
        mut at: u64,
        enough: u64,
        mut next: Next,
    ) -> Result<(u64, Next)> {
        // The record that may stand without the region it accounts for: it has one, or a finding says that it has not.
        let mut excused = None;
        loop {
            let mut place = at;
            let Self { report, found, pruned, .. } = self;
            let fail = |error: io::Error| segment.fail("cannot read the journal", &error);
            let tail = follow(segment, at, span.size, enough, next, &mut |step| match step {
                Step::Record(parts, line) => {
                    if parts.is_torn() && excused != Some(parts.seq) {
                        let what =
                            format!("record {} accounts for bytes before it that are not there", parts.seq);
                        let place = Place { segment: span.first, offset: place };
                        find(report, Wrong::Missing, parts.seq, place, what);
                    }
                    place += line.len() as u64 + 1;
                    report.records += 1;
                    if let Some(slot) = found.get_mut(&parts.seq) {
                        *slot = Some(*parts.hash);
                    }
                    pruned.extend(Pruned::read(parts));
                }
                Step::Healed(region) => {
                    excused = Some(region.seq);
                    place = region.from + region.len;
                    report.heal(Place { segment: span.first, offset: region.from }, region.len, region.seq);
                }
            })
            .map_err(fail)?;
            let Some(junk) = &tail.junk else { return Ok((tail.end, tail.next)) };
            let last = index + 1 == self.snapshot.segments.len();
            let committed = junk.committed || self.known.is_some_and(|known| known >= tail.next.seq);
            if last && !committed {
                self.report.torn_tail = Some((Place { segment: span.first, offset: junk.from }, junk.len));
                return Ok((span.size, tail.next));
            }
            match self.word(segment, span, junk, &tail.next)? {
                Some((from, resumed)) => {
                    (at, next) = (from, resumed);
                    excused = Some(resumed.seq);
                }
                None => return Ok((span.size, tail.next)),
            }
            if at >= enough || self.gave_up() {
                return Ok((at, next));
            }
        }
    }

    /// Says what is wrong at `junk`, and where to begin again: at the first record that is whole.
    fn word(
        &mut self,
        segment: &Segment,
        span: Span,
        junk: &Junk,
        next: &Next,
    ) -> Result<Option<(u64, Next)>> {
        let mut lines = Lines::new(segment, junk.from, span.size);
        let mut stretches = 0u64;
        let mut altered = false;
        let mut alien = false;
        let resume = loop {
            let Some(stretch) =
                lines.next().map_err(|error| segment.fail("cannot read the journal", &error))?
            else {
                break None;
            };
            if let Some(parts) = stretch.record() {
                break Some((stretch.from, Next { seq: parts.seq, prev: *parts.prev }));
            }
            if stretches == 0 {
                let due = split(stretch.bytes).filter(|parts| next.accepts(parts));
                altered = due.is_some();
                alien = due.is_some_and(|parts| parts.holds());
            }
            stretches += 1;
        };
        let seq = next.seq;
        let (wrong, what) = match resume {
            Some((_, found)) if stretches == 0 && found.seq > seq => (Wrong::Missing, missing(seq, found.seq - 1)),
            Some((_, found)) if stretches == 0 && found.seq < seq => {
                (Wrong::Order, format!("record {} stands where record {seq} is due: repeated, or out of its place", found.seq))
            }
            Some(_) if stretches == 0 => {
                (Wrong::Link, format!("record {seq} does not name the hash of the record before it: one of the two was rewritten"))
            }
            _ if stretches == 1 && alien => (
                Wrong::Altered,
                format!("record {seq} is not a JSON object of the journal's form: not what this program writes"),
            ),
            Some((_, found)) if stretches == 1 && (altered || found.seq == seq + 1) => {
                (Wrong::Altered, format!("record {seq} was altered: its hash does not fit what it says"))
            }
            Some((from, found)) if found.seq > seq => (
                Wrong::Altered,
                format!("{} bytes are no record, where {} due", from - junk.from, due(seq, found.seq - 1)),
            ),
            Some((from, _)) => (Wrong::Junk, format!("{} bytes are no record, and no record accounts for them", from - junk.from)),
            None if stretches == 1 && altered => {
                (Wrong::Altered, format!("record {seq} was altered: its hash does not fit what it says"))
            }
            None => (Wrong::Junk, format!("{} bytes are no record, and no record accounts for them", span.size - junk.from)),
        };
        self.find(wrong, seq, Place { segment: span.first, offset: junk.from }, what);
        Ok(resume)
    }

    fn find(&mut self, wrong: Wrong, seq: u64, place: Place, what: String) {
        find(&mut self.report, wrong, seq, place, what);
    }

    /// Each further finding may cost a walk over a whole segment, and so many say enough.
    fn gave_up(&self) -> bool {
        self.report.findings.len() >= MAX_FINDINGS
    }

    /// Holds what was found against what is known.
    fn compare(&mut self, witnesses: &[(Witness, Checkpoint)], pruned: bool) -> Result<()> {
        for (witness, checkpoint) in witnesses {
            let outcome = match self.found.get(&checkpoint.seq).copied().flatten() {
                Some(hash) if checkpoint.is(&hash) => Outcome::Met,
                Some(hash) => Outcome::Differs(hash::as_str(&hash).to_owned()),
                None if checkpoint.seq < self.first => Outcome::Before,
                None => Outcome::Gone,
            };
            self.report.comparisons.push(Comparison {
                witness: *witness,
                checkpoint: checkpoint.clone(),
                outcome,
            });
        }
        // What says that it was pruned may stand in what was not looked at any more.
        if pruned && !self.gave_up() {
            self.compare_pruned()?;
        }
        Ok(())
    }

    /// A `HEAD` whose hash is met, but that names another place, nobody wrote so: writers refuse to go on from it. Where
    /// something else is wrong, that may have moved its record.
    fn compare_place_of_mark(&mut self) -> Result<()> {
        let Some(mark) = self.snapshot.mark.filter(|_| self.report.findings.is_empty()) else {
            return Ok(());
        };
        let hash = hash::to_hex(&mark.head.hash);
        if self.found.get(&mark.head.seq).copied().flatten() != Some(hash) {
            return Ok(());
        }
        let stands = match self.snapshot.segments.iter().find(|span| span.first == mark.segment) {
            Some(span) => {
                let mut window = [0; WINDOW];
                let there = record_ending_at(&self.snapshot.open(*span)?, mark.end, &mut window)?;
                let is_last = self.report.head == Some(mark.head) && self.report.torn_tail.is_none();
                let lacks_feed = is_last && span.size + 1 == mark.end;
                there.is_some_and(|parts| *parts.hash == hash) || lacks_feed
            }
            None => false,
        };
        if !stands {
            let seq = mark.head.seq;
            let what = format!("the file HEAD was altered: record {seq} does not end where it says");
            self.find(Wrong::Altered, seq, Place { segment: mark.segment, offset: mark.end }, what);
        }
        Ok(())
    }

    /// What says that everything before `first`, whose record names `prev`, was pruned. A prune that was interrupted has left
    /// records that it names as pruned: those have to lead to its hash. Only the latest ones can have been: each is looked
    /// for in a whole segment.
    fn witness_of_prune(&self, first: u64, prev: Option<HexHash>) -> Result<Option<&Pruned>> {
        let leads = |said: &&Pruned| {
            said.last + 1 == first && prev.is_some_and(|prev| said.hash == hash::as_str(&prev))
        };
        if let Some(said) = self.pruned.iter().find(leads) {
            return Ok(Some(said));
        }
        for said in self.pruned.iter().rev().filter(|said| said.last >= first).take(MAX_INTERRUPTED) {
            let found = self.snapshot.find(said.last)?;
            if found.iter().any(|(_, _, hash)| said.hash == hash::as_str(hash)) {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    /// Where the beginning is gone, a record has to say up to where it was pruned, and the rest has to fit on there.
    fn compare_pruned(&mut self) -> Result<()> {
        let first = self.first;
        let prev = match self.snapshot.segments.first() {
            Some(span) => self.snapshot.opening(*span)?.first().map(|first| first.next.prev),
            None => None,
        };
        let witness = self.witness_of_prune(first, prev)?.cloned();
        match witness {
            Some(said) => self.report.pruned = Some((first, said.seq)),
            None => {
                let what = format!("{}, and no record says that they were pruned", missing(0, first - 1));
                let place = Place { segment: first, offset: 0 };
                self.find(Wrong::Missing, 0, place, what);
            }
        }
        Ok(())
    }
}

fn find(report: &mut Report, wrong: Wrong, seq: u64, place: Place, what: String) {
    if report.findings.len() < MAX_FINDINGS {
        report.findings.push(Finding { wrong, seq, place: Some(place), what });
    }
    report.gave_up = report.findings.len() >= MAX_FINDINGS;
}

fn missing(from: u64, to: u64) -> String {
    if from == to {
        format!("record {from} is missing")
    } else {
        format!("records {from} to {to} are missing")
    }
}

fn due(from: u64, to: u64) -> String {
    if from == to {
        format!("record {from} is")
    } else {
        format!("records {from} to {to} are")
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// The pieces of segments of these sizes; they follow each other without a gap.
    fn cut_of(sizes: &[u64]) -> Vec<Piece> {
        let segments: Vec<Span> =
            sizes.iter().zip(0..).map(|(size, first)| Span { first, size: *size }).collect();
        let start = Start { index: 0, offset: 0, next: None, pruned: false };
        let pieces = cut(&segments, &start);
        for (index, span) in segments.iter().enumerate() {
            let mut at = 0;
            for piece in pieces.iter().filter(|piece| piece.index == index) {
                assert!(piece.from == at && piece.to > at, "{piece:?}, expected at {at}");
                at = piece.to;
            }
            assert_eq!(at, span.size);
        }
        pieces
    }

    #[test]
    fn a_journal_of_up_to_16_gib_is_cut_into_pieces_of_at_most_2_mib_shorter_towards_the_end() {
        for sizes in [vec![], vec![0], vec![1, 0, 1], vec![GIB; 3], vec![16 * GIB - 1, 1]] {
            let mut left: u64 = sizes.iter().sum();
            for piece in cut_of(&sizes) {
                let length = piece.to - piece.from;
                let share = (left / 32).clamp(256 << 10, 2 << 20);
                assert!(length == share || piece.to == piece.span.size && length < share, "{piece:?}");
                left -= length;
            }
        }
    }

    #[test]
    fn a_sparse_segment_that_claims_any_size_is_cut_into_some_thousands_of_pieces() {
        const LARGEST: u64 = i64::MAX as u64;
        for sizes in [vec![17 * GIB], vec![16_384 * GIB], vec![1, 16_384 * GIB, 1], vec![LARGEST; 3]] {
            let count = cut_of(&sizes).len();
            assert!(count < 10_000, "{sizes:?}: {count} pieces");
        }
    }
}
