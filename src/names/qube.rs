//! Names of qubes.

use std::fmt;

/// A name a qube can have: letters, digits, `_`, `-` and `.`, a letter first, at most 31 (core-admin
/// `qubes/vm/__init__.py`). Everything else that claims to be one stays [`Untrusted`](super::Untrusted).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct QubeName(String);

impl QubeName {
    /// Takes a name Qubes would take.
    #[must_use]
    pub fn parse(untrusted_text: &str) -> Option<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let first = untrusted_text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        (first && untrusted_text.len() <= 31 && untrusted_text.bytes().all(good))
            .then(|| Self(untrusted_text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QubeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_qubes_takes_is_a_name() {
        assert!(QubeName::parse("sys-net").is_some());
        assert!(QubeName::parse(&"a".repeat(31)).is_some());
        for text in ["", "9lives", "a b", "a/b", "a\x1b[0m", &"a".repeat(32)] {
            assert!(QubeName::parse(text).is_none(), "{text:?}");
        }
    }
}
