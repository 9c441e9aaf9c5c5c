//! The end of the chain: a number and a hash, in the forms that people and files use.
#![forbid(unsafe_code)]

use std::fmt;

use crate::hash;

/// The last record of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head {
    /// The record's number, from 0.
    pub seq: u64,
    /// The record's SHA-256.
    pub hash: [u8; 32],
}

impl Head {
    /// The hash as 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        hash::as_str(&hash::to_hex(&self.hash)).to_owned()
    }

    /// The form for people: the number and the first 96 bits, `104857 f3a9 77c1 02de 9b40 51aa 0c3e`.
    pub fn short(&self) -> String {
        let hex = self.hex();
        let mut text = self.seq.to_string();
        for group in hex.as_bytes().chunks(4).take(6) {
            text.push(' ');
            text.push_str(std::str::from_utf8(group).unwrap_or(""));
        }
        text
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// What the file `HEAD` says: everything up to here was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) head: Head,
    /// Behind the line feed of that record, in its segment.
    pub(crate) end: u64,
    /// The first number in that segment.
    pub(crate) segment: u64,
}

impl Mark {
    /// The line of the file.
    pub(crate) fn line(&self) -> String {
        format!("{} {} {} {}\n", self.head.seq, self.head.hex(), self.end, segment_name(self.segment))
    }

    /// Reads the first line; `None` for anything but a whole one (what stands behind
    /// it is left from a longer line).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = memchr::memchr(b'\n', bytes)?;
        let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let mut words = text.split(' ');
        let mark = Self {
            head: Head { seq: words.next()?.parse().ok()?, hash: hash::from_hex(words.next()?.as_bytes())? },
            end: words.next()?.parse().ok()?,
            segment: segment_number(words.next()?)?,
        };
        // One way to write it: `+1` or `007` are no marks.
        (words.next().is_none() && mark.line().trim_end() == text && mark.head.seq < 1 << 53).then_some(mark)
    }
}

/// The name of the segment whose first record has this number.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{first:012}.jsonl")
}

/// The number in the name of a segment.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".jsonl")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark { head: Head { seq: 104_857, hash: [0xf3; 32] }, end: 4711, segment: 100_000 }
    }

    #[test]
    fn the_short_form_has_the_number_and_96_bits() {
        assert_eq!(mark().head.short(), "104857 f3f3 f3f3 f3f3 f3f3 f3f3 f3f3");
    }

    #[test]
    fn a_mark_reads_back_and_fits_in_128_bytes() {
        assert_eq!(Mark::parse(mark().line().as_bytes()), Some(mark()));
        let largest = Mark {
            head: Head { seq: (1 << 53) - 1, hash: [9; 32] },
            end: u64::from(u32::MAX),
            segment: 999_999_999_999,
        };
        assert!(largest.line().len() <= 128);
        let rest_of_a_longer_line = format!("{}00.jsonl\n", mark().line());
        assert_eq!(Mark::parse(rest_of_a_longer_line.as_bytes()), Some(mark()));
    }

    #[test]
    fn a_torn_mark_is_no_mark() {
        let line = mark().line();
        for length in 0..line.len() {
            assert_eq!(Mark::parse(line.as_bytes().get(..length).unwrap()), None);
        }
        assert_eq!(Mark::parse(line.replacen('f', "F", 1).as_bytes()), None);
        assert_eq!(Mark::parse(format!("0{line}").as_bytes()), None);
        assert_eq!(Mark::parse(&[0; 128]), None);
    }
}
