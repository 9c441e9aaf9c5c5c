//! One record: made from a draft into a line, and taken apart again at fixed places.
#![forbid(unsafe_code)]

use crate::clock;
use crate::form::{self, Says};
use crate::hash::{self, HexHash};

/// The longest line, its line feed included, in bytes.
pub(crate) const MAX_LINE: usize = 4096;
/// What every line begins with: `prev` follows.
const OPENING: [u8; 15] = *b"{\"v\":1,\"prev\":\"";
/// Between `prev` and the number of the record.
const BEFORE_SEQ: [u8; 8] = *b"\",\"seq\":";
/// Between the members and the hash.
const BEFORE_HASH: [u8; 9] = *b",\"hash\":\"";
/// What every line ends with.
const CLOSING: [u8; 2] = *b"\"}";
/// Length of `,"hash":"<64>"}`.
const HASH_MEMBER: usize = 75;
/// Members that the journal sets itself.
const RESERVED: [&str; 8] = ["v", "prev", "seq", "time", "boot", "op", "kind", "hash"];
/// Integers beyond this are not exact in every JSON reader.
const MAX_INTEGER: i64 = 1 << 53;
/// How long the text of a value may be; the first that makes the record fit is taken.
const TEXT_LIMITS: [usize; 4] = [512, 320, 200, 130];
/// Longest id of a boot, of an operation, of a kind; longest key.
const MAX_NAME: usize = 64;

/// A record that is not in the chain yet.
///
/// Building one cannot fail, because a record must never be refused in the middle of an operation: strings
/// over 512 bytes are cut (their length and SHA-256 stay), bytes outside printable ASCII are escaped, a key
/// that is not `[a-z][a-z0-9_]*`, is taken by the journal or comes twice is changed until it is fine.
#[derive(Debug, Clone)]
pub struct Draft {
    kind: String,
    op: Option<String>,
    members: Vec<(String, Value)>,
}

#[derive(Debug, Clone)]
enum Value {
    Text(Vec<u8>),
    Number(i64),
    Flag(bool),
    List(Vec<Vec<u8>>),
}

impl Draft {
    /// A record of this kind: one lower-case word.
    pub fn new(kind: &str) -> Self {
        Self { kind: name(kind.as_bytes()), op: None, members: Vec::new() }
    }

    /// The operation it belongs to.
    pub fn op(mut self, id: &str) -> Self {
        self.op = Some(name(id.as_bytes()));
        self
    }

    /// Adds a string.
    pub fn text(self, key: &str, value: &str) -> Self {
        self.bytes(key, value.as_bytes())
    }

    /// Adds a string of any bytes.
    pub fn bytes(self, key: &str, value: &[u8]) -> Self {
        self.with(key, Value::Text(value.to_vec()))
    }

    /// Adds an integer; one of 2^53 or more in size is written as a string.
    pub fn number(self, key: &str, value: i64) -> Self {
        if value.unsigned_abs() < MAX_INTEGER.unsigned_abs() {
            self.with(key, Value::Number(value))
        } else {
            self.text(key, &value.to_string())
        }
    }

    /// Adds true or false.
    pub fn flag(self, key: &str, value: bool) -> Self {
        self.with(key, Value::Flag(value))
    }

    /// Adds an array of strings.
    pub fn list<S: AsRef<str>>(self, key: &str, value: impl IntoIterator<Item = S>) -> Self {
        let items = value.into_iter().map(|item| item.as_ref().as_bytes().to_vec()).collect();
        self.with(key, Value::List(items))
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        let key = self.free_key(key);
        self.members.push((key, value));
        self
    }

    fn free_key(&self, wanted: &str) -> String {
        let mut key: String = wanted
            .bytes()
            .take(MAX_NAME)
            .map(|byte| match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'_' => char::from(byte),
                b'A'..=b'Z' => char::from(byte.to_ascii_lowercase()),
                _ => '_',
            })
            .collect();
        if !key.starts_with(|first: char| first.is_ascii_lowercase()) {
            key.insert(0, 'x');
        }
        while RESERVED.contains(&key.as_str()) || self.members.iter().any(|(taken, _)| *taken == key) {
            key.push('_');
        }
        key
    }

    /// The line of this record, with its line feed, and its hash.
    pub(crate) fn line(&self, place: &Place<'_>) -> (Vec<u8>, HexHash) {
        let mut line = self.opening(place);
        let room = MAX_LINE.saturating_sub(line.len() + HASH_MEMBER + 1);
        let mut members = Vec::new();
        for limit in TEXT_LIMITS {
            members = self.members.iter().map(|(key, value)| value.member(key, limit)).collect::<Vec<_>>();
            if members.iter().map(Vec::len).sum::<usize>() <= room {
                line.extend(members.concat());
                return seal(line);
            }
        }
        // Very many members: the last ones are left out and counted.
        let key = self.free_key("members_left_out");
        let left_out = |count: usize| Value::Number(i64::try_from(count).unwrap_or(i64::MAX)).member(&key, 0);
        let mut room = room.saturating_sub(left_out(members.len()).len());
        let mut kept = 0;
        for member in &members {
            let Some(left) = room.checked_sub(member.len()) else { break };
            room = left;
            kept += 1;
            line.extend_from_slice(member);
        }
        line.extend(left_out(members.len() - kept));
        seal(line)
    }

    fn opening(&self, place: &Place<'_>) -> Vec<u8> {
        let mut line = Vec::with_capacity(512);
        line.extend_from_slice(&OPENING);
        line.extend_from_slice(place.prev);
        line.extend_from_slice(&BEFORE_SEQ);
        line.extend_from_slice(place.seq.to_string().as_bytes());
        push_text(&mut line, "time", place.time);
        push_text(&mut line, "boot", &name(place.boot.as_bytes()));
        if let Some(op) = &self.op {
            push_text(&mut line, "op", op);
        }
        push_text(&mut line, "kind", &self.kind);
        line
    }
}

impl Value {
    /// `,"key":value`, with no string longer than `limit`.
    fn member(&self, key: &str, limit: usize) -> Vec<u8> {
        let mut text = Vec::new();
        push_key(&mut text, key);
        match self {
            Self::Text(bytes) => push_string(&mut text, &shown(bytes, limit)),
            Self::Number(number) => text.extend_from_slice(number.to_string().as_bytes()),
            Self::Flag(flag) => text.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Self::List(items) => push_list(&mut text, items, limit),
        }
        text
    }
}

/// Where a record goes in the chain, and the members the journal sets.
pub(crate) struct Place<'a> {
    /// The hash of the record before.
    pub(crate) prev: &'a HexHash,
    /// The record's number.
    pub(crate) seq: u64,
    /// When it is written, from [`clock::text`].
    pub(crate) time: &'a str,
    /// The boot it was written in.
    pub(crate) boot: &'a str,
}

/// Ends a line with its hash.
fn seal(mut line: Vec<u8>) -> (Vec<u8>, HexHash) {
    line.push(b'}');
    let hash = hash::of(&line);
    line.pop();
    line.extend_from_slice(&BEFORE_HASH);
    line.extend_from_slice(&hash);
    line.extend_from_slice(&CLOSING);
    line.push(b'\n');
    (line, hash)
}

fn push_key(line: &mut Vec<u8>, key: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(key.as_bytes());
    line.extend_from_slice(b"\":");
}

fn push_text(line: &mut Vec<u8>, key: &str, escaped: &str) {
    push_key(line, key);
    push_string(line, escaped);
}

fn push_string(line: &mut Vec<u8>, escaped: &str) {
    line.push(b'"');
    for byte in escaped.bytes() {
        if byte == b'"' || byte == b'\\' {
            line.push(b'\\');
        }
        line.push(byte);
    }
    line.push(b'"');
}

/// A string of the journal's text as it stands in a line, quotes and all.
pub(crate) fn json_string(text: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    push_string(&mut line, &String::from_utf8_lossy(text));
    line
}

/// The items that fit into four times `limit`; the rest is counted and hashed in a last item.
fn push_list(line: &mut Vec<u8>, items: &[Vec<u8>], limit: usize) {
    line.push(b'[');
    let mut room = limit * 4;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        let text = shown(item, limit);
        let Some(left) = room.checked_sub(text.len() + 3) else {
            let rest = items.get(index..).unwrap_or_default();
            push_string(
                line,
                &format!("\\[{} more, sha256 {}]", rest.len(), hash::as_str(&hash::of(&rest.join(&0)))),
            );
            break;
        };
        room = left;
        push_string(line, &text);
    }
    line.push(b']');
}

/// `bytes` escaped, and cut where that is longer than `limit`: the beginning, then `\[N bytes, sha256 HEX]`
/// over all of it. No escaped text can hold `\[`, so a cut cannot be feigned.
fn shown(bytes: &[u8], limit: usize) -> String {
    // The escaped text is at least as long as the bytes: the end of a huge value is never looked at.
    let text = escape(bytes.get(..=limit).unwrap_or(bytes));
    if text.len() <= limit && bytes.len() <= limit {
        return text;
    }
    let mark = format!("\\[{} bytes, sha256 {}]", bytes.len(), hash::as_str(&hash::of(bytes)));
    let room = limit.saturating_sub(mark.len());
    let mut cut = String::new();
    for byte in bytes {
        let step = escape(std::slice::from_ref(byte));
        if cut.len() + step.len() > room {
            break;
        }
        cut.push_str(&step);
    }
    cut + &mark
}

/// Printable ASCII as it is, a backslash doubled, every other byte as `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(char::from(*byte)),
            _ => {
                text.push_str("\\x");
                for nibble in [byte >> 4, byte & 15] {
                    text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
                }
            }
        }
    }
    text
}

/// A short word: escaped, and cut to [`MAX_NAME`].
fn name(bytes: &[u8]) -> String {
    let mut text = escape(bytes);
    // Escaped text is ASCII: every place is a boundary.
    text.truncate(MAX_NAME);
    text
}

/// A line of the right shape, taken apart. Its hash has not been looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// The hash of the record before, as it stands there.
    pub(crate) prev: &'a HexHash,
    /// The record's number.
    pub(crate) seq: u64,
    /// Everything before `,"hash":"`; its hash covers this and a closing brace.
    pub(crate) body: &'a [u8],
    /// The hash it claims.
    pub(crate) hash: &'a HexHash,
    /// From the comma after the number to the end of [`Parts::body`].
    pub(crate) members: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Whether the hash it claims is the hash of its own bytes.
    pub(crate) fn holds(&self) -> bool {
        let mut hasher = hash::Hasher::default();
        hasher.add(self.body);
        hasher.add(b"}");
        hasher.finish() == *self.hash
    }

    /// When it was written, where that stands at its place.
    pub(crate) fn time(&self) -> &'a [u8] {
        self.members
            .strip_prefix(b",\"time\":\"")
            .and_then(|rest| rest.get(..clock::TEXT_LEN))
            .unwrap_or_default()
    }

    /// What it says, as far as verifying depends on it.
    pub(crate) fn says(&self) -> Says<'a> {
        form::says(self.members)
    }

    /// Whether its members are those of a record.
    pub(crate) fn is_flat(&self) -> bool {
        form::is_flat(self.members)
    }

    /// Whether it is a `torn` record.
    pub(crate) fn is_torn(&self) -> bool {
        matches!(self.says(), Says::Torn(_))
    }

    /// Whether it is flat and no `torn` record.
    // Asked for every record. In what is written here time, boot and operation have fixed lengths, and
    // the kind stands at one of two places: one look tells, where no quotation mark and no backslash
    // before them ends a string earlier.
    #[inline(always)]
    pub(crate) fn is_common(&self) -> bool {
        match self.behind_opening() {
            Some(rest) => {
                !rest.starts_with(b",\"kind\":\"torn\"")
                    && rest.starts_with(b",\"kind\":\"")
                    && (form::is_plainly_flat(rest).is_some() || self.is_flat())
            }
            None => !self.is_torn() && self.is_flat(),
        }
    }

    /// What follows time, boot and perhaps an operation, where they have the lengths that
    /// they have in what is written here.
    #[inline(always)]
    fn behind_opening(&self) -> Option<&'a [u8]> {
        let (opening, rest) = self.members.split_first_chunk::<KIND_AT>()?;
        let boot = opening.get(BOOT_AT..)?;
        let framed = opening.starts_with(b",\"time\":\"")
            && boot.starts_with(b"\",\"boot\":\"")
            && marks(opening) == 8;
        if !framed || opening.last() != Some(&b'"') {
            return None;
        }
        match rest.split_first_chunk::<OP_MEMBER>() {
            Some((op, rest)) if op.starts_with(b",\"op\":\"") => {
                (marks(op) == 4 && op.last() == Some(&b'"')).then_some(rest)
            }
            _ => Some(rest),
        }
    }
}

/// How many quotation marks and backslashes there are.
#[inline(always)]
fn marks(text: &[u8]) -> u8 {
    text.iter().fold(0, |count, byte| count + u8::from(matches!(byte, b'"' | b'\\')))
}

/// How long `,"time":"` with its time is.
const BOOT_AT: usize = 9 + clock::TEXT_LEN;
/// How long `,"time":"` with its time and `,"boot":"` with eight digits are, in bytes.
const KIND_AT: usize = 9 + clock::TEXT_LEN + 1 + 9 + 8 + 1;
/// How long `,"op":"` with eight digits is.
const OP_MEMBER: usize = 7 + 8 + 1;

/// Takes a line (without its line feed) apart; `None` where it has not the shape of a record.
pub(crate) fn split(line: &[u8]) -> Option<Parts<'_>> {
    shape(line).filter(|parts| printable(parts.body))
}

/// As [`split`], but leaves it to the caller to see whether all bytes of the body are printable.
// Inlined where every record passes: returned through memory it would cost a stall a line.
#[inline(always)]
pub(crate) fn shape(line: &[u8]) -> Option<Parts<'_>> {
    if line.len() >= MAX_LINE {
        return None;
    }
    // Arrays, not slices: their lengths are known, so that comparing them takes no call.
    let (opening, rest) = line.split_first_chunk()?;
    let (prev, rest) = rest.split_first_chunk::<64>()?;
    let (before_seq, rest) = rest.split_first_chunk()?;
    let (seq, members) = number(rest)?;
    let (_, tail) = members.split_last_chunk::<HASH_MEMBER>()?;
    let (before_hash, tail) = tail.split_first_chunk()?;
    let (hash, closing) = tail.split_first_chunk::<64>()?;
    let framed = *opening == OPENING && *before_seq == BEFORE_SEQ && *before_hash == BEFORE_HASH;
    if !framed || closing != CLOSING {
        return None;
    }
    let body = line.get(..line.len().checked_sub(HASH_MEMBER)?)?;
    let members = members.get(..members.len().checked_sub(HASH_MEMBER)?)?;
    (members.first() == Some(&b',')).then_some(Parts { prev, seq, body, hash, members })
}

/// A decimal number below 2^53 without leading zeros, and what follows it.
#[inline(always)]
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    match text.first_chunk().and_then(short_number) {
        Some((value, digits)) => Some((value, text.get(digits..)?)),
        None => long_number(text),
    }
}

/// A number of one to seven digits and how many; all at once, because it is asked for every record.
#[inline(always)]
fn short_number(text: &[u8; 8]) -> Option<(u64, usize)> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A digit becomes its value, any other byte something above nine.
    let values = u64::from_le_bytes(*text) ^ (ONES * 0x30);
    // Only the lowest byte that is above nine has to be right: carries go upwards.
    let others = (values | values.wrapping_add(ONES * 6)) & (ONES * 0xf0);
    let digits = (others.trailing_zeros() / 8) as usize;
    if others == 0 || digits == 0 || (digits > 1 && values & 0xff == 0) {
        return None;
    }
    // As if there were zeros before it; then neighbours are joined: to pairs, fours, and all eight.
    let values = values << (64 - 8 * digits);
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let value = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    Some((value, digits))
}

fn long_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut digits = 0;
    for byte in text.iter().take(17) {
        if !byte.is_ascii_digit() {
            break;
        }
        value = value * 10 + u64::from(byte - b'0');
        digits += 1;
    }
    let (first, rest) = (text.first()?, text.get(digits..)?);
    let canonical = digits == 1 || (digits > 1 && *first != b'0');
    (canonical && value < MAX_INTEGER.unsigned_abs()).then_some((value, rest))
}

/// Whether all bytes are in 0x20..=0x7e: the least and the greatest byte tell. Without an early
/// end and in blocks of a fixed length, so that the compiler makes vectors of it; the last
/// block overlaps the one before.
#[inline(always)]
fn printable(bytes: &[u8]) -> bool {
    const BLOCK: usize = 32;
    let Some(last) = bytes.last_chunk::<BLOCK>() else {
        return bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e));
    };
    let (mut least, mut greatest) = (*last, *last);
    for block in bytes.chunks_exact(BLOCK) {
        for ((least, greatest), byte) in least.iter_mut().zip(&mut greatest).zip(block) {
            *least = (*least).min(*byte);
            *greatest = (*greatest).max(*byte);
        }
    }
    // Folded, not searched: a search would look at one byte after the other.
    let least = least.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    let greatest = greatest.iter().fold(0, |greatest, byte| (*byte).max(greatest));
    least >= 0x20 && greatest <= 0x7e
}

/// A line that is a record: of the right shape, with a hash that holds and a `prev` that is one.
pub(crate) fn whole(line: &[u8]) -> Option<Parts<'_>> {
    split(line).filter(|parts| hash::from_hex(parts.prev).is_some() && parts.is_flat() && parts.holds())
}

/// Whether every string in a value is printable.
fn is_tame(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => printable(text.as_bytes()),
        Value::Array(items) => items.iter().all(is_tame),
        Value::Object(members) => {
            members.iter().all(|(key, value)| printable(key.as_bytes()) && is_tame(value))
        }
        _ => true,
    }
}

fn tamed_text(text: String) -> String {
    if printable(text.as_bytes()) {
        text
    } else {
        escape(text.as_bytes())
    }
}

fn tamed(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(tamed_text(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(tamed).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (tamed_text(key), tamed(value))).collect())
        }
        other => other,
    }
}

/// A record read back.
#[derive(Debug, Clone)]
pub struct Record {
    members: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// Parses one line, with or without its line feed; `None` where it is no JSON object. A writer of
    /// this format never uses `\\u001b` and the like; in a forged line they are shown escaped, so that
    /// they cannot act on a terminal.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        let tame = members.iter().all(|(key, value)| printable(key.as_bytes()) && is_tame(value));
        if tame {
            return Some(Self { members });
        }
        let members = members.into_iter().map(|(key, value)| (tamed_text(key), tamed(value))).collect();
        Some(Self { members })
    }

    /// A member of type string.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.members.get(key)?.as_str()
    }

    /// A member of type integer.
    pub fn number(&self, key: &str) -> Option<i64> {
        self.members.get(key)?.as_i64()
    }

    /// Any member.
    pub fn get(&self, key: &str) -> Option<&serde_json::Value> {
        self.members.get(key)
    }

    /// All members.
    pub fn members(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.members
    }

    /// Whether a member (this one, where a key is given) is this string, or a list that has it.
    pub fn has(&self, key: Option<&str>, value: &str) -> bool {
        let is = |member: &serde_json::Value| match member {
            serde_json::Value::String(text) => text == value,
            serde_json::Value::Array(items) => items.iter().any(|item| item.as_str() == Some(value)),
            _ => false,
        };
        match key {
            Some(key) => self.members.get(key).is_some_and(is),
            None => self.members.values().any(is),
        }
    }

    /// The kind of record; empty where it has none.
    pub fn kind(&self) -> &str {
        self.text("kind").unwrap_or("")
    }

    /// The number in the journal.
    pub fn seq(&self) -> u64 {
        self.members.get("seq").and_then(serde_json::Value::as_u64).unwrap_or(0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]
mod tests {
    use super::*;

    fn place() -> Place<'static> {
        Place { prev: &hash::NO_HASH, seq: 7, time: "2026-11-22T13:47:51.123456Z", boot: "1c0ffee0" }
    }

    #[test]
    fn a_forged_line_cannot_act_on_a_terminal() {
        let record = Record::parse(br#"{"bdf":"\u001b[2J","list":["a\u0007"],"k\u001b":"x"}"#).unwrap();
        assert_eq!(record.text("bdf"), Some("\\x1b[2J"));
        assert!(!format!("{:?}", record.members()).contains("\\u{"));
        assert_eq!(record.text("k\\x1b"), Some("x"));
    }

    fn line_of(draft: &Draft) -> String {
        let (line, _) = draft.line(&place());
        assert!(line.len() <= MAX_LINE);
        assert_eq!(line.last(), Some(&b'\n'));
        let parts = whole(&line[..line.len() - 1]).unwrap();
        assert_eq!(parts.seq, 7);
        assert!(Record::parse(&line).is_some());
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn members_stand_in_the_order_of_the_format() {
        let line = line_of(
            &Draft::new("step")
                .op("9616d76e")
                .text("step", "unbind")
                .number("n", -3)
                .flag("ok", true)
                .list("who", ["a", "b"]),
        );
        let want = format!(
            "{{\"v\":1,\"prev\":\"{}\",\"seq\":7,\"time\":\"2026-11-22T13:47:51.123456Z\",\
             \"boot\":\"1c0ffee0\",\"op\":\"9616d76e\",\"kind\":\"step\",\
             \"step\":\"unbind\",\"n\":-3,\"ok\":true,\"who\":[\"a\",\"b\"],\"hash\":\"",
            "0".repeat(64)
        );
        assert!(line.starts_with(&want), "{line}");
    }

    #[test]
    fn a_number_is_the_same_all_at_once_and_digit_by_digit() {
        assert_eq!(number(b"1204,\"time\":"), Some((1204, &b",\"time\":"[..])));
        assert_eq!(number(b"9007199254740991,"), Some(((1 << 53) - 1, &b","[..])));
        assert_eq!(number(b"9007199254740992,"), None);
        for digits in 0..9 {
            for number in ["0", "7", "10", "1204", "9999999", "10000000", "0204", "12345678"] {
                for byte in 0..=u8::MAX {
                    let mut text = [number.as_bytes(), b",\"time\":\"2026"].concat();
                    text[digits] = byte;
                    assert_eq!(super::number(&text), long_number(&text), "{text:?}");
                    let short = text.first_chunk().and_then(short_number);
                    assert!(
                        short.is_none()
                            || short.map(|(value, _)| value) == long_number(&text).map(|(value, _)| value)
                    );
                }
            }
        }
    }

    #[test]
    fn the_hash_is_that_of_the_object_without_its_last_member() {
        let line = line_of(&Draft::new("note"));
        let at = line.find(",\"hash\"").unwrap();
        let object = format!("{}}}", &line[..at]);
        assert!(line.contains(hash::as_str(&hash::of(object.as_bytes()))));
    }

    #[test]
    fn foreign_bytes_are_escaped_before_they_become_json() {
        let line = line_of(&Draft::new("note").text("name", "a\n\"\\é\x7f"));
        assert!(line.contains(r#""name":"a\\x0a\"\\\\\\xc3\\xa9\\x7f""#), "{line}");
        assert_eq!(Record::parse(line.as_bytes()).unwrap().text("name").unwrap(), r#"a\x0a"\\\xc3\xa9\x7f"#);
    }

    #[test]
    fn a_long_string_is_cut_with_its_length_and_hash() {
        let long = "x".repeat(100_000);
        let line = line_of(&Draft::new("note").text("name", &long));
        let record = Record::parse(line.as_bytes()).unwrap();
        let value = record.text("name").unwrap();
        assert!(value.len() <= 512 && value.starts_with("xxxx"));
        assert!(value
            .ends_with(&format!("\\[100000 bytes, sha256 {}]", hash::as_str(&hash::of(long.as_bytes())))));
    }

    #[test]
    fn a_string_of_512_bytes_is_whole() {
        let line = line_of(&Draft::new("note").text("name", &"y".repeat(512)));
        assert_eq!(Record::parse(line.as_bytes()).unwrap().text("name").unwrap().len(), 512);
    }

    #[test]
    fn a_record_that_is_too_long_is_cut_not_refused() {
        let mut many = Draft::new("note").list("all", (0..5000).map(|i| i.to_string()));
        for i in 0..200 {
            many = many.text(&format!("k{i}"), &"\"\\".repeat(4000));
        }
        let line = line_of(&many);
        let record = Record::parse(line.as_bytes()).unwrap();
        assert!(record.number("members_left_out").unwrap() > 0);
        for count in 1..40 {
            line_of(
                &(0..count)
                    .fold(Draft::new("note"), |draft, i| draft.text(&format!("k{i}"), &"\n".repeat(600))),
            );
        }
    }

    #[test]
    fn keys_are_made_fine_rather_than_refused() {
        let line = line_of(
            &Draft::new("note")
                .text("hash", "1")
                .text("Bad Key", "2")
                .text("a", "3")
                .text("a", "4")
                .text("", "5")
                .text("9", "6"),
        );
        assert!(line.contains(r#""hash_":"1","bad_key":"2","a":"3","a_":"4","x":"5","x9":"6""#), "{line}");
    }

    #[test]
    fn numbers_that_json_readers_round_become_strings() {
        let line = line_of(
            &Draft::new("note").number("a", MAX_INTEGER).number("b", i64::MIN).number("c", 1 - MAX_INTEGER),
        );
        assert!(
            line.contains(r#""a":"9007199254740992","b":"-9223372036854775808","c":-9007199254740991"#),
            "{line}"
        );
    }

    #[test]
    fn exactly_the_bytes_of_printable_ascii_are_allowed() {
        for byte in 0..=255u8 {
            assert_eq!(printable(&[b'a', byte, b'b']), (0x20..=0x7e).contains(&byte), "{byte}");
        }
    }

    #[test]
    fn lines_of_another_shape_are_no_records() {
        let good = line_of(&Draft::new("note").text("a", "b"));
        let good = good.trim_end();
        assert!(whole(good.as_bytes()).is_some());
        for (from, to) in [
            ("\"v\":1", "\"v\":2"),
            ("\"seq\":7", "\"seq\":07"),
            ("\"seq\":7", "\"seq\":-7"),
            ("\"seq\":7", "\"seq\":8"),
            ("hash\":\"", "hash\": \""),
        ] {
            assert!(whole(good.replacen(from, to, 1).as_bytes()).is_none(), "{to}");
        }
        assert!(whole(b"").is_none() && whole(b"{}").is_none());
        assert!(whole(format!("{good} ").as_bytes()).is_none());
    }
}
