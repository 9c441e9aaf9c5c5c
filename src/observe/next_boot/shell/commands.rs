//! Runs the commands of a file, as far as they set variables.

use super::super::place::{File, Quote, Unknown};
use super::super::tokens::Token;
use super::value::{value_of, LONGEST};
use super::{escaped, Assigned, Variables};
use std::ops::Range;
use std::rc::Rc;

/// Commands of the shell that change what follows in ways not looked into.
const CHANGING: [&str; 24] = [
    "eval",
    "exec",
    "exit",
    "return",
    "read",
    "mapfile",
    "readarray",
    "getopts",
    "let",
    "alias",
    "unalias",
    "trap",
    "command",
    "builtin",
    "declare",
    "typeset",
    "local",
    "function",
    "coproc",
    "select",
    "enable",
    "shopt",
    "env",
    "wait",
];

/// Before these an assignment may outlast the command: shells differ.
const SPECIAL: [&str; 8] = [":", "export", "readonly", "set", "shift", "times", "unset", "continue"];

/// A file while it is being run.
pub struct Runner<'a> {
    /// The file.
    pub file: &'a Rc<File>,
    /// The variables that it sets.
    pub variables: &'a mut Variables,
    /// Commands that hold others and have not ended: how they end, and where they began.
    pub open: Vec<(&'static str, usize)>,
    /// Files that it runs.
    pub included: Vec<(String, usize)>,
}

impl Runner<'_> {
    /// Runs all commands.
    pub fn run(&mut self, tokens: &[Token]) {
        let mut command: Vec<Range<usize>> = Vec::new();
        let mut before = "";
        let mut skip_word = false;
        for token in tokens {
            if self.variables.lost.is_some() {
                return;
            }
            match token {
                Token::Word(range) if skip_word => {
                    skip_word = false;
                    let _ = range;
                }
                Token::Word(range) => {
                    if !(command.is_empty() && self.keyword(range)) {
                        command.push(range.clone());
                    }
                }
                Token::Operator(operator, at) => match *operator {
                    "<<" | "<<-" => return self.lose(*at, "a text in the file (<<)"),
                    "<" | ">" | ">>" | ">&" | "<&" | ">|" | "<>" | "&>" | "<<<" => skip_word = true,
                    "(" => {
                        if !command.is_empty() {
                            return self.lose(*at, "a function");
                        }
                        self.open.push((")", *at));
                    }
                    separator => {
                        self.command(&command, before, separator);
                        command.clear();
                        before = separator;
                        if separator == ")" && self.open.last().is_some_and(|(end, _)| *end == ")") {
                            self.open.pop();
                        }
                    }
                },
                Token::End(_) => {
                    self.command(&command, before, "\n");
                    // A line may end behind `&&`.
                    if !command.is_empty() || !matches!(before, "&&" | "||" | "|") {
                        before = "\n";
                    }
                    command.clear();
                }
            }
        }
    }

    fn lose(&mut self, at: usize, why: &str) {
        self.variables.lose(Unknown::at(self.file, at, format!("{why} is not understood")));
    }

    fn text(&self, range: &Range<usize>) -> String {
        String::from_utf8_lossy(self.file.bytes.get(range.clone()).unwrap_or_default()).into_owned()
    }

    /// Takes a word that begins or ends a command of commands.
    fn keyword(&mut self, range: &Range<usize>) -> bool {
        let windows = self.file.bytes.get(range.end) == Some(&b'\r');
        let end = match self.text(range).as_str() {
            "if" => "fi",
            "for" | "while" | "until" => "done",
            "case" => "esac",
            "{" => "}",
            "then" | "else" | "elif" | "do" | "!" => return true,
            word @ ("fi" | "done" | "esac" | "}") => {
                match self.open.pop() {
                    Some((end, _)) if end == word => {}
                    _ => self.lose(range.start, &format!("`{word}` without its beginning")),
                }
                return true;
            }
            _ => return false,
        };
        self.open.push((end, range.start));
        if windows {
            self.lose(range.start, "a line end of Windows behind this");
        }
        // `for NAME in`, `case WORD in` are read on as words that do nothing.
        matches!(end, "fi" | "}") || self.text(range) != "for" && self.text(range) != "case"
    }

    /// One simple command, with what stands before and behind it.
    fn command(&mut self, words: &[Range<usize>], before: &str, behind: &str) {
        let is_sure = self.open.is_empty()
            && !matches!(before, "&&" | "||" | "|")
            && !matches!(behind, "|" | "&" | ")");
        let count = words.iter().take_while(|word| self.name_of(word).is_some()).count();
        let (assignments, rest) = words.split_at(count);
        let Some(first) = rest.first() else {
            for word in assignments {
                self.assign(word, is_sure);
            }
            return;
        };
        let name = self.text(first);
        if SPECIAL.contains(&name.as_str()) {
            for (variable, _, _) in
                assignments.iter().filter_map(|word| self.name_of(word)).collect::<Vec<_>>()
            {
                self.not_sure(&variable, first.start);
            }
        }
        let arguments = rest.get(1..).unwrap_or_default();
        self.program(&name, first.start, arguments, is_sure);
        if !self.included.is_empty() && !matches!(name.as_str(), "." | "source") {
            self.lose(first.start, "a command behind one that runs another file");
        }
    }

    /// A command that is no assignment alone.
    fn program(&mut self, name: &str, at: usize, arguments: &[Range<usize>], is_sure: bool) {
        match name {
            "for" => {
                if let Some(variable) = arguments.first() {
                    let variable = self.text(variable);
                    self.not_sure(&variable, at);
                }
            }
            "export" | "readonly" => {
                for word in arguments {
                    if !self.text(word).contains('=') {
                        continue;
                    }
                    if self.name_of(word).is_none() {
                        return self.lose(word.start, &format!("`{name}` of this"));
                    }
                    self.assign(word, is_sure);
                }
            }
            "unset" => {
                for word in arguments {
                    let variable = self.text(word);
                    if is_sure {
                        self.variables.set(&variable, Ok(Vec::new()), None);
                    } else {
                        self.not_sure(&variable, word.start);
                    }
                }
            }
            "." | "source" => {
                let path = arguments.first().map(|word| self.text(word)).unwrap_or_default();
                let plain = path.starts_with('/')
                    && path.bytes().all(|it| it.is_ascii_alphanumeric() || b"/._-".contains(&it));
                if !is_sure || !plain {
                    return self.lose(at, "a file that is run from here");
                }
                self.included.push((path, at));
            }
            _ if CHANGING.contains(&name) => self.lose(at, &format!("`{name}`")),
            "printf" if arguments.first().is_some_and(|word| self.text(word).starts_with("-v")) => {
                self.lose(at, "`printf -v`");
            }
            _ if name.contains(['$', '`', '\\', '"', '\'']) => {
                self.lose(at, "a command that is not named plainly")
            }
            // A program cannot change variables of the shell that runs it.
            _ => {}
        }
    }

    /// The variable of an assignment, and where its value begins.
    fn name_of(&self, word: &Range<usize>) -> Option<(String, bool, usize)> {
        let bytes = self.file.bytes.get(word.clone())?;
        let equals = bytes.iter().position(|&byte| byte == b'=')?;
        let appends = equals > 0 && bytes.get(equals - 1) == Some(&b'+');
        let name = bytes.get(..if appends { equals - 1 } else { equals })?;
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let plain = name.iter().all(good) && name.first().is_some_and(|byte| !byte.is_ascii_digit());
        plain.then(|| (String::from_utf8_lossy(name).into_owned(), appends, word.start + equals + 1))
    }

    fn not_sure(&mut self, name: &str, at: usize) {
        let unknown = Unknown::at(self.file, at, format!("whether {} is set here depends", escaped(name)));
        self.variables.set(name, Err(unknown), None);
    }

    fn assign(&mut self, word: &Range<usize>, is_sure: bool) {
        let Some((name, appends, begin)) = self.name_of(word) else { return };
        if !self.included.is_empty() {
            return self.lose(word.start, "a command behind one that runs another file");
        }
        if !is_sure {
            return self.not_sure(&name, word.start);
        }
        if appends && !self.variables.appends {
            return self.lose(word.start, "`+=`, which this shell does not know");
        }
        let (mut value, quote) = value_of(self.file, self.variables, begin..word.end);
        if appends {
            let before = self.variables.get(&name);
            value = before.and_then(|mut before| {
                before.extend(value?);
                Ok(before)
            });
        }
        if value.as_ref().is_ok_and(|value| value.len() > LONGEST) {
            value = Err(Unknown::at(self.file, begin, "a value that is far too long"));
        }
        let end = if quote == Quote::None { word.end } else { word.end.saturating_sub(1) };
        let assigned = Assigned { file: Rc::clone(self.file), end, quote };
        self.variables.set(&name, value, Some(assigned));
    }
}
