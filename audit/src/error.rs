//! What can go wrong with a journal, and what to do about it.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// The class of an [`Error`]: what a caller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Records that were committed are gone or altered: nothing is written until `audit repair`.
    Broken,
    /// Another process held the journal for longer than the wait.
    Busy,
    /// No space for the reservation that carries an operation to its end.
    Full,
    /// An input or output error; after one from a sync this writer writes no more.
    Io,
    /// A right is missing.
    Permission,
    /// The folder or a file in it is not the owner's alone.
    NotPrivate,
    /// There is no journal in this folder.
    Absent,
    /// What was asked for makes no sense.
    Usage,
}

/// A failure: what was being done, to which file, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    what: String,
    path: Option<PathBuf>,
    errno: Option<i32>,
    hint: Option<String>,
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure that no system call reported.
    pub(crate) fn new(kind: Kind, what: impl Into<String>, path: Option<&Path>) -> Self {
        Self { kind, what: what.into(), path: path.map(Path::to_path_buf), errno: None, hint: None }
    }

    /// A failed system call; the kind follows from its errno.
    pub(crate) fn os(what: &str, path: &Path, errno: Errno) -> Self {
        let kind = match errno {
            Errno::ENOSPC | Errno::EDQUOT => Kind::Full,
            Errno::EACCES | Errno::EPERM => Kind::Permission,
            _ => Kind::Io,
        };
        let hint = match errno {
            Errno::EROFS => {
                Some("see in the kernel log why the file system is read-only, and mount it for writing again")
            }
            Errno::ENOTDIR => Some("name the journal's folder, no file"),
            _ => None,
        };
        Self {
            kind,
            what: what.to_owned(),
            path: Some(path.to_path_buf()),
            errno: Some(errno as i32),
            hint: hint.map(str::to_owned),
        }
    }

    /// As [`Error::os`], from what std gives.
    pub(crate) fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Self::os(what, path, Errno::from_raw(number)),
            None => Self::new(Kind::Io, format!("{what}: {error}"), Some(path)),
        }
    }

    /// The failure, as one of another kind.
    pub(crate) fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The failure, with a hint of its own.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The file or folder it happened to, where there is one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The errno of the system call, where one failed.
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// What to do about it: one sentence for the person who reads the message.
    pub fn hint(&self) -> &str {
        if let Some(hint) = &self.hint {
            return hint;
        }
        match self.kind {
            Kind::Broken => {
                "run `audit verify` to see where; keep a copy of the folder, \
                 then `audit repair` records the gap"
            }
            Kind::Busy => "another process is writing; try again when it has finished",
            Kind::Full => "free space on the file system that holds the journal",
            Kind::Io => {
                "look at the kernel log for errors of the disk; the journal can be verified again after that"
            }
            Kind::Permission => "run as root",
            Kind::NotPrivate => {
                "look who changed it; then leave the folder to its owner alone \
                 (root, 0700, files 0600, one name each)"
            }
            Kind::Absent => "name the folder with --journal; the first record creates a journal there",
            Kind::Usage => "see the manual page",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(path) = &self.path {
            write!(f, ": {}", crate::record::escape(path.as_os_str().as_encoded_bytes()))?;
        }
        if let Some(number) = self.errno {
            let errno = Errno::from_raw(number);
            write!(f, ": {} ({errno:?})", errno.desc())?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_what_failed_the_path_and_the_errno() {
        let error = Error::os("cannot sync", Path::new("/j/0\n.jsonl"), Errno::EIO);
        assert_eq!(error.to_string(), "cannot sync: /j/0\\x0a.jsonl: I/O error (EIO)");
        assert_eq!(error.kind(), Kind::Io);
        assert_eq!(error.errno(), Some(5));
        assert!(!error.hint().is_empty());
    }

    #[test]
    fn what_a_right_does_not_mend_is_no_missing_right() {
        let read_only = Error::os("x", Path::new("/"), Errno::EROFS);
        assert_eq!(read_only.kind(), Kind::Io);
        assert!(read_only.hint().contains("mount"), "{}", read_only.hint());
        let file = Error::os("x", Path::new("/"), Errno::ENOTDIR);
        assert_eq!((file.kind(), file.hint()), (Kind::Io, "name the journal's folder, no file"));
    }

    #[test]
    fn a_full_disk_is_a_kind_of_its_own() {
        assert_eq!(Error::os("x", Path::new("/"), Errno::ENOSPC).kind(), Kind::Full);
    }
}
