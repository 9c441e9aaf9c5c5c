//! Foreign text, shown so that it cannot act on a terminal.

use std::fmt;

/// Text from a qube, a device, xenstore or the kernel log. It is kept as it came
/// and can be shown only escaped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Untrusted(String);

impl Untrusted {
    /// Takes bytes of any kind.
    #[must_use]
    pub fn new(untrusted_bytes: &[u8]) -> Self {
        Self(escape(untrusted_bytes))
    }

    /// The text as a qube's name, where it can be one: letters, digits, `_`, `-`
    /// and `.`, a letter first, at most 31 (core-admin `qubes/vm/__init__.py`).
    #[must_use]
    pub fn as_qube_name(&self) -> Option<&str> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let first = self.0.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        (first && self.0.len() <= 31 && self.0.bytes().all(good)).then_some(&self.0)
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Printable ASCII stays; a backslash is doubled; every other byte becomes `\xNN`.
#[must_use]
pub fn escape(untrusted_bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(untrusted_bytes.len());
    for &byte in untrusted_bytes {
        match byte {
            b'\\' => shown.push_str("\\\\"),
            0x20..=0x7e => shown.push(char::from(byte)),
            _ => shown.push_str(&format!("\\x{byte:02x}")),
        }
    }
    shown
}

/// The bytes that [`escape`] showed. What is no escape of its stays as it is.
#[must_use]
pub fn unescape(shown: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(shown.len());
    let mut rest = shown.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        let (byte, used) = match (first, behind.first(), digit(1), digit(2)) {
            (b'\\', Some(b'\\'), ..) => (b'\\', 1),
            (b'\\', Some(b'x'), Some(high), Some(low)) => (u8::try_from(high * 16 + low).unwrap_or(b'?'), 3),
            _ => (first, 0),
        };
        bytes.push(byte);
        rest = behind.get(used..).unwrap_or_default();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }
    }

    #[test]
    fn escape_codes_never_reach_a_terminal() {
        assert_eq!(escape(b"\x1b[31mred\x07\n\xc3\xa9\\"), "\\x1b[31mred\\x07\\x0a\\xc3\\xa9\\\\");
    }

    #[test]
    fn only_a_name_qubes_would_take_is_a_qube_name() {
        assert_eq!(Untrusted::new(b"sys-net").as_qube_name(), Some("sys-net"));
        for text in [&b"a\x1b[0m"[..], b"", b"9lives", b"a b", b"a/b"] {
            assert_eq!(Untrusted::new(text).as_qube_name(), None);
        }
    }
}
