//! The commands: each leads the facts through the stages, one file a command.

#![forbid(unsafe_code)]

pub mod audit;
pub mod complete;
pub mod hold;
pub mod list;
pub mod move_journal;
pub mod next_boot;
pub mod plan;
pub mod policy;
pub mod reattach;
pub mod record;
pub mod recover;
pub mod rollback;
pub mod show;
pub mod status;

use crate::assess::Case;
use crate::cli::{FORMER_JOURNAL, JOURNAL};
use crate::consent::Invocation;
use crate::error::{Code, Exit, Failure};
use crate::journal::is_safe;
use crate::names::{DriverName, Sbdf};
use crate::observe::{past_of, Dom0, Sources};
use crate::plan::next_boot::commands_to_return;
use crate::report::{note, Steps};
use crate::run::{self, Ended, Progress, Task, Unsettled, Watch};
use crate::system::root::Sysroot;
use crate::system::signals::HeldSignals;
use std::path::PathBuf;
use std::rc::Rc;

/// What every command is given.
pub struct Context {
    /// The root of all paths.
    pub root: Sysroot,
    /// Where the journal is.
    pub journal: PathBuf,
    /// What people call it, where that is another path.
    pub shown_journal: Option<String>,
    /// One JSON document instead of text.
    pub json: bool,
    /// Nothing but errors.
    pub quiet: bool,
}

/// For more functions nobody is told what to run before a reboot.
const FEW: usize = 16;

/// Adds what to run so that the next boot returns the functions: one edit for all of them, told once, with
/// the last. Edits for each alone would undo one another.
fn advise(dom0: &Dom0, cases: &mut [Case], together: &[Sbdf]) {
    let mut held: Vec<&mut Case> = cases
        .iter_mut()
        .filter(|case| !case.reboot.obstacles.is_empty() && together.contains(&case.sbdf()))
        .collect();
    let mut asked = together.to_vec();
    if commands_to_return(&dom0.boot, &asked).is_err() {
        // One that no edit returns is left out, and said to be.
        for case in &mut held {
            let sbdf = case.sbdf();
            if let Err(refusal) = commands_to_return(&dom0.boot, &[sbdf]) {
                case.reboot.obstacles.push(format!("no edit can be proposed: {}", refusal.why));
                asked.retain(|other| *other != sbdf);
            }
        }
    }
    held.retain(|case| asked.contains(&case.sbdf()));
    match commands_to_return(&dom0.boot, &asked) {
        Ok(commands) => {
            if let Some(last) = held.last_mut() {
                last.reboot.commands = commands;
            }
        }
        Err(refusal) => {
            for case in held {
                let why = &refusal.why;
                case.reboot.obstacles.push(format!("no one edit for all can be proposed: {why}"));
            }
        }
    }
}

/// What speaks against going on with a function of several, asked just before its turn.
type TurnCheck<'a> = &'a mut dyn FnMut(&mut Sources, Sbdf) -> Option<String>;

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
        is_safe(&self.root, &self.journal)
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

    /// Opens what a changing command cannot do without: Xen, xenstore, and a journal that only root could
    /// have written.
    ///
    /// # Errors
    /// Exit 10; 11 for the journal.
    pub fn open_all(&self) -> Result<Sources, Failure> {
        let sources = Sources::open_all(&self.root)?;
        self.journal_is_safe()?;
        Ok(sources)
    }

    /// The functions that were named, each once.
    ///
    /// # Errors
    /// Exit 2: one is not an address, or there is no such function.
    pub fn find(&self, named: &[String]) -> Result<Vec<Sbdf>, Failure> {
        let mut all = Vec::new();
        for text in named {
            let sbdf = Sources::find(&self.root, text)?;
            if !all.contains(&sbdf) {
                all.push(sbdf);
            }
        }
        Ok(all)
    }

    /// How a command was called, as far as a plan depends on it.
    #[must_use]
    pub fn called(&self, command: &'static str, devices: &[Sbdf], driver: Option<&String>) -> Invocation {
        let elsewhere = self.journal != self.root.path(JOURNAL);
        let journal = elsewhere.then(|| self.journal.to_string_lossy().into_owned());
        Invocation { command, devices: devices.to_vec(), driver: driver.cloned(), journal }
    }

    /// The return of each of these functions, judged by the same facts. They go together where `together`
    /// says so.
    ///
    /// # Errors
    /// One is not there.
    pub fn returns(
        &self,
        sources: &mut Sources,
        dom0: &Rc<Dom0>,
        wanted: &[(Sbdf, Option<DriverName>)],
        together: &[Sbdf],
    ) -> Result<Vec<Case>, Failure> {
        let bdfs: Vec<Sbdf> = wanted.iter().map(|(sbdf, _)| *sbdf).collect();
        let past = Rc::new(past_of(sources, &self.journal, dom0, &bdfs));
        let subjects = sources.subjects(dom0, &bdfs)?;
        let named = wanted.iter().map(|(_, named)| named.as_ref());
        let all = subjects.into_iter().zip(named);
        let mut cases: Vec<Case> =
            all.map(|(subject, named)| Case::of_return(dom0, &past, subject, named, together)).collect();
        if cases.len() <= FEW {
            advise(dom0, &mut cases, if together.is_empty() { &bdfs } else { together });
        }
        Ok(cases)
    }

    /// The operation that is not settled, if there is one.
    #[must_use]
    pub fn unsettled(&self, dom0: &Dom0) -> Unsettled {
        Unsettled::read(&self.root, &self.journal, &dom0.boot_id)
    }

    /// Carries out the tasks as one operation, and tells the steps as they end.
    pub fn carry_out(
        &self,
        sources: &mut Sources,
        tasks: Vec<Task<'_>>,
        signals: &mut HeldSignals,
        against: TurnCheck<'_>,
    ) -> Vec<(Sbdf, Ended)> {
        let json = self.json;
        let mut turn = |sbdf: Sbdf| {
            if !json {
                note(&sbdf.to_string());
            }
        };
        let mut steps = Steps::new(json);
        let mut step = |progress: &Progress<'_>| steps.tell(progress);
        run::carry_out(sources, tasks, signals, &mut Watch { turn: &mut turn, step: &mut step, against })
    }
}
