//! A journal that stood where others could have moved it away comes to a place of its own: what is
//! copied is verified there, where nobody changes it any more, and a record says where it came
//! from and what spoke against it.
#![forbid(unsafe_code)]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::head::{segment_name, Head};
use crate::journal::Journal;
use crate::mend::repair;
use crate::record::Draft;
use crate::report::Verdict;
use crate::snapshot::Snapshot;
use crate::store::{Folder, For, CHECKPOINTS_FILE, LOCK_WAIT, MARK_FILE};
use crate::verify::{verify, Against};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relocation {
    /// There is nothing at the old place.
    Nothing,
    /// There is a journal at the new place already: that one counts, nothing was changed.
    Occupied,
    /// The new place has all that the old one had.
    Done {
        /// The end of the journal, the record of the move.
        head: Head,
        /// What speaks against the journal as it was found: it could have been written
        /// by others, or does not verify.
        doubts: Vec<String>,
    },
}

/// Copies the journal in `from` to `to`, which is where only its owner can write. `from` is opened
/// without following links. The last record of the copy, of kind `moved`, says where it came from, and
/// `why` it may not be what was written; a journal that does not verify goes on behind a `gap`. What was
/// there before is kept, read-only.
///
/// # Errors
/// As [`Journal::open`]: nothing stands at the new place then.
pub fn relocate(from: &Path, to: &Path, boot: &str) -> Result<Relocation> {
    match Snapshot::take(to) {
        Err(error) if error.kind() == Kind::Absent => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(Relocation::Occupied),
    }
    let mut doubts = Vec::new();
    let old = match Folder::open_as_it_is(from) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == Kind::Absent => return Ok(Relocation::Nothing),
        Err(error) if error.kind() == Kind::NotPrivate || is_no_folder(&error) => {
            doubts.push(error.to_string());
            None
        }
        Err(error) => return Err(error),
    };
    let part = beside(to);
    clear(&part)?;
    let found = match &old {
        Some(old) => copy(old, &part, &mut doubts)?,
        None => Vec::new(),
    };
    if found.is_empty() && doubts.is_empty() {
        discard(&part)?;
        return Ok(Relocation::Nothing);
    }
    let head = finish(from, &part, boot, &mut doubts)?;
    let failed = |error: &io::Error| Error::io("cannot put the journal in its new place", to, error);
    std::fs::rename(&part, to).map_err(|error| failed(&error))?;
    let above = to.parent().unwrap_or(Path::new("/"));
    File::open(above).and_then(|folder| folder.sync_all()).map_err(|error| failed(&error))?;
    // It stays for whoever wants to look; that it is written no more is a help, no proof.
    if let Some(old) = old.filter(|old| old.check().is_ok()) {
        old.close_for_writing(&found);
    }
    Ok(Relocation::Done { head, doubts })
}

fn is_no_folder(error: &Error) -> bool {
    error.errno() == Some(nix::errno::Errno::ENOTDIR as i32)
}

/// Where the copy grows.
fn beside(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    to.with_file_name(name)
}

/// Makes an empty folder for the copy; what an interrupted move left there goes.
fn clear(part: &Path) -> Result<()> {
    discard(part)?;
    if let Some(above) = part.parent() {
        Folder::create(above)?;
    }
    let made = DirBuilder::new().mode(0o700).create(part);
    made.map_err(|error| Error::io("cannot create the journal's folder", part, &error))
}

fn discard(part: &Path) -> Result<()> {
    match std::fs::remove_dir_all(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove what an interrupted move left", part, &error))
        }
        _ => Ok(()),
    }
}

/// Copies the files of a journal as they are, and gives their names.
fn copy(old: &Folder, part: &Path, doubts: &mut Vec<String>) -> Result<Vec<String>> {
    let alone = old.check();
    let _lock = match old.lock(For::Reading, LOCK_WAIT) {
        Err(error) if alone.is_ok() || error.kind() != Kind::Busy => return Err(error),
        taken => taken.ok(),
    };
    doubts.extend(alone.err().map(|error| error.to_string()));
    let segments = old.segments()?.into_iter().map(segment_name);
    let names = segments.chain([MARK_FILE.to_owned(), CHECKPOINTS_FILE.to_owned()]);
    let mut copied = Vec::new();
    for name in names {
        let read = match old.read_file(&name) {
            Ok(None) => continue,
            Ok(Some((file, doubt))) => {
                doubts.extend(doubt.map(|error| error.to_string()));
                file
            }
            Err(error) if error.kind() == Kind::NotPrivate => {
                doubts.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        let path = part.join(&name);
        write(read, &path).map_err(|error| Error::io("cannot copy the journal", &path, &error))?;
        copied.push(name);
    }
    Ok(copied)
}

fn write(mut read: File, path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::copy(&mut read, &mut file)?;
    file.sync_all()
}

/// Verifies the copy, and writes what speaks against it.
fn finish(from: &Path, part: &Path, boot: &str, doubts: &mut Vec<String>) -> Result<Head> {
    match verify(part, &Against::default(), &|_, _| {}) {
        Err(error) if error.kind() == Kind::Absent => {}
        Err(error) => return Err(error),
        Ok(report) if report.verdict() == Verdict::Altered => {
            let what = report.findings.first().map_or("a checkpoint is not met", |finding| &finding.what);
            doubts.push(format!("it does not verify: {what}"));
            repair(part, boot)?;
        }
        Ok(_) => {}
    }
    let mut journal = Journal::open(part, boot)?;
    let mut draft = Draft::new("moved").text("from", &from.display().to_string());
    if !doubts.is_empty() {
        draft = draft.text("why", &doubts.join("; "));
    }
    journal.append(&[draft])?;
    journal.close()
}
