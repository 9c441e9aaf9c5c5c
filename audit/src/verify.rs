//! Verifying: every record, on all processors, in constant memory.
//!
//! Pieces of the journal are checked by themselves ([`crate::pieces`]), then joined in order. Wherever
//! a piece does not verify or does not join, the one slow path walks over that stretch
//! ([`Walk::slowly`]), and only it says what is wrong: the quick path never accepts what the slow one
//! would not, and never words anything.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

use crate::chain::{follow, Due, Junk, Lines, Next, Step};
use crate::checkpoint::{remembered, Checkpoint};
use crate::error::Result;
use crate::form::Says;
use crate::hash::{self, HexHash};
use crate::head::{segment_name, Head};
use crate::pieces::{cut, Checked, Checker, Piece, Pruned};
use crate::record::split;
use crate::report::{Comparison, Finding, Outcome, Place, Report, Witness, Wrong};
use crate::snapshot::{Opening, Snapshot, Span};
use crate::store::Segment;
use crate::tail::{record_ending_at, WINDOW};

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

/// Verifies the journal in `path`. `progress` is told the bytes done and the
/// bytes there are, from any thread.
///
/// # Errors
/// [`Kind::Absent`](crate::Kind::Absent), `Io`, `Permission`, `Busy`. That the journal does not
/// verify is no error but a [`Report`].
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
    let pieces = cut(&snapshot.segments, start.index, start.offset);
    let checker = Checker::new(&snapshot, &wanted, pruned_wanted);
    let checked = checker.check(&pieces, threads(against), progress)?;
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

/// A segment that is walked over slowly.
struct Slow {
    segment: Segment,
    span: Span,
    /// Whether no other follows it.
    last: bool,
}

/// What stands where a record is due.
struct Alien {
    /// How many lines before the first whole record.
    lines: u64,
    /// The first of them has the number and the link of the record that is due.
    is_due: bool,
    /// And its hash fits.
    holds: bool,
    /// The first whole record.
    resumed: Option<Due>,
}

impl Alien {
    fn read(slow: &Slow, junk: &Junk, next: &Next) -> io::Result<Self> {
        let mut lines = Lines::new(&slow.segment, junk.from, slow.span.size);
        let mut alien = Self { lines: 0, is_due: false, holds: false, resumed: None };
        while let Some(stretch) = lines.next()? {
            if let Some(parts) = stretch.record() {
                let next = Next { seq: parts.seq, prev: *parts.prev };
                alien.resumed = Some(Due { at: stretch.from, next });
                break;
            }
            if alien.lines == 0 {
                let due = split(stretch.bytes).filter(|parts| next.accepts(parts));
                alien.is_due = due.is_some();
                alien.holds = due.is_some_and(|parts| parts.holds());
            }
            alien.lines += 1;
        }
        Ok(alien)
    }

    /// What is wrong where record `seq` is due and `bytes` bytes are none.
    fn words(&self, seq: u64, bytes: u64) -> (Wrong, String) {
        let found = self.resumed.map(|due| due.next.seq);
        match (self.lines, found) {
            (0, Some(found)) if found > seq => (Wrong::Missing, missing(seq, found - 1)),
            (0, Some(found)) if found < seq => (
                Wrong::Order,
                format!("record {found} stands where record {seq} is due: repeated, or out of its place"),
            ),
            (0, Some(_)) => (
                Wrong::Link,
                format!(
                    "record {seq} does not name the hash of the record before it: \
                     one of the two was rewritten"
                ),
            ),
            (1, _) if self.holds => (
                Wrong::Altered,
                format!(
                    "record {seq} is not a JSON object of the journal's form: \
                     not what this program writes"
                ),
            ),
            (1, found) if self.is_due || found == Some(seq + 1) => {
                (Wrong::Altered, format!("record {seq} was altered: its hash does not fit what it says"))
            }
            (_, Some(found)) if found > seq => {
                (Wrong::Altered, format!("{bytes} bytes are no record, where {} due", due(seq, found - 1)))
            }
            _ => (Wrong::Junk, format!("{bytes} bytes are no record, and no record accounts for them")),
        }
    }
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
            let at = if index == start.index { start.offset } else { 0 };
            if at == 0 {
                next = Some(self.enter(index, *span, next)?);
            }
            let mut due = Due { at, next: next.unwrap_or(Next::FIRST) };
            let mut open: Option<Slow> = None;
            while let Some((piece, sum)) = pieces.next_if(|(piece, _)| piece.index == index) {
                match sum {
                    _ if self.gave_up() => {}
                    Some(sum) if sum.from == due.at && sum.first == due.next => due = self.accept(sum),
                    // No line begins in it: a slow walk before it has gone beyond.
                    _ if due.at >= piece.to => {}
                    _ => {
                        let slow = match open.take() {
                            Some(slow) => slow,
                            None => self.slow(index, *span)?,
                        };
                        due = self.slowly(&slow, due, piece.to)?;
                        open = Some(slow);
                    }
                }
            }
            next = Some(due.next);
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

    /// Takes over what a piece that verified and joined came to.
    fn accept(&mut self, sum: Checked) -> Due {
        self.report.records += sum.records;
        self.pruned.extend(sum.pruned);
        for (seq, hash) in sum.found {
            self.found.insert(seq, Some(hash));
        }
        Due { at: sum.to, next: sum.next }
    }

    fn slow(&self, index: usize, span: Span) -> Result<Slow> {
        let last = index + 1 == self.snapshot.segments.len();
        Ok(Slow { segment: self.snapshot.open(span)?, span, last })
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

    /// The one slow path: walks record by record to the first end of one at or behind `enough`, and words
    /// what it finds. It begins again behind each finding, so that one change does not hide the next.
    fn slowly(&mut self, slow: &Slow, mut due: Due, enough: u64) -> Result<Due> {
        let Slow { segment, span, last } = slow;
        // The record that may stand without the region it accounts for: it has one, or
        // a finding says that it has not.
        let mut excused = None;
        loop {
            let mut place = due.at;
            let Self { report, found, pruned, .. } = self;
            let fail = |error: io::Error| segment.fail("cannot read the journal", &error);
            let tail = follow(segment, due, span.size, enough, &mut |step| match step {
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
            let Some(junk) = &tail.junk else { return Ok(Due { at: tail.end, next: tail.next }) };
            let committed = junk.committed || self.known.is_some_and(|known| known >= tail.next.seq);
            if *last && !committed {
                self.report.torn_tail = Some((Place { segment: span.first, offset: junk.from }, junk.len));
                return Ok(Due { at: span.size, next: tail.next });
            }
            match self.word(slow, junk, &tail.next)? {
                Some(resumed) => {
                    due = resumed;
                    excused = Some(resumed.next.seq);
                }
                None => return Ok(Due { at: span.size, next: tail.next }),
            }
            if due.at >= enough || self.gave_up() {
                return Ok(due);
            }
        }
    }

    /// Says what is wrong at `junk`, and where to begin again: at the first record that is whole.
    fn word(&mut self, slow: &Slow, junk: &Junk, next: &Next) -> Result<Option<Due>> {
        let alien = Alien::read(slow, junk, next)
            .map_err(|error| slow.segment.fail("cannot read the journal", &error))?;
        let end = alien.resumed.map_or(slow.span.size, |due| due.at);
        let (wrong, what) = alien.words(next.seq, end - junk.from);
        self.find(wrong, next.seq, Place { segment: slow.span.first, offset: junk.from }, what);
        Ok(alien.resumed)
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

    /// A `HEAD` whose hash is met, but that names another place, nobody wrote so: writers refuse to go on
    /// from it. Where something else is wrong, that may have moved its record.
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

    /// What says that everything before `first`, whose record names `prev`, was pruned. A prune that was
    /// interrupted has left records that it names as pruned: those have to lead to its hash. Only the latest
    /// ones can have been: each is looked for in a whole segment.
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

    /// Where the beginning is gone, a record has to say up to where it was pruned,
    /// and the rest has to fit on there.
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
