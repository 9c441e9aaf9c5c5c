//! Where the root of the file system is taken to be, and bounded reads below it.

#![forbid(unsafe_code)]

use crate::error::Failure;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No attribute or table this program reads whole is larger; pci.ids is 1.5 MB.
const LARGEST: u64 = 8 << 20;

/// The root every path is put below: `/`, or the model given with `--sysroot`.
#[derive(Clone, Debug)]
pub struct Sysroot {
    prefix: Option<PathBuf>,
}

impl Sysroot {
    /// A root; `None` is the real one.
    #[must_use]
    pub fn new(prefix: Option<PathBuf>) -> Self {
        Self { prefix }
    }

    /// Whether this is a model, so that no call may reach the real Xen.
    #[must_use]
    pub fn is_model(&self) -> bool {
        self.prefix.is_some()
    }

    /// An absolute path, put below the root.
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        match &self.prefix {
            Some(prefix) => prefix.join(absolute.trim_start_matches('/')),
            None => PathBuf::from(absolute),
        }
    }
}

/// Reads a whole file of at most 8 MiB.
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads an attribute as text without its line end; what is no UTF-8 is replaced.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_bytes(path)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

/// Reads an attribute that may be absent: `None` where there is no such file.
pub fn read_optional(path: &Path) -> Result<Option<String>, Failure> {
    match read_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(Failure::unreadable(path, &error)),
    }
}

/// Names in a folder, sorted; none where the folder is absent.
pub fn names_in(path: &Path) -> Result<Vec<String>, Failure> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Failure::unreadable(path, &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::unreadable(path, &error))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Whether an error says that the file, or the device behind it, is not there.
#[must_use]
pub fn absent(error: &io::Error) -> bool {
    const ENODEV: i32 = 19;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ENODEV)
}
