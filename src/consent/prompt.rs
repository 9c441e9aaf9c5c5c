//! The prompt. What is preselected leaves everything as it is; only the choice to go on, and then the name,
//! typed exactly, lead on.
//!
//! The line is read as the kernel's terminal gives it, not letter by letter: Ctrl-C, Ctrl-D, a closed
//! terminal and a signal are then answers like Enter, and none of them ends the program before it has said
//! that nothing changed.

use crate::system::choice::{can_choose, choose, Choice};
use crate::system::terminal::{ask, say, TypedLine};

/// What came of asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// The person chose to go on, and typed the name.
    GoOn,
    /// The person wants to reboot instead.
    Reboot,
    /// Anything else: everything stays as it is.
    Leave,
    /// Nobody can be asked here.
    NoTerminal,
}

/// What came of offering something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offered {
    /// One of them was taken, by its place.
    Item(usize),
    /// None.
    Nothing,
    /// Nobody can be asked here.
    NoTerminal,
}

/// Whether somebody can be asked: never where a script reads the answer.
#[must_use]
pub fn can_ask(script: bool) -> bool {
    !script && can_choose()
}

/// Offers the items below a heading; the first is preselected.
#[must_use]
pub fn offer(heading: &str, items: &[String], script: bool) -> Offered {
    if !can_ask(script) || items.is_empty() {
        return Offered::NoTerminal;
    }
    match choose(heading, items, 0) {
        Choice::Item(at) => Offered::Item(at),
        Choice::Left => Offered::Nothing,
    }
}

/// One question: what is shown, what it leads to, and what has to be typed for it.
pub struct Question<'a> {
    /// The screen above the choice.
    pub screen: &'a str,
    /// What going on means, as an item of the choice.
    pub go_on: &'a str,
    /// Whether a reboot does it too.
    pub reboot: bool,
    /// What has to be typed, in this order.
    pub words: &'a [String],
}

impl Question<'_> {
    /// Asks.
    #[must_use]
    pub fn ask(&self, script: bool) -> Asked {
        let mut items = vec![("leave everything as it is", Asked::Leave)];
        if self.reboot {
            items.push(("reboot instead (shows what to do)", Asked::Reboot));
        }
        items.push((self.go_on, Asked::GoOn));
        let shown: Vec<String> = items.iter().map(|(item, _)| (*item).to_owned()).collect();
        let chosen = match offer(self.screen, &shown, script) {
            Offered::Item(at) => items.get(at).map_or(Asked::Leave, |(_, asked)| *asked),
            Offered::Nothing => Asked::Leave,
            Offered::NoTerminal => Asked::NoTerminal,
        };
        if chosen != Asked::GoOn || self.words.iter().all(|word| types(word)) {
            return chosen;
        }
        Asked::Leave
    }
}

/// Whether a person types the word; a wrong one is pointed out once.
fn types(word: &str) -> bool {
    let question = format!("To go on, type {word}\nEnter alone leaves everything as it is: ");
    for last in [false, true] {
        match ask(&question) {
            TypedLine::Typed(answer) if answer == word => return true,
            TypedLine::Typed(answer) if !answer.is_empty() => {
                let again = if last { "" } else { "; once more" };
                say(&format!("\"{}\" is not {word}{again}.\n", crate::names::escape(answer.as_bytes())));
            }
            TypedLine::Typed(_) | TypedLine::Ended => return false,
        }
    }
    false
}
