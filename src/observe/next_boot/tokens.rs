//! The tokens of the shell that `/etc/default/grub` is written in: words, operators, ends of lines.

use super::place::{File, Unknown};
use std::ops::Range;

/// One token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    /// A word as it stands, quotes among it.
    Word(Range<usize>),
    /// `;`, `&`, `&&`, `|`, `||`, `;;`, `(` or `)`, or a redirection.
    Operator(&'static str, usize),
    /// The end of a line.
    End(usize),
}

const OPERATORS: [&str; 17] =
    ["<<-", "<<<", "<<", "<&", "<>", ">>", ">&", ">|", "&&", "&>", "||", ";;", ";", "&", "|", "(", ")"];

/// All tokens of a file.
///
/// # Errors
/// A quote or a bracket that does not end.
pub fn tokens(file: &File) -> Result<Vec<Token>, Unknown> {
    let bytes = &file.bytes;
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' => at += 1,
            b'\\' if bytes.get(at + 1) == Some(&b'\n') => at += 2,
            // GRUB reads over what an editor of Windows puts at the end of a line; alone it is a command
            // that there is not.
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => match tokens.last() {
                Some(Token::Word(_)) => at += 1,
                _ => {
                    return Err(Unknown::at(
                        file,
                        at,
                        "a line end of Windows, at which grub-mkconfig gives up",
                    ))
                }
            },
            b'#' => {
                at = bytes
                    .iter()
                    .skip(at)
                    .position(|&byte| byte == b'\n')
                    .map_or(bytes.len(), |skip| at + skip)
            }
            b'\n' => {
                tokens.push(Token::End(at));
                at += 1;
            }
            _ => match operator(bytes, at) {
                Some(operator) => {
                    tokens.push(Token::Operator(operator, at));
                    at += operator.len();
                }
                None => {
                    let end = word_end(file, at)?;
                    // `2>`: the number belongs to what follows.
                    let is_number =
                        bytes.get(at..end).is_some_and(|word| word.iter().all(u8::is_ascii_digit));
                    if !(is_number && matches!(bytes.get(end), Some(b'<' | b'>'))) {
                        tokens.push(Token::Word(at..end));
                    }
                    at = end.max(at + 1);
                }
            },
        }
    }
    tokens.push(Token::End(bytes.len()));
    Ok(tokens)
}

fn operator(bytes: &[u8], at: usize) -> Option<&'static str> {
    let rest = bytes.get(at..)?;
    let found = OPERATORS.iter().find(|operator| rest.starts_with(operator.as_bytes())).copied();
    found.or(match rest.first()? {
        b'<' => Some("<"),
        b'>' => Some(">"),
        _ => None,
    })
}

/// Where the word that begins here ends.
fn word_end(file: &File, begin: usize) -> Result<usize, Unknown> {
    let bytes = &file.bytes;
    let mut at = begin;
    while let Some(&byte) = bytes.get(at) {
        at = match byte {
            b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => break,
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => break,
            b'\\' => at + 2,
            b'\'' => after_single(file, at)?,
            b'"' => after_double(file, at)?,
            b'`' => after_back_quote(file, at)?,
            b'$' => after_dollar(file, at)?,
            _ => at + 1,
        };
    }
    Ok(at.min(bytes.len()))
}

fn after_single(file: &File, begin: usize) -> Result<usize, Unknown> {
    let end = file.bytes.iter().skip(begin + 1).position(|&byte| byte == b'\'');
    end.map(|skip| begin + skip + 2).ok_or_else(|| Unknown::at(file, begin, "a quote that does not end"))
}

fn after_back_quote(file: &File, begin: usize) -> Result<usize, Unknown> {
    let mut at = begin + 1;
    while let Some(&byte) = file.bytes.get(at) {
        match byte {
            b'`' => return Ok(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Err(Unknown::at(file, begin, "a back quote that does not end"))
}

fn after_double(file: &File, begin: usize) -> Result<usize, Unknown> {
    let mut at = begin + 1;
    while let Some(&byte) = file.bytes.get(at) {
        at = match byte {
            b'"' => return Ok(at + 1),
            b'\\' => at + 2,
            b'`' => after_back_quote(file, at)?,
            b'$' => after_dollar(file, at)?,
            _ => at + 1,
        };
    }
    Err(Unknown::at(file, begin, "a quote that does not end"))
}

/// Behind `$`, `${...}`, `$(...)` or `$((...))`; a plain name is read on as letters.
pub fn after_dollar(file: &File, begin: usize) -> Result<usize, Unknown> {
    let close = match file.bytes.get(begin + 1) {
        Some(b'{') => b'}',
        Some(b'(') => b')',
        _ => return Ok(begin + 1),
    };
    let open = if close == b'}' { b'{' } else { b'(' };
    // Not by calling itself: a file of brackets must not use up the stack.
    let mut depth = 1_u32;
    let mut at = begin + 2;
    while let Some(&byte) = file.bytes.get(at) {
        at = match byte {
            b'\\' => at + 2,
            b'\'' => after_single(file, at)?,
            b'"' => after_plain_double(file, at)?,
            b'`' => after_back_quote(file, at)?,
            _ if byte == open => {
                depth += 1;
                at + 1
            }
            _ if byte == close => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
                at + 1
            }
            _ => at + 1,
        };
    }
    Err(Unknown::at(file, begin, "a bracket that does not end"))
}

/// A double-quoted text within brackets. One that holds brackets of its own may end elsewhere: it is not
/// understood.
fn after_plain_double(file: &File, begin: usize) -> Result<usize, Unknown> {
    let mut at = begin + 1;
    while let Some(&byte) = file.bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' => at += 2,
            b'`' => return Err(Unknown::at(file, at, "quotes within brackets within quotes")),
            b'$' if matches!(file.bytes.get(at + 1), Some(b'(' | b'{')) => {
                return Err(Unknown::at(file, at, "quotes within brackets within quotes"));
            }
            _ => at += 1,
        }
    }
    Err(Unknown::at(file, begin, "a quote that does not end"))
}
