//! Checkpoints: heads that were written down where the journal's owner cannot reach.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::Path;

use crate::chain::{follow, Due};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::hash::{self, HexHash};
use crate::head::Head;
use crate::record::escape;
use crate::snapshot::Snapshot;
use crate::store::{Folder, For, LOCK_WAIT};
use crate::tail::record_ending_at;

/// Fewer digits than the short form has would prove too little.
const MIN_DIGITS: usize = 24;

/// A head as somebody kept it: its number, and the first 24 to 64 digits of its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The number of the record.
    pub seq: u64,
    digits: String,
}

impl Checkpoint {
    /// Reads `SEQ:HEX`, with the whole hash or at least 24 digits of it; a space is as good as the colon, and
    /// spaces between the digits (as the short form has them) and capital letters do not matter.
    ///
    /// # Errors
    /// [`Kind::Usage`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(Kind::Usage, format!("{} is no checkpoint: {why}", escape(text.as_bytes())), None)
                .with_hint("give it as SEQ:HEX, with the 64 digits of the hash or the 24 of the short form")
        };
        let (seq, rest) =
            text.trim().split_once([':', ' ']).ok_or_else(|| wrong("no colon between number and hash"))?;
        let plain = !seq.is_empty() && seq.len() <= 16 && seq.bytes().all(|byte| byte.is_ascii_digit());
        let seq =
            seq.parse().ok().filter(|_| plain).ok_or_else(|| wrong("it does not begin with a number"))?;
        let digits: String = rest.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_lowercase()).collect();
        if !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong("the hash has something else than hexadecimal digits"));
        }
        if !(MIN_DIGITS..=64).contains(&digits.len()) {
            return Err(wrong(&format!("the hash has {} digits", digits.len())));
        }
        Ok(Self { seq, digits })
    }

    /// Whether it is this hash that was kept.
    pub(crate) fn is(&self, hash: &HexHash) -> bool {
        hash::as_str(hash).starts_with(&self.digits)
    }
}

impl From<Head> for Checkpoint {
    fn from(head: Head) -> Self {
        Self { seq: head.seq, digits: head.hex() }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.digits)
    }
}

/// The head of a journal and which journal it is: what a checkpoint prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The journal's id, from its first record; `unknown` where that is pruned or altered.
    pub journal: String,
    /// The last record.
    pub head: Head,
}

impl Statement {
    /// The three lines of a checkpoint: whose journal, the number, the hash.
    pub fn lines(&self) -> String {
        let id: String = self.journal.chars().take(8).collect();
        format!("qubes-dom0-pci/{id}\n{}\n{}\n", self.head.seq, self.head.hex())
    }
}

/// The head of the journal in `path`, from `HEAD` and the record it names, without reading the rest.
///
/// # Errors
/// [`Kind::Broken`] where the record that `HEAD` names is not there, [`Kind::Absent`], [`Kind::Io`].
pub fn head(path: &Path) -> Result<Statement> {
    let snapshot = Snapshot::take(path)?;
    let id = snapshot.journal_id()?;
    let last = last_head(&snapshot)?;
    Ok(Statement { journal: id.unwrap_or_else(|| "unknown".to_owned()), head: last })
}

fn last_head(snapshot: &Snapshot) -> Result<Head> {
    let broken = |why: &str| {
        Error::new(Kind::Broken, format!("the journal is broken: {why}"), Some(snapshot.folder.path()))
    };
    let (from, next, first) = match snapshot.mark {
        Some(mark) => {
            let segment = snapshot.folder.read_segment(mark.segment)?;
            let mut window = [0; crate::tail::WINDOW];
            let parts = record_ending_at(&segment, mark.end, &mut window)?
                .filter(|parts| parts.seq == mark.head.seq && mark.head.hex().as_bytes() == parts.hash)
                .ok_or_else(|| {
                    broken(&format!("record {} was committed and is gone or altered", mark.head.seq))
                })?;
            (mark.end, crate::chain::Next::after(&parts), mark.segment)
        }
        None => {
            let last = snapshot.segments.last().ok_or_else(|| broken("it has no records"))?;
            let opening = snapshot.opening(*last)?;
            let first = opening.first().ok_or_else(|| broken("its last segment has no record"))?;
            (0, first.next, last.first)
        }
    };
    let mut next = next;
    let mut from = from;
    for span in snapshot.segments.iter().filter(|span| span.first >= first) {
        let segment = snapshot.open(*span)?;
        let tail = follow(&segment, Due { at: from, next }, span.size, u64::MAX, &mut |_| {})
            .map_err(|error| segment.fail("cannot read the journal", &error))?;
        if tail.junk.as_ref().is_some_and(|junk| junk.committed) {
            return Err(broken(&format!(
                "record {} is gone or altered, later ones are there",
                tail.next.seq
            )));
        }
        next = tail.next;
        from = 0;
    }
    let hash = hash::from_hex(&next.prev).ok_or_else(|| broken("its last hash is none"))?;
    let seq = next.seq.checked_sub(1).ok_or_else(|| broken("it has no records"))?;
    Ok(Head { seq, hash })
}

/// Notes in the file `checkpoints` that this head was given out, and where to. The record it names is on disk
/// first: who wrote it may not have come to that.
///
/// # Errors
/// [`Kind::Io`], [`Kind::Permission`], [`Kind::NotPrivate`], [`Kind::Full`], [`Kind::Busy`].
pub fn remember(path: &Path, head: Head, place: &str) -> Result<()> {
    let folder = Folder::open_private(path)?;
    let _lock = folder.lock(For::Writing, LOCK_WAIT)?;
    if let Some(last) = folder.segments()?.last() {
        folder.read_segment(*last)?.sync()?;
    }
    note(&folder, head, place)
}

/// Remembers a head where the lock is held already.
pub(crate) fn note(folder: &Folder, head: Head, place: &str) -> Result<()> {
    let mut place = escape(place.as_bytes());
    place.truncate(200);
    folder.append_checkpoint(&format!("{} {} {} {place}\n", clock::text(clock::now()), head.seq, head.hex()))
}

/// The checkpoint that was given out last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// When.
    pub time: String,
    /// Which head.
    pub seq: u64,
    /// Where it was going to be kept, escaped.
    pub place: String,
}

/// The checkpoint that was given out last, by the file beside the journal; `None` where none was.
///
/// # Errors
/// [`Kind::Io`], [`Kind::Permission`], [`Kind::Absent`].
pub fn last_given(path: &Path) -> Result<Option<Given>> {
    let text = Folder::open(path)?.read_checkpoints()?.text;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().rev().find_map(given))
}

fn given(line: &str) -> Option<Given> {
    let mut words = line.splitn(4, ' ');
    let (time, seq, hex) = (words.next()?, words.next()?, words.next()?);
    let place = escape(words.next().unwrap_or_default().as_bytes());
    let seq = seq.parse().ok().filter(|_| hex.len() == 64)?;
    Some(Given { time: escape(time.as_bytes()), seq, place })
}

/// The checkpoints in the text of the file, and how many of its lines are none (a crash can leave one).
pub(crate) fn remembered(text: &[u8]) -> (Vec<Checkpoint>, u64) {
    let mut found = Vec::new();
    let mut unreadable = 0;
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        // What is damaged in its time or place still says what the record was.
        let line = String::from_utf8_lossy(line);
        let mut words = line.split(' ').skip(1);
        let read = words.next().zip(words.next()).filter(|(_, hex)| hex.len() == 64);
        match read.and_then(|(seq, hex)| Checkpoint::parse(&format!("{seq}:{hex}")).ok()) {
            Some(checkpoint) => found.push(checkpoint),
            None => unreadable += 1,
        }
    }
    (found, unreadable)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_long_the_short_and_the_spoken_form_are_read() {
        let head = Head { seq: 104_857, hash: [0xf3; 32] };
        for text in [
            format!("104857:{}", head.hex()),
            head.short(),
            "104857:F3F3F3F3F3F3F3F3F3F3F3F3".to_owned(),
            format!(" {} ", head.short()),
        ] {
            let read = Checkpoint::parse(&text).unwrap();
            assert!(read.seq == 104_857 && read.is(&hash::to_hex(&head.hash)), "{text}");
        }
    }

    #[test]
    fn what_proves_too_little_or_nothing_is_refused() {
        for text in [
            "",
            "7",
            "7:",
            "7:f3f3",
            ":f3f3f3f3f3f3f3f3f3f3f3f3",
            "-1:f3f3f3f3f3f3f3f3f3f3f3f3",
            "+1:f3f3f3f3f3f3f3f3f3f3f3f3",
            "x:f3f3f3f3f3f3f3f3f3f3f3f3",
            "7:g3f3f3f3f3f3f3f3f3f3f3f3",
            "99999999999999999:f3f3f3f3f3f3f3f3f3f3f3f3",
        ] {
            assert_eq!(Checkpoint::parse(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
        assert!(Checkpoint::parse(&format!("7:{}", "a".repeat(65))).is_err());
    }

    #[test]
    fn lines_that_a_crash_left_in_the_file_are_counted_not_believed() {
        let text = format!("2026-11-22T13:47:51.123456Z 7 {} paper\n2026-11-2\n\n", "a".repeat(64));
        let (found, unreadable) = remembered(text.as_bytes());
        assert_eq!((found.len(), unreadable), (1, 1));
    }
}
