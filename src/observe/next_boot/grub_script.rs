//! What GRUB makes of a command of its script: it takes quotes and backslashes away, expands `$x`, and
//! puts quotes of its own around a word with a space (`grub_create_loader_cmdline`).

use super::place::{Piece, Unknown};

/// One token of GRUB's script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    /// A word, its quotes taken away.
    Word {
        /// The bytes.
        pieces: Vec<Piece>,
        /// Where it begins, counted in bytes.
        at: usize,
        /// Whether any of it was quoted: then `{` is no bracket.
        quoted: bool,
        /// Why it is not known, where GRUB expands something in it.
        unknown: Option<String>,
    },
    /// `;`, or the end of a line, counted in bytes.
    End(usize),
    /// Another letter that GRUB takes for its own.
    Letter(u8, usize),
}

/// What `$name` stands for; `None` where that is not known.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// All tokens. A quote that does not end, ends where the text does.
#[must_use]
pub fn tokens(text: &[Piece], lookup: Lookup<'_>) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, lookup, tokens: Vec::new(), word: None };
    while lexer.at < text.len() {
        lexer.step();
    }
    lexer.end_word();
    lexer.tokens.push(Token::End(text.len()));
    lexer.tokens
}

/// The kernel's line that a value of `GRUB_CMDLINE_LINUX` becomes.
///
/// # Errors
/// GRUB takes part of it for something of its own.
pub fn arguments(value: &[Piece]) -> Result<Vec<Piece>, Unknown> {
    let mut words = Vec::new();
    let nothing = |_: &str| None;
    let all = tokens(value, &nothing);
    let last = all.len().saturating_sub(1);
    for (number, token) in all.into_iter().enumerate() {
        let at = |at: usize| {
            value.get(at).and_then(|piece| piece.origin.as_ref()).map(super::place::Origin::place)
        };
        match token {
            Token::Word { unknown: Some(why), at: begin, .. } => {
                return Err(Unknown { place: at(begin), why })
            }
            Token::Word { pieces, .. } => words.push(pieces),
            Token::End(_) if number == last => {}
            Token::End(begin) => {
                let why = "GRUB reads a line end or `;` in the words as the end of its command".to_owned();
                return Err(Unknown { place: at(begin), why });
            }
            Token::Letter(letter, begin) => {
                let why = format!("GRUB reads `{}` as its own", char::from(letter).escape_default());
                return Err(Unknown { place: at(begin), why });
            }
        }
    }
    Ok(joined(&words))
}

/// Words as GRUB hands them on: with quotes around one that holds a space.
#[must_use]
pub fn joined(words: &[Vec<Piece>]) -> Vec<Piece> {
    let put = |byte: u8| Piece { byte, origin: None };
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(put(b' '));
        }
        let spaced = word.iter().any(|piece| piece.byte == b' ');
        if spaced {
            line.push(put(b'"'));
        }
        for piece in word {
            if matches!(piece.byte, b'\\' | b'\'' | b'"') {
                line.push(put(b'\\'));
            }
            line.push(piece.clone());
        }
        if spaced {
            line.push(put(b'"'));
        }
    }
    line
}

struct Lexer<'a> {
    text: &'a [Piece],
    at: usize,
    lookup: Lookup<'a>,
    tokens: Vec<Token>,
    word: Option<Token>,
}

impl Lexer<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).map(|piece| piece.byte)
    }

    fn end_word(&mut self) {
        self.tokens.extend(self.word.take());
    }

    fn push(&mut self, piece: Option<Piece>, is_quoted: bool) {
        let at = self.at;
        let word =
            self.word.get_or_insert(Token::Word { pieces: Vec::new(), at, quoted: false, unknown: None });
        if let Token::Word { pieces, quoted, .. } = word {
            pieces.extend(piece);
            *quoted |= is_quoted;
        }
    }

    fn take(&mut self, is_quoted: bool) {
        let piece = self.text.get(self.at).cloned();
        self.push(piece, is_quoted);
        self.at += 1;
    }

    fn step(&mut self) {
        match self.byte(self.at) {
            // GRUB reads over carriage returns.
            Some(b'\r') => self.at += 1,
            Some(b' ' | b'\t') => {
                self.end_word();
                self.at += 1;
            }
            Some(b'\n' | b';') => {
                self.end_word();
                self.tokens.push(Token::End(self.at));
                self.at += 1;
            }
            Some(b'#') if self.word.is_none() => {
                while self.byte(self.at).is_some_and(|byte| byte != b'\n') {
                    self.at += 1;
                }
            }
            Some(letter @ (b'&' | b'|' | b'<' | b'>')) => {
                self.end_word();
                self.tokens.push(Token::Letter(letter, self.at));
                self.at += 1;
            }
            Some(b'\\') => self.escaped(),
            Some(b'\'') => {
                self.push(None, true);
                self.at += 1;
                while self.byte(self.at).is_some_and(|byte| byte != b'\'') {
                    self.take(true);
                }
                self.at += 1;
            }
            Some(b'"') => self.double(),
            Some(b'$') => self.variable(),
            Some(_) => self.take(false),
            None => {}
        }
    }

    fn escaped(&mut self) {
        self.at += 1;
        match self.byte(self.at) {
            Some(b'\n') => self.at += 1,
            Some(_) => self.take(true),
            None => {}
        }
    }

    fn double(&mut self) {
        self.push(None, true);
        self.at += 1;
        while let Some(byte) = self.byte(self.at) {
            match (byte, self.byte(self.at + 1)) {
                (b'"', _) => break,
                (b'\\', Some(b'\n')) => self.at += 2,
                (b'\\', Some(b'$' | b'"' | b'\\')) => {
                    self.at += 1;
                    self.take(true);
                }
                (b'$', _) => self.variable(),
                (b'\r', _) => self.at += 1,
                _ => self.take(true),
            }
        }
        self.at += 1;
    }

    fn variable(&mut self) {
        let braces = self.byte(self.at + 1) == Some(b'{');
        let begin = if braces { self.at + 2 } else { self.at + 1 };
        let mut name = Vec::new();
        while let Some(byte) =
            self.byte(begin + name.len()).filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        {
            name.push(byte);
        }
        let end = begin + name.len();
        if name.is_empty() && !braces && self.byte(begin) != Some(b'?') {
            return self.take(false);
        }
        let name = String::from_utf8_lossy(&name).into_owned();
        let value = (self.lookup)(&name);
        let why = format!("GRUB expands ${name} there");
        self.push(None, true);
        if let Some(Token::Word { pieces, unknown, .. }) = &mut self.word {
            match value {
                Some(value) => pieces.extend(Piece::of_text(&value)),
                None => *unknown = Some(why),
            }
        }
        self.at = if braces && self.byte(end) == Some(b'}') { end + 1 } else { end.max(begin) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn made(value: &str) -> Result<String, String> {
        let line = arguments(&Piece::of_text(value.as_bytes())).map_err(|unknown| unknown.to_string())?;
        Ok(String::from_utf8(line.iter().map(|piece| piece.byte).collect()).unwrap())
    }

    #[test]
    fn grub_takes_quotes_and_backslashes_away_and_quotes_words_with_spaces() {
        for (value, line) in [
            ("a  b", "a b"),
            ("xen-pciback.hide='(01:00.0)(01:00.1)' b", "xen-pciback.hide=(01:00.0)(01:00.1) b"),
            (r#"rd.qubes.hide_pci="01:00.0,01:00.2""#, "rd.qubes.hide_pci=01:00.0,01:00.2"),
            (r#"a="b c" d\ e"#, r#""a=b c" "d e""#),
            ("a b\r", "a b"),
            ("a # b", "a"),
            ("a#b", "a#b"),
        ] {
            assert_eq!(made(value), Ok(line.to_owned()), "{value}");
        }
    }

    #[test]
    fn what_grub_takes_for_its_own_is_unknown() {
        for value in ["a;b", "a $x", "a&b", "a\nb", "a | b", "${x}"] {
            assert!(made(value).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(value in "[a\"'\\\\$ {};\\n#]{0,40}") {
            let _ = made(&value);
        }
    }
}
