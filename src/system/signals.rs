//! An operation is not torn by a signal: it is held back, and asked about between
//! two steps.

#![forbid(unsafe_code)]

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Signals that ask a program to end, held back while this lives; and to the program's end, where one has come.
///
/// Who asks may ask twice (a person, `timeout` with its child's whole group): once heard, the first leads to an orderly end, and
/// the second must not cut that short.
pub struct HeldSignals {
    descriptor: Option<SignalFd>,
    mask: SigSet,
    heard: bool,
}

impl HeldSignals {
    /// Holds back the signals of a terminal, a logout and a shutdown.
    #[must_use]
    pub fn hold() -> Self {
        Self::these(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP])
    }

    /// The same while a person thinks: a stop (Ctrl-Z) stops.
    #[must_use]
    pub fn hold_but_stop() -> Self {
        Self::these(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT])
    }

    /// Readable when one has come; `None` where none can be heard.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    fn these(signals: &[Signal]) -> Self {
        let mut mask = SigSet::empty();
        for &signal in signals {
            mask.add(signal);
        }
        let blocked = mask.thread_block().is_ok();
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let descriptor = if blocked { SignalFd::with_flags(&mask, flags).ok() } else { None };
        Self { descriptor, mask, heard: false }
    }

    /// Whether one has come at any time.
    pub fn came(&mut self) -> bool {
        self.arrived() || self.heard
    }

    /// Whether one has come since the last time this was asked.
    pub fn arrived(&mut self) -> bool {
        let Some(descriptor) = &mut self.descriptor else { return false };
        let mut asked_to_end = false;
        while let Ok(Some(signal)) = descriptor.read_signal() {
            // A stop (Ctrl-Z) is swallowed: a half-done operation must not sleep.
            asked_to_end |= signal.ssi_signo != Signal::SIGTSTP as u32;
        }
        self.heard |= asked_to_end;
        asked_to_end
    }
}

impl HeldSignals {
    /// What can be read once one has come, to wait for it.
    #[must_use]
    pub fn source(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // What came meanwhile was heard: it must not end the program before it has
        // said how the operation ended.
        self.arrived();
        if !self.heard {
            let _ = self.mask.thread_unblock();
        }
    }
}
