//! The part of the shell's language that `/etc/default/grub` and `/etc/default/grub.d/*.cfg` are written
//! in.
//!
//! `grub-mkconfig` runs these files. Assignments, quotes, appending and comments are understood, with the
//! place in the file that each byte of a value came from. What is not understood makes a value unknown,
//! with the line that is to blame; what might have any effect makes all unknown.

mod commands;
#[cfg(test)]
mod tests;
mod value;

use super::place::{File, Piece, Quote, Unknown};
use super::tokens::tokens;
use commands::Runner;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a variable holds, or why that is not known.
pub type Value = Result<Vec<Piece>, Unknown>;

/// The variables that files leave behind.
#[derive(Clone, Default, Debug)]
pub struct Variables {
    values: BTreeMap<String, Variable>,
    lost: Option<Unknown>,
    /// Whether `NAME+=VALUE` appends (bash), or is a command that there is not (dash).
    appends: bool,
}

/// One variable.
#[derive(Clone, Debug)]
pub struct Variable {
    /// What it holds.
    pub value: Value,
    /// The last assignment to it.
    pub assigned: Option<Assigned>,
}

/// An assignment: where more can be added to its value.
#[derive(Clone, Debug)]
pub struct Assigned {
    /// The file it stands in.
    pub file: Rc<File>,
    /// Where text can be put in at the end of the value.
    pub end: usize,
    /// How it is quoted there.
    pub quote: Quote,
}

impl Variables {
    /// No variables yet.
    #[must_use]
    pub fn new(appends: bool) -> Self {
        Self { appends, ..Self::default() }
    }

    /// Runs a file. What `.` names is run too, if `more` has it.
    pub fn run(&mut self, file: &Rc<File>, more: &dyn Fn(&str) -> Option<Rc<File>>) {
        self.run_at(file, more, 0);
    }

    fn run_at(&mut self, file: &Rc<File>, more: &dyn Fn(&str) -> Option<Rc<File>>, depth: u32) {
        if let Some(at) = file.bytes.iter().position(|&byte| byte == 0) {
            return self.lose(Unknown::at(file, at, "a zero byte"));
        }
        let tokens = match tokens(file) {
            Ok(tokens) => tokens,
            Err(unknown) => return self.lose(unknown),
        };
        let mut runner = Runner { file, variables: self, open: Vec::new(), included: Vec::new() };
        runner.run(&tokens);
        let included = std::mem::take(&mut runner.included);
        let open = runner.open.last().copied();
        if let Some((_, at)) = open {
            return self.lose(Unknown::at(file, at, "a command that does not end"));
        }
        // One that another file follows was put off to here: then nothing may stand behind it.
        for (name, at) in included {
            match more(&name).filter(|_| depth < 4) {
                Some(other) => self.run_at(&other, more, depth + 1),
                None => self.lose(Unknown::at(file, at, format!("{} cannot be read", escaped(&name)))),
            }
        }
    }

    /// From here on nothing is known.
    pub fn lose(&mut self, unknown: Unknown) {
        self.lost.get_or_insert(unknown);
    }

    /// What a variable holds; empty where nobody set it.
    ///
    /// # Errors
    /// It is not known.
    pub fn get(&self, name: &str) -> Value {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        self.values.get(name).map_or_else(|| Ok(Vec::new()), |variable| variable.value.clone())
    }

    /// The last assignment to a variable.
    #[must_use]
    pub fn assigned(&self, name: &str) -> Option<&Assigned> {
        self.values.get(name)?.assigned.as_ref()
    }

    fn set(&mut self, name: &str, value: Value, assigned: Option<Assigned>) {
        self.values.insert(name.to_owned(), Variable { value, assigned });
    }
}

fn escaped(text: &str) -> String {
    crate::names::escape(text.as_bytes())
}
