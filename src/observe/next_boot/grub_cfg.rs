//! A configuration that `grub-mkconfig` made: its entries, which of them is booted, and with which words.

use super::command_line::CommandLine;
use super::grub_script::{joined, tokens, Token};
use super::place::{File, Piece, Unknown};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One entry of the menu.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// What the menu shows.
    pub title: String,
    /// The id, where it has one.
    pub id: String,
    /// Entries below it; then it is a submenu.
    pub below: Option<Vec<Entry>>,
    /// Commands, each with its words, in their order.
    commands: Vec<GrubCommand>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct GrubCommand {
    words: Vec<Vec<Piece>>,
    unknown: Option<String>,
}

impl Entry {
    /// An entry of the boot loader specification, which starts plain Linux.
    #[must_use]
    pub fn of_linux(title: &str, id: &str) -> Self {
        Self { title: title.to_owned(), id: id.to_owned(), ..Self::default() }
    }
}

impl GrubCommand {
    fn word(&self, number: usize) -> String {
        let pieces = self.words.get(number).map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(&pieces.iter().map(|piece| piece.byte).collect::<Vec<u8>>()).into_owned()
    }
}

/// A configuration of GRUB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrubCfg {
    /// The menu.
    pub entries: Vec<Entry>,
    /// What is set as the default, in the file's order.
    defaults: Vec<String>,
    /// Another configuration that it goes on with.
    pub configfile: Option<String>,
    path: String,
}

/// What the entry that is booted does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Booted {
    /// Titles of the entry and the menus it stands in.
    pub title: String,
    /// The initramfs it loads, as it is written.
    pub initramfs: Option<String>,
    /// The words that it gives to Linux under Xen.
    pub line: CommandLine,
}

/// Commands that give Xen its first module, which is Linux.
const MODULES: [&str; 3] = ["module", "module2", "xen_module"];
const HYPERVISORS: [&str; 3] = ["multiboot", "multiboot2", "xen_hypervisor"];

impl GrubCfg {
    /// Reads a configuration.
    #[must_use]
    pub fn parse(file: &Rc<File>, bls: &[Entry]) -> Self {
        let pieces = Piece::of_file(file, 0..file.bytes.len());
        let set = plain_settings(&pieces);
        // They stand in GRUB's environment block.
        let lookup = |name: &str| set.get(name).cloned().flatten().filter(|_| !name.ends_with("_entry"));
        let mut parser = Parser {
            bls,
            stack: vec![OpenEntry::Menu(Entry::default())],
            defaults: Vec::new(),
            configfile: None,
        };
        let mut command: Vec<Token> = Vec::new();
        for token in tokens(&pieces, &lookup) {
            match token {
                Token::End(_) => parser.command(&std::mem::take(&mut command)),
                Token::Word { ref pieces, quoted: false, .. } if is(pieces, b"{") => {
                    parser.open(&std::mem::take(&mut command))
                }
                Token::Word { ref pieces, quoted: false, .. } if is(pieces, b"}") => {
                    parser.command(&std::mem::take(&mut command));
                    parser.close();
                }
                word @ Token::Word { .. } => command.push(word),
                Token::Letter(..) => {}
            }
        }
        while parser.stack.len() > 1 {
            parser.close();
        }
        let Parser { stack, defaults, configfile, .. } = parser;
        let menu = stack.into_iter().next().map(OpenEntry::entry).unwrap_or_default();
        let mut entries = menu.below.clone().unwrap_or_default();
        // A configuration without a menu is one entry.
        if entries.is_empty() && menu.commands.iter().any(|one| MODULES.contains(&one.word(0).as_str())) {
            entries.push(Entry { title: "its only entry".to_owned(), below: None, ..menu });
        }
        Self { entries, defaults, configfile, path: file.path.clone() }
    }

    /// What the default entry boots, with the variables of GRUB's environment block.
    ///
    /// # Errors
    /// It cannot be told which entry that is, or it does not start Xen.
    pub fn booted(&self, environment: &BTreeMap<String, String>) -> Result<Booted, Unknown> {
        let default = self.default_of(environment)?;
        let (title, entry) = self.entry(&default);
        let Some(entry) = entry else {
            return Err(Unknown::because(format!("{} has no entries", self.path)));
        };
        let shown = crate::names::escape(title.as_bytes());
        let hypervisor = entry.commands.iter().find(|one| HYPERVISORS.contains(&one.word(0).as_str()));
        let module = entry.commands.iter().find(|one| MODULES.contains(&one.word(0).as_str()));
        let only = self.entries.len() == 1 && entry.title == "its only entry";
        let (Some(_), Some(module)) = (hypervisor.or(module.filter(|_| only)), module) else {
            let why = format!("the default entry of {}, \"{shown}\", does not start Xen", self.path);
            return Err(Unknown::because(why));
        };
        if let Some(why) = &module.unknown {
            return Err(Unknown::because(format!("{}: {why}", self.path)));
        }
        let options = module.words.iter().skip(1).take_while(|word| starts(word, b"--")).count();
        let words = module.words.get(options + 2..).unwrap_or_default();
        let initramfs = entry.commands.iter().filter(|one| MODULES.contains(&one.word(0).as_str())).nth(1);
        let initramfs = initramfs.and_then(|one| {
            one.words
                .iter()
                .enumerate()
                .skip(1)
                .find(|(_, word)| !starts(word, b"--"))
                .map(|(number, _)| one.word(number))
        });
        Ok(Booted { title: shown, initramfs, line: CommandLine::new(joined(words), &self.path) })
    }

    fn default_of(&self, environment: &BTreeMap<String, String>) -> Result<String, Unknown> {
        let of = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        let asks = |name: &str| self.defaults.iter().any(|default| is_variable(default, name));
        if let Some(next) = of("next_entry").filter(|_| asks("next_entry")) {
            return Ok(next);
        }
        let mut found: Vec<String> = Vec::new();
        for default in self.defaults.iter().filter(|default| !is_variable(default, "next_entry")) {
            let value = if is_variable(default, "saved_entry") {
                of("saved_entry").unwrap_or_default()
            } else {
                default.clone()
            };
            if value.contains('$') {
                return Err(Unknown::because(format!("{} sets its default entry to {value}", self.path)));
            }
            if !found.contains(&value) {
                found.push(value);
            }
        }
        match found.as_slice() {
            [] => Ok("0".to_owned()),
            [one] => Ok(one.clone()),
            _ => Err(Unknown::because(format!("{} sets more than one default entry", self.path))),
        }
    }

    /// The entry that a default names, as GRUB looks it up: by number, title or id, `>` between menus;
    /// else the first.
    fn entry(&self, default: &str) -> (String, Option<&Entry>) {
        let mut menu = self.entries.as_slice();
        let mut parts = split_menus(default).into_iter();
        let mut titles: Vec<String> = Vec::new();
        loop {
            let part = parts.next().unwrap_or_default();
            let named = |entry: &&Entry| !part.is_empty() && (entry.title == part || entry.id == part);
            let number = part.parse::<usize>().ok();
            let by_number = number.filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
            let found = by_number.and_then(|number| menu.get(number)).or_else(|| menu.iter().find(named));
            let Some(entry) = found.or(menu.first()) else { return (titles.join(" > "), None) };
            titles.push(entry.title.clone());
            match &entry.below {
                Some(below) => menu = below,
                None => return (titles.join(" > "), Some(entry)),
            }
        }
    }
}

fn is(pieces: &[Piece], text: &[u8]) -> bool {
    pieces.iter().map(|piece| piece.byte).eq(text.iter().copied())
}

fn starts(pieces: &[Piece], text: &[u8]) -> bool {
    pieces.len() >= text.len() && is(pieces.get(..text.len()).unwrap_or_default(), text)
}

fn is_variable(text: &str, name: &str) -> bool {
    text == format!("${name}") || text == format!("${{{name}}}")
}

/// `a>b` is `b` in the menu `a`; `>>` is a `>` of a title.
fn split_menus(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '>' && letters.peek() != Some(&'>') {
            parts.push(String::new());
            continue;
        }
        if letter == '>' {
            letters.next();
        }
        if let Some(last) = parts.last_mut() {
            last.push(letter);
        }
    }
    parts
}

/// Variables that the file sets once and to a plain value.
fn plain_settings(pieces: &[Piece]) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut settings: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    let mut words: Vec<Token> = Vec::new();
    for token in tokens(pieces, &|_| None) {
        match token {
            Token::Word { .. } => words.push(token),
            _ => {
                if let [Token::Word { pieces: first, .. }, Token::Word { pieces: second, unknown, .. }] =
                    words.as_slice()
                {
                    let text: Vec<u8> = second.iter().map(|piece| piece.byte).collect();
                    if let Some(equals) =
                        text.iter().position(|&byte| byte == b'=').filter(|_| is(first, b"set"))
                    {
                        let (name, value) = text.split_at(equals);
                        let name = String::from_utf8_lossy(name).into_owned();
                        let value =
                            unknown.is_none().then(|| value.iter().skip(1).copied().collect::<Vec<u8>>());
                        let other = settings.get(&name).is_some_and(|other| *other != value);
                        settings.insert(name, if other { None } else { value });
                    }
                }
                words.clear();
            }
        }
    }
    settings
}

enum OpenEntry {
    Menu(Entry),
    Entry(Entry),
    Other,
}

impl OpenEntry {
    fn entry(self) -> Entry {
        match self {
            Self::Menu(entry) | Self::Entry(entry) => entry,
            Self::Other => Entry::default(),
        }
    }
}

struct Parser<'a> {
    bls: &'a [Entry],
    stack: Vec<OpenEntry>,
    defaults: Vec<String>,
    configfile: Option<String>,
}

impl Parser<'_> {
    /// Words that end in `{`.
    fn open(&mut self, words: &[Token]) {
        let words = plain(words);
        let first = words.first().map(String::as_str).unwrap_or_default();
        let mut entry = Entry { title: words.get(1).cloned().unwrap_or_default(), ..Entry::default() };
        let id = words.iter().position(|word| word == "--id" || word.contains("menuentry_id_option"));
        entry.id = id.and_then(|at| words.get(at + 1)).cloned().unwrap_or_default();
        self.stack.push(match first {
            "menuentry" => OpenEntry::Entry(entry),
            "submenu" => OpenEntry::Menu(Entry { below: Some(Vec::new()), ..entry }),
            _ => OpenEntry::Other,
        });
    }

    fn close(&mut self) {
        if self.stack.len() < 2 {
            return;
        }
        let Some(closed) = self.stack.pop() else { return };
        if matches!(closed, OpenEntry::Other) {
            return;
        }
        let entry = closed.entry();
        if let Some(OpenEntry::Menu(menu)) =
            self.stack.iter_mut().rev().find(|open| matches!(open, OpenEntry::Menu(_)))
        {
            menu.below.get_or_insert_with(Vec::new).push(entry);
        }
    }

    fn command(&mut self, words: &[Token]) {
        let text = plain(words);
        let Some(first) = text.first() else { return };
        match first.as_str() {
            "set" => {
                let value = text.get(1).and_then(|word| word.strip_prefix("default="));
                self.defaults.extend(value.map(str::to_owned));
            }
            "configfile" if self.stack.len() == 1 => self.configfile = text.get(1).cloned(),
            "blscfg" => {
                let entries = self.bls.to_vec();
                if let Some(OpenEntry::Menu(menu)) = self.stack.last_mut() {
                    menu.below.get_or_insert_with(Vec::new).extend(entries);
                }
            }
            name if MODULES.contains(&name) || HYPERVISORS.contains(&name) => {
                let unknown = words.iter().find_map(|word| match word {
                    Token::Word { unknown, .. } => unknown.clone(),
                    _ => None,
                });
                let pieces = words.iter().filter_map(|word| match word {
                    Token::Word { pieces, .. } => Some(pieces.clone()),
                    _ => None,
                });
                let command = GrubCommand { words: pieces.collect(), unknown };
                if let Some(OpenEntry::Menu(entry) | OpenEntry::Entry(entry)) = self.stack.last_mut() {
                    entry.commands.push(command);
                }
            }
            _ => {}
        }
    }
}

/// Words as text; a variable that is not known stays as it is written.
fn plain(words: &[Token]) -> Vec<String> {
    let text = |word: &Token| match word {
        Token::Word { pieces, unknown, .. } => {
            let text = String::from_utf8_lossy(&pieces.iter().map(|piece| piece.byte).collect::<Vec<u8>>())
                .into_owned();
            let name = unknown
                .as_deref()
                .and_then(|why| why.strip_prefix("GRUB expands "))
                .and_then(|why| why.strip_suffix(" there"));
            name.map_or(text.clone(), |name| format!("{text}{name}"))
        }
        Token::End(_) | Token::Letter(..) => String::new(),
    };
    words.iter().map(text).collect()
}

/// GRUB's environment block: `name=value` lines behind its mark.
#[must_use]
pub fn environment(bytes: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const DEBIAN: &str = "set default=\"0\"\nif [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\n   set next_entry=\nelse\n   set default=\"${saved_entry}\"\nfi\nfunction load_video {\n  insmod all_video\n}\nmenuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {\n\tlinux /vmlinuz root=/dev/sda1 ro quiet\n}\nsubmenu 'Xen > more' $menuentry_id_option 'xen-advanced' {\n\tmenuentry 'With Xen' --class xen --id 'xen-1' {\n\t\tmultiboot2 /boot/xen.gz placeholder ${xen_rm_opts}\n\t\tmodule2 /boot/vmlinuz placeholder root=/dev/sda1 ro xen-pciback.hide='(01:00.0)' a=\"b c\"\n\t\tmodule2 --nounzip /boot/initrd.img\n\t}\n\tmenuentry 'Other' { multiboot2 /xen ; module2 /v p x }\n}\n";

    fn booted(text: &str, environment: &str) -> Result<(String, String), String> {
        let text = text.replacen("set default=\"0\"\n", "", 1);
        let file = File::new("/boot/grub/grub.cfg", text.into_bytes());
        let booted = GrubCfg::parse(&file, &[]).booted(&super::environment(environment.as_bytes()));
        booted.map(|booted| (booted.title, booted.line.text())).map_err(|unknown| unknown.to_string())
    }

    #[test]
    fn the_default_entry_is_found_by_number_title_or_id() {
        for saved in ["1>0", "xen-advanced>xen-1", "Xen >> more>With Xen", "1", "1>nothing"] {
            let (title, line) =
                booted(DEBIAN, &format!("# GRUB Environment Block\nsaved_entry={saved}\n")).unwrap();
            assert_eq!(title, "Xen > more > With Xen", "{saved}");
            assert_eq!(line, "placeholder root=/dev/sda1 ro xen-pciback.hide=(01:00.0) \"a=b c\"");
        }
        let (title, line) = booted(DEBIAN, "saved_entry=0\nnext_entry=1>Other\n").unwrap();
        assert_eq!((title.as_str(), line.as_str()), ("Xen > more > Other", "p x"));
    }

    #[test]
    fn an_entry_without_xen_gives_no_line() {
        for environment in ["", "saved_entry=0\n", "saved_entry=nothing\n"] {
            assert!(booted(DEBIAN, environment).unwrap_err().contains("does not start Xen"), "{environment}");
        }
    }

    #[test]
    fn a_line_alone_is_an_entry() {
        let (_, line) = booted("\tmodule2 /vmlinuz-6.12 placeholder ro rd.qubes.hide_all_usb\n", "").unwrap();
        assert_eq!(line, "placeholder ro rd.qubes.hide_all_usb");
    }

    proptest! {
        #[test]
        fn no_configuration_makes_it_panic(text in "(menuentry |submenu |[a\"'\\\\$ {};\\n#]|module2 |set default=|multiboot2 ){0,60}") {
            let _ = booted(&text, "saved_entry=1>2");
        }
    }
}
