//! Hazards accepted by name, one by one.

use crate::assess::{Hazard, HazardId, Severity};
use crate::error::Failure;
use crate::names::escape;

/// What `--accept` was given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accepted(Vec<String>);

impl Accepted {
    /// Checks the words; nothing has been read yet.
    ///
    /// # Errors
    /// Exit 2: an id nobody knows, or one nobody can accept.
    pub fn parse(words: &[String]) -> Result<Self, Failure> {
        for word in words {
            let (id, qube) = match word.split_once(':') {
                Some((id, qube)) => (id, Some(qube)),
                None => (word.as_str(), None),
            };
            let shown = escape(word.as_bytes());
            let known = HazardId::parse(id);
            match known.map(HazardId::severity) {
                None => {
                    return Err(Failure::usage(
                        format!("`{shown}` is no hazard"),
                        "`plan` shows the ids of a device's hazards",
                    ))
                }
                Some(Severity::Stop) => {
                    return Err(Failure::usage(
                        format!("the hazard `{shown}` cannot be accepted"),
                        "remove its cause, or reboot",
                    ))
                }
                Some(Severity::Note) => {
                    return Err(Failure::usage(
                        format!("`{shown}` is a note; it needs no acceptance"),
                        "leave it out",
                    ))
                }
                Some(Severity::Warn) => {}
            }
            if qube.is_some() && known != Some(HazardId::Exposed) {
                return Err(Failure::usage(
                    format!("only `exposed` is accepted per qube, not `{shown}`"),
                    format!("write `{id}`"),
                ));
            }
        }
        Ok(Self(words.to_vec()))
    }

    /// The warnings it does not cover.
    #[must_use]
    pub fn missing<'a>(&self, hazards: &'a [Hazard]) -> Vec<&'a Hazard> {
        hazards
            .iter()
            .filter(|hazard| hazard.severity == Severity::Warn)
            .filter(|hazard| !self.0.contains(&hazard.acceptance()))
            .collect()
    }

    /// Whether an id was accepted.
    #[must_use]
    pub fn has(&self, id: HazardId) -> bool {
        self.0.iter().any(|word| word == id.word())
    }

    /// With these besides: what a person accepted at the prompt.
    #[must_use]
    pub fn with(&self, hazards: &[&Hazard]) -> Self {
        let mut words = self.0.clone();
        words.extend(hazards.iter().map(|hazard| hazard.acceptance()));
        Self(words)
    }

    /// The words, for the journal.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(words: &[&str]) -> Result<Accepted, Failure> {
        Accepted::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    fn exposed(qube: Option<&str>) -> Hazard {
        Hazard { qube: qube.map(str::to_owned), ..Hazard::new(HazardId::Exposed, "", "") }
    }

    #[test]
    fn a_stop_an_unknown_id_and_a_blanket_yes_are_usage_errors() {
        for word in ["in-use", "all", "yes", "", "no-reset:sys-net", "reboot-would-not-return", "\x1b[0m"] {
            assert_eq!(parse(&[word]).unwrap_err().exit, crate::error::Exit::Usage, "{word:?}");
        }
    }

    #[test]
    fn every_qube_must_be_named() {
        let hazards = [exposed(Some("sys-net")), exposed(Some("work"))];
        assert_eq!(parse(&["exposed:sys-net"]).unwrap().missing(&hazards).len(), 1);
        assert_eq!(parse(&["exposed"]).unwrap().missing(&hazards).len(), 2);
        assert!(parse(&["exposed:sys-net", "exposed:work"]).unwrap().missing(&hazards).is_empty());
    }
}
