//! One operation at a time, and none beside a write that still hangs.

#![forbid(unsafe_code)]

use super::root::Sysroot;
use crate::error::{Code, Exit, Failure};
use crate::names::escape;
use nix::fcntl::{fcntl, FcntlArg, FdFlag, Flock, FlockArg};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Read;
use std::mem::ManuallyDrop;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::time::{Duration, Instant};

/// The lock of a changing operation. Children inherit it on purpose: a kernel
/// write that hangs keeps it, so that nobody starts another operation beside it.
///
/// Dropping it does not release it (nix would), for that
/// would release it for the child too: it goes when the last one who has the file
/// open ends.
pub struct OperationLock {
    held: ManuallyDrop<Flock<File>>,
}

const LOCK: &str = "/run/qubes-dom0-pci.lock";

/// How long a second operation waits for the first.
const PATIENCE: Duration = Duration::from_secs(10);

impl OperationLock {
    /// Takes the lock, or says who is in the way.
    ///
    /// # Errors
    /// The lock file cannot be opened (exit 10 without the right), or another
    /// operation holds it (exit 1: nothing was changed), or a kernel write whose
    /// operation is gone does (exit 6).
    pub fn take(root: &Sysroot, command: &str) -> Result<Self, Failure> {
        let path = root.path(LOCK);
        let open =
            || OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
        let mut file = open().map_err(|error| {
            let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            let exit = if denied { Exit::NotDom0 } else { Exit::Io };
            let code = if denied { Code::NoRight } else { Code::Lock };
            Failure::new(exit, code, format!("cannot open {}: {error}", path.display()), "run it as root")
        })?;
        let start = Instant::now();
        let held = loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(held) => break held,
                Err((back, _)) if start.elapsed() < PATIENCE => {
                    file = back;
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err((mut back, _)) => return Err(refusal(&mut back)),
            }
        };
        fcntl(&*held, FcntlArg::F_SETFD(FdFlag::empty()))
            .map_err(|error| Failure::unreadable(&path, &std::io::Error::from(error)))?;
        // Only words for the next one: that they cannot be written changes nothing.
        let words = format!("{} {} {command}\n", std::process::id(), started("self").unwrap_or_default());
        let _ = held.set_len(0).and_then(|()| held.write_all_at(words.as_bytes(), 0));
        Ok(Self { held: ManuallyDrop::new(held) })
    }

    /// Gives it back, while a person thinks: before a child that may hang has it.
    pub fn let_go(self) {
        unlock(ManuallyDrop::into_inner(self.held));
    }
}

/// A process that runs an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The number.
    pub process: u32,
    /// The command it took the lock for.
    pub command: String,
}

impl Holder {
    /// Who holds the operation's lock; `None` where nobody does that still runs, and where this user cannot
    /// see it.
    #[must_use]
    pub fn read(root: &Sysroot) -> Option<Self> {
        let file = File::open(root.path(LOCK)).ok()?;
        // Shared: others who look at the same time run no operation.
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(ours) => {
                unlock(ours);
                None
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => Words::read(&mut file).holder(),
            Err(_) => None,
        }
    }
}

/// What whoever took the lock wrote into it.
struct Words {
    process: Option<u32>,
    start: String,
    command: String,
}

impl Words {
    fn read(file: &mut File) -> Self {
        let mut bytes = Vec::new();
        let _ = file.take(256).read_to_end(&mut bytes);
        let words = String::from_utf8_lossy(&bytes).into_owned();
        let mut words = words.trim_end().splitn(3, ' ');
        let process = words.next().and_then(|pid| pid.parse::<u32>().ok());
        let mut word = || escape(words.next().unwrap_or_default().as_bytes());
        Self { process, start: word(), command: word() }
    }

    /// The process, where it still runs.
    fn holder(self) -> Option<Holder> {
        let process = self.process.filter(|_| !self.is_gone())?;
        Some(Holder { process, command: self.command })
    }

    fn is_gone(&self) -> bool {
        self.process.is_some_and(|pid| started(&pid.to_string()).as_deref() != Some(&self.start))
    }
}

/// A lock that cannot be given back panics when it is dropped: then the kernel takes it back at the end of
/// the process.
fn unlock(held: Flock<File>) {
    if let Err((back, _)) = held.unlock() {
        std::mem::forget(back);
    }
}

/// Who holds it: the operation itself, or the write it left behind.
fn refusal(file: &mut File) -> Failure {
    let words = Words::read(file);
    if words.is_gone() {
        return Failure::new(
            Exit::Hung,
            Code::Hung,
            "a kernel write of an operation that is gone has not returned yet",
            "wait for it; if it stays, reboot: a write that hangs cannot be taken back",
        )
        .untouched();
    }
    let who = words.process.map_or_else(String::new, |pid| format!(" ({}, process {pid})", words.command));
    Failure::new(Exit::Undone, Code::Busy, format!("another operation is running{who}"), "wait for it")
        .untouched()
}

/// When a process started, in the kernel's ticks since boot: a number used again
/// is another process. A dead one that nobody waited for counts as gone.
fn started(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; what follows it is fixed (proc(5)).
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    fields.nth(18).filter(|_| !matches!(state, "Z" | "X")).map(str::to_owned)
}

/// Says which run of the recorder hears, and has written down what it heard: time since its last record is
/// covered only while that run holds it. The kernel lets go of it when the recorder ends, however it ends.
pub struct RecorderMark {
    file: Option<File>,
    held: Option<Flock<File>>,
}

/// In a folder of its own, which the recorder's unit leaves writable while the rest of `/run` is not.
const RECORDER: &str = "/run/qubes-dom0-pci/recorder";

impl RecorderMark {
    /// Opens it, and does not hold it yet. Where that is not possible the recorder goes on; what it hears
    /// then counts only once it is written.
    #[must_use]
    pub fn open(root: &Sysroot) -> Self {
        let path = root.path(RECORDER);
        if let Some(folder) = path.parent() {
            // The unit has made it, or an earlier one.
            let _ = DirBuilder::new().mode(0o700).create(folder);
        }
        let mut open = OpenOptions::new();
        open.create(true).truncate(false).read(true).write(true).mode(0o600);
        Self { file: open.open(&path).ok(), held: None }
    }

    /// Holds it for a run. Another recorder may hold it: then that one is believed, and this one is not.
    pub fn hold(&mut self, run: &str) {
        // Who asks who holds it has it for a moment.
        for _ in 0..50 {
            let Some(file) = self.file.take() else { return };
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(held) => {
                    let named = held.set_len(0).and_then(|()| held.write_all_at(run.as_bytes(), 0));
                    self.held = Some(held);
                    if named.is_err() {
                        self.release();
                    }
                    return;
                }
                Err((file, _)) => self.file = Some(file),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets go of it: what is heard from now on may not be written down.
    pub fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        // Who holds it next is not taken for this run until it has said who it is.
        let _ = held.set_len(0);
        match held.unlock() {
            Ok(file) => self.file = Some(file),
            Err((back, _)) => std::mem::forget(back),
        }
    }

    /// Whether it is held by this process.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// The run that holds it.
    #[must_use]
    pub fn holder(root: &Sysroot) -> Option<String> {
        let file = File::open(root.path(RECORDER)).ok()?;
        // Shared: others who ask at the same time are no recorder.
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(ours) => {
                unlock(ours);
                None
            }
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut run = String::new();
                file.take(64).read_to_string(&mut run).ok()?;
                Some(run).filter(|run| !run.is_empty())
            }
            Err(_) => None,
        }
    }
}

impl Drop for RecorderMark {
    fn drop(&mut self) {
        self.release();
    }
}
