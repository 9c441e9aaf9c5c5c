//! modprobe's configuration as lines with their places (`modprobe.d(5)`), of the system and of an
//! initramfs.

use super::place::{File, Place};
use crate::names::ModuleName;
use std::ops::Range;
use std::rc::Rc;

/// All lines, in the order in which modprobe reads them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModuleFiles {
    lines: Vec<Line>,
    /// The files themselves.
    pub files: Vec<Rc<File>>,
}

/// One command, its continuation lines joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The file.
    pub file: Rc<File>,
    /// The bytes of the line, its end among them.
    pub span: Range<usize>,
    /// The words.
    pub words: Vec<String>,
}

impl Line {
    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        self.file.place(self.span.start)
    }

    /// The words behind a command and the module that it is about.
    fn about(&self, command: &str, module: &str) -> Option<&[String]> {
        match self.words.as_slice() {
            [first, name, rest @ ..] if first == command && meant(name, module) => Some(rest),
            _ => None,
        }
    }
}

/// Whether a name of the configuration means the module; one that is a pattern may.
fn meant(name: &str, module: &str) -> bool {
    name.contains(['*', '?', '[']) || name.replace('-', "_") == module.replace('-', "_")
}

impl ModuleFiles {
    /// Takes files apart.
    #[must_use]
    pub fn parse(files: Vec<Rc<File>>) -> Self {
        let lines = files.iter().flat_map(lines).collect();
        Self { lines, files }
    }

    /// A copy with a file changed.
    #[must_use]
    pub fn with(&self, path: &str, bytes: Vec<u8>) -> Self {
        let file = File::new(path, bytes);
        Self::parse(
            self.files.iter().map(|old| Rc::clone(if old.path == path { &file } else { old })).collect(),
        )
    }

    /// Values of a parameter, as `options MODULE NAME=VALUE` has them, in their order.
    pub fn options<'a>(
        &'a self,
        module: &'a str,
        name: &'a str,
    ) -> impl DoubleEndedIterator<Item = (&'a Line, String)> {
        self.lines.iter().filter_map(move |line| {
            let words = line.about("options", module)?;
            let value = words.iter().rev().find_map(|word| {
                let (key, value) = word.trim_matches('"').split_once('=')?;
                (key.replace('-', "_") == name).then(|| value.trim_matches('"').to_owned())
            })?;
            Some((line, value))
        })
    }

    /// Lines that blacklist a module.
    pub fn blacklisting<'a>(&'a self, module: &'a ModuleName) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(|line| line.about("blacklist", module.as_str()).is_some())
    }

    /// Lines by which modprobe runs a command for a module that surely loads nothing.
    pub fn barring<'a>(&'a self, module: &'a ModuleName) -> impl Iterator<Item = &'a Line> {
        let nothing = |words: &[String]| {
            let program = words.first().and_then(|word| word.rsplit('/').next());
            matches!(program, Some("true" | "false"))
        };
        self.lines.iter().filter(move |line| line.about("install", module.as_str()).is_some_and(nothing))
    }

    /// Lines by which a module is loaded before another.
    pub fn before<'a>(&'a self, module: &'a ModuleName, first: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| {
            let Some(words) = line.about("softdep", module.as_str()) else { return false };
            let pre =
                words.iter().skip_while(|word| *word != "pre:").skip(1).take_while(|word| *word != "post:");
            pre.into_iter().any(|word| meant(word, first))
        })
    }
}

fn lines(file: &Rc<File>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut begin = 0;
    let mut text = String::new();
    let mut start = 0;
    for part in file.bytes.split_inclusive(|&byte| byte == b'\n') {
        if text.is_empty() {
            start = begin;
        }
        begin += part.len();
        let part = String::from_utf8_lossy(part);
        let part = part.trim_end_matches('\n');
        match part.strip_suffix('\\').filter(|_| begin < file.bytes.len()) {
            Some(joined) => {
                text.push_str(joined);
                text.push(' ');
            }
            None => {
                text.push_str(part);
                let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                lines.push(Line { file: Rc::clone(file), span: start..begin, words });
                text.clear();
            }
        }
    }
    lines.retain(|line| line.words.first().is_some_and(|word| !word.starts_with('#')));
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files(text: &str) -> ModuleFiles {
        ModuleFiles::parse(vec![File::new("/etc/modprobe.d/a.conf", text.as_bytes().to_vec())])
    }

    #[test]
    fn each_kind_of_line_is_found_with_its_place() {
        let all = files("# x\noptions vfio-pci disable=1 ids=10ec:525a\nblacklist \\\n  snd-hda\ninstall a /bin/false\nsoftdep b pre: vfio_pci post: c\n");
        let (line, value) = all.options("vfio_pci", "ids").next_back().unwrap();
        assert_eq!((line.place().line, value.as_str()), (2, "10ec:525a"));
        let module = |name: &str| ModuleName::parse(name).unwrap();
        assert_eq!(all.blacklisting(&module("snd_hda")).next().unwrap().place().line, 3);
        assert!(all.barring(&module("a")).next().is_some());
        assert!(all.before(&module("b"), "vfio-pci").next().is_some());
        assert!(all.before(&module("b"), "c").next().is_none());
    }
}
