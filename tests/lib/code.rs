//! Reads the program's source as rustfmt leaves it: which lines are compiled into the program, how long its functions are,
//! and which modules a file uses.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the program, without its tests.
pub struct Source {
    /// Path from the repository's root.
    pub path: PathBuf,
    /// Every line, tests and comments too.
    pub text: String,
    /// Numbers (from 1) and text of all lines that are not only for tests.
    pub lines: Vec<(usize, String)>,
    /// Numbers (from 1) and text of the lines that are neither blank, nor a comment, nor only for tests.
    pub code: Vec<(usize, String)>,
}

/// A function of the program.
pub struct Function {
    /// What it is called.
    pub name: String,
    /// Lines from its signature to its last brace, blank ones and comments left out.
    pub lines: usize,
    /// How many arguments it takes, `self` among them.
    pub arguments: usize,
}

/// Every file below `folder` that is compiled into the program.
pub fn sources(root: &Path, folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    gather(&root.join(folder), &mut paths);
    paths.sort();
    let files: Vec<(PathBuf, String)> =
        paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    let tests: Vec<PathBuf> = files.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test = |path: &Path, text: &str| {
        tests.iter().any(|test| path.with_extension("") == *test || path.starts_with(test))
            || text.contains("#![cfg(test)]")
    };
    let files = files.into_iter().filter(|(path, text)| !is_test(path, text));
    files
        .map(|(path, text)| {
            let lines = divided(&text).0.into_iter().map(|(at, line)| (at, line.to_owned())).collect();
            let code = code(&text);
            Source { path: path.strip_prefix(root).unwrap().to_owned(), text, lines, code }
        })
        .collect()
}

fn gather(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// Where the modules of a file stand.
fn folder_of(path: &Path) -> PathBuf {
    let name = path.file_stem().unwrap();
    let own = ["mod", "main", "lib"].iter().any(|one| name == *one);
    if own {
        path.parent().unwrap().to_owned()
    } else {
        path.with_extension("")
    }
}

/// Files (without `.rs`) of the modules that a file takes in only for tests.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let (_, tests) = divided(text);
    let lines = tests.iter().map(|(_, line)| line.trim().trim_start_matches("pub "));
    let names = lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    names.map(|name| folder_of(path).join(name)).collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether a line ends what began at the same indentation.
fn closes(line: &str, at: usize) -> bool {
    indent(line) == at && line.trim_start().starts_with(['}', ')', ']']) && !line.trim_end().ends_with('{')
}

type Lines<'a> = Vec<(usize, &'a str)>;

/// Lines of the program, and those only for tests.
fn divided(text: &str) -> (Lines<'_>, Lines<'_>) {
    let (mut code, mut tests) = (Vec::new(), Vec::new());
    let mut lines = text.lines().enumerate().map(|(place, line)| (place + 1, line)).peekable();
    while let Some((number, line)) = lines.next() {
        let word = line.trim_start();
        if !(word.starts_with("#[cfg(test)]") || word.starts_with("#[test]")) {
            code.push((number, line));
            continue;
        }
        let at = indent(line);
        // further attributes and comments
        let mut first = (number, line);
        for next in lines.by_ref() {
            first = next;
            if !next.1.trim_start().starts_with(['#', '/']) {
                break;
            }
        }
        tests.push(first);
        let whole = |line: &str| line.ends_with([';', ',']) || line.ends_with('}');
        if whole(first.1) {
            continue;
        }
        let assigned = first.1.ends_with('=');
        for next in lines.by_ref() {
            tests.push(next);
            if closes(next.1, at) || assigned && next.1.ends_with(';') {
                break;
            }
        }
    }
    (code, tests)
}

/// The lines that count.
fn code(text: &str) -> Vec<(usize, String)> {
    let (lines, _) = divided(text);
    let counts = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    lines
        .into_iter()
        .filter(|(_, line)| counts(line))
        .map(|(number, line)| (number, line.to_owned()))
        .collect()
}

/// A line without its comment and without what its strings say.
pub fn bare(line: &str) -> String {
    let mut out = String::new();
    let mut letters = line.chars().peekable();
    let mut inside = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if inside => drop(letters.next()),
            '\'' if !inside && letters.peek() == Some(&'"') => drop(letters.next()),
            '"' => inside = !inside,
            '/' if !inside && letters.peek() == Some(&'/') => break,
            letter if !inside => out.push(letter),
            _ => {}
        }
    }
    out
}

impl Source {
    /// The functions that are compiled into the program.
    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for (place, (_, line)) in self.code.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            let rest = &self.code[place..];
            let length = if line.ends_with('}') || line.ends_with(';') {
                1
            } else {
                let end = |line: &str| closes(line, indent(line)) && indent(line) == indent(&rest[0].1);
                let last =
                    rest.iter().skip(1).position(|(_, line)| end(line) && line.trim().starts_with('}'));
                let without_body = rest
                    .iter()
                    .position(|(_, line)| line.ends_with(';') && indent(line) == indent(&rest[0].1));
                last.map_or(1, |last| last + 2).min(without_body.map_or(usize::MAX, |place| place + 1))
            };
            let text: String = rest.iter().take(length.min(30)).map(|(_, line)| bare(line) + " ").collect();
            found.push(Function { name, lines: length, arguments: arguments(&text) });
        }
        found
    }

    /// The module that the file is.
    pub fn module(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let mut parts: Vec<String> = path
            .components()
            .skip_while(|part| part.as_os_str() != "src")
            .skip(1)
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        if parts.last().is_some_and(|last| ["mod", "main", "lib"].contains(&last.as_str())) {
            parts.pop();
        }
        parts
    }

    /// What it uses of the program, by whole paths: `crate::a::b` is `[a, b]`.
    pub fn uses(&self) -> BTreeSet<Vec<String>> {
        let text: String = self.code.iter().map(|(_, line)| bare(line) + "\n").collect();
        let mut found = BTreeSet::new();
        for (place, _) in text.match_indices("crate::").chain(text.match_indices("super::")) {
            let before = text[..place].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':') {
                continue;
            }
            let (mut paths, _) = tree(&text[place..]);
            paths.iter_mut().for_each(|path| *path = resolved(&self.module(), path));
            found.extend(paths);
        }
        found
    }
}

/// The name where a line begins a function.
fn function_name(line: &str) -> Option<String> {
    let mut words = line.trim_start();
    if let Some((_, behind)) = words.strip_prefix("pub(").and_then(|path| path.split_once(") ")) {
        words = behind;
    }
    for before in ["pub ", "const ", "unsafe ", "extern \"C\" "] {
        words = words.strip_prefix(before).unwrap_or(words);
    }
    let name = words.strip_prefix("fn ")?;
    Some(name.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect())
}

/// How many arguments stand between the brackets of a signature.
fn arguments(signature: &str) -> usize {
    // `pub(crate)` has brackets too.
    let (_, signature) = signature.split_once("fn ").unwrap_or_default();
    let signature = signature.replace("->", "  ");
    let mut depth = 0_i32;
    let (mut count, mut any) = (0, false);
    let mut begun = false;
    for letter in signature.chars() {
        match letter {
            '(' if depth == 0 && !begun => {
                begun = true;
                depth = 1;
                continue;
            }
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if begun && depth == 1 => {
                count += usize::from(any);
                any = false;
                continue;
            }
            _ => {}
        }
        if begun && depth == 0 {
            break;
        }
        any |= begun && !letter.is_whitespace();
    }
    count + usize::from(any)
}

/// The paths of a use tree, each from its first word, and how far the tree goes.
fn tree(text: &str) -> (Vec<Vec<String>>, usize) {
    let mut path = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if let Some(inner) = rest.strip_prefix('{') {
            let mut all = Vec::new();
            let mut place = at + 1;
            let end = at + 1 + inner.len();
            while place < end {
                let skipped =
                    text[place..].find(|letter: char| !letter.is_whitespace() && letter != ',').unwrap_or(0);
                place += skipped;
                if text[place..].starts_with('}') {
                    place += 1;
                    break;
                }
                let (below, length) = tree(&text[place..]);
                all.extend(below.into_iter().map(|below| [path.clone(), below].concat()));
                place += length.max(1);
            }
            return (all, place);
        }
        let word: String =
            rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        at += word.len();
        if !word.is_empty() {
            path.push(word);
        }
        let next = text[at..].strip_prefix("::");
        match next.and_then(|next| next.chars().next()) {
            Some(letter) if letter.is_alphabetic() || letter == '_' || letter == '{' => at += 2,
            _ => return (vec![path], at),
        }
    }
}

/// A path from the crate's root.
fn resolved(module: &[String], path: &[String]) -> Vec<String> {
    let mut at = module.to_vec();
    for word in path {
        match word.as_str() {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            "self" => {}
            word => at.push(word.to_owned()),
        }
    }
    at
}
