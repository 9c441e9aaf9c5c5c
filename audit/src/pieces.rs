//! The quick half of verifying: a piece of a segment, checked by itself.
//!
//! The segments are cut into pieces at line ends. Each is checked by itself: form, hash, link,
//! number. What is not as it should be is not worded here: a piece that does not verify is walked
//! over again, slowly ([`crate::verify()`]).
#![forbid(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::memmem::Finder;

use crate::chain::{Next, Source, PIECE};
use crate::error::{Error, Result};
use crate::form::Says;
use crate::hash::{self, HexHash};
use crate::lanes::Lanes;
use crate::record::{shape, Parts, MAX_LINE};
use crate::snapshot::{Snapshot, Span};
use crate::store::Segment;

/// A piece is at most this long, where [`MOST_SHARES`] of them are enough: short enough to share the work
/// evenly and to walk again slowly, in bytes.
const MAX_SHARE: u128 = 2 * 1024 * 1024;
/// Of more bytes than this many pieces hold, 16 GiB, the pieces are longer instead of more: what is kept of
/// each stays bounded, whatever size a sparse file claims.
const MOST_SHARES: u128 = 8192;
/// Towards the end pieces get shorter, down to this, so that no thread waits long for the last one, in bytes.
const MIN_SHARE: u128 = 256 * 1024;
/// What the kernel keeps of a file in one piece.
const PAGE: usize = 4096;

/// A range of one segment. Its lines are those that begin in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// Which segment.
    pub(crate) index: usize,
    /// The segment.
    pub(crate) span: Span,
    /// From this byte of it.
    pub(crate) from: u64,
    /// Up to this one.
    pub(crate) to: u64,
}

/// A piece that verifies by itself.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Where the first line begins.
    pub(crate) from: u64,
    /// Behind the last line.
    pub(crate) to: u64,
    /// What the first record needs before it.
    pub(crate) first: Next,
    /// What has to follow the last record.
    pub(crate) next: Next,
    /// How many records there are.
    pub(crate) records: u64,
    /// The hashes of those that are wanted, by number.
    pub(crate) found: Vec<(u64, HexHash)>,
    /// What its `pruned` records say, where anybody asks.
    pub(crate) pruned: Vec<Pruned>,
}

/// What a `pruned` record says.
#[derive(Debug, Clone)]
pub(crate) struct Pruned {
    /// The record's number.
    pub(crate) seq: u64,
    /// The last record that was removed.
    pub(crate) last: u64,
    /// The hash of that one.
    pub(crate) hash: String,
}

impl Pruned {
    /// Reads it; `None` where it is another record.
    pub(crate) fn read(parts: &Parts<'_>) -> Option<Self> {
        let Says::Pruned(Some((last, hash))) = parts.says() else { return None };
        Some(Self { seq: parts.seq, last, hash: String::from_utf8_lossy(hash).into_owned() })
    }
}

/// Cuts `segments` into pieces, from byte `offset` of segment `first` on.
pub(crate) fn cut(segments: &[Span], first: usize, offset: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    // Sparse files can claim more together than fits into 64 bits.
    let mut left: u128 = segments.iter().skip(first).map(|span| u128::from(span.size)).sum();
    let longest = (left / MOST_SHARES).max(MAX_SHARE);
    for (index, span) in segments.iter().enumerate().skip(first) {
        let mut from = if index == first { offset } else { 0 };
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

/// Checks pieces, each by itself.
pub(crate) struct Checker<'a> {
    snapshot: &'a Snapshot,
    /// The numbers of the records whose hashes are wanted, in their order.
    wanted: &'a [u64],
    /// Finds `pruned` records; none where nobody asks for them.
    finder: Option<Finder<'static>>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, wanted: &'a [u64], pruned: bool) -> Self {
        Self { snapshot, wanted, finder: pruned.then(|| Finder::new(b"\"kind\":\"pruned\"")) }
    }

    /// Checks all pieces, on `threads` threads that take the next piece whenever they are done with one.
    pub(crate) fn check(
        &self,
        pieces: &[Piece],
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
                match self.piece(piece, &mut open, &mut buffer) {
                    Ok(checked) => {
                        if let Some(slot) = locked(&results).get_mut(at) {
                            *slot = checked;
                        }
                        let size = piece.to - piece.from;
                        progress(done.fetch_add(size, Ordering::Relaxed) + size, total);
                    }
                    Err(error) => {
                        locked(&failed).get_or_insert(error);
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
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Checks one piece; `open` is the segment that the thread read last.
    fn piece(&self, piece: &Piece, open: &mut Option<Segment>, buffer: &mut [u8]) -> Result<Option<Checked>> {
        let segment = match open.take().filter(|segment| segment.first == piece.span.first) {
            Some(segment) => segment,
            None => self.snapshot.open(piece.span)?,
        };
        let checked = self
            .quick(&segment, piece, buffer)
            .map_err(|error| segment.fail("cannot read the journal", &error));
        *open = Some(segment);
        checked
    }

    /// Checks the lines of one piece against each other; `None` where anything is not as it should be.
    fn quick(&self, segment: &Segment, piece: &Piece, buffer: &mut [u8]) -> io::Result<Option<Checked>> {
        let mut checked: Option<Checked> = None;
        let mut window = Window::new(piece, buffer);
        // Whether the next line began before the piece.
        let mut skip = piece.from > 0;
        loop {
            let grew = window.read(segment, piece)?;
            let (at, bytes) = window.content();
            let filled = bytes.len();
            let Some((start, complete)) = self.lines(piece, (at, bytes), &mut skip, &mut checked) else {
                return Ok(None);
            };
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
            if !grew || filled - start > MAX_LINE {
                return Ok(None);
            }
            if at + start as u64 >= piece.to && !skip {
                break;
            }
            window.keep(start);
        }
        // A first line that is no record's end could hide a `prev` that is no hash.
        Ok(checked.filter(|sum| hash::from_hex(&sum.first.prev).is_some()))
    }

    /// Adds the lines that begin in the piece, of `bytes` at `at` of the segment: behind which byte the last
    /// whole line ends, and whether the piece ends there. `None` where a line is not as it should be.
    fn lines(
        &self,
        piece: &Piece,
        (at, bytes): (u64, &[u8]),
        skip: &mut bool,
        checked: &mut Option<Checked>,
    ) -> Option<(usize, bool)> {
        let (mut start, mut complete) = (0, false);
        let mut feeds = memchr::memchr_iter(b'\n', bytes);
        // One by one: kept in a list they would be written and read again.
        let mut line = || -> Option<(u64, &[u8])> {
            loop {
                let feed = feeds.next()?;
                let line = bytes.get(start..feed).unwrap_or_default();
                let begins = at + start as u64;
                if begins >= piece.to && !*skip {
                    complete = true;
                    return None;
                }
                start = feed + 1;
                if !std::mem::replace(skip, false) && begins >= piece.from {
                    return Some((begins, line));
                }
            }
        };
        let mut lanes = Lanes::new();
        while let Some((begins, line)) = line() {
            // What a record that is not common accounts for is no record: there the slow path has to look.
            let parts = shape(line).filter(Parts::is_common)?;
            lanes.take(line, &parts);
            if !self.add(checked, begins, line, &parts) {
                return None;
            }
        }
        lanes.hold().then_some((start, complete))
    }

    /// Adds a line to `checked` where it follows; whether its hash holds is looked at elsewhere.
    #[inline(always)]
    fn add(&self, checked: &mut Option<Checked>, begins: u64, line: &[u8], parts: &Parts<'_>) -> bool {
        let sum = checked.get_or_insert_with(|| Checked::beginning(begins, parts));
        if !sum.next.accepts(parts) {
            return false;
        }
        sum.next = Next::after(parts);
        sum.to = begins + line.len() as u64 + 1;
        sum.records += 1;
        if self.wanted.binary_search(&parts.seq).is_ok() {
            sum.found.push((parts.seq, *parts.hash));
        }
        if self.finder.as_ref().is_some_and(|finder| finder.find(line).is_some()) {
            sum.pruned.extend(Pruned::read(parts));
        }
        true
    }
}

impl Checked {
    /// Of a piece whose first line begins at `from`, before that line is added.
    fn beginning(from: u64, parts: &Parts<'_>) -> Self {
        let first = Next { seq: parts.seq, prev: *parts.prev };
        Self { from, to: from, first, next: first, records: 0, found: Vec::new(), pruned: Vec::new() }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a thread has in memory of a segment. Whole pages are read to whole pages: the kernel copies those the
/// fastest. What is left of a line is put before them.
struct Window<'a> {
    buffer: &'a mut [u8],
    /// Where in the buffer the pages begin.
    pages: usize,
    /// How many bytes before them are left of a line.
    kept: usize,
    /// How many bytes of the pages are filled.
    count: usize,
    /// Which byte of the segment is read next.
    next: u64,
}

impl<'a> Window<'a> {
    fn new(piece: &Piece, buffer: &'a mut [u8]) -> Self {
        let aligned = buffer.get(MAX_LINE..).map_or(0, |pages| pages.as_ptr().align_offset(PAGE).min(PAGE));
        // Earlier than the piece, to see whether a line begins at `from` itself.
        let next = piece.from.saturating_sub(1) / PAGE as u64 * PAGE as u64;
        Self { buffer, pages: MAX_LINE + aligned, kept: 0, count: 0, next }
    }

    /// Reads on, and says whether there was more.
    fn read(&mut self, segment: &Segment, piece: &Piece) -> io::Result<bool> {
        let room = self.buffer.get_mut(self.pages..).unwrap_or_default();
        // Of what follows the piece, no more than the end of the longest line that begins in it.
        let needed = piece.span.size.min(piece.to + MAX_LINE as u64).saturating_sub(self.next);
        let wish = room.len().min(PIECE).min(usize::try_from(needed).unwrap_or(usize::MAX));
        self.count = segment.read_at(room.get_mut(..wish).unwrap_or_default(), self.next)?;
        self.next += self.count as u64;
        Ok(self.count != 0)
    }

    /// The bytes, and where in the segment they begin.
    fn content(&self) -> (u64, &[u8]) {
        let bytes = self.buffer.get(self.pages - self.kept..self.pages + self.count).unwrap_or_default();
        (self.next - bytes.len() as u64, bytes)
    }

    /// Keeps what stands behind byte `start` of the content.
    fn keep(&mut self, start: usize) {
        let end = self.pages + self.count;
        let left = self.kept + self.count - start;
        self.buffer.copy_within(end - left..end, self.pages - left);
        self.kept = left;
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
        let pieces = cut(&segments, 0, 0);
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
