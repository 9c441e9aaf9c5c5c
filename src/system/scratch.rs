//! A folder for what a command needs only while it runs.

#![forbid(unsafe_code)]

use std::fs::DirBuilder;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// So many names are tried.
const TRIES: usize = 16;

/// A folder that only this user can enter; it is removed when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one where temporary files belong (`TMPDIR`, else `/tmp`).
    ///
    /// # Errors
    /// The path, and why it cannot be made there.
    pub fn new() -> Result<Self, (PathBuf, io::Error)> {
        let parent = std::env::temp_dir();
        let fails = |error| (parent.clone(), error);
        let mut random = std::fs::File::open("/dev/urandom").map_err(fails)?;
        for _ in 0..TRIES {
            let mut bytes = [0; 8];
            random.read_exact(&mut bytes).map_err(fails)?;
            let path = parent.join(format!("qubes-dom0-pci-{:016x}", u64::from_ne_bytes(bytes)));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(fails(error)),
            }
        }
        Err(fails(io::Error::from(io::ErrorKind::AlreadyExists)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing else can be done about what is left there.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
