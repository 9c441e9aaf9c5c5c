//! SHA-256 values and their text: 64 lower-case hexadecimal digits.
#![forbid(unsafe_code)]

use sha2::{Digest, Sha256};

/// A SHA-256 value as the journal writes it. Compared as text, so that upper case is another value.
pub(crate) type HexHash = [u8; 64];

/// What the first record names as the hash of the record before it.
pub(crate) const NO_HASH: HexHash = [b'0'; 64];

/// Whether two are the same. Written out, because an array of 64 is otherwise compared by a call.
#[inline(always)]
pub(crate) fn same(one: &HexHash, other: &HexHash) -> bool {
    one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// The text of `value`.
#[inline(always)]
pub(crate) fn to_hex(value: &[u8; 32]) -> HexHash {
    let mut text = [0u8; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(value) {
        for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            // Arithmetic, not a table: the compiler makes vectors of it.
            *digit = b'0' + nibble + u8::from(nibble > 9) * 39;
        }
    }
    text
}

/// The value of `text`, where it is 64 lower-case hexadecimal digits.
pub(crate) fn from_hex(text: &[u8]) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let mut value = [0u8; 32];
    for (byte, pair) in value.iter_mut().zip(text.chunks_exact(2)) {
        for digit in pair {
            let nibble = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | nibble;
        }
    }
    Some(value)
}

/// The text as a string.
pub(crate) fn as_str(text: &HexHash) -> &str {
    std::str::from_utf8(text).unwrap_or("")
}

/// SHA-256 over the bytes put into it, in any number of pieces.
#[derive(Clone, Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    /// Adds bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The text of the hash of all bytes so far.
    pub(crate) fn finish(self) -> HexHash {
        to_hex(&self.0.finalize().into())
    }
}

/// The hash of `bytes`, as text.
pub(crate) fn of(bytes: &[u8]) -> HexHash {
    let mut hasher = Hasher::default();
    hasher.add(bytes);
    hasher.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_turn_into_each_other() {
        let value: [u8; 32] = std::array::from_fn(|i| (i * 37) as u8);
        assert_eq!(from_hex(&to_hex(&value)).unwrap(), value);
    }

    #[test]
    fn upper_case_and_other_lengths_are_no_hash() {
        assert_eq!(from_hex(&[b'A'; 64]), None);
        assert_eq!(from_hex(&[b'a'; 63]), None);
    }

    #[test]
    fn the_empty_string_hashes_as_published() {
        assert_eq!(as_str(&of(b"")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
