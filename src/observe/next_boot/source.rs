//! The source of the boot configuration: what an admin edits, and the words that `grub-mkconfig` would
//! make of it.

use super::command_line::CommandLine;
use super::grub_script::arguments;
use super::place::{File, Piece, Unknown};
use super::shell::{Assigned, Value, Variables};
use std::rc::Rc;

/// No longer line reaches Linux under Xen: it cuts off what is behind (`MAX_GUEST_CMDLINE`).
pub const LONGEST: usize = 1023;

/// The source files, as `grub-mkconfig` reads them one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The files in their order.
    pub files: Vec<Rc<File>>,
    /// Files that those run, where they do.
    pub more: Vec<Rc<File>>,
    /// Whether the shell is bash, which knows `+=`.
    pub appends: bool,
    /// Why something of it could not be read.
    pub unread: Option<Unknown>,
}

/// The variables that make Linux' words under Xen (`20_linux_xen`).
#[derive(Clone, Debug)]
pub struct Evaluated {
    variables: Variables,
}

impl Source {
    /// Whether there is a source at all.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.files.is_empty() || self.unread.is_some()
    }

    /// A copy with a file changed.
    #[must_use]
    pub fn with(&self, path: &str, bytes: Vec<u8>) -> Self {
        let file = File::new(path, bytes);
        let swapped = |all: &[Rc<File>]| -> Vec<Rc<File>> {
            all.iter().map(|old| Rc::clone(if old.path == path { &file } else { old })).collect()
        };
        Self { files: swapped(&self.files), more: swapped(&self.more), ..self.clone() }
    }

    /// Shows the prediction, and the edit that was asked for.
    #[must_use]
    pub fn evaluated(&self) -> Evaluated {
        let mut variables = Variables::new(self.appends);
        for file in &self.files {
            variables.run(file, &|path| self.more.iter().find(|other| other.path == path).cloned());
        }
        if let Some(unread) = &self.unread {
            variables.lose(unread.clone());
        }
        Evaluated { variables }
    }
}

impl Evaluated {
    /// The variable that holds the words, of those that can: the one in force.
    ///
    /// # Errors
    /// It is not known.
    pub fn variable(&self) -> Result<&'static str, Unknown> {
        let replaced = self.variables.get("GRUB_CMDLINE_LINUX_XEN_REPLACE")?;
        Ok(if replaced.is_empty() { "GRUB_CMDLINE_LINUX" } else { "GRUB_CMDLINE_LINUX_XEN_REPLACE" })
    }

    /// The last assignment to it.
    #[must_use]
    pub fn assigned(&self, variable: &str) -> Option<&Assigned> {
        self.variables.assigned(variable)
    }

    fn value(&self) -> Value {
        let mut value = self.variables.get(self.variable()?)?;
        let mut more = self.variables.get("GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT")?;
        if more.is_empty() {
            more = self.variables.get("GRUB_CMDLINE_LINUX_DEFAULT")?;
        }
        value.push(Piece { byte: b' ', origin: None });
        value.extend(more);
        Ok(value)
    }

    /// The words that the next configuration will have.
    ///
    /// # Errors
    /// Something in the source is not understood.
    pub fn line(&self) -> Result<CommandLine, Unknown> {
        let line = arguments(&self.value()?)?;
        let first = line.iter().find_map(|piece| piece.origin.as_ref());
        let from = first.map_or_else(|| "/etc/default/grub".to_owned(), |origin| origin.file.path.clone());
        if line.len() > LONGEST {
            return Err(Unknown::because(format!(
                "the words in {from} are longer than the {LONGEST} bytes that Xen hands on"
            )));
        }
        Ok(CommandLine::new(line, &from))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(text: &str) -> Result<String, String> {
        let files = vec![File::new("/etc/default/grub", text.as_bytes().to_vec())];
        let source = Source { files, appends: true, ..Source::default() };
        source.evaluated().line().map(|line| line.text()).map_err(|unknown| unknown.to_string())
    }

    #[test]
    fn the_words_of_xens_entries_may_replace_the_others() {
        let text = "GRUB_CMDLINE_LINUX=a\nGRUB_CMDLINE_LINUX_DEFAULT=b\n";
        assert_eq!(line(text).unwrap(), "a b");
        assert_eq!(line(&format!("{text}GRUB_CMDLINE_LINUX_XEN_REPLACE=c\n")).unwrap(), "c b");
        assert_eq!(line(&format!("{text}GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT='d e'\n")).unwrap(), "a d e");
    }

    #[test]
    fn a_line_that_xen_would_cut_off_is_unknown() {
        assert!(line(&format!("GRUB_CMDLINE_LINUX={}\n", "a".repeat(1_000_000))).is_err());
        assert!(line(&format!("GRUB_CMDLINE_LINUX={}\n", "a".repeat(900))).is_ok());
    }
}
