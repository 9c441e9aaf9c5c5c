//! The prompt. Its default is always the reboot: whatever is not the word leaves everything as it is.
//!
//! The line is read as the kernel's terminal gives it, not letter by letter: Ctrl-C, Ctrl-D, a closed
//! terminal and a signal are then answers like Enter, and none of them ends the program before it has said
//! that nothing changed.

use crate::system::terminal::{self, Line};

/// What came of asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// The person typed the name.
    GoOn,
    /// Anything else: the reboot.
    Reboot,
    /// Nobody can be asked here.
    NoTerminal,
}

/// Whether somebody can be asked: never where a script reads the answer.
#[must_use]
pub fn can_ask(script: bool) -> bool {
    !script && terminal::is_there()
}

/// Asks a question that only this word says yes to.
#[must_use]
pub fn question_of(question: &str, word: &str, script: bool) -> Asked {
    if !can_ask(script) {
        return Asked::NoTerminal;
    }
    match terminal::ask(question) {
        Line::Typed(answer) if answer == word => Asked::GoOn,
        Line::Typed(_) | Line::Ended => Asked::Reboot,
    }
}
