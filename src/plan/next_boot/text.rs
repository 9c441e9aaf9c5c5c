//! Puts changed words back into the files that they came from, byte for byte where nothing changes.

use super::draft::{Draft, Drafts};
use super::Refusal;
use crate::observe::next_boot::{CommandLine, Evaluated, File, Piece, Place, Quote, Source, Word};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// Text that goes into a file in place of other text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Change {
    at: Range2,
    new: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Range2 {
    start: usize,
    end: usize,
}

/// Each changed file, by its path.
pub type Changed = BTreeMap<String, Vec<u8>>;

/// The files of the source with the words changed.
///
/// # Errors
/// A word stands where it cannot be changed by itself.
pub fn apply(
    source: &Source,
    evaluated: &Evaluated,
    line: &CommandLine,
    drafts: &Drafts,
) -> Result<Changed, Refusal> {
    let mut changes: BTreeMap<String, (Rc<File>, Vec<Change>)> = BTreeMap::new();
    let mut put = |file: &Rc<File>, change: Change| {
        changes.entry(file.path.clone()).or_insert_with(|| (Rc::clone(file), Vec::new())).1.push(change);
    };
    for (number, word) in line.words.iter().enumerate() {
        let change = match drafts.0.iter().find(|draft| draft.was == Some(number)) {
            None => removed(line, word),
            Some(draft) if draft.value != word.value => replaced(line, word, draft),
            Some(_) => continue,
        };
        let (file, change) = change.ok_or_else(|| fixed(word))?;
        put(&file, change);
    }
    let new: Vec<String> = drafts.0.iter().filter(|draft| draft.was.is_none()).map(written).collect();
    if !new.is_empty() {
        let (file, change) = added(source, evaluated, &new.join(" "))?;
        put(&file, change);
    }
    let mut changed = Changed::new();
    for (path, (file, mut all)) in changes {
        all.sort();
        all.dedup();
        let bytes = carried_out(&file.bytes, &all)
            .ok_or_else(|| Refusal::of_file(&path, "two words of it cannot be changed at once"))?;
        changed.insert(path, bytes);
    }
    Ok(changed)
}

fn fixed(word: &Word) -> Refusal {
    let place = word.place.as_ref().map_or_else(String::new, Place::to_string);
    Refusal::because(format!("{} cannot be changed by itself where it stands ({place})", word.shown()))
}

fn written(draft: &Draft) -> String {
    match &draft.value {
        Some(value) => format!("{}={value}", draft.name),
        None => draft.name.clone(),
    }
}

fn carried_out(bytes: &[u8], changes: &[Change]) -> Option<Vec<u8>> {
    let mut new = Vec::new();
    let mut at = 0;
    for change in changes {
        // Two words that go may both take the blank between them along.
        if change.at.start < at && !change.new.is_empty() {
            return None;
        }
        new.extend(bytes.get(at..change.at.start.max(at))?);
        new.extend(change.new.as_bytes());
        at = change.at.end.max(at);
    }
    new.extend(bytes.get(at..)?);
    Some(new)
}

/// The bytes of a file that pieces of a line came from; `None` where they do not stand together.
fn stretch(pieces: &[Piece]) -> Option<(Rc<File>, Range<usize>, Quote)> {
    let first = pieces.iter().find_map(|piece| piece.origin.as_ref())?;
    let mut end = first.at.start;
    for piece in pieces {
        // What GRUB puts in between came from nowhere.
        let Some(origin) = &piece.origin else { continue };
        if !Rc::ptr_eq(&origin.file, &first.file) || origin.at.start < end {
            return None;
        }
        let between = first.file.bytes.get(end as usize..origin.at.start as usize)?;
        if end != first.at.start && !between.iter().all(|byte| matches!(byte, b'\'' | b'"' | b'\\')) {
            return None;
        }
        end = origin.at.end;
    }
    Some((Rc::clone(&first.file), first.at.start as usize..end as usize, first.quote))
}

fn removed(line: &CommandLine, word: &Word) -> Option<(Rc<File>, Change)> {
    let (file, mut range, _) = stretch(line.pieces.get(word.span.clone())?)?;
    let byte = |at: usize| file.bytes.get(at).copied();
    // A quote that begins within the word, or right before it, ends behind it.
    for quote in [b'\'', b'"'] {
        let inside = file.bytes.get(range.clone())?.iter().filter(|byte| **byte == quote).count();
        if inside % 2 == 1 && byte(range.end) == Some(quote) {
            range.end += 1;
        }
    }
    let is_part = |at: usize| {
        line.pieces
            .iter()
            .filter_map(|piece| piece.origin.as_ref())
            .any(|origin| origin.at.start as usize == at && Rc::ptr_eq(&origin.file, &file))
    };
    let blank = |at: usize| byte(at).is_some_and(|byte| matches!(byte, b' ' | b'\t'));
    if range.start > 0 && blank(range.start - 1) && is_space_of_value(&file, range.start - 1) {
        range.start -= 1;
    } else if blank(range.end) && (is_part(range.end) || is_space_of_value(&file, range.end)) {
        range.end += 1;
    }
    let at = Range2 { start: range.start, end: range.end };
    Some((file, Change { at, new: String::new() }))
}

/// A blank within a value: not one that parts two commands.
fn is_space_of_value(file: &File, at: usize) -> bool {
    let begin = file.bytes.iter().take(at).rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let before = file.bytes.get(begin..at).unwrap_or_default();
    let mut quote: Option<u8> = None;
    let mut escaped = false;
    for &byte in before {
        match (byte, quote) {
            _ if escaped => escaped = false,
            (b'\\', None | Some(b'"')) => escaped = true,
            (b'\'' | b'"', None) => quote = Some(byte),
            (byte, Some(open)) if byte == open => quote = None,
            _ => {}
        }
    }
    quote.is_some()
}

fn replaced(line: &CommandLine, word: &Word, draft: &Draft) -> Option<(Rc<File>, Change)> {
    let value = draft.value.as_deref()?;
    let old = word.value_span.clone().filter(|span| !span.is_empty());
    let (file, range, quote, text) = match old {
        Some(span) => {
            let (file, range, quote) = stretch(line.pieces.get(span)?)?;
            (file, range, quote, value.to_owned())
        }
        None => {
            let (file, range, quote) = stretch(line.pieces.get(word.span.clone())?)?;
            let text = if word.value.is_some() { value.to_owned() } else { format!("={value}") };
            (file, range.end..range.end, quote, text)
        }
    };
    let new = if quote == Quote::None { quoted(&text) } else { text };
    Some((file, Change { at: Range2 { start: range.start, end: range.end }, new }))
}

/// With quotes of the shell, where it asks for them.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".,:_-=+/".contains(&byte);
    if text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}

/// Puts words at the end of the variable that holds them.
fn added(source: &Source, evaluated: &Evaluated, words: &str) -> Result<(Rc<File>, Change), Refusal> {
    let variable = evaluated.variable().map_err(|unknown| Refusal::because(unknown.to_string()))?;
    if let Some(assigned) = evaluated.assigned(variable) {
        let before = assigned.end.checked_sub(1).and_then(|at| assigned.file.bytes.get(at)).copied();
        let empty = matches!(before, Some(b'=' | b'"' | b'\'' | b' '));
        let words = if empty { words.to_owned() } else { format!(" {words}") };
        let new = if assigned.quote == Quote::None { format!("\"{words}\"") } else { words };
        let at = Range2 { start: assigned.end, end: assigned.end };
        return Ok((Rc::clone(&assigned.file), Change { at, new }));
    }
    let file =
        source.files.first().ok_or_else(|| Refusal::because("there is no /etc/default/grub to edit"))?;
    let end = file.bytes.len();
    let ending = if file.bytes.ends_with(b"\r\n") { "\r\n" } else { "\n" };
    let missing = if file.bytes.is_empty() || file.bytes.ends_with(b"\n") { "" } else { "\n" };
    let new = format!("{missing}{variable}=\"{words}\"{ending}");
    Ok((Rc::clone(file), Change { at: Range2 { start: end, end }, new }))
}
