//! The headers of a tar archive (POSIX.1-2001 pax, and GNU's long names), as far as journals need them.
#![forbid(unsafe_code)]

use std::io::Read;

/// Archives are made of blocks of so many bytes.
pub(super) const BLOCK: usize = 512;
/// Longer names are not taken.
const MOST_NAME: u64 = 64 * 1024;

/// A file or folder in an archive; its content follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) is_file: bool,
    /// Bytes of its content.
    pub(super) size: u64,
}

impl Entry {
    /// Bytes between its content and the next block.
    pub(super) fn padding(&self) -> u64 {
        let block = BLOCK as u64;
        (block - self.size % block) % block
    }
}

/// A header as it stands there.
struct Header {
    name: Vec<u8>,
    kind: u8,
    size: u64,
}

/// Whether a block is a header.
pub(super) fn is_header(block: &[u8]) -> bool {
    header(block).is_some()
}

/// The next entry; `None` at the end. An error is a sentence.
pub(super) fn next(input: &mut dyn Read) -> Result<Option<Entry>, String> {
    let mut name: Option<Vec<u8>> = None;
    loop {
        let mut block = Vec::new();
        input
            .take(BLOCK as u64)
            .read_to_end(&mut block)
            .map_err(|error| format!("cannot read it: {error}"))?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = header(&block).ok_or("a header of the archive is damaged")?;
        let mut entry =
            Entry { name: header.name, is_file: matches!(header.kind, b'0' | 0), size: header.size };
        match header.kind {
            b'L' => name = Some(text(input, &entry)?.into_iter().take_while(|byte| *byte != 0).collect()),
            b'x' => name = path_of(&text(input, &entry)?).or(name),
            b'g' | b'K' => drop(text(input, &entry)?),
            b'5' => entry.size = 0,
            _ => {}
        }
        if !matches!(header.kind, b'L' | b'x' | b'g' | b'K') {
            entry.name = name.unwrap_or(entry.name);
            return Ok(Some(entry));
        }
    }
}

/// The content of an entry that says something of the next one.
fn text(input: &mut dyn Read, entry: &Entry) -> Result<Vec<u8>, String> {
    if entry.size > MOST_NAME {
        return Err("a name in the archive is too long".to_owned());
    }
    let mut text = Vec::new();
    let whole = entry.size + entry.padding();
    let read = input.take(whole).read_to_end(&mut text);
    if !read.is_ok_and(|read| read as u64 == whole) {
        return Err("the archive ends in the middle of a name".to_owned());
    }
    text.truncate(usize::try_from(entry.size).unwrap_or(usize::MAX));
    Ok(text)
}

/// The member `path` of a pax header: lines of `LENGTH KEY=VALUE`.
fn path_of(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut path = None;
    while let Some(space) = text.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(text.get(..space)?).ok()?.parse().ok()?;
        let line = text.get(space + 1..length)?;
        if let Some(value) = line.strip_prefix(b"path=") {
            path = Some(value.strip_suffix(b"\n")?.to_vec());
        }
        text = text.get(length..)?;
    }
    path
}

fn header(block: &[u8]) -> Option<Header> {
    let field = |from: usize, length: usize| block.get(from..from + length);
    if block.len() != BLOCK || field(257, 5)? != b"ustar" {
        return None;
    }
    let sum = |at: usize, byte: u8| if (148..156).contains(&at) { u64::from(b' ') } else { u64::from(byte) };
    let sums = block.iter().enumerate().map(|(at, byte)| sum(at, *byte)).sum::<u64>();
    if octal(field(148, 8)?)? != sums {
        return None;
    }
    let short = |bytes: &[u8]| bytes.iter().copied().take_while(|byte| *byte != 0).collect::<Vec<u8>>();
    let (name, prefix) = (short(field(0, 100)?), short(field(345, 155)?));
    // GNU's own form keeps times where POSIX's has the beginning of the name.
    let is_posix = field(257, 6)? == b"ustar\0";
    let name = if is_posix && !prefix.is_empty() { [prefix, b"/".to_vec(), name].concat() } else { name };
    Some(Header { name, kind: *block.get(156)?, size: octal(field(124, 12)?)? })
}

/// A number in octal digits, between spaces and zero bytes.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() {
        return Some(0);
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| u64::from_str_radix(text, 8).ok())?
}
