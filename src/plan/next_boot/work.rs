//! An edit while it is being made.

use super::draft::Drafts;
use crate::assess::next_boot::{takers, Machine, Setting};
use crate::names::ModuleName;
use crate::observe::next_boot::{CommandLine, Device, Line};
use std::collections::BTreeSet;

/// The machine, what is changed of the setting, and what is said about it.
#[derive(Clone, Debug)]
pub struct Work<'a> {
    /// The machine.
    pub machine: &'a Machine<'a>,
    /// The words of the command line.
    pub drafts: Drafts,
    /// The rest of what decides; its line is that of before.
    pub setting: Setting,
    /// What an admin should know about the edit.
    pub notes: Vec<String>,
    /// Files of driverctl that go.
    pub unpinned: BTreeSet<String>,
    from: String,
}

impl<'a> Work<'a> {
    /// Begins with the words of a line.
    #[must_use]
    pub fn new(machine: &'a Machine<'a>, setting: Setting, line: &CommandLine) -> Self {
        let (drafts, from) = (Drafts::of(line), line.from.clone());
        Self { machine, drafts, setting, notes: Vec::new(), unpinned: BTreeSet::new(), from }
    }

    /// The line that the words make now.
    #[must_use]
    pub fn line(&self) -> CommandLine {
        self.drafts.line(&self.from)
    }

    /// The setting with all that was changed, once everything is regenerated.
    #[must_use]
    pub fn current(&self) -> Setting {
        Setting { line: Ok(self.line()), ..self.setting.clone() }
    }

    /// Takes a function's override away.
    pub fn unpin(&mut self, device: &Device) {
        if let Some(found) = self.setting.overrides.remove(&device.sbdf) {
            self.unpinned.insert(found.file);
        }
    }

    /// Takes a function's assignments away, where a qube would take it by itself.
    pub fn unassign(&mut self, device: &Device) {
        let current = self.current();
        if takers(self.machine, &current, device).is_ok_and(|takers| !takers.is_empty()) {
            self.setting.unassigned.insert(device.sbdf);
        }
    }

    /// Changes every `options MODULE NAME=LIST` of modprobe's files that `new` has another list for.
    pub fn change_options(&mut self, module: &str, name: &str, new: &dyn Fn(&str, &Self) -> Option<String>) {
        // Each change moves what is behind it: the files are taken apart again.
        for _ in 0..64 {
            let options = self.setting.modules.options(module, name);
            let change =
                options.into_iter().find_map(|(line, list)| Some((line.clone(), new(&list, self)?, list)));
            let Some((line, rest, list)) = change else { return };
            let before = line.file.bytes.get(line.span.clone()).unwrap_or_default();
            let text = String::from_utf8_lossy(before).into_owned();
            let Some(text) = changed_option(&text, &list, &rest) else { return };
            self.replace(&line, &text);
        }
    }

    /// Takes away lines that keep a module from being loaded.
    pub fn drop_lines(&mut self, module: &ModuleName, blacklisted: bool) {
        for _ in 0..64 {
            let barring = self.setting.modules.barring(module).next().cloned();
            let line = barring.or_else(|| {
                self.setting.modules.blacklisting(module).next().filter(|_| blacklisted).cloned()
            });
            let Some(line) = line else { return };
            self.replace(&line, "");
        }
    }

    fn replace(&mut self, line: &Line, text: &str) {
        let bytes = &line.file.bytes;
        let mut new = bytes.get(..line.span.start).unwrap_or_default().to_vec();
        new.extend(text.as_bytes());
        new.extend(bytes.get(line.span.end..).unwrap_or_default());
        self.setting.modules = self.setting.modules.with(&line.file.path, new);
        // The copy in the initramfs is made again with it.
        self.setting.initramfs = Some(self.setting.modules.clone());
    }
}

/// A line with another list; nothing where the list was all that it said.
fn changed_option(line: &str, list: &str, new: &str) -> Option<String> {
    if !new.is_empty() {
        return line.contains(list).then(|| line.replacen(list, new, 1));
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let word = words
        .iter()
        .find(|word| word.trim_matches('"').trim_end_matches('"').ends_with(list) && word.contains('='))?;
    if words.len() <= 3 {
        return Some(String::new());
    }
    let at = line.find(word)?;
    let (before, after) = line.split_at_checked(at)?;
    let after = after.strip_prefix(word)?;
    Some(format!("{}{after}", before.trim_end_matches([' ', '\t'])))
}
