//! The words of a command line while they are being changed.

use crate::observe::next_boot::CommandLine;

/// One word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Option<String>,
    /// Which word of the line it was; `None` for a new one.
    pub was: Option<usize>,
}

/// All words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drafts(pub Vec<Draft>);

impl Drafts {
    /// The words as they are.
    #[must_use]
    pub fn of(line: &CommandLine) -> Self {
        let words = line.words.iter().enumerate();
        let draft = |(number, word): (usize, &crate::observe::next_boot::Word)| Draft {
            name: word.name.clone(),
            value: word.value.clone(),
            was: Some(number),
        };
        Self(words.map(draft).collect())
    }

    /// The line that they make.
    #[must_use]
    pub fn line(&self, from: &str) -> CommandLine {
        let word = |draft: &Draft| {
            let text = match &draft.value {
                Some(value) => format!("{}={value}", draft.name),
                None => draft.name.clone(),
            };
            if text.contains(char::is_whitespace) {
                format!("\"{text}\"")
            } else {
                text
            }
        };
        let words: Vec<String> = self.0.iter().map(word).collect();
        CommandLine::plain(&words.join(" "), from)
    }

    /// The last value of a word; `fold` takes `-` for `_`, as the kernel does.
    #[must_use]
    pub fn last(&self, name: &str, fold: bool) -> Option<&str> {
        let draft = self.0.iter().rev().find(|draft| same(&draft.name, name, fold))?;
        Some(draft.value.as_deref().unwrap_or_default())
    }

    /// Sets the last word of this name, or adds one.
    pub fn set(&mut self, name: &str, fold: bool, value: &str) {
        match self.0.iter_mut().rev().find(|draft| same(&draft.name, name, fold)) {
            Some(draft) if draft.value.as_deref() != Some(value) => draft.value = Some(value.to_owned()),
            Some(_) => {}
            None => self.0.push(Draft { name: name.to_owned(), value: Some(value.to_owned()), was: None }),
        }
    }

    /// Sets the last word of this name to a list; without entries all words of the name go, so that none
    /// before it gets an effect.
    pub fn set_list(&mut self, name: &str, fold: bool, entries: &[String], between: &str) {
        if entries.is_empty() {
            self.0.retain(|draft| !same(&draft.name, name, fold));
        } else {
            self.set(name, fold, &entries.join(between));
        }
    }

    /// Takes entries out of every word of this name; a word that loses its last entry goes.
    pub fn strip(&mut self, name: &str, fold: bool, gone: &dyn Fn(&str) -> bool) {
        for draft in self.0.iter_mut().filter(|draft| same(&draft.name, name, fold)) {
            let Some(value) = &draft.value else { continue };
            if !value.split(',').any(gone) {
                continue;
            }
            let rest: Vec<&str> = value.split(',').filter(|entry| !gone(entry)).collect();
            draft.value = Some(rest.join(","));
        }
        self.0.retain(|draft| {
            !(same(&draft.name, name, fold) && draft.value.as_deref() == Some("") && draft.was.is_some())
        });
    }
}

fn same(name: &str, other: &str, fold: bool) -> bool {
    name == other || fold && name.replace('-', "_") == other.replace('-', "_")
}
