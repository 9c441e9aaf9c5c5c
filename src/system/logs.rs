//! Older logs, as they lie or as `journalctl` gives them. Nothing is written, rotated or vacuumed.

#![forbid(unsafe_code)]

use super::root::Sysroot;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The program that reads journald's files.
const JOURNALCTL: &str = "/usr/bin/journalctl";

/// The files of a folder whose names end so, in the order of their names.
///
/// # Errors
/// The folder cannot be read.
pub fn files(folder: &Path, ending: &str) -> io::Result<Vec<(OsString, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().ends_with(ending.as_bytes()) && entry.file_type()?.is_file() {
            files.push((name, entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

/// A log to read; only a regular file, a pipe that somebody named, or standard input for `-`.
///
/// # Errors
/// It cannot be opened.
pub fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(path)?))
}

/// What journald kept of the kernel and of qubesd, in all boots, as JSON lines. The program runs by its
/// absolute path and without this process's environment.
pub struct Journalctl {
    child: Child,
    out: ChildStdout,
}

impl Journalctl {
    /// Starts it; `None` where there is no such program.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(root: &Sysroot) -> io::Result<Option<Self>> {
        let program = root.path(JOURNALCTL);
        if !program.exists() {
            return Ok(None);
        }
        let mut child = Command::new(program)
            .args(["--no-pager", "--quiet", "--output=json"])
            .arg("--output-fields=MESSAGE,_TRANSPORT,SYSLOG_IDENTIFIER,_UID,_BOOT_ID")
            .args(["_TRANSPORT=kernel", "+", "SYSLOG_IDENTIFIER=qubesd"])
            .env_clear()
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        match child.stdout.take() {
            Some(out) => Ok(Some(Self { child, out })),
            None => Ok(None),
        }
    }

    /// Waits for its end; whether that was a good one.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn finish(mut self) -> io::Result<bool> {
        drop(self.out);
        Ok(self.child.wait()?.success())
    }
}

impl Read for Journalctl {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.out.read(buffer)
    }
}
