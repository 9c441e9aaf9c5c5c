//! What continues a chain, and what is torn: the only place that decides it.
//!
//! Writer, verifier and readers all walk through [`follow`], so that they cannot disagree.
#![forbid(unsafe_code)]

use std::io;

use crate::form::Says;
use crate::hash::{self, Hasher, HexHash, NO_HASH};
use crate::record::{whole, Parts, MAX_LINE};

/// How much is read at once.
pub(crate) const PIECE: usize = 256 * 1024;

/// Bytes that can be read at a place, as `pread` does.
pub(crate) trait Source {
    /// Reads at `offset`; 0 only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Source for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|from| self.get(from..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }
}

/// What the next record has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    /// The number it has.
    pub(crate) seq: u64,
    /// The hash it names as that of the record before.
    pub(crate) prev: HexHash,
}

impl Next {
    /// At the very beginning.
    pub(crate) const FIRST: Self = Self { seq: 0, prev: NO_HASH };

    /// After this record.
    pub(crate) fn after(parts: &Parts<'_>) -> Self {
        Self { seq: parts.seq + 1, prev: *parts.hash }
    }

    /// Whether a record stands where it belongs.
    pub(crate) fn accepts(&self, parts: &Parts<'_>) -> bool {
        parts.seq == self.seq && hash::same(parts.prev, &self.prev)
    }
}

/// A stretch of a line: all of it, unless it is longer than what is read at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch<'a> {
    /// Where it begins.
    pub(crate) from: u64,
    /// Without the line feed.
    pub(crate) bytes: &'a [u8],
    /// Whether it begins a line.
    pub(crate) begins: bool,
    /// Whether a line feed follows; without one the next stretch, or the end, does.
    pub(crate) feed: bool,
    /// Whether it is the last before the end of what is read.
    pub(crate) last: bool,
}

impl<'a> Stretch<'a> {
    /// Where the next one begins.
    pub(crate) fn end(&self) -> u64 {
        self.from + self.bytes.len() as u64 + u64::from(self.feed)
    }

    /// The record it is, where it is one with a hash that holds.
    pub(crate) fn record(&self) -> Option<Parts<'a>> {
        let line = self.begins && (self.feed || self.last) && self.bytes.len() < MAX_LINE;
        if line {
            whole(self.bytes)
        } else {
            None
        }
    }
}

/// Reads a range line by line, in constant memory.
pub(crate) struct Lines<'a> {
    source: &'a (dyn Source + 'a),
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    at: u64,
    to: u64,
    begins: bool,
}

impl<'a> Lines<'a> {
    /// The lines in `from..to`; `from` has to be where a line begins.
    pub(crate) fn new(source: &'a (dyn Source + 'a), from: u64, to: u64) -> Self {
        let size = usize::try_from(to.saturating_sub(from)).unwrap_or(PIECE).clamp(1, PIECE);
        Self { source, buffer: vec![0; size], start: 0, filled: 0, at: from, to, begins: true }
    }

    /// The next stretch, or `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Stretch<'_>>> {
        let mut searched = 0;
        loop {
            let waiting = self.buffer.get(self.start..self.filled).unwrap_or_default();
            let found =
                waiting.get(searched..).and_then(|rest| memchr::memchr(b'\n', rest)).map(|at| at + searched);
            let at_end = self.at + waiting.len() as u64 >= self.to;
            let length = match found {
                Some(length) => length,
                None if at_end && waiting.is_empty() => return Ok(None),
                None if at_end || waiting.len() == self.buffer.len() => waiting.len(),
                None => {
                    searched = waiting.len();
                    self.fill()?;
                    continue;
                }
            };
            let feed = found.is_some();
            let stretch_start = self.start;
            let from = self.at;
            let begins = std::mem::replace(&mut self.begins, feed);
            self.start += length + usize::from(feed);
            self.at += (length + usize::from(feed)) as u64;
            let bytes = self.buffer.get(stretch_start..stretch_start + length).unwrap_or_default();
            return Ok(Some(Stretch { from, bytes, begins, feed, last: self.at >= self.to }));
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        let have = self.at + self.filled as u64;
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let wanted = usize::try_from(self.to.saturating_sub(have)).unwrap_or(usize::MAX).min(room.len());
        let count = self.source.read_at(room.get_mut(..wanted).unwrap_or_default(), have)?;
        if count == 0 {
            // Shorter than it was when its size was read: what is there is all there is.
            self.to = have;
        }
        self.filled += count;
        Ok(())
    }
}

/// Bytes that continue no chain.
#[derive(Clone)]
pub(crate) struct Junk {
    /// Where they begin.
    pub(crate) from: u64,
    /// How many there are.
    pub(crate) len: u64,
    /// Over all of them.
    pub(crate) hasher: Hasher,
    /// Whether the last one is a line feed.
    pub(crate) ends_line: bool,
    /// Whether they hold records that had been committed, so that no crash can have left them.
    ///
    /// A crash loses at most the records of one append, and those share their time. Two records that follow
    /// each other and differ in time were two appends, and the first was on disk before the second began.
    pub(crate) committed: bool,
    before: Option<(HexHash, Vec<u8>)>,
}

impl Junk {
    fn at(from: u64) -> Self {
        Self { from, len: 0, hasher: Hasher::default(), ends_line: false, committed: false, before: None }
    }

    fn add(&mut self, stretch: &Stretch<'_>, record: Option<&Parts<'_>>) {
        self.hasher.add(stretch.bytes);
        if stretch.feed {
            self.hasher.add(b"\n");
        }
        self.ends_line = stretch.feed;
        self.len = stretch.end() - self.from;
        if let Some(parts) = record {
            if let Some((hash, time)) = &self.before {
                self.committed |= hash == parts.prev && time != parts.time();
            }
            self.before = Some((*parts.hash, parts.time().to_vec()));
        }
    }

    /// Whether this record, right behind, states exactly these bytes.
    fn accounted_by(&self, parts: &Parts<'_>) -> bool {
        let Says::Torn(Some((len, sha256))) = parts.says() else { return false };
        len == self.len && sha256 == self.hasher.clone().finish()
    }
}

/// A torn region that a later record accounts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Healed {
    pub(crate) from: u64,
    pub(crate) len: u64,
    /// The record that accounts for it.
    pub(crate) seq: u64,
}

/// Where a chain ends.
#[derive(Clone)]
pub(crate) struct Tail {
    /// What would continue it.
    pub(crate) next: Next,
    /// Behind the last good record and its line feed.
    pub(crate) end: u64,
    /// The last good record is whole but for its line feed.
    pub(crate) lacks_feed: bool,
    /// What follows the last good record.
    pub(crate) junk: Option<Junk>,
}

/// How far somebody came in a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    /// The byte where the next record begins.
    pub(crate) at: u64,
    /// What it has to say.
    pub(crate) next: Next,
}

impl Due {
    /// At the beginning of a segment, whose first record is `next`.
    pub(crate) fn first(next: Next) -> Self {
        Self { at: 0, next }
    }
}

/// Follows the chain from `due` up to `to`, or to the first end of a record at or behind `enough`. Tells
/// `each` of every record and its line, and of every region that is accounted for. Goes no further into a
/// region than to where it shows that no crash has left it.
pub(crate) fn follow(
    source: &dyn Source,
    due: Due,
    to: u64,
    enough: u64,
    each: &mut dyn FnMut(Step<'_>),
) -> io::Result<Tail> {
    let mut lines = Lines::new(source, due.at, to);
    let (mut end, mut next) = (due.at, due.next);
    let mut lacks_feed = false;
    let mut junk: Option<Junk> = None;
    while junk.is_some() || end < enough {
        let Some(stretch) = lines.next()? else { break };
        let record = stretch.record();
        if let Some(parts) = record.filter(|parts| next.accepts(parts)) {
            let fits = match &junk {
                None => true,
                Some(region) => region.accounted_by(&parts),
            };
            if fits {
                if let Some(region) = junk.take() {
                    each(Step::Healed(Healed { from: region.from, len: region.len, seq: parts.seq }));
                }
                each(Step::Record(&parts, stretch.bytes));
                next = Next::after(&parts);
                end = stretch.end();
                lacks_feed = !stretch.feed;
                continue;
            }
        }
        let region = junk.get_or_insert_with(|| Junk::at(stretch.from));
        region.add(&stretch, record.as_ref());
        if region.committed {
            break;
        }
    }
    Ok(Tail { next, end, lacks_feed, junk })
}

/// What [`follow`] comes by.
pub(crate) enum Step<'a> {
    /// A record, and its line.
    Record(&'a Parts<'a>, &'a [u8]),
    /// A region; the record that accounts for it comes next.
    Healed(Healed),
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Bytes in memory.
    struct Slice<'a>(&'a [u8]);

    impl Source for Slice<'_> {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.0.read_at(buffer, offset)
        }
    }

    #[test]
    fn every_line_is_told_once_and_where_it_begins() {
        let text = b"one\n\nthree\nthe last has no feed";
        for from in [0, 4, 5] {
            let source = Slice(text);
            let mut lines = Lines::new(&source, from, text.len() as u64);
            let mut told = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                assert!(line.begins);
                assert_eq!(line.last, !line.feed);
                told.push((line.from, line.bytes.to_vec()));
            }
            let all = [(0, "one"), (4, ""), (5, "three"), (11, "the last has no feed")];
            let wanted: Vec<_> =
                all.iter().filter(|it| it.0 >= from).map(|it| (it.0, it.1.as_bytes().to_vec())).collect();
            assert_eq!(told, wanted);
        }
    }
}
