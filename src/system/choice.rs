//! One choice among a few at the terminal: dialoguer's `Select` behind a guard.
//!
//! `Select` alone dies of a signal with the terminal raw and the cursor hidden, takes what was typed before
//! the question, and opens `/dev/tty` where its input is a pipe. Here it draws through a writer that waits
//! for a key or a signal whenever a picture is complete, before `Select` reads: a signal ends the drawing as
//! an error, and the terminal is put back as it was.

#![forbid(unsafe_code)]

use super::signals::{Heard, HeldSignals};
use super::terminal;
use console::{style, Term};
use dialoguer::theme::Theme;
use dialoguer::Select;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{raise, Signal};
use nix::sys::termios::{cfmakeraw, tcflush, tcgetattr, tcsetattr, FlushArg, SetArg, Termios};
use std::fmt;
use std::io::{self, Stderr, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// Lines of the screen that no picture may have: `Select` needs two, and one shows what stands above.
const SPARE: usize = 3;
/// Lines and columns below which nobody can be asked.
const SMALLEST: (usize, usize) = (8, 20);

/// What came of a choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// One of them, by its place.
    Item(usize),
    /// None: Esc, q, Ctrl-C, a signal that asks the program to end, or a closed terminal.
    Left,
}

/// Whether the terminal can show a choice: it is there, it can move its cursor, and it is not tiny.
#[must_use]
pub fn can_choose() -> bool {
    let draws = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    terminal::is_there() && draws && terminal::rows() >= SMALLEST.0 && terminal::columns() >= SMALLEST.1
}

/// Shows `heading` and the items, and waits for a choice. What was typed before is thrown away. More items
/// than the screen has room for are shown page by page.
#[must_use]
pub fn choose(heading: &str, items: &[String], preselected: usize) -> Choice {
    let mut signals = HeldSignals::hold_at_keys();
    let Ok(keys) = Keys::take() else { return Choice::Left };
    let choice = pages(heading, items, preselected, &mut signals, &keys);
    drop(keys);
    if choice == Choice::Left || signals.arrived() {
        // A terminal that closes is read as such before its SIGHUP comes: that must not keep the program from
        // saying so.
        signals.hold_on();
        return Choice::Left;
    }
    // Nothing has begun yet: one that comes just now may end the program.
    signals.let_go();
    choice
}

fn pages(
    heading: &str,
    items: &[String],
    preselected: usize,
    signals: &mut HeldSignals,
    keys: &Keys,
) -> Choice {
    let room = terminal::rows().saturating_sub(SPARE).max(2);
    let on_a_page = if items.len() <= room { items.len().max(1) } else { room - 1 };
    let mut at = (preselected / on_a_page) * on_a_page;
    loop {
        let mut page: Vec<String> = items.iter().skip(at).take(on_a_page).map(|item| cut(item)).collect();
        let of_page = page.len();
        if items.len() > of_page {
            page.push(cut(&format!("more ({} to {} of {})", at + 1, at + of_page, items.len())));
        }
        let first = preselected.checked_sub(at).filter(|place| *place < of_page).unwrap_or(0);
        match round(heading, &page, first, signals) {
            Round::Chosen(place) if place == of_page => {
                at = if at + of_page < items.len() { at + of_page } else { 0 };
            }
            Round::Chosen(place) => return Choice::Item(at + place),
            Round::Left => return Choice::Left,
            Round::Again { stop } => {
                keys.come_back(stop);
                if signals.arrived() {
                    return Choice::Left;
                }
            }
        }
    }
}

/// How one drawing of the choice ended.
enum Round {
    Chosen(usize),
    Left,
    /// The program was stopped, or is to be, and goes on later: what stood on the screen may be gone.
    Again {
        stop: bool,
    },
}

fn round(heading: &str, page: &[String], first: usize, signals: &mut HeldSignals) -> Round {
    let Some(Ok(of_signals)) = signals.descriptor().map(|descriptor| descriptor.try_clone_to_owned()) else {
        return Round::Left;
    };
    let mut err = io::stderr();
    if err.write_all(heading.as_bytes()).and_then(|()| err.flush()).is_err() {
        return Round::Left;
    }
    let screen = ChoiceScreen { err, lines: page.len(), left: page.len(), signals: of_signals };
    let term = Term::read_write_pair(io::stdin(), screen);
    let select = Select::with_theme(&Plain).items(page).default(first).report(false);
    match select.interact_on_opt(&term) {
        Ok(Some(place)) => Round::Chosen(place),
        Ok(None) => Round::Left,
        Err(dialoguer::Error::IO(error)) if error.get_ref().is_some_and(|inner| inner.is::<Woken>()) => {
            match signals.latest() {
                Some(Heard::Stop) => Round::Again { stop: true },
                Some(Heard::Continued) => Round::Again { stop: false },
                Some(Heard::End) | None => Round::Left,
            }
        }
        Err(_) => Round::Left,
    }
}

/// An item in one line of the screen, so that the picture is as high as it has items.
fn cut(item: &str) -> String {
    let room = terminal::columns().saturating_sub(4);
    let line: String = item.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    // Select counts bytes: none of its lines may have more than the screen has columns.
    if line.len() <= room {
        return line;
    }
    let mut kept = String::new();
    for letter in line.chars() {
        if kept.len() + letter.len_utf8() + 3 > room {
            break;
        }
        kept.push(letter);
    }
    kept + "..."
}

/// The terminal's keys, as they are pressed; while this lives the terminal neither shows them nor makes
/// signals of them.
struct Keys {
    before: Termios,
}

impl Keys {
    fn take() -> nix::Result<Self> {
        let keys = Self { before: tcgetattr(io::stdin())? };
        keys.set()?;
        Ok(keys)
    }

    fn set(&self) -> nix::Result<()> {
        let mut raw = self.before.clone();
        cfmakeraw(&mut raw);
        raw.output_flags = self.before.output_flags;
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        tcflush(io::stdin(), FlushArg::TCIFLUSH)
    }

    fn give_back(&self) {
        // What was pasted behind the choice is not for the shell.
        let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
        let mut err = io::stderr();
        let _ = err.write_all(b"\x1b[?25h").and_then(|()| err.flush());
    }

    /// Stops where that is asked, and takes the keys again: the shell had the terminal in between.
    fn come_back(&self, stop: bool) {
        if stop {
            self.give_back();
            let _ = raise(Signal::SIGSTOP);
        }
        let _ = self.set();
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The items as they are, the chosen one marked.
struct Plain;

impl Theme for Plain {
    fn format_select_prompt_item(&self, f: &mut dyn fmt::Write, text: &str, active: bool) -> fmt::Result {
        if active {
            write!(f, "{} {}", style(">").for_stderr().bold(), style(text).for_stderr().bold())
        } else {
            write!(f, "  {text}")
        }
    }
}

/// Where `Select` draws. It reads a key when its last line is drawn: there this waits, for a key or a signal.
struct ChoiceScreen {
    err: Stderr,
    /// Lines of a picture.
    lines: usize,
    /// Lines that are still to be drawn.
    left: usize,
    signals: OwnedFd,
}

impl ChoiceScreen {
    fn wait(&self) -> io::Result<()> {
        let stdin = io::stdin();
        loop {
            let mut watched = [
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut watched, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let [signals, _] = &watched;
            if signals.any().unwrap_or(true) {
                return Err(io::Error::other(Woken));
            }
            // On a screen that has become too small Select would turn pages, and count otherwise.
            if terminal::rows() < self.lines + SPARE {
                return Err(io::Error::other("the screen is too small"));
            }
            return Ok(());
        }
    }
}

impl Write for ChoiceScreen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.err.write(bytes)?;
        let lines = bytes.iter().take(written).filter(|byte| **byte == b'\n').count();
        self.left = self.left.saturating_sub(lines);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.err.flush()?;
        if self.left > 0 {
            return Ok(());
        }
        self.left = self.lines;
        self.wait()
    }
}

impl AsRawFd for ChoiceScreen {
    fn as_raw_fd(&self) -> RawFd {
        self.err.as_raw_fd()
    }
}

impl fmt::Debug for ChoiceScreen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChoiceScreen")
    }
}

/// A signal came while a key was awaited.
#[derive(Debug)]
struct Woken;

impl fmt::Display for Woken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a signal came")
    }
}

impl std::error::Error for Woken {}
