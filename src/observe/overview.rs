//! What `status` says of this dom0 besides its devices: which system it is, the recorder, the journal.

use super::Dom0;
use crate::error::Failure;
use crate::journal::{Entry, Moment, RecorderPhase, RecorderRecord};
use crate::names::escape;
use crate::system::lock::RecorderMark;
use crate::system::root::{read_text, Sysroot};
use audit::{Against, Given, Kind, Record, Report};
use std::ops::ControlFlow;
use std::path::Path;

/// Which system this is.
pub struct System {
    /// The release of Qubes, as it calls itself; `None` on a Xen without Qubes.
    pub qubes: Option<String>,
    /// The version of Xen.
    pub xen: Option<String>,
}

impl System {
    /// Reads it.
    #[must_use]
    pub fn read(root: &Sysroot) -> Self {
        let line = |path: &str| {
            let text = read_text(&root.path(path)).ok()?;
            let line: String = escape(text.lines().next()?.trim().as_bytes()).chars().take(60).collect();
            Some(line).filter(|line| !line.is_empty())
        };
        let version = |part: &str| line(&format!("/sys/hypervisor/version/{part}"));
        let xen = version("major").zip(version("minor")).map(|(major, minor)| format!("{major}.{minor}"));
        Self { qubes: line("/etc/qubes-release"), xen }
    }
}

/// The recorder, as far as this user can see it.
pub struct RecorderState {
    /// Whether it runs; `None` where only root could tell.
    pub runs: Option<bool>,
    /// When the run began; of one that ended, when it was last heard of.
    pub since: Option<Moment>,
    /// What it hears.
    pub sources: Vec<String>,
    /// What it does not.
    pub missing: Vec<String>,
}

impl RecorderState {
    /// Reads it from the mark that a running recorder holds, and from the newest records of a recorder.
    #[must_use]
    pub fn read(root: &Sysroot, journal: &Path, dom0: &Dom0) -> Self {
        let holder = RecorderMark::holder(root);
        let mut newest: Option<(RecorderRecord, Option<Moment>)> = None;
        let mut began = None;
        let walked = audit::newest_first(journal, &mut |line| {
            let Some(record) = Record::parse(line) else { return ControlFlow::Continue(()) };
            let Some(Entry::Recorder(it)) = Entry::read(&record) else { return ControlFlow::Continue(()) };
            if holder.as_ref().is_some_and(|run| *run != it.run) {
                return ControlFlow::Continue(());
            }
            let time = record.text("time").and_then(Moment::parse);
            let start = it.phase == RecorderPhase::Start;
            if start {
                began = time;
            }
            newest.get_or_insert((it, time));
            if start || holder.is_none() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        let seen = dom0.by_root || holder.is_some() || walked.is_ok();
        let (record, time) = newest.unzip();
        let since = if holder.is_some() { began } else { time.flatten() };
        let (sources, missing) = record.map(|it| (it.sources, it.missing)).unwrap_or_default();
        Self { runs: seen.then_some(holder.is_some()), since, sources, missing }
    }
}

/// The journal, as far as this user can see it.
pub enum JournalState {
    /// There is none yet.
    Absent,
    /// It was verified from beginning to end.
    Verified(Box<Report>, Option<Given>),
    /// It could not be read.
    Unreadable(Failure),
}

impl JournalState {
    /// Verifies it.
    #[must_use]
    pub fn read(journal: &Path) -> Self {
        match audit::verify(journal, &Against::default(), &|_, _| ()) {
            Ok(report) => Self::Verified(Box::new(report), audit::last_given(journal).ok().flatten()),
            Err(error) if error.kind() == Kind::Absent => Self::Absent,
            Err(error) => Self::Unreadable(Failure::of_journal(&error)),
        }
    }
}
