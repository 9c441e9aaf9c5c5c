//! Foreign text, shown so that it cannot act on a terminal.

use super::QubeName;
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

    /// The text as a qube's name, where it can be one.
    #[must_use]
    pub fn as_qube_name(&self) -> Option<QubeName> {
        QubeName::parse(&self.0)
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

/// Lines of text that a terminal only shows: what is neither printable ASCII nor the end of a line becomes
/// `\xNN`. All else stays as it is, so that this cannot be undone.
#[must_use]
pub fn harmless(untrusted_bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(untrusted_bytes.len());
    for &byte in untrusted_bytes {
        match byte {
            b'\n' | 0x20..=0x7e => shown.push(char::from(byte)),
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
        assert_eq!(harmless(b"\x1b[31m\\a\n\xc2\x9b\r"), "\\x1b[31m\\a\n\\xc2\\x9b\\x0d");
    }

    #[test]
    fn text_that_was_escaped_is_no_name_of_a_qube() {
        assert_eq!(Untrusted::new(b"sys-net").as_qube_name(), QubeName::parse("sys-net"));
        assert_eq!(Untrusted::new(b"a\x1b[0m").as_qube_name(), None);
    }
}
