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

use crate::assess::{naming, Case};
use crate::cli::{FORMER_JOURNAL, JOURNAL};
use crate::consent::{can_ask, offer, Invocation, Offered};
use crate::error::{Code, Exit, Failure};
use crate::journal::is_safe;
use crate::names::{escape, DriverName, Sbdf};
use crate::observe::{is_address, past_of, Dom0, Sources};
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

/// What a command does with the device that is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// It only looks.
    Look,
    /// It gives the device to dom0.
    Return,
    /// It takes the device from dom0.
    Hold,
}

/// The one that fits.
fn only(name: &str, fits: &[String]) -> Result<String, Failure> {
    match fits {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(
            Exit::Usage,
            Code::NoSuchDevice,
            format!("no device is {}", escape(name.as_bytes())),
            "`qubes-dom0-pci list --all` shows every device",
        )),
        several => Err(Failure::usage(
            format!("{} fits {} devices: {}", escape(name.as_bytes()), several.len(), several.join(", ")),
            "name one of them by its address",
        )),
    }
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

    /// The functions that were named, each once: by an address, `VENDOR:DEVICE`, a qube's name, or words of
    /// the description, in this order. Where none is named, a person is offered those that fit the purpose.
    ///
    /// # Errors
    /// Exit 2: nothing fits, or more than one device does. Exit 4: none of those offered was taken.
    pub fn wanted(&self, named: &[String], purpose: Purpose) -> Result<Vec<Sbdf>, Failure> {
        if named.is_empty() {
            return self.offered(purpose).map(|sbdf| vec![sbdf]);
        }
        self.find(named, purpose)
    }

    /// As [`Self::wanted`], where naming none means none.
    ///
    /// # Errors
    /// Exit 2: nothing fits, or more than one device does.
    pub fn find(&self, named: &[String], purpose: Purpose) -> Result<Vec<Sbdf>, Failure> {
        let mut all = Vec::new();
        for text in named {
            let sbdf = self.find_one(text, purpose)?;
            if !all.contains(&sbdf) {
                all.push(sbdf);
            }
        }
        Ok(all)
    }

    /// The function that was named.
    ///
    /// # Errors
    /// Exit 2: nothing fits, or more than one device does.
    pub fn find_one(&self, text: &str, purpose: Purpose) -> Result<Sbdf, Failure> {
        let unknown = match Sources::find(&self.root, text) {
            Err(failure) if !is_address(text) => failure,
            found => return found,
        };
        if let Some((vendor, device)) = naming::kind(text) {
            let found = Sources::of_kind(&self.root, vendor, device)?;
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            let sbdf = only(text, &found)?;
            return Sources::find(&self.root, &sbdf);
        }
        // Who a script means must not depend on what this machine has besides.
        if purpose != Purpose::Look && !can_ask(self.script()) {
            return Err(unknown);
        }
        let Ok(cases) = self.everything() else { return Err(unknown) };
        let fits = naming::fitting(&cases, text);
        if fits.is_empty() {
            return Err(unknown);
        }
        let shown: Vec<String> = fits.iter().map(|case| case.sbdf().to_string()).collect();
        only(text, &shown)?;
        let case = fits.first().ok_or(unknown)?;
        if purpose != Purpose::Look {
            note(&format!("{} is {}  {}", escape(text.as_bytes()), case.sbdf(), case.subject.description));
        }
        Ok(case.sbdf())
    }

    /// The device that a person takes of those that a command is for.
    fn offered(&self, purpose: Purpose) -> Result<Sbdf, Failure> {
        let missing = || {
            let hint =
                "name it by its address, by VENDOR:DEVICE, or, on a terminal, by a qube or its description";
            Failure::usage("no device is named", hint)
        };
        if !can_ask(self.script()) {
            return Err(missing());
        }
        let cases = self.everything()?;
        let fits = |case: &&Case| match purpose {
            Purpose::Hold => case.state.is_fine(),
            Purpose::Look | Purpose::Return => !case.state.is_fine() && !case.was_never_taken(),
        };
        let fitting: Vec<&Case> = cases.iter().filter(fits).collect();
        let items: Vec<String> =
            fitting.iter().map(|case| format!("{}  {}", case.sbdf(), case.subject.description)).collect();
        match offer("Which device? Choose with the arrow keys and Enter; Esc takes none.", &items, false) {
            Offered::Item(at) => fitting.get(at).map(|case| case.sbdf()).ok_or_else(missing),
            Offered::NoTerminal => Err(missing()),
            Offered::Nothing => Err(Failure::new(
                Exit::Consent,
                Code::ConsentMissing,
                "no device was chosen",
                "`list` shows every device that is away from dom0",
            )
            .untouched()),
        }
    }

    /// Every function, judged.
    fn everything(&self) -> Result<Vec<Case>, Failure> {
        let mut sources = Sources::open(&self.root)?;
        let dom0 = Rc::new(sources.observe()?);
        let wanted: Vec<_> = dom0.functions.keys().map(|sbdf| (*sbdf, None)).collect();
        self.returns(&mut sources, &dom0, &wanted, &[])
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
