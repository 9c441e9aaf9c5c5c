//! A kernel command line, taken apart as the kernel and dracut's option reader do it, and where each byte
//! of it came from.

use super::place::{Piece, Place};
use crate::names::escape;
use std::ops::Range;

/// One word: `quiet`, `rd.qubes.hide_pci=01:00.0`, `"a=b c"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// What stands before the first `=`.
    pub name: String,
    /// What stands behind it, without quotes around it; `None` where there is no `=`.
    pub value: Option<String>,
    /// Where the whole word stands in the line, quotes among it.
    pub span: Range<usize>,
    /// Where the value stands in the line, without its quotes.
    pub value_span: Option<Range<usize>>,
    /// The file and line it came from.
    pub place: Option<Place>,
}

/// A kernel command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandLine {
    /// The bytes, with where they came from.
    pub pieces: Vec<Piece>,
    /// The words.
    pub words: Vec<Word>,
    /// The file it was read from.
    pub from: String,
}

impl CommandLine {
    /// Takes apart the bytes of a line.
    #[must_use]
    pub fn new(pieces: Vec<Piece>, from: &str) -> Self {
        let bytes: Vec<u8> = pieces.iter().map(|piece| piece.byte).collect();
        // dracut's reader drops what is blank at the end, within a quote that nothing ends too.
        let mut words = spans(bytes.trim_ascii_end());
        for word in &mut words {
            let origin =
                pieces.get(word.span.clone()).and_then(|all| all.iter().find_map(|it| it.origin.clone()));
            word.place = origin.map(|origin| origin.place());
        }
        Self { pieces, words, from: from.to_owned() }
    }

    /// A line of a file that holds nothing else, as `/proc/cmdline`.
    #[must_use]
    pub fn plain(text: &str, from: &str) -> Self {
        Self::new(Piece::of_text(text.as_bytes()), from)
    }

    /// The line as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.pieces.iter().map(|piece| piece.byte).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last word of this name, letter by letter: the one that dracut's option reader takes.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&Word> {
        self.words.iter().rev().find(|word| word.name == name)
    }

    /// All words of this name, letter by letter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Word> {
        self.words.iter().filter(move |word| word.name == name)
    }

    /// All words that the kernel takes for this parameter: `-` and `_` are the same to it.
    pub fn parameters<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Word> {
        let fold = |text: &str| text.replace('-', "_");
        let name = fold(name);
        self.words.iter().filter(move |word| fold(&word.name) == name)
    }
}

impl Word {
    /// The value, empty where there is none.
    #[must_use]
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    /// The word as it would be written, escaped for people.
    #[must_use]
    pub fn shown(&self) -> String {
        let text = match &self.value {
            Some(value) => format!("{}={value}", self.name),
            None => self.name.clone(),
        };
        escape(text.as_bytes())
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// The words of a line, by the kernel's rule (`lib/cmdline.c`, `next_arg`), which dracut's reader keeps:
/// quotes join what spaces would part; a quote that begins the word or the value is taken away with one
/// that ends it.
fn spans(bytes: &[u8]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(begin) = bytes.iter().skip(at).position(|&byte| !is_space(byte)).map(|skip| at + skip) {
        let end = end_of_word(bytes, begin);
        words.push(word(bytes, begin, end));
        at = end;
    }
    words
}

fn end_of_word(bytes: &[u8], begin: usize) -> usize {
    let mut quoted = false;
    for (at, &byte) in bytes.iter().enumerate().skip(begin) {
        if byte == b'"' {
            quoted = !quoted;
        } else if is_space(byte) && !quoted {
            return at;
        }
    }
    bytes.len()
}

fn word(bytes: &[u8], begin: usize, end: usize) -> Word {
    let at = |place: usize| bytes.get(place).copied();
    let text =
        |range: Range<usize>| String::from_utf8_lossy(bytes.get(range).unwrap_or_default()).into_owned();
    let whole_quoted = at(begin) == Some(b'"');
    let from = if whole_quoted { begin + 1 } else { begin };
    let ends_quoted = |from: usize, end: usize| end > from && at(end - 1) == Some(b'"');
    // A `=` that begins the word is none.
    let equals = (from + 1..end).find(|&place| at(place) == Some(b'='));
    let mut stop = end;
    let value_span = equals.map(|equals| {
        let mut start = equals + 1;
        if at(start) == Some(b'"') && start < end {
            start += 1;
            if ends_quoted(start, stop) {
                stop -= 1;
            }
        }
        start
    });
    if whole_quoted && ends_quoted(from, stop) {
        stop -= 1;
    }
    let value_span = value_span.map(|start| start..stop.max(start));
    let name = text(from..equals.unwrap_or(stop).max(from));
    Word { name, value: value_span.clone().map(text), span: begin..end, value_span, place: None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Vec<(String, Option<String>)> {
        let line = CommandLine::plain(line, "/proc/cmdline");
        line.words.into_iter().map(|word| (word.name, word.value)).collect()
    }

    #[test]
    fn words_are_parted_and_unquoted_as_the_kernel_does() {
        let some = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let bare = |name: &str| (name.to_owned(), None);
        assert_eq!(read("  quiet\ta=b  c= "), [bare("quiet"), some("a", "b"), some("c", "")]);
        assert_eq!(read(r#"a="b c" "d=e f" g"#), [some("a", "b c"), some("d", "e f"), bare("g")]);
        assert_eq!(read(r#"a=b"c d"e =x=y"#), [some("a", r#"b"c d"e"#), some("=x", "y")]);
        assert_eq!(read(r#"a="b"#), [some("a", "b")]);
        assert_eq!(read("a=\"b \n"), [some("a", "b")]);
    }

    #[test]
    fn the_kernel_folds_dashes_and_dracut_does_not() {
        let line = CommandLine::plain("xen_pciback.hide=(00:01.0) rd.qubes.hide-pci=x", "/proc/cmdline");
        assert_eq!(line.parameters("xen-pciback.hide").next_back().unwrap().value(), "(00:01.0)");
        assert!(line.last("rd.qubes.hide_pci").is_none());
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic_and_spans_lie_in_order(line in "[a-c=\" \\PC]{0,40}") {
            let line = CommandLine::plain(&line, "x");
            let mut last = 0;
            for word in &line.words {
                prop_assert!(word.span.start >= last && word.span.end <= line.pieces.len());
                last = word.span.end;
                if let Some(span) = &word.value_span {
                    prop_assert!(span.start >= word.span.start && span.end <= word.span.end);
                }
            }
        }
    }
}
