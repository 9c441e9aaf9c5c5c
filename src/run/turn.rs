//! The turn of a command that changes something: the lock, and that no operation is pending.

use super::operation::new_operation_id;
use super::pending::pending;
use super::writer::Writer;
use crate::error::{Code, Exit, Failure};
use crate::observe::{boot_id, Sources};
use crate::system::lock::OperationLock;
use crate::system::root::Sysroot;
use std::path::Path;

/// One command's turn; others wait until it ends.
pub struct Turn<'a> {
    root: &'a Sysroot,
    journal: &'a Path,
    command: &'static str,
    /// `None` while a person thinks.
    lock: Option<OperationLock>,
}

impl<'a> Turn<'a> {
    /// Takes the turn.
    ///
    /// # Errors
    /// Another operation runs, or a write of one that is gone still hangs.
    pub fn take(root: &'a Sysroot, journal: &'a Path, command: &'static str) -> Result<Self, Failure> {
        let lock = Some(OperationLock::take(root, command)?);
        Ok(Self { root, journal, command, lock })
    }

    /// Whether an operation could begin: the journal takes records, and none is pending.
    ///
    /// # Errors
    /// Exit 7, 10, 11: the journal cannot be written. Exit 8: an operation is pending.
    pub fn is_free(&self, sources: &Sources) -> Result<(), Failure> {
        // A journal that cannot be written refuses before anything is asked.
        drop(Writer::open(self.journal, &boot_id(self.root)?, new_operation_id(sources)?)?);
        nothing_pending(self.journal)
    }

    /// Gives the turn back: a person thinks as long as they like, and others need not wait.
    pub fn give_back(&mut self) {
        if let Some(lock) = self.lock.take() {
            lock.let_go();
        }
    }

    /// Takes the turn again where it was given back, and says whether it was: then what was
    /// shown has to be looked at again.
    ///
    /// # Errors
    /// It is another's turn now, or an operation is pending.
    pub fn take_again(&mut self) -> Result<bool, Failure> {
        if self.lock.is_some() {
            return Ok(false);
        }
        self.lock = Some(OperationLock::take(self.root, self.command)?);
        nothing_pending(self.journal)?;
        Ok(true)
    }
}

/// Whether a changing command could write its records; nothing is written for it. Without
/// root it would not come that far.
///
/// # Errors
/// Exit 11: the journal is not root's alone, or is on a read-only file system.
pub fn takes_records(journal: &Path) -> Result<(), Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    audit::appendable(journal).map_err(|error| Failure::of_journal(&error))
}

/// Refuses beside an operation that was interrupted and is not settled yet.
///
/// # Errors
/// Exit 8; or the journal cannot be read.
pub fn nothing_pending(journal: &Path) -> Result<(), Failure> {
    let Some(found) = pending(journal)? else { return Ok(()) };
    Err(Failure::new(
        Exit::Pending,
        Code::Pending,
        format!("{} was interrupted and is not settled", found.words()),
        "run `qubes-dom0-pci recover`",
    )
    .untouched())
}
