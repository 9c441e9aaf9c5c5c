//! Where the next record goes: from `HEAD` in constant time, or by following the
//! chain where `HEAD` says nothing.
#![forbid(unsafe_code)]

use crate::chain::{follow, Due, Next, Source, Step, Tail};
use crate::error::{Error, Kind, Result};
use crate::head::{segment_name, Mark};
use crate::record::{split, whole, Parts, Record, MAX_LINE};
use crate::store::{Folder, Segment};

/// What holds the longest line and the line feed before it, which shows where it begins.
pub(crate) const WINDOW: usize = MAX_LINE + 1;

/// The end of a journal that can be continued.
pub(crate) struct Found {
    /// The last segment.
    pub(crate) segment: Segment,
    /// The end of the chain in it.
    pub(crate) tail: Tail,
    /// Whether the segment has the record that every segment begins with (genesis, segment or gap).
    pub(crate) opened: bool,
    /// The time of the last record.
    pub(crate) time: Vec<u8>,
}

/// A committed record that is not there any more.
pub(crate) struct Lost {
    /// What `HEAD` says, where it is the witness.
    pub(crate) mark: Option<Mark>,
    /// What is wrong, for people.
    pub(crate) why: String,
}

impl Lost {
    /// The error for a writer.
    pub(crate) fn error(&self, folder: &Folder) -> Error {
        Error::new(Kind::Broken, format!("the journal is broken: {}", self.why), Some(folder.path()))
    }
}

/// What [`locate`] finds.
pub(crate) enum Place {
    /// No journal yet.
    Nothing,
    /// The end of one.
    End(Box<Found>),
    /// One that lost what it had committed.
    Lost(Lost),
}

/// Finds the end of the journal. The lock has to be held. `held` is the segment a writer has open already.
pub(crate) fn locate(folder: &Folder, held: Option<Segment>) -> Result<Place> {
    let mark = folder.read_mark()?;
    let place = match mark {
        Some(mark) => from_mark(folder, mark, held)?,
        None => from_segments(folder)?,
    };
    match place {
        Place::End(found) if found.tail.junk.as_ref().is_some_and(|junk| junk.committed) => {
            let why = format!(
                "record {} was committed and is gone or altered: later ones are there",
                found.tail.next.seq
            );
            Ok(Place::Lost(Lost { mark, why }))
        }
        place => Ok(place),
    }
}

fn open_segment(folder: &Folder, first: u64, held: Option<Segment>) -> Result<Option<Segment>> {
    match held.filter(|segment| segment.first == first) {
        Some(segment) => segment.check().map(|()| Some(segment)),
        None => folder.write_segment(first),
    }
}

fn from_mark(folder: &Folder, mark: Mark, held: Option<Segment>) -> Result<Place> {
    let lost = |why: String| Ok(Place::Lost(Lost { mark: Some(mark), why }));
    let seq = mark.head.seq;
    let Some(segment) = open_segment(folder, mark.segment, held)? else {
        return accepted(folder, &mark)?.map_or_else(
            || {
                lost(format!(
                    "record {seq} was committed and its segment {} is gone",
                    segment_name(mark.segment)
                ))
            },
            |found| Ok(Place::End(Box::new(found))),
        );
    };
    let mut window = [0u8; WINDOW];
    match record_ending_at(&segment, mark.end, &mut window)? {
        Some(parts) if parts.seq == seq && mark.head.hex().as_bytes() == parts.hash => {
            let start = Start {
                from: mark.end,
                next: Next::after(&parts),
                opened: true,
                time: parts.time().to_vec(),
            };
            forward(folder, segment, start).map(|found| Place::End(Box::new(found)))
        }
        _ => {
            // Only its line feed is gone: the record still counts.
            if segment.size()? + 1 == mark.end {
                if let Place::End(found) = from_segments(folder)? {
                    if found.tail.lacks_feed && found.tail.next == after_mark(&mark) {
                        return Ok(Place::End(found));
                    }
                }
            }
            accepted(folder, &mark)?.map_or_else(
                || lost(format!("record {seq} was committed and is gone or altered")),
                |found| Ok(Place::End(Box::new(found))),
            )
        }
    }
}

fn after_mark(mark: &Mark) -> Next {
    Next { seq: mark.head.seq + 1, prev: crate::hash::to_hex(&mark.head.hash) }
}

/// The whole record whose line feed is the byte before `end`.
pub(crate) fn record_ending_at<'a>(
    segment: &Segment,
    end: u64,
    window: &'a mut [u8; WINDOW],
) -> Result<Option<Parts<'a>>> {
    let size = end.min(WINDOW as u64);
    let from = end - size;
    let Some(bytes) = usize::try_from(size).ok().and_then(|size| window.get_mut(..size)) else {
        return Ok(None);
    };
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match segment.read_at(rest, from + filled as u64) {
            // Shorter than HEAD says.
            Ok(0) => return Ok(None),
            Ok(count) => filled += count,
            Err(error) => return Err(segment.fail("cannot read the journal", &error)),
        }
    }
    let Some((b'\n', before)) = bytes.split_last() else { return Ok(None) };
    let line = match memchr::memrchr(b'\n', before) {
        Some(at) => before.get(at + 1..).unwrap_or_default(),
        None if from == 0 => before,
        None => return Ok(None),
    };
    Ok(whole(line))
}

/// A repair may have gone on in a segment of its own, without `HEAD` having reached the disk.
fn accepted(folder: &Folder, mark: &Mark) -> Result<Option<Found>> {
    let next = after_mark(mark);
    let Some(segment) = folder.write_segment(next.seq)? else { return Ok(None) };
    let mut gap = false;
    let size = segment.size()?;
    follow(&segment, Due::first(next), size, size, &mut |step| {
        if let Step::Record(parts, line) = step {
            gap |= parts.seq < next.seq + 2 && kind_of(line) == "gap";
        }
    })
    .map_err(|error| segment.fail("cannot read the journal", &error))?;
    if !gap {
        return Ok(None);
    }
    forward(folder, segment, Start { from: 0, next, opened: false, time: Vec::new() }).map(Some)
}

fn from_segments(folder: &Folder) -> Result<Place> {
    let lost = |why: &str| Ok(Place::Lost(Lost { mark: None, why: why.to_owned() }));
    let segments = folder.segments()?;
    let Some((&last, earlier)) = segments.split_last() else {
        return if folder.has_traces()? {
            lost("its records are gone, only what was said of them is left")
        } else {
            Ok(Place::Nothing)
        };
    };
    let Some(segment) = folder.write_segment(last)? else { return lost("its last segment is gone") };
    let base = match first_record(&segment)? {
        Some(next) if next.seq == last => Some(next),
        _ if last == 0 => Some(Next::FIRST),
        // A crash while the segment was begun: what its first record must say
        // stands at the end of the one before.
        _ => end_of(folder, earlier)?.filter(|next| next.seq == last),
    };
    let Some(next) = base else {
        return lost("the first record of its last segment is altered, and HEAD is gone");
    };
    let found = forward(folder, segment, Start { from: 0, next, opened: false, time: Vec::new() })?;
    Ok(Place::End(Box::new(found)))
}

/// What the first line of a segment follows, where it is a record.
pub(crate) fn first_record(segment: &Segment) -> Result<Option<Next>> {
    let mut lines = crate::chain::Lines::new(segment, 0, segment.size()?.min(MAX_LINE as u64));
    let stretch = lines.next().map_err(|error| segment.fail("cannot read the journal", &error))?;
    Ok(stretch.and_then(|line| line.record()).map(|parts| Next { seq: parts.seq, prev: *parts.prev }))
}

/// What would follow the last of these segments, where it ends as a writer leaves it.
fn end_of(folder: &Folder, segments: &[u64]) -> Result<Option<Next>> {
    let Some(&last) = segments.last() else { return Ok(None) };
    let segment = folder.read_segment(last)?;
    let Some(next) = first_record(&segment)? else { return Ok(None) };
    let size = segment.size()?;
    let tail = follow(&segment, Due::first(next), size, size, &mut |_| {})
        .map_err(|error| segment.fail("cannot read the journal", &error))?;
    Ok((tail.junk.is_none() && !tail.lacks_feed).then_some(tail.next))
}

struct Start {
    from: u64,
    next: Next,
    opened: bool,
    time: Vec<u8>,
}

/// Follows the chain from a known place to its end, through segments that were begun behind `HEAD`'s back.
fn forward(folder: &Folder, mut segment: Segment, mut start: Start) -> Result<Found> {
    loop {
        let size = segment.size()?;
        let (mut opened, mut time) = (start.opened, start.time);
        if size > start.from {
            // Nobody has said that this is on disk: whoever wrote it may have been killed before, or told
            // that it is not. Then the kernel's pages say what was meant. All of them are dropped, because it
            // keeps those that are asked for in part.
            segment.sync()?;
            folder.sync()?;
            segment.forget_cached();
        }
        let tail = follow(&segment, Due { at: start.from, next: start.next }, size, u64::MAX, &mut |step| {
            if let Step::Record(parts, line) = step {
                opened = opened || kind_of(line) != "torn";
                time = parts.time().to_vec();
            }
        })
        .map_err(|error| segment.fail("cannot read the journal", &error))?;
        if opened && tail.junk.is_none() && !tail.lacks_feed && tail.next.seq > segment.first {
            // A writer that was killed before it wrote HEAD may have begun the next segment.
            if let Some(newer) = folder
                .has_segment(tail.next.seq)?
                .then(|| folder.write_segment(tail.next.seq))
                .transpose()?
                .flatten()
            {
                segment = newer;
                start = Start { from: 0, next: tail.next, opened: false, time };
                continue;
            }
        }
        return Ok(Found { segment, tail, opened, time });
    }
}

/// The kind of a record that is known to be one.
pub(crate) fn kind_of(line: &[u8]) -> String {
    if split(line).is_none() {
        return String::new();
    }
    Record::parse(line).map(|record| record.kind().to_owned()).unwrap_or_default()
}
