//! The form of a record: a flat JSON object, whose first members stand in their places.
//!
//! A line of any other form is not a record, whatever its hash: every reader, in whatever language, has to
//! see the same in one. What verifying depends on is read by its place, so that a member that comes twice, or
//! in another order, means the same to all of them: nothing.
#![forbid(unsafe_code)]

/// What kind of record this is, as far as verifying depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says<'a> {
    /// The bytes before it are what a crash left: how many, and their hash.
    Torn(Option<(u64, &'a [u8])>),
    /// Which segment came before, and its size.
    Segment(Option<(&'a [u8], u64)>),
    /// Up to where the journal was pruned: the last number, and its hash.
    Pruned(Option<(u64, &'a [u8])>),
    /// An admin accepted a break.
    Gap,
    /// Anything else.
    Other,
}

/// What a record says; `members` is everything from the comma behind its number to its hash.
pub(crate) fn says(members: &[u8]) -> Says<'_> {
    let Some(rest) = kind(members) else { return Says::Other };
    if let Some(rest) = rest.strip_prefix(b"\"torn\"") {
        return Says::Torn(number_and_hash(rest, b",\"len\":", b",\"sha256\":"));
    }
    if let Some(rest) = rest.strip_prefix(b"\"segment\"") {
        return Says::Segment(segment(rest));
    }
    if let Some(rest) = rest.strip_prefix(b"\"pruned\"") {
        let first = rest.strip_prefix(b",\"first\":").and_then(integer);
        return Says::Pruned(first.and_then(|rest| number_and_hash(rest, b",\"last\":", b",\"last_hash\":")));
    }
    if rest.starts_with(b"\"gap\"") {
        return Says::Gap;
    }
    Says::Other
}

/// From the value of the kind on, where time, boot, perhaps an operation, and the kind come first.
fn kind(members: &[u8]) -> Option<&[u8]> {
    let rest = string(members.strip_prefix(b",\"time\":")?)?;
    let rest = string(rest.strip_prefix(b",\"boot\":")?)?;
    let rest = match rest.strip_prefix(b",\"op\":") {
        Some(rest) => string(rest)?,
        None => rest,
    };
    rest.strip_prefix(b",\"kind\":")
}

fn number_and_hash<'a>(text: &'a [u8], number: &[u8], hash: &[u8]) -> Option<(u64, &'a [u8])> {
    let (value, rest) = unsigned(text.strip_prefix(number)?)?;
    let (hash, rest) = plain(rest.strip_prefix(hash)?)?;
    let is_hash = hash.len() == 64 && hash.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_hash && rest.first().is_none_or(|next| *next == b',')).then_some((value, hash))
}

fn segment(text: &[u8]) -> Option<(&[u8], u64)> {
    let (after, rest) = plain(text.strip_prefix(b",\"after\":")?)?;
    let (bytes, _) = unsigned(rest.strip_prefix(b",\"bytes\":")?)?;
    Some((after, bytes))
}

/// A string without anything escaped, and what follows it.
fn plain(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    let (value, rest) = text.split_at_checked(end)?;
    Some((value, rest.strip_prefix(b"\"")?))
}

/// A number of at most 18 digits, and what follows it.
fn unsigned(text: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits(text))?;
    let value = std::str::from_utf8(digits).ok().filter(|digits| digits.len() <= 18)?.parse().ok()?;
    Some((value, rest))
}

fn digits(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}

/// Whether there is nothing but `,"key":value`, again and again.
///
/// A value is a string, an integer of at most 16 digits, true, false, or a list of strings. Of the bytes, all
/// of which are printable, only `"` and `\` are escaped.
pub(crate) fn is_flat(members: &[u8]) -> bool {
    let mut rest = members;
    while !rest.is_empty() {
        match member(rest) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    !members.is_empty()
}

/// As [`is_flat`], from one quotation mark to the next: for every record. `None` where it cannot tell.
#[inline(never)]
pub(crate) fn is_plainly_flat(members: &[u8]) -> Option<()> {
    let mut quotes = Quotes::of(members);
    let mut at = 0;
    while at < members.len() {
        if members.get(at) != Some(&b',') || quotes.next()? != at + 1 {
            return None;
        }
        let key = quotes.next()?;
        match members.get(key + 1..)?.first_chunk()? {
            b":\"" => {
                quotes.next()?;
                at = quotes.next()? + 1;
            }
            b":[" if members.get(key + 3) != Some(&b']') => {
                let mut item = key + 2;
                at = loop {
                    if quotes.next()? != item + 1 {
                        return None;
                    }
                    item = quotes.next()? + 1;
                    match members.get(item)? {
                        b',' => {}
                        b']' => break item + 1,
                        _ => return None,
                    }
                }
            }
            [b':', _] => at = members.len() - other(members.get(key + 2..)?)?.len(),
            _ => return None,
        }
    }
    (at == members.len() && at > 0 && quotes.escaped == 0).then_some(())
}

/// How much is looked at together, in bytes.
const BLOCK: usize = 64;

/// The places of the quotation marks in a text.
struct Quotes<'a> {
    text: &'a [u8],
    /// Where what is in `marks` begins, and where the next block does.
    base: usize,
    next: usize,
    /// A bit for each byte of a block that is one.
    marks: u64,
    /// Not zero where a backslash was seen.
    escaped: u64,
}

impl<'a> Quotes<'a> {
    #[inline(always)]
    fn of(text: &'a [u8]) -> Self {
        Self { text, base: 0, next: 0, marks: 0, escaped: 0 }
    }

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.marks == 0 {
            self.more()?;
        }
        let at = self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        Some(self.base + at)
    }

    #[inline(always)]
    fn more(&mut self) -> Option<()> {
        // The last block overlaps the one before; what was seen of it is taken out again.
        let wanted = self.next;
        self.base = wanted.min(self.text.len().checked_sub(BLOCK)?);
        let block: &[u8; BLOCK] = self.text.get(self.base..)?.first_chunk()?;
        self.next = self.base + BLOCK;
        let mut marks = 0;
        for (index, word) in block.chunks_exact(8).enumerate() {
            let word = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
            marks |= gathered(equal(word, b'"')) << (index * 8);
            self.escaped |= equal(word, b'\\');
        }
        self.marks = marks & u64::MAX.checked_shl(u32::try_from(wanted - self.base).ok()?)?;
        Some(())
    }
}

/// The highest bit of each byte that is this one; all bytes are below 0x80.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    !(word ^ (ONES * u64::from(byte))).wrapping_add(ONES * 0x7f) & (ONES * 0x80)
}

/// The highest bits of the bytes, side by side.
#[inline(always)]
fn gathered(highest: u64) -> u64 {
    (highest >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// What follows a member.
fn member(text: &[u8]) -> Option<&[u8]> {
    let rest = string(text.strip_prefix(b",")?)?;
    let value = rest.strip_prefix(b":")?;
    match value.first()? {
        b'"' => string(value),
        b'[' => list(value),
        _ => other(value),
    }
}

/// What follows a value that is neither a string nor a list with something in it.
fn other(value: &[u8]) -> Option<&[u8]> {
    match value.first()? {
        b'[' => value.strip_prefix(b"[]"),
        b't' => value.strip_prefix(b"true"),
        b'f' => value.strip_prefix(b"false"),
        _ => integer(value),
    }
}

/// What follows a string.
fn string(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        match rest.get(at..)? {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', b'"' | b'\\', behind @ ..] => rest = behind,
            _ => return None,
        }
    }
}

fn list(text: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = text.strip_prefix(b"[]") {
        return Some(rest);
    }
    let mut rest = string(text.strip_prefix(b"[")?)?;
    while let Some(item) = rest.strip_prefix(b",") {
        rest = string(item)?;
    }
    rest.strip_prefix(b"]")
}

/// What follows an integer of at most 16 digits, without leading zeros.
fn integer(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (digits, rest) = text.split_at_checked(digits(text))?;
    match digits {
        [b'0'] => Some(rest),
        [b'1'..=b'9', ..] if digits.len() <= 16 => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENING: &str = ",\"time\":\"t\",\"boot\":\"b\",\"op\":\"o\"";

    #[test]
    fn flat_members_are_told_from_all_else() {
        for good in [
            r#","a":"b""#,
            r#","a":"","b":[],"c":["x"],"d":["x","y, z"],"e":true,"f":false"#,
            r#","a":0,"b":-3,"c":-0,"d":9007199254740991,"e":"\\x00\"""#,
            r#","kind":"a","kind":"b","":"","a b":"{}[]:,""#,
        ] {
            assert!(is_flat(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            r#""a":"b""#,
            r#","a":"b","#,
            r#","a":"b"}"#,
            r#","a":"b" ,"c":"d""#,
            r#","a": "b""#,
            r#","a""#,
            r#","a":"#,
            r#",a:"b""#,
            r#","a":"b","c":null"#,
            r#","a":"b":"c""#,
            r#","a":01"#,
            r#","a":1.5"#,
            r#","a":1e9"#,
            r#","a":-"#,
            r#","a":12345678901234567"#,
            r#","a":tru"#,
            r#","a":truefalse"#,
            r#","a":{}"#,
            r#","a":[1]"#,
            r#","a":["x",]"#,
            r#","a":["x""#,
            r#","a":[["x"]]"#,
            r#","a":"\u0041""#,
            r#","a":"\n""#,
            r#","a":"b\""#,
        ] {
            assert!(!is_flat(bad.as_bytes()), "{bad}");
        }
    }

    /// A text of pieces that are or nearly are members, from a number.
    fn pieced(mut number: u64) -> String {
        const PIECES: [&str; 24] = [
            ",\"k\":\"v\"",
            ",\"key of some length\":\"",
            "a value that is longer than a block of bytes, and then a bit more of it",
            "\"",
            ",",
            ":",
            "[",
            "]",
            ",\"list\":[\"a\",\"b\"]",
            ",\"list\":[]",
            ",\"n\":12",
            ",\"t\":true",
            "\\",
            "\\\"",
            "\\\\",
            "0",
            "-",
            "\",\"",
            "\":\"",
            "[\"",
            "\"]",
            ",\"x\":",
            "false",
            " ",
        ];
        let mut text = String::from(
            ",\"first\":\"and long enough that there is more than one block to look at, whatever follows\"",
        );
        while number > 0 {
            let index = usize::try_from(number % 25).unwrap_or(0);
            text.push_str(index.checked_sub(1).and_then(|index| PIECES.get(index)).unwrap_or(&""));
            number /= 25;
        }
        text
    }

    #[test]
    fn what_is_plainly_flat_is_flat_and_nothing_flat_is_overlooked_where_nothing_is_escaped() {
        let mut state = 1u64;
        let (mut flat, mut other) = (0, 0);
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let text = pieced(state >> (40 + (state >> 20) % 20));
            let exactly = is_flat(text.as_bytes());
            let plainly = is_plainly_flat(text.as_bytes()).is_some();
            assert!(!plainly || exactly, "{text}");
            assert!(plainly || !exactly || text.contains('\\'), "{text}");
            *(if exactly { &mut flat } else { &mut other }) += 1;
        }
        assert!(flat > 1000 && other > 1000, "{flat} {other}");
    }

    #[test]
    fn a_kind_counts_in_its_place_alone() {
        let hash = "0a".repeat(32);
        let said = |rest: &str| format!("{OPENING}{rest}");
        let torn = said(&format!(",\"kind\":\"torn\",\"len\":7,\"sha256\":\"{hash}\",\"kind\":\"gap\""));
        assert_eq!(says(torn.as_bytes()), Says::Torn(Some((7, hash.as_bytes()))));
        assert_eq!(says(said(",\"kind\":\"torn\",\"len\":7").as_bytes()), Says::Torn(None));
        let pruned = said(&format!(
            ",\"kind\":\"pruned\",\"first\":0,\"last\":7,\"last_hash\":\"{hash}\",\"files\":[]"
        ));
        assert_eq!(says(pruned.as_bytes()), Says::Pruned(Some((7, hash.as_bytes()))));
        let segment = said(",\"kind\":\"segment\",\"after\":\"x.jsonl\",\"bytes\":9");
        assert_eq!(says(segment.as_bytes()), Says::Segment(Some((b"x.jsonl".as_slice(), 9))));
        assert_eq!(says(said(",\"kind\":\"gap\",\"why\":\"x\"").as_bytes()), Says::Gap);
        for other in [
            ",\"x\":\"y\",\"kind\":\"torn\"",
            ",\"kind\":\"\\u0067ap\"",
            ",\"kind\":[\"gap\"]",
            ",\"kind\":\"note\",\"kind\":\"gap\"",
        ] {
            assert_eq!(says(said(other).as_bytes()), Says::Other, "{other}");
        }
        assert_eq!(says(b",\"kind\":\"gap\""), Says::Other);
    }
}
