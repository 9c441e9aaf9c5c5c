//! The steps of an operation as they go: a line for each that is over, and on a terminal one for the step
//! that runs.

use super::{is_quiet, note, step_line};
use crate::names::Step;
use crate::run::Progress;
use console::Term;
use std::io::Write;
use std::time::Duration;

/// A wait that is shorter is not worth a number.
const SHORT: Duration = Duration::from_secs(1);

/// What is shown of an operation's steps.
pub struct Steps {
    /// For a program nothing is shown.
    silent: bool,
    /// Whether the step that runs has a line, which is drawn over.
    live: bool,
    step: Option<Step>,
    /// What its line says now; empty where there is none.
    line: String,
}

impl Steps {
    /// Shows them, but where JSON is wanted.
    #[must_use]
    pub fn new(json: bool) -> Self {
        let silent = json || is_quiet();
        let draws = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        Self { silent, live: !silent && draws && Term::stdout().is_term(), step: None, line: String::new() }
    }

    /// Shows what is told.
    pub fn tell(&mut self, progress: &Progress<'_>) {
        if self.silent {
            return;
        }
        match progress {
            Progress::Begins(step) => {
                self.step = Some(*step);
                self.draw("...".to_owned());
            }
            Progress::Waits(waited, limit) if *waited >= SHORT => {
                self.draw(format!("{} s of at most {} s", waited.as_secs(), limit.as_secs()));
            }
            Progress::Waits(..) => {}
            Progress::Interrupted(left) => {
                self.erase();
                note(&self.interrupted(*left));
            }
            Progress::Over(report) => {
                self.erase();
                note(&step_line(report));
            }
        }
    }

    fn interrupted(&self, left: Option<Duration>) -> String {
        let Some(left) = left else { return "Interrupted: what was done is undone.".to_owned() };
        let name = self.step.map_or("this step", Step::name);
        let left = left.as_secs();
        let then = if self.step.is_some_and(Step::is_undo) {
            "the undo goes on to its end"
        } else {
            "what was done is undone"
        };
        format!("Interrupted: {name} ends first (at most {left} s), then {then}.")
    }

    fn draw(&mut self, what: String) {
        let Some(step) = self.step.filter(|_| self.live) else { return };
        let line = format!("  {:<13} {what}", step.name());
        if line != self.line {
            write(&format!("\r\x1b[2K{line}"));
            self.line = line;
        }
    }

    fn erase(&mut self) {
        if !self.line.is_empty() {
            write("\r\x1b[2K");
            self.line.clear();
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.erase();
    }
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
