//! The kernel's log from now on: `/dev/kmsg`, read without leaving a trace.

#![forbid(unsafe_code)]

use super::root::Sysroot;
use crate::error::Failure;
use crate::names::escape;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// One record is at most this long (`CONSOLE_EXT_LOG_MAX` of the kernel).
const RECORD_MAX: usize = 8192;

/// A reader that stands at the end of the log of the moment it was opened.
pub struct KernelLog {
    file: File,
    path: PathBuf,
    lines: Vec<String>,
    marked: usize,
    overrun: bool,
}

impl KernelLog {
    /// Opens the log and goes to its end.
    ///
    /// # Errors
    /// The log cannot be opened: then no later step can be proved.
    pub fn from_now(root: &Sysroot) -> Result<Self, Failure> {
        let path = root.path("/dev/kmsg");
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path)
            .and_then(|mut file| file.seek(SeekFrom::End(0)).map(|_| file));
        match opened {
            Ok(file) => Ok(Self { file, path, lines: Vec::new(), marked: 0, overrun: false }),
            Err(error) => Err(Failure::unreadable(&path, &error)),
        }
    }

    /// Opens the log at its beginning: all that the kernel still has of this boot.
    ///
    /// # Errors
    /// As [`Self::from_now`].
    pub fn from_boot(root: &Sysroot) -> Result<Self, Failure> {
        let mut log = Self::from_now(root)?;
        log.file.rewind().map_err(|error| Failure::unreadable(&log.path, &error))?;
        Ok(log)
    }

    /// Remembers this moment for [`Self::read_marked`].
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn mark(&mut self) -> Result<(), Failure> {
        self.marked = self.read()?.0.len();
        self.overrun = false;
        Ok(())
    }

    /// The messages since the mark; as [`Self::read`] otherwise.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn read_marked(&mut self) -> Result<(&[String], bool), Failure> {
        self.read()?;
        Ok((self.lines.get(self.marked..).unwrap_or_default(), self.overrun))
    }

    /// All messages since it was opened, escaped, one a line; and whether the ring
    /// ran over, so that some are missing.
    ///
    /// # Errors
    /// A read fails for another reason than an empty log.
    pub fn read(&mut self) -> Result<(&[String], bool), Failure> {
        let mut record = vec![0; RECORD_MAX];
        loop {
            match self.file.read(&mut record) {
                Ok(0) => break,
                Ok(length) => {
                    for record in record.get(..length).unwrap_or_default().split(|&b| b == b'\n') {
                        // "priority,sequence,time,flags;message"; a line that
                        // starts with a space is a property of the one before.
                        if let Some(at) = record.iter().position(|&byte| byte == b';') {
                            if record.first() != Some(&b' ') {
                                self.lines.push(escape(record.get(at + 1..).unwrap_or_default()));
                            }
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.overrun = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::unreadable(&self.path, &error)),
            }
        }
        Ok((&self.lines, self.overrun))
    }
}
