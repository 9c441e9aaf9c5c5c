//! One operation at a time, and none beside a write that still hangs.

#![forbid(unsafe_code)]

use super::root::Sysroot;
use crate::error::{Exit, Failure};
use nix::fcntl::{fcntl, FcntlArg, FdFlag, Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// The lock of a changing operation. Children inherit it on purpose: a kernel
/// write that hangs keeps it, so that nobody starts another operation beside it.
pub struct OperationLock {
    _held: Flock<File>,
}

/// How long a second operation waits for the first.
const PATIENCE: Duration = Duration::from_secs(10);

impl OperationLock {
    /// Takes the lock, or says who is in the way.
    ///
    /// # Errors
    /// The lock file cannot be opened (exit 10 without the right), or another
    /// operation holds it (exit 1: nothing was changed).
    pub fn take(root: &Sysroot) -> Result<Self, Failure> {
        let path = root.path("/run/qubes-dom0-pci.lock");
        let open =
            || OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
        let mut file = open().map_err(|error| {
            let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            let exit = if denied { Exit::NotDom0 } else { Exit::Io };
            let code = if denied { "no-right" } else { "lock" };
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
                Err(_) => {
                    return Err(Failure::new(
                        Exit::Undone,
                        "busy",
                        format!("another operation holds {}; nothing was changed", path.display()),
                        "wait for it; if no qubes-dom0-pci runs, a kernel write hangs: reboot",
                    ))
                }
            }
        };
        fcntl(&*held, FcntlArg::F_SETFD(FdFlag::empty()))
            .map_err(|error| Failure::unreadable(&path, &std::io::Error::from(error)))?;
        Ok(Self { _held: held })
    }
}
