//! An operation is not torn by a signal: it is held back, and asked about between
//! two steps.

#![forbid(unsafe_code)]

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// What asks a program to end.
const ENDS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// What stops one until it is told to go on, sent by its terminal.
const STOPS: [Signal; 3] = [Signal::SIGTSTP, Signal::SIGTTOU, Signal::SIGTTIN];

/// What a signal asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Heard {
    /// The program was stopped, and goes on.
    Continued,
    /// It is to stop until it is told to go on.
    Stop,
    /// It is to end.
    End,
}

/// Signals that ask a program to end, held back while this lives; and to the program's end, where one has
/// come.
///
/// Who asks may ask twice (a person, `timeout` with its child's whole group): once heard, the first leads to
/// an orderly end, and the second must not cut that short.
pub struct HeldSignals {
    descriptor: Option<SignalFd>,
    mask: SigSet,
    heard: bool,
}

impl HeldSignals {
    /// Holds back the signals of a terminal, a logout and a shutdown. Of a terminal's stops too: Ctrl-Z, and
    /// that of a job in the background that writes (`stty tostop`) or reads there; held back, it may write.
    #[must_use]
    pub fn hold() -> Self {
        Self::these(&[&ENDS[..], &STOPS[..]].concat())
    }

    /// Holds signals while a person types a line: a stop (Ctrl-Z) stops, and that the program goes on is
    /// heard.
    #[must_use]
    pub fn hold_but_stop() -> Self {
        Self::these(&[&ENDS[..], &[Signal::SIGCONT]].concat())
    }

    /// Holds signals while single keys are read, when the terminal makes none of them: one that stops comes
    /// from elsewhere, and waits until the terminal is as it was.
    #[must_use]
    pub fn hold_at_keys() -> Self {
        Self::these(&[&ENDS[..], &[Signal::SIGTSTP, Signal::SIGCONT]].concat())
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

    /// Holds them back to the program's end, as if one had come.
    pub fn hold_on(&mut self) {
        self.heard = true;
    }

    /// Whether one has come at any time.
    pub fn came(&mut self) -> bool {
        self.arrived() || self.heard
    }

    /// Whether one that asks to end has come since the last time this was asked. A stop is swallowed: a
    /// half-done operation must not sleep.
    pub fn arrived(&mut self) -> bool {
        self.latest() == Some(Heard::End)
    }

    /// What has come since the last time this was asked; of several the gravest.
    pub fn latest(&mut self) -> Option<Heard> {
        let descriptor = self.descriptor.as_mut()?;
        let mut latest = None;
        while let Ok(Some(signal)) = descriptor.read_signal() {
            let is = |one: &Signal| signal.ssi_signo == *one as u32;
            let heard = match (STOPS.iter().any(is), is(&Signal::SIGCONT)) {
                (true, _) => Heard::Stop,
                (_, true) => Heard::Continued,
                _ => Heard::End,
            };
            latest = latest.max(Some(heard));
        }
        self.heard |= latest == Some(Heard::End);
        latest
    }

    /// Lets go of them without looking: one that came since the last look takes effect now, instead of being
    /// lost.
    pub fn let_go(mut self) {
        self.descriptor = None;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    /// The signals this thread holds back.
    fn held() -> SigSet {
        SigSet::thread_get_mask().unwrap()
    }

    #[test]
    fn a_stop_is_held_back_and_does_not_ask_to_end() {
        let mut signals = HeldSignals::hold();
        for stop in [Signal::SIGTSTP, Signal::SIGTTOU, Signal::SIGTTIN] {
            assert!(held().contains(stop), "{stop} would stop it");
            raise(stop).unwrap();
        }
        assert!(!signals.arrived() && !signals.came());
        drop(signals);
        assert!(!held().contains(Signal::SIGTTOU));
    }

    #[test]
    fn while_a_person_thinks_a_stop_stops() {
        let _signals = HeldSignals::hold_but_stop();
        assert!(held().contains(Signal::SIGTERM) && !held().contains(Signal::SIGTSTP));
    }

    #[test]
    fn what_asked_to_end_is_heard_and_held_back_from_then_on() {
        let mut signals = HeldSignals::hold();
        raise(Signal::SIGTERM).unwrap();
        assert!(signals.arrived() && !signals.arrived() && signals.came());
        drop(signals);
        assert!(held().contains(Signal::SIGTERM));
    }
}
