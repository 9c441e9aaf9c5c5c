//! Where a byte of a command line came from, so that an edit can be made there.

use std::ops::Range;
use std::rc::Rc;

/// A file that a command line was read from.
#[derive(PartialEq, Eq, Debug)]
pub struct File {
    /// The path, without the sysroot.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Where each of its lines begins.
    lines: Vec<usize>,
}

impl File {
    /// A file of these bytes.
    #[must_use]
    pub fn new(path: &str, bytes: Vec<u8>) -> Rc<Self> {
        let ends = bytes.iter().enumerate().filter(|(_, &byte)| byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Rc::new(Self { path: path.to_owned(), bytes, lines })
    }

    /// The number of the line that a byte stands in, from 1.
    #[must_use]
    pub fn line_of(&self, at: usize) -> u32 {
        u32::try_from(self.lines.partition_point(|&begin| begin <= at)).unwrap_or(u32::MAX)
    }

    /// A place in it.
    #[must_use]
    pub fn place(&self, at: usize) -> Place {
        Place { file: self.path.clone(), line: self.line_of(at) }
    }
}

/// A file and a line of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The number of the line, from 1.
    pub line: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, line {}", crate::names::escape(self.file.as_bytes()), self.line)
    }
}

/// How a byte is quoted where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quote {
    /// Not at all.
    None,
    /// `'...'`
    Single,
    /// `"..."`
    Double,
}

/// Where a byte stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The file.
    pub file: Rc<File>,
    /// The bytes that gave this one: two where a backslash is before it.
    pub at: Range<u32>,
    /// How it is quoted.
    pub quote: Quote,
}

impl Origin {
    /// The line it stands in.
    #[must_use]
    pub fn place(&self) -> Place {
        self.file.place(self.at.start as usize)
    }
}

/// One byte, and where it came from; a byte that a program put in between came from nowhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The byte.
    pub byte: u8,
    /// Where it stands.
    pub origin: Option<Origin>,
}

impl Piece {
    /// Bytes that came from nowhere that could be edited.
    #[must_use]
    pub fn of_text(bytes: &[u8]) -> Vec<Self> {
        bytes.iter().map(|&byte| Self { byte, origin: None }).collect()
    }

    /// All bytes of a range of a file, as they stand.
    #[must_use]
    pub fn of_file(file: &Rc<File>, range: Range<usize>) -> Vec<Self> {
        let at = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let bytes = file.bytes.get(range.clone()).unwrap_or_default();
        let piece = |(offset, &byte): (usize, &u8)| {
            let begin = range.start + offset;
            let origin = Origin { file: Rc::clone(file), at: at(begin)..at(begin + 1), quote: Quote::None };
            Self { byte, origin: Some(origin) }
        };
        bytes.iter().enumerate().map(piece).collect()
    }
}

/// Why something is not known: what stands where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown {
    /// Where it stands, if in a file.
    pub place: Option<Place>,
    /// What it is.
    pub why: String,
}

impl Unknown {
    /// Something at a place of a file.
    #[must_use]
    pub fn at(file: &File, at: usize, why: impl Into<String>) -> Self {
        Self { place: Some(file.place(at)), why: why.into() }
    }

    /// Something that no line of a file shows.
    #[must_use]
    pub fn because(why: impl Into<String>) -> Self {
        Self { place: None, why: why.into() }
    }
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}
