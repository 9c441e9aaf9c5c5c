//! How a command ends: its exit status, and the one error type of the program.

#![forbid(unsafe_code)]

mod codes;

pub use codes::Code;

use std::fmt;
use std::path::Path;

/// The exit statuses, the same for every command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed and undone: the device is as it was, or safer.
    Undone = 1,
    /// The command line is wrong, or there is no such device.
    Usage = 2,
    /// A hazard that nobody can accept; nothing changed.
    Refused = 3,
    /// Consent is missing or the reviewed plan no longer holds; nothing changed.
    Consent = 4,
    /// Failed and not undone; the message says where the device is left.
    NotUndone = 5,
    /// The kernel hung in a step.
    Hung = 6,
    /// The journal does not verify.
    JournalBroken = 7,
    /// An operation was interrupted and is not settled yet.
    Pending = 8,
    /// The journal verifies but ends in a torn tail.
    TornTail = 9,
    /// This is no Xen dom0, or a right or a service is missing.
    NotDom0 = 10,
    /// The journal, or something that had to be read, could not be read.
    Io = 11,
    /// A rollback brought back some of its functions; the answer lists each.
    Partly = 12,
}

impl Exit {
    /// The number the process ends with.
    #[must_use]
    pub fn status(self) -> u8 {
        self as u8
    }
}

/// Why a command could not do what was asked: for a person (message and hint) and
/// for a script (exit status and a stable word).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The status the process ends with.
    pub exit: Exit,
    /// What kind of error it is.
    pub code: Code,
    /// One sentence: what happened, with the path and the errno where there is one.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Nothing was changed, and the person who asked is told so.
    pub untouched: bool,
}

impl Failure {
    /// Builds a failure.
    pub fn new(exit: Exit, code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), hint: hint.into(), untouched: false }
    }

    /// The failure of a command that changed nothing.
    #[must_use]
    pub fn untouched(self) -> Self {
        Self { untouched: true, ..self }
    }

    /// Something that had to be read could not be.
    pub fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "run it as root",
            std::io::ErrorKind::NotFound => "the device may have gone meanwhile: run `list`",
            _ => "try again; if it stays, reboot",
        };
        Self::new(Exit::Io, Code::Unreadable, format!("cannot read {}: {error}", path.display()), hint)
    }

    /// What the journal says.
    pub fn of_journal(error: &audit::Error) -> Self {
        use audit::Kind;
        let (exit, code) = match error.kind() {
            Kind::Broken => (Exit::JournalBroken, Code::JournalBroken),
            Kind::Permission => (Exit::NotDom0, Code::NoRight),
            Kind::NotPrivate => (Exit::Io, Code::NotTrusted),
            Kind::Usage => (Exit::Usage, Code::Usage),
            Kind::Absent => (Exit::Io, Code::NoJournal),
            Kind::Busy => (Exit::Io, Code::JournalBusy),
            Kind::Full => (Exit::Io, Code::JournalFull),
            Kind::Io => (Exit::Io, Code::Journal),
        };
        Self::new(exit, code, error.to_string(), error.hint())
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, Code::Usage, message, hint)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.untouched {
            f.write_str("; nothing was changed")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
