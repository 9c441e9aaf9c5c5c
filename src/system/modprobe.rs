//! modprobe's configuration (`modprobe.d(5)`): what keeps a module from being loaded, and what is loaded with
//! it.

#![forbid(unsafe_code)]

use super::root::{names_in, read_optional, read_text, Sysroot};
use crate::error::Failure;
use crate::names::{escape, ModuleName};
use std::collections::BTreeSet;
use std::fmt;

/// Where its files are, as `modprobe.d(5)` has it. Of several with one name the first counts alone.
pub const FOLDERS: [&str; 5] = [
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];

/// What it says, `depmod`'s soft dependencies among it.
pub struct Configuration {
    lines: Vec<ModprobeLine>,
    cmdline: String,
}

/// One command, its continuation lines joined.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ModprobeLine {
    file: String,
    number: u32,
    words: Vec<String>,
}

/// What keeps a module from being loaded, even by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Barred {
    /// The module: the one asked for, or one it cannot do without.
    pub module: ModuleName,
    /// How.
    pub by: Bar,
}

/// Who does not load it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bar {
    /// modprobe, which runs the command of an `install` line instead.
    Install {
        /// The file of that line.
        file: String,
        /// The number, from 1.
        line: u32,
        /// The command, as it stands there.
        command: String,
    },
    /// The kernel: `module_blacklist=` on its command line.
    Kernel,
}

impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Bar::Kernel => write!(f, "/proc/cmdline: module_blacklist={}", self.module),
            Bar::Install { file, line, command } => {
                let (file, command) = (escape(file.as_bytes()), escape(command.as_bytes()));
                write!(f, "{file}, line {line}: install {} {command}", self.module)
            }
        }
    }
}

impl Configuration {
    /// Reads it, and the soft dependencies in the folder of the running kernel's modules.
    ///
    /// # Errors
    /// One of the files cannot be read: what it says is not known.
    pub fn read(root: &Sysroot, release: &str) -> Result<Self, Failure> {
        let mut files = vec![format!("/lib/modules/{release}/modules.softdep")];
        let mut names = BTreeSet::new();
        for folder in FOLDERS {
            for name in names_in(&root.path(folder))? {
                if name.ends_with(".conf") && names.insert(name.clone()) {
                    files.push(format!("{folder}/{name}"));
                }
            }
        }
        let mut found = Vec::new();
        for file in files {
            let text = read_optional(&root.path(&file))?.unwrap_or_default();
            found.extend(lines(&file, &text));
        }
        let path = root.path("/proc/cmdline");
        let cmdline = read_text(&path).map_err(|error| Failure::unreadable(&path, &error))?;
        Ok(Self { lines: found, cmdline })
    }

    /// Lines of this command that are about the module: their file, their number and the words behind its
    /// name.
    fn about<'a>(
        &'a self,
        command: &'a str,
        module: &'a ModuleName,
    ) -> impl Iterator<Item = (&'a ModprobeLine, &'a [String])> {
        self.lines.iter().filter_map(move |line| match line.words.as_slice() {
            [first, name, rest @ ..] if first == command && may_name(name, module) => Some((line, rest)),
            _ => None,
        })
    }

    /// Whether a list on the kernel's command line names the module. The kernel itself takes `-` and `_` for
    /// two letters there; who wrote either meant the module.
    fn listed(&self, option: &str, module: &ModuleName) -> bool {
        let words = self.cmdline.split_whitespace();
        words.filter_map(|word| word.strip_prefix(option)?.strip_prefix('=')).any(|list| {
            list.trim_matches('"').split(',').any(|name| ModuleName::parse(name).as_ref() == Some(module))
        })
    }

    /// The file that blacklists the module, or `/proc/cmdline`. By its name modprobe loads it all the same,
    /// but for `-b`; what it needs is loaded even then.
    #[must_use]
    pub fn blacklisted_in(&self, module: &ModuleName) -> Option<String> {
        let file = self.about("blacklist", module).map(|(line, _)| line.file.clone()).next();
        file.or_else(|| self.listed("modprobe.blacklist", module).then(|| "/proc/cmdline".to_owned()))
    }

    /// What keeps this very module from being loaded.
    #[must_use]
    pub fn barred(&self, module: &ModuleName) -> Option<Barred> {
        let by = if self.listed("module_blacklist", module) {
            Bar::Kernel
        } else {
            let (line, command) = self.about("install", module).next()?;
            Bar::Install { file: line.file.clone(), line: line.number, command: command.join(" ") }
        };
        Some(Barred { module: module.clone(), by })
    }

    /// What is loaded before or behind the module, where there is such: names or aliases.
    pub fn soft_dependencies<'a>(&'a self, module: &'a ModuleName) -> impl Iterator<Item = &'a str> {
        let words = self.about("softdep", module).flat_map(|(_, words)| words);
        words.map(String::as_str).filter(|word| !matches!(*word, "pre:" | "post:"))
    }
}

/// Whether a name of the configuration means the module. It may be a pattern (`fnmatch(3)`), which counts as
/// meaning any: nobody writes one but for nearly all modules.
fn may_name(name: &str, module: &ModuleName) -> bool {
    name.contains(['*', '?', '[']) || ModuleName::parse(name).as_ref() == Some(module)
}

/// The commands of a file. A backslash at its end joins a line with the next.
fn lines(file: &str, text: &str) -> Vec<ModprobeLine> {
    let mut lines = Vec::new();
    let mut begun: Option<(u32, String)> = None;
    for (number, part) in (1..).zip(text.lines().chain([""])) {
        let (number, mut whole) = begun.take().unwrap_or((number, String::new()));
        match part.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                begun = Some((number, whole));
            }
            None => {
                whole.push_str(part);
                let words: Vec<String> = whole.split_whitespace().map(str::to_owned).collect();
                lines.push(ModprobeLine { file: file.to_owned(), number, words });
            }
        }
    }
    lines.retain(|line| !line.words.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn configuration(text: &str) -> Configuration {
        Configuration { lines: lines("/etc/modprobe.d/a.conf", text), cmdline: String::new() }
    }

    #[test]
    fn a_line_is_known_by_where_it_begins() {
        let module = ModuleName::parse("a-b").unwrap();
        let text = "# install a_b x\n\ninstall \\\n a_b \\\n /bin/true\ninstall c y\\";
        assert_eq!(
            configuration(text).barred(&module).unwrap().to_string(),
            "/etc/modprobe.d/a.conf, line 3: install a_b /bin/true"
        );
        let other = ModuleName::parse("c").unwrap();
        assert_eq!(
            configuration(text).barred(&other).unwrap().to_string(),
            "/etc/modprobe.d/a.conf, line 6: install c y"
        );
    }

    proptest! {
        #[test]
        fn nothing_of_a_file_is_lost_but_line_ends(text in "([a-z*#\\\\ \n-]|install |softdep |pre: ){0,60}") {
            let module = ModuleName::parse("a").unwrap();
            let read = configuration(&text);
            let joined: String = read.lines.iter().flat_map(|line| &line.words).map(String::as_str).collect();
            let plain = |text: &str| text.replace(['\\', ' ', '\n'], "");
            prop_assert_eq!(plain(&joined), plain(&text));
            let ends = u32::try_from(text.lines().count()).unwrap() + 1;
            prop_assert!(read.lines.iter().all(|line| (1..=ends).contains(&line.number)));
            prop_assert!(read.soft_dependencies(&module).all(|word| !word.contains(char::is_whitespace)));
        }
    }
}
