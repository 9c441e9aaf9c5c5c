//! Journals that come as one stream: what `export` wrote, or a tar of folders and files. Both come from
//! elsewhere and can be anything; names in a tar choose no path.
#![forbid(unsafe_code)]

mod lines;
mod tar;

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::head::segment_number;
use crate::record::escape;
use crate::store::{CHECKPOINTS_FILE, MARK_FILE};

/// As many journals are taken from one archive.
const MOST_JOURNALS: usize = 100_000;

/// A journal that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// What the archive calls its folder or file, escaped; empty where there was no archive.
    pub name: String,
    /// Where it is now.
    pub folder: PathBuf,
}

/// Unpacks the journals of a stream into folders below `into`, in the order of the
/// stream. `path` is named in errors.
///
/// # Errors
/// It cannot be read or written, or it is an archive that holds something else than journals.
pub fn unpack(input: &mut dyn Read, path: &Path, into: &Path) -> Result<Vec<Unpacked>> {
    let mut first = Vec::new();
    input
        .take(tar::BLOCK as u64)
        .read_to_end(&mut first)
        .map_err(|error| Error::io("cannot read the journal", path, &error))?;
    if tar::is_header(&first) {
        let mut input = first.as_slice().chain(input);
        return Archive { path, into, journals: Vec::new(), places: BTreeMap::new() }.read(&mut input);
    }
    let folder = made(into, 0)?;
    lines::divide(&mut first.as_slice().chain(input), path, &folder)?;
    Ok(vec![Unpacked { name: String::new(), folder }])
}

fn made(into: &Path, number: usize) -> Result<PathBuf> {
    let folder = into.join(format!("{number:06}"));
    let made = DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|error| Error::io("cannot make a folder for the journal", &folder, &error))?;
    Ok(folder)
}

/// A new file that only its owner can read.
fn created(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|error| Error::io("cannot write a copy of the journal", path, &error))
}

/// An archive while it is read.
struct Archive<'a> {
    path: &'a Path,
    into: &'a Path,
    journals: Vec<Unpacked>,
    places: BTreeMap<Vec<u8>, usize>,
}

impl Archive<'_> {
    fn read(mut self, input: &mut dyn Read) -> Result<Vec<Unpacked>> {
        while let Some(entry) = tar::next(input).map_err(|what| self.fails(&what))? {
            let mut content = input.take(entry.size);
            self.entry(&entry.name, entry.is_file, &mut content)?;
            // What nobody wanted, and up to the next block.
            let left = content.limit() + entry.padding();
            let skipped = std::io::copy(&mut input.take(left), &mut std::io::sink());
            if !skipped.is_ok_and(|skipped| skipped == left) {
                return Err(self.fails("the archive ends in the middle of a file"));
            }
        }
        if self.journals.is_empty() {
            return Err(self.fails("the archive holds no journal"));
        }
        Ok(self.journals)
    }

    fn entry(&mut self, name: &[u8], is_file: bool, content: &mut dyn Read) -> Result<()> {
        let name = name.strip_prefix(b"./").unwrap_or(name);
        let (folder, file) = match name.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
            None => (&b""[..], name),
        };
        let Ok(file) = std::str::from_utf8(file) else { return Ok(()) };
        if segment_number(file).is_some() || [MARK_FILE, CHECKPOINTS_FILE].contains(&file) {
            if !is_file {
                return Err(self.fails(&format!("{} is not a file in the archive", escape(name))));
            }
            let path = self.journal(folder)?.join(file);
            let mut copy = created(&path)?;
            let copied = std::io::copy(content, &mut copy).and_then(|_| copy.flush());
            return copied.map_err(|error| Error::io("cannot copy the journal", &path, &error));
        }
        if is_file && file.ends_with(".jsonl") {
            let folder = self.journal(name)?;
            return lines::divide(content, self.path, &folder);
        }
        Ok(())
    }

    /// The folder of the journal of this name.
    fn journal(&mut self, name: &[u8]) -> Result<PathBuf> {
        if let Some(known) = self.places.get(name).and_then(|at| self.journals.get(*at)) {
            return Ok(known.folder.clone());
        }
        if self.journals.len() >= MOST_JOURNALS {
            return Err(self.fails("the archive holds too many journals"));
        }
        let folder = made(self.into, self.journals.len())?;
        self.places.insert(name.to_vec(), self.journals.len());
        let shown = if name.is_empty() { ".".to_owned() } else { escape(name) };
        self.journals.push(Unpacked { name: shown, folder: folder.clone() });
        Ok(folder)
    }

    fn fails(&self, what: &str) -> Error {
        let hint = "give a tar of journals' folders, or of files that `audit export` wrote";
        Error::new(Kind::Usage, what, Some(self.path)).with_hint(hint)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
