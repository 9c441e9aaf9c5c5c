//! The commands: each leads the facts through the stages, one file a command.

#![forbid(unsafe_code)]

mod assessed;
pub mod audit;
pub mod complete;
mod history;
pub mod hold;
pub mod list;
pub mod move_journal;
mod operation;
pub mod plan;
pub mod reattach;
pub mod record;
pub mod recover;
pub mod rollback;
mod script;
pub mod show;

use crate::cli::{FORMER_JOURNAL, JOURNAL};
use crate::error::{Code, Exit, Failure};
use crate::system::root::Sysroot;
use std::path::PathBuf;

/// What every command is given.
pub struct Context {
    /// The root of all paths.
    pub root: Sysroot,
    /// Where the journal is.
    pub journal: PathBuf,
    /// One JSON document instead of text.
    pub json: bool,
    /// Nothing but errors.
    pub quiet: bool,
}

impl Context {
    /// Whether nobody sits there to be asked, whatever the streams are.
    #[must_use]
    pub fn script(&self) -> bool {
        self.json || self.quiet
    }

    /// Whether the journal is where only root could have written it.
    ///
    /// # Errors
    /// Exit 11: somebody else could have moved it away, or put another in its place.
    pub fn journal_is_safe(&self) -> Result<(), Failure> {
        let doubt = self.root.doubt(&self.journal).map_err(|error| Failure::of_journal(&error))?;
        let Some(doubt) = doubt else { return Ok(()) };
        let message = format!("the journal {} is not safe where it is: {doubt}", self.journal.display());
        let hint = format!("look who changed it; then {}", doubt.remedy());
        Err(Failure::new(Exit::Io, Code::NotTrusted, message, hint))
    }

    /// The journal of an older version, where this program goes by another one.
    #[must_use]
    pub fn former_journal(&self) -> Option<PathBuf> {
        let former = self.root.path(FORMER_JOURNAL);
        let empty = || std::fs::read_dir(&former).is_ok_and(|mut entries| entries.next().is_none());
        let there = self.journal == self.root.path(JOURNAL) && former.symlink_metadata().is_ok() && !empty();
        there.then_some(former)
    }

    /// Whether this user may change anything.
    ///
    /// # Errors
    /// Exit 10 where not.
    pub fn must_be_root(&self) -> Result<(), Failure> {
        if self.root.is_model() || nix::unistd::geteuid().is_root() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::NotDom0,
            Code::NoRight,
            "only root can change who drives a device",
            "run it with sudo",
        ))
    }
}
