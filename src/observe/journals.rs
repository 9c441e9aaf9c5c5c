//! The journals that `--journal` names: a folder, a file that `audit export` wrote, a tar of several, or one
//! of these two on stdin.

use crate::error::{Code, Exit, Failure};
use crate::names::escape;
use crate::system::scratch::Scratch;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundJournal {
    /// What a tar calls it, escaped; `None` where it is the only one.
    pub name: Option<String>,
    /// The folder that holds it.
    pub folder: PathBuf,
}

/// Whether the path is not a folder, but a stream that has to be unpacked.
#[must_use]
pub fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-" || path.metadata().is_ok_and(|about| !about.is_dir())
}

/// A folder to unpack a stream into.
///
/// # Errors
/// There is no room for it.
pub fn room() -> Result<Scratch, Failure> {
    Scratch::new().map_err(|(path, error)| {
        let path = escape(path.as_os_str().as_encoded_bytes());
        let message = format!("cannot make a temporary folder in {path}: {error}");
        Failure::new(Exit::Io, Code::Journal, message, "set TMPDIR to a folder that you may write")
    })
}

/// Unpacks a stream.
///
/// # Errors
/// It cannot be read, it holds no journal, or there is no room for it.
pub fn unpacked(path: &Path, room: &Scratch) -> Result<Vec<FoundJournal>, Failure> {
    let mut input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| {
            let path = escape(path.as_os_str().as_encoded_bytes());
            let message = format!("cannot open {path}: {error}");
            Failure::new(Exit::Io, Code::Journal, message, "name a journal that you may read")
        })?)
    };
    let all = audit::unpack(&mut input, path, room.path()).map_err(|error| Failure::of_journal(&error))?;
    let several = all.len() > 1;
    let named = |one: audit::Unpacked| FoundJournal { name: several.then_some(one.name), folder: one.folder };
    Ok(all.into_iter().map(named).collect())
}
