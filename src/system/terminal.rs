//! The terminal a person sits at: whether there is one, how high it is, and one line typed at it.

#![forbid(unsafe_code)]

use super::signals::{Heard, HeldSignals};
use console::Term;
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::termios::{tcflush, FlushArg};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

/// A line longer than this answers no question; the kernel's own line is 4095 bytes.
const LONGEST: usize = 4096;

/// What came of waiting for a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TypedLine {
    /// It was typed, and ended with Enter.
    Typed(String),
    /// Ctrl-D, Ctrl-C, a closed terminal, or a signal that asks the program to end.
    Ended,
}

/// Whether a person can be asked: what is shown and what is typed are a terminal's.
#[must_use]
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Lines of the screen; 24 where it does not say.
#[must_use]
pub fn rows() -> usize {
    match Term::stderr().size().0 {
        0 => 24,
        rows => usize::from(rows),
    }
}

/// Columns of the screen; 80 where it does not say.
#[must_use]
pub fn columns() -> usize {
    match Term::stderr().size().1 {
        0 => 80,
        columns => usize::from(columns),
    }
}

/// Says something beside the question; a terminal that is closed hears nothing.
pub fn say(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Asks, and waits for one line, which the kernel edits. What was typed before the question could be read is
/// thrown away: it answers something else. Where the program was stopped and goes on, it asks again.
#[must_use]
pub fn ask(question: &str) -> TypedLine {
    let mut signals = HeldSignals::hold_but_stop();
    let stdin = io::stdin();
    let _ = tcflush(&stdin, FlushArg::TCIFLUSH);
    let line = loop {
        let mut err = io::stderr().lock();
        if write!(err, "{question}").and_then(|()| err.flush()).is_err() {
            break TypedLine::Ended;
        }
        drop(err);
        if let Some(line) = typed(&stdin, &mut signals) {
            break line;
        }
    };
    let line = unless_ended(line, signals);
    if line == TypedLine::Ended {
        // What follows begins on a line of its own.
        say("\n");
    }
    line
}

/// The line that was typed, unless a signal came after it.
fn unless_ended(line: TypedLine, mut signals: HeldSignals) -> TypedLine {
    if line == TypedLine::Ended || signals.arrived() {
        // A terminal that closes is read as such before its SIGHUP comes: that must not keep the program from
        // saying so.
        signals.hold_on();
        return TypedLine::Ended;
    }
    // Nothing has begun yet: one that comes just now may end the program.
    signals.let_go();
    line
}

/// The line; `None` where the program was stopped and goes on, and the question may be gone from the screen.
fn typed(stdin: &io::Stdin, signals: &mut HeldSignals) -> Option<TypedLine> {
    let mut bytes = Vec::new();
    loop {
        match wait(stdin, signals) {
            Some(Heard::End) => return Some(TypedLine::Ended),
            Some(_) => return None,
            None => {}
        }
        let mut some = [0; 256];
        match nix::unistd::read(stdin, &mut some) {
            Err(Errno::EINTR | Errno::EAGAIN) => continue,
            // A terminal that was closed reads as its end or as EIO.
            Ok(0) | Err(_) => return Some(TypedLine::Ended),
            Ok(count) => bytes.extend_from_slice(some.get(..count).unwrap_or_default()),
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            return Some(TypedLine::Typed(String::from_utf8_lossy(&bytes).into_owned()));
        }
        if bytes.len() > LONGEST {
            return Some(TypedLine::Ended);
        }
    }
}

/// Waits until something can be read, or a signal came; which one.
fn wait(stdin: &io::Stdin, signals: &mut HeldSignals) -> Option<Heard> {
    loop {
        let mut watched = vec![PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        watched.extend(signals.descriptor().map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN)));
        match poll(&mut watched, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(_) => return Some(Heard::End),
            Ok(_) => {}
        }
        let has = |index: usize| watched.get(index).and_then(PollFd::any).unwrap_or(false);
        match (has(1), has(0)) {
            (true, _) => {
                if let Some(heard) = signals.latest() {
                    return Some(heard);
                }
            }
            (false, true) => return None,
            (false, false) => return Some(Heard::End),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nix::sys::signal::{raise, SigSet, Signal};

    #[test]
    fn a_signal_that_comes_right_behind_the_typed_line_takes_it_back() {
        let line = || TypedLine::Typed("sys-net".to_owned());
        assert_eq!(unless_ended(line(), HeldSignals::hold_but_stop()), line());
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM));
        let signals = HeldSignals::hold_but_stop();
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(unless_ended(line(), signals), TypedLine::Ended);
    }
}
