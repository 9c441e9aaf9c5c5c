//! The command that does what `plan` showed, to be pasted: it leads to that very plan, and to the same
//! consent.

use super::Accepted;
use crate::assess::Hazard;
use crate::names::{escape, Sbdf};

/// How a command was called, as far as a plan depends on it. Not `--sysroot`: a model is no dom0 to be
/// changed.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The command.
    pub command: &'static str,
    /// The devices.
    pub devices: Vec<Sbdf>,
    /// The driver that was named.
    pub driver: Option<String>,
    /// The journal, where it is not the usual one.
    pub journal: Option<String>,
}

impl Invocation {
    /// A call for other devices.
    #[must_use]
    pub fn of(&self, devices: Vec<Sbdf>) -> Self {
        Self { devices, ..self.clone() }
    }

    /// Options that the plan depends on.
    fn options(&self) -> Vec<String> {
        let driver = self.driver.as_ref().map(|driver| format!("--driver {}", quoted(driver)));
        let journal = self.journal.as_ref().map(|journal| format!("--journal {}", quoted(journal)));
        driver.into_iter().chain(journal).collect()
    }

    fn devices(&self) -> String {
        let all: Vec<String> = self.devices.iter().map(ToString::to_string).collect();
        all.join(" ")
    }

    /// On one line, as this or another command.
    #[must_use]
    pub fn line(&self, command: &str) -> String {
        [vec![format!("{command} {}", self.devices())], self.options()].concat().join(" ")
    }

    /// With what was reviewed, each further option on a line of its own.
    #[must_use]
    pub fn reviewed(&self, plan_id: &str, accept: &str) -> String {
        let mut lines =
            vec![format!("  qubes-dom0-pci {} {} --plan {plan_id}", self.command, self.devices())];
        lines.extend(self.options());
        if !accept.is_empty() {
            lines.push(format!("--accept {accept}"));
        }
        lines.join(" \\\n    ") + "\n"
    }
}

/// What has to be accepted in all: what was given, and what is missing.
#[must_use]
pub fn to_accept(accepted: &Accepted, missing: &[&Hazard]) -> String {
    quoted(&accepted.with(missing).words().join(","))
}

/// A word as a shell takes it for one.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.,:/+@%".contains(&byte);
    if text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", escape(text.as_bytes()).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_a_shell_would_act_on_is_quoted() {
        assert_eq!(quoted("exposed:sys-net,network"), "exposed:sys-net,network");
        assert_eq!(quoted("it's $(x)"), "'it'\\''s $(x)'");
        assert_eq!(quoted("\x1b[2J"), "'\\x1b[2J'");
    }
}
