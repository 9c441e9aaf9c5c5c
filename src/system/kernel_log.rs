//! The kernel's log from now on: `/dev/kmsg`, read without leaving a trace.

#![forbid(unsafe_code)]

use super::root::Sysroot;
use crate::error::Failure;
use crate::names::escape;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
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

    /// The kernel's own messages since it was opened, escaped, one a line; and whether the ring ran over, so
    /// that some are missing. What processes wrote there is left out.
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
                        if let Some((_, text)) = kernel_record(record) {
                            self.lines.push(escape(text));
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

/// What a writer may say in one message, in bytes: the kernel refuses longer ones (`PRINTKRB_RECORD_MAX` of
/// `kernel/printk/printk.c` is 1024, its own head included).
const NOTICE_MAX: usize = 900;

/// Facility `user`, severity `err` (`syslog(3)`): the kernel lets nobody else speak in its name.
const NOTICE_PRIORITY: u8 = 1 << 3 | 3;

/// Says something in the kernel's log: for what the journal could not take. One line, whatever the text
/// holds.
///
/// # Errors
/// The log takes no writes.
pub fn notice(root: &Sysroot, text: &str) -> io::Result<()> {
    // One write is one message.
    OpenOptions::new()
        .append(true)
        .custom_flags(OFlag::O_NONBLOCK.bits() | OFlag::O_NOCTTY.bits())
        .open(root.path("/dev/kmsg"))?
        .write_all(notice_line(text).as_bytes())
}

fn notice_line(text: &str) -> String {
    let mut line = format!("<{NOTICE_PRIORITY}>qubes-dom0-pci: {}", escape(text.as_bytes()));
    // What is escaped is ASCII: it can be cut anywhere.
    line.truncate(NOTICE_MAX);
    line.push('\n');
    line
}

/// What the kernel's log still holds of this boot.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SinceBoot {
    /// Whether that begins with the kernel's first message: nothing was overwritten.
    pub whole: bool,
    /// The kernel's own messages that were asked for, escaped; what processes wrote there is left out.
    pub lines: Vec<String>,
}

/// Reads it from its beginning, keeping the lines that are wanted.
///
/// # Errors
/// The log cannot be opened or read.
pub fn since_boot(root: &Sysroot, wanted: impl Fn(&str) -> bool) -> Result<SinceBoot, Failure> {
    let path = root.path("/dev/kmsg");
    let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path);
    let mut file = opened.map_err(|error| Failure::unreadable(&path, &error))?;
    let mut since_boot = SinceBoot::default();
    let (mut buffer, mut rest, mut first) = (vec![0; RECORD_MAX], Vec::new(), true);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => rest.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // What stood there was overwritten just now; the next read goes on behind it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => first = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::unreadable(&path, &error)),
        }
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let Some(record) = kernel_record(line.trim_ascii_end()) else { continue };
            since_boot.whole |= first && record.0 == 0;
            first = false;
            let text = escape(record.1);
            if wanted(&text) {
                since_boot.lines.push(text);
            }
        }
    }
    Ok(since_boot)
}

/// Number and text of a record of the kernel's own, from `priority,sequence,time,flags;text`; the priority's
/// facility is 0 for the kernel (`syslog(2)`). A line that starts with a space is a property of the record
/// before.
pub(super) fn kernel_record(line: &[u8]) -> Option<(u64, &[u8])> {
    let at = line.iter().position(|&byte| byte == b';')?;
    let (head, text) = (std::str::from_utf8(line.get(..at)?).ok()?, line.get(at + 1..)?);
    let mut words = head.split(',');
    let (priority, number) = (words.next()?.parse::<u32>().ok()?, words.next()?.parse().ok()?);
    (priority < 8).then_some((number, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_kernel_itself_is_believed() {
        assert_eq!(kernel_record(b"6,0,0,-;Linux version"), Some((0, &b"Linux version"[..])));
        assert_eq!(kernel_record(b"14,7,0,-;registering for 1"), None);
        assert_eq!(kernel_record(b" SUBSYSTEM=pci"), None);
    }

    #[test]
    fn a_notice_is_one_line_that_the_kernel_takes() {
        assert_eq!(notice_line("gone"), "<11>qubes-dom0-pci: gone\n");
        assert_eq!(notice_line("a\n<0>b"), "<11>qubes-dom0-pci: a\\x0a<0>b\n");
    }

    proptest! {
        #[test]
        fn no_notice_is_longer_than_the_kernel_takes_or_more_than_a_line(text in ".{0,2000}") {
            let line = notice_line(&text);
            prop_assert!(line.len() <= NOTICE_MAX + 1);
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        }
    }
}
