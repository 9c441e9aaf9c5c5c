//! The writer: every record is on disk before what it announces is done.
#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Duration;

use crate::chain::{follow, Due, Next, Source, PIECE};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::hash::{self, Hasher};
use crate::head::{segment_name, Head, Mark};
use crate::record::{self, Draft};
use crate::snapshot::{journal_id, opening};
use crate::store::{self, Folder, For, MarkFile, Segment, LOCK_WAIT};
use crate::tail::{locate, Found, Place};

/// A segment that has grown to this is followed by a new one, in bytes.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Space kept for the rest of an operation that has begun, in bytes.
pub const RESERVED_BYTES: u64 = 64 * 1024;

/// A journal open for appending. Any number of processes may have the same one open: each append takes the
/// lock, and finds its place anew.
pub struct Journal {
    folder: Folder,
    boot: String,
    mark: Option<MarkFile>,
    segment: Option<Segment>,
    head: Head,
    /// Up to where space is kept in the current segment.
    reserved: u64,
    /// Set by a failed sync: what is on disk is unknown to this writer for good.
    failed: Option<Error>,
    wait: Duration,
    segment_bytes: u64,
}

/// Whether a writer could append to the journal in `folder`, as far as that is seen without writing: it and
/// its last segment are this user's alone and open for writing. One that is not there yet could be made.
///
/// # Errors
/// [`Kind::NotPrivate`], [`Kind::Permission`], [`Kind::Io`].
pub fn appendable(folder: &Path) -> Result<()> {
    let folder = match Folder::open_private(folder) {
        Err(error) if error.kind() == Kind::Absent => return Ok(()),
        opened => opened?,
    };
    match folder.segments()?.last() {
        Some(&last) => folder.write_segment(last).map(drop),
        None => Ok(()),
    }
}

impl Journal {
    /// Opens the journal in `folder` for a writer of the boot `boot`, creating it where there is none, and
    /// keeps [`RESERVED_BYTES`] of space for what is to come.
    ///
    /// # Errors
    /// [`Kind::Broken`] where a committed record is gone, [`Kind::Full`] where the space is not there,
    /// [`Kind::Busy`] after ten seconds, [`Kind::Permission`], [`Kind::NotPrivate`], [`Kind::Io`].
    pub fn open(folder: &Path, boot: &str) -> Result<Self> {
        Self::open_with(folder, boot, LOCK_WAIT, SEGMENT_BYTES)
    }

    /// As [`Journal::open`], with another wait for the lock and another length of
    /// segments (the writer's choice).
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(folder: &Path, boot: &str, wait: Duration, segment_bytes: u64) -> Result<Self> {
        let folder = Folder::create(folder)?;
        let lock = folder.lock(For::Writing, wait)?;
        let mut journal = Self::closed(folder, boot, wait, segment_bytes);
        journal.begin()?;
        drop(lock);
        Ok(journal)
    }

    /// A writer that has not looked at the journal yet.
    pub(crate) fn closed(folder: Folder, boot: &str, wait: Duration, segment_bytes: u64) -> Self {
        let head = Head { seq: 0, hash: [0; 32] };
        let boot = boot.to_owned();
        Self { folder, boot, mark: None, segment: None, head, reserved: 0, failed: None, wait, segment_bytes }
    }

    /// Finds the end, keeps space, and writes the first record where there is none. The lock has to be held.
    pub(crate) fn begin(&mut self) -> Result<()> {
        let found = self.place()?;
        let size = found.segment.size()?;
        found.segment.reserve(size, RESERVED_BYTES)?;
        self.reserved = size + RESERVED_BYTES;
        if found.tail.next.seq == 0 || !found.opened {
            self.commit(found, None, &[])?;
        } else {
            self.head = head_before(&found.tail.next)?;
            self.segment = Some(found.segment);
        }
        Ok(())
    }

    /// As [`Journal::append`], with the lock held already.
    pub(crate) fn append_locked(&mut self, drafts: &[Draft]) -> Result<Head> {
        let found = self.place()?;
        let (found, opening) = self.next_segment(found)?;
        self.commit(found, opening, drafts)
    }

    /// Goes on behind `next` in a segment of its own that begins with `gap`, and puts `HEAD` on disk, because
    /// the old one names a record that is gone. The lock has to be held.
    pub(crate) fn begin_with_gap(&mut self, next: Next, gap: Draft) -> Result<Head> {
        // An earlier repair may have been cut off before its record was whole:
        // its remains are healed forward.
        let segment = match self.folder.write_segment(next.seq)? {
            Some(segment) => segment,
            None => self.folder.create_segment(next.seq)?,
        };
        let size = segment.size()?;
        let tail = follow(&segment, Due::first(next), size, size, &mut |_| {})
            .map_err(|error| segment.fail("cannot read the journal", &error))?;
        self.reserved = 0;
        let found = Found { segment, tail, opened: false, time: Vec::new() };
        let head = self.commit(found, Some(gap), &[])?;
        self.sync_mark()?;
        Ok(head)
    }

    /// Appends records: one lock, one write, one sync for all of them. When it returns they are on disk.
    ///
    /// # Errors
    /// As [`Journal::open`]. After a failed sync every further append fails with the same error: what is on
    /// disk is then unknown, and only a new [`Journal::open`] finds out.
    pub fn append(&mut self, drafts: &[Draft]) -> Result<Head> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let _lock = self.folder.lock(For::Writing, self.wait)?;
        self.append_locked(drafts)
    }

    /// The last record this writer knows of.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Puts `HEAD` on disk, so that the next start is quick and a cut tail is noticed, and closes.
    ///
    /// # Errors
    /// [`Kind::Io`]; the records themselves are safe.
    pub fn close(self) -> Result<Head> {
        self.sync_mark()?;
        Ok(self.head)
    }

    /// Puts `HEAD` on disk.
    pub(crate) fn sync_mark(&self) -> Result<()> {
        self.mark.as_ref().map_or(Ok(()), MarkFile::sync)
    }

    /// Finds the end of the chain, creating an empty first segment where there is no
    /// journal. The lock has to be held.
    fn place(&mut self) -> Result<Found> {
        loop {
            match locate(&self.folder, self.segment.take())? {
                Place::End(found) => return Ok(*found),
                Place::Lost(lost) => return Err(lost.error(&self.folder)),
                Place::Nothing => drop(self.folder.create_segment(0)?),
            }
        }
    }

    /// Begins a new segment where the present one is long enough and ends cleanly, and says what it
    /// begins with. Where there is no space for one, the present one goes on: its length is a wish, an
    /// operation that has begun is a duty.
    fn next_segment(&mut self, found: Found) -> Result<(Found, Option<Draft>)> {
        let clean = found.opened && found.tail.junk.is_none() && !found.tail.lacks_feed;
        if !clean || found.tail.end < self.segment_bytes {
            return Ok((found, None));
        }
        found.segment.sync().inspect_err(|error| self.failed = Some(error.clone()))?;
        // The whole segment is read for it: where that fails, one that was begun would
        // be in the way of every append.
        let Ok(opening) = self.opening_of(found.tail.next.seq) else { return Ok((found, None)) };
        let segment = self.folder.create_segment(found.tail.next.seq);
        let segment = match segment {
            Ok(segment) => segment,
            Err(error) if error.kind() == Kind::Full => return Ok((found, None)),
            Err(error) => return Err(error),
        };
        if segment.reserve(0, RESERVED_BYTES).is_err() {
            self.folder.remove_segment(segment.first)?;
            self.folder.sync()?;
            return Ok((found, None));
        }
        self.reserved = RESERVED_BYTES;
        let mut tail = found.tail;
        tail.end = 0;
        Ok((Found { segment, tail, opened: false, time: found.time }, Some(opening)))
    }

    /// Writes the drafts, and before them what the state of the journal asks for, and syncs. `opening`: what
    /// a new segment begins with, where that is made already.
    fn commit(&mut self, found: Found, opening: Option<Draft>, drafts: &[Draft]) -> Result<Head> {
        let Found { segment, tail, opened, time } = found;
        let mut needed = Vec::new();
        let mut bytes = Vec::new();
        if tail.lacks_feed {
            bytes.push(b'\n');
        }
        if let Some(junk) = &tail.junk {
            let mut hasher = junk.hasher.clone();
            let mut len = junk.len;
            if !junk.ends_line {
                bytes.push(b'\n');
                hasher.add(b"\n");
                len += 1;
            }
            let len = i64::try_from(len).unwrap_or(i64::MAX);
            needed.push(Draft::new("torn").number("len", len).text("sha256", hash::as_str(&hasher.finish())));
        }
        let begins = !opened;
        if begins {
            let opening = match opening {
                Some(opening) => opening,
                None => self.opening_of(segment.first)?,
            };
            needed.push(opening);
        }
        let mut next = tail.next;
        let now = clock::other_than(&time, clock::now());
        for draft in needed.iter().chain(drafts) {
            let place = record::Place { prev: &next.prev, seq: next.seq, time: &now, boot: &self.boot };
            let (line, hash) = draft.line(&place);
            bytes.extend_from_slice(&line);
            next = Next { seq: next.seq + 1, prev: hash };
        }
        let at = segment.size()?;
        let end = at + bytes.len() as u64;
        if end + RESERVED_BYTES / 2 > self.reserved {
            // The first reservation was the condition for beginning; from here on it is a help.
            let _ = segment.reserve(at, bytes.len() as u64 + RESERVED_BYTES);
            self.reserved = end + RESERVED_BYTES;
        }
        if !bytes.is_empty() {
            segment.append(&bytes)?;
            segment.sync().inspect_err(|error| self.failed = Some(error.clone()))?;
            if begins {
                self.folder.sync().inspect_err(|error| self.failed = Some(error.clone()))?;
            }
        }
        self.head = head_before(&next)?;
        self.leave_mark(&Mark { head: self.head, end, segment: segment.first });
        self.segment = Some(segment);
        Ok(self.head)
    }

    /// The record a segment begins with.
    fn opening_of(&self, first: u64) -> Result<Draft> {
        let before = self.folder.segments()?.into_iter().rfind(|before| *before < first);
        let Some(before) = before.filter(|_| first > 0) else {
            return Ok(Draft::new("genesis").text("id", &store::random_id()?));
        };
        let before_file = self.folder.read_segment(before)?;
        let (bytes, sha256) = whole_file(&before_file)?;
        let id = journal_id(&opening(&before_file, bytes)?).unwrap_or_else(|| "unknown".to_owned());
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok(Draft::new("segment")
            .text("after", &segment_name(before))
            .number("bytes", bytes)
            .text("sha256", &sha256)
            .text("journal", &id))
    }

    /// Overwrites `HEAD`. It may be lost without harm, so that its failure is none of the append.
    fn leave_mark(&mut self, mark: &Mark) {
        if self.mark.as_ref().is_none_or(MarkFile::is_gone) {
            self.mark = self.folder.open_mark().ok();
        }
        if let Some(file) = &self.mark {
            let _ = file.write(mark);
        }
    }
}

/// Size and SHA-256 of a whole segment.
pub(crate) fn whole_file(segment: &Segment) -> Result<(u64, String)> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        let count = segment
            .read_at(&mut buffer, at)
            .map_err(|error| segment.fail("cannot read the journal", &error))?;
        if count == 0 {
            return Ok((at, hash::as_str(&hasher.finish()).to_owned()));
        }
        hasher.add(buffer.get(..count).unwrap_or_default());
        at += count as u64;
    }
}

/// The record before what comes next.
fn head_before(next: &Next) -> Result<Head> {
    match (next.seq.checked_sub(1), hash::from_hex(&next.prev)) {
        (Some(seq), Some(hash)) => Ok(Head { seq, hash }),
        _ => Err(Error::new(Kind::Broken, "the journal has no record yet", None)),
    }
}
