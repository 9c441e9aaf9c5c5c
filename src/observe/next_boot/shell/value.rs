//! The value of an assignment: quotes taken away, variables put in.

use super::super::place::{File, Origin, Piece, Quote, Unknown};
use super::super::tokens::after_dollar;
use super::{escaped, Value, Variables};
use std::ops::Range;
use std::rc::Rc;

/// No kernel takes a longer line.
pub const LONGEST: usize = 2 << 20;

/// A value with its quotes taken away, and how it is quoted at its end.
pub fn value_of(file: &Rc<File>, variables: &Variables, range: Range<usize>) -> (Value, Quote) {
    let mut reader = ValueReader { file, variables, at: range.start, end: range.end, value: Vec::new() };
    let mut quote = Quote::None;
    while reader.at < reader.end {
        match reader.part() {
            Ok(ended) => quote = ended,
            Err(unknown) => return (Err(unknown), Quote::None),
        }
        if reader.value.len() > LONGEST {
            return (Err(Unknown::at(file, range.start, "a value that is far too long")), Quote::None);
        }
    }
    (Ok(reader.value), quote)
}

struct ValueReader<'a> {
    file: &'a Rc<File>,
    variables: &'a Variables,
    at: usize,
    end: usize,
    value: Vec<Piece>,
}

impl ValueReader<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.file.bytes.get(at).copied().filter(|_| at < self.end)
    }

    fn push(&mut self, byte: u8, at: Range<usize>, quote: Quote) {
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let at = number(at.start)..number(at.end);
        self.value.push(Piece { byte, origin: Some(Origin { file: Rc::clone(self.file), at, quote }) });
    }

    /// One part that is quoted in one way; how it is quoted.
    fn part(&mut self) -> Result<Quote, Unknown> {
        let begin = self.at;
        match self.byte(self.at) {
            Some(b'\'') => {
                self.at += 1;
                while let Some(byte) = self.byte(self.at).filter(|&byte| byte != b'\'') {
                    self.push(byte, self.at..self.at + 1, Quote::Single);
                    self.at += 1;
                }
                self.at += 1;
                return Ok(Quote::Single);
            }
            Some(b'"') => {
                self.at += 1;
                while self.byte(self.at).is_some_and(|byte| byte != b'"') {
                    self.letter(Quote::Double)?;
                }
                self.at += 1;
                return Ok(Quote::Double);
            }
            Some(b'~') => return Err(Unknown::at(self.file, begin, "`~`")),
            _ => self.letter(Quote::None)?,
        }
        Ok(Quote::None)
    }

    fn letter(&mut self, quote: Quote) -> Result<(), Unknown> {
        let at = self.at;
        match self.byte(at) {
            Some(b'\\') => {
                let next = self.byte(at + 1);
                let taken = match (quote, next) {
                    (_, Some(b'\n')) => None,
                    (Quote::None, Some(next)) => Some(next),
                    (_, Some(next @ (b'$' | b'`' | b'"' | b'\\'))) => Some(next),
                    _ => {
                        self.push(b'\\', at..at + 1, quote);
                        self.at += 1;
                        return Ok(());
                    }
                };
                if let Some(byte) = taken {
                    self.push(byte, at..at + 2, quote);
                }
                self.at += 2;
            }
            Some(b'`') => return Err(Unknown::at(self.file, at, "a command whose output is taken (`)")),
            Some(b'$') => self.variable()?,
            Some(byte) => {
                self.push(byte, at..at + 1, quote);
                self.at += 1;
            }
            None => {}
        }
        Ok(())
    }

    fn variable(&mut self) -> Result<(), Unknown> {
        let at = self.at;
        let file = self.file;
        let (begin, end, after) = if self.byte(at + 1) == Some(b'{') {
            let after = after_dollar(file, at)?;
            (at + 2, after - 1, after)
        } else {
            let letters = file.bytes.get(at + 1..self.end).unwrap_or_default();
            let good = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let count = letters.iter().take_while(|byte| good(byte)).count();
            if count == 0
                && !matches!(
                    letters.first(),
                    Some(b'(' | b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!' | b'\'' | b'"')
                )
            {
                self.push(b'$', at..at + 1, Quote::None);
                self.at += 1;
                return Ok(());
            }
            (at + 1, at + 1 + count, at + 1 + count)
        };
        let name = String::from_utf8_lossy(file.bytes.get(begin..end).unwrap_or_default()).into_owned();
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if !plain {
            return Err(Unknown::at(file, at, "an expansion that is not of a plain variable"));
        }
        let known = name.starts_with("GRUB_") || self.variables.values.contains_key(&name);
        if !known {
            return Err(Unknown::at(file, at, format!("${} is set elsewhere", escaped(&name))));
        }
        self.value.extend(self.variables.get(&name)?);
        self.at = after;
        Ok(())
    }
}
