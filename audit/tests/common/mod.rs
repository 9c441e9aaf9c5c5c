//! What the tests of the journal share.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A folder of its own, removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        Self::under(&std::env::temp_dir())
    }

    /// In memory where there is such a place: for tests that write very often and sync nothing real.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Self::under(memory)
        } else {
            Self::new()
        }
    }

    pub fn under(base: &Path) -> Self {
        let name = format!("journal-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = base.join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a test keeps its journal.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The lines of one segment, without line feeds.
pub fn lines(folder: &Path, first: u64) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(format!("{first:012}.jsonl"))).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The kinds of the records of one segment.
pub fn kinds(folder: &Path, first: u64) -> Vec<String> {
    lines(folder, first)
        .iter()
        .map(|line| audit::Record::parse(line.as_bytes()).unwrap().kind().to_owned())
        .collect()
}
