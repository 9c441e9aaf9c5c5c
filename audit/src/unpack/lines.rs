//! The lines that `export` wrote, divided into the segments they came from.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::created;
use crate::error::{Error, Result};
use crate::form::Says;
use crate::head::segment_name;
use crate::record::{split, MAX_LINE};

/// Of what stands before a segment's first record, more is not looked for.
const MOST_TORN: u64 = 64 * 1024;

/// A segment that is being written.
struct Open {
    path: PathBuf,
    file: BufWriter<File>,
    size: u64,
}

/// Writes the lines of `input` into a folder, a file for each segment.
pub(super) fn divide(input: &mut dyn Read, path: &Path, folder: &Path) -> Result<()> {
    let mut input = BufReader::with_capacity(256 * 1024, input);
    let mut open: Option<Open> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        // What is longer than any record is written in pieces: it is not one.
        let read = (&mut input).take(MAX_LINE as u64).read_until(b'\n', &mut line);
        if read.map_err(|error| Error::io("cannot read the journal", path, &error))? == 0 {
            break;
        }
        open = Some(match (begins(&line), open.take()) {
            (Some((seq, size)), Some(before)) => next(before, folder, seq, size)?,
            (_, Some(before)) => before,
            (_, None) => Open::new(folder, split_seq(&line).unwrap_or(0))?,
        });
        if let Some(open) = &mut open {
            open.write(&line)?;
        }
    }
    open.map_or(Ok(()), Open::close)
}

fn split_seq(line: &[u8]) -> Option<u64> {
    split(line.strip_suffix(b"\n")?).map(|parts| parts.seq)
}

/// The number of a record that begins a segment, and the size of the segment before, where it says that.
fn begins(line: &[u8]) -> Option<(u64, Option<u64>)> {
    let parts = split(line.strip_suffix(b"\n")?)?;
    match parts.says() {
        Says::Segment(Some((_, size))) => Some((parts.seq, Some(size))),
        Says::Segment(None) | Says::Gap => Some((parts.seq, None)),
        _ => None,
    }
}

/// The next segment. What stands behind the end of the one before was torn off at the beginning of this one.
fn next(mut before: Open, folder: &Path, seq: u64, size: Option<u64>) -> Result<Open> {
    if folder.join(segment_name(seq)).exists() {
        return Ok(before);
    }
    let mut next = Open::new(folder, seq)?;
    let torn =
        size.and_then(|size| before.size.checked_sub(size)).filter(|torn| (1..=MOST_TORN).contains(torn));
    if let (Some(torn), Some(size)) = (torn, size) {
        let mut bytes = Vec::new();
        let fails = |path: &Path, error: &std::io::Error| Error::io("cannot divide the journal", path, error);
        let mut tail = || -> std::io::Result<()> {
            before.file.flush()?;
            let file = before.file.get_mut();
            file.seek(SeekFrom::Start(size))?;
            file.take(torn).read_to_end(&mut bytes)?;
            file.set_len(size)
        };
        tail().map_err(|error| fails(&before.path, &error))?;
        next.write(&bytes)?;
    }
    before.close()?;
    Ok(next)
}

impl Open {
    fn new(folder: &Path, seq: u64) -> Result<Self> {
        let path = folder.join(segment_name(seq));
        Ok(Self { file: BufWriter::with_capacity(256 * 1024, created(&path)?), path, size: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.size += bytes.len() as u64;
        let written = self.file.write_all(bytes);
        written.map_err(|error| Error::io("cannot write a copy of the journal", &self.path, &error))
    }

    fn close(mut self) -> Result<()> {
        let written = self.file.flush();
        written.map_err(|error| Error::io("cannot write a copy of the journal", &self.path, &error))
    }
}
