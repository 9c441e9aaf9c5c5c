//! What this machine's admin forbids beyond what the program forbids: the policy file.
//!
//! Each line is one rule of two words. A rule can only make the verdict stricter; a line that is not a rule
//! makes the whole file an error, because a rule that was meant and is not understood would be a rule that
//! does not hold.

use super::Reading;
use crate::error::Failure;
use crate::names::{escape, hex, DeviceArgument, Sbdf};
use crate::system::root::{read_guarded, Sysroot};
use sha2::{Digest, Sha256};

/// Where it is.
pub const POLICY: &str = "/etc/qubes/dom0-pci.conf";

/// The rules of the policy file; none where there is no such file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// In their order.
    pub rules: Vec<Rule>,
    /// SHA-256 of the file, in hexadecimal; empty where there is none. A plan is made under one policy.
    pub digest: String,
}

/// One line of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The number, from 1.
    pub line: usize,
    /// What it says.
    pub says: Says,
}

/// What a rule says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Says {
    /// `untrusted-label red`: a device that a qube of this label, in whatever case, had is not returned.
    UntrustedLabel(String),
    /// `never-return 0000:00:1f.6`: what stands there is not returned.
    NeverReturnAddress(Sbdf),
    /// `never-return 8086:15b8`: this kind of device is not returned.
    NeverReturnKind {
        /// The vendor.
        vendor: u16,
        /// The device.
        device: u16,
    },
    /// `stop exposed-before`: this hazard cannot be accepted. Whether there is such a hazard is not known
    /// here.
    Stop(String),
}

impl Says {
    /// The rule, as it is written.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::UntrustedLabel(label) => format!("untrusted-label {label}"),
            Self::NeverReturnAddress(sbdf) => format!("never-return {sbdf}"),
            Self::NeverReturnKind { vendor, device } => format!("never-return {vendor:04x}:{device:04x}"),
            Self::Stop(id) => format!("stop {id}"),
        }
    }
}

/// Reads the file.
pub fn read(root: &Sysroot) -> Reading<Policy> {
    match read_guarded(root, POLICY) {
        Ok(None) => Ok(Policy::default()),
        Ok(Some(bytes)) => parse(&bytes),
        Err(Failure { message, hint, .. }) => Err(format!("{message}: {hint}")),
    }
}

/// A line that is not a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The number, from 1.
    pub line: usize,
    /// The line, escaped.
    pub text: String,
    /// The word that was meant, perhaps.
    pub meant: Option<&'static str>,
}

/// Parses the file's bytes.
///
/// # Errors
/// The first line that is not a rule, by its number.
pub fn parse(untrusted_bytes: &[u8]) -> Reading<Policy> {
    let (policy, problems) = check(untrusted_bytes);
    match problems.first() {
        Some(Problem { line, text, .. }) => Err(format!("{POLICY}: line {line} is not a rule: `{text}`")),
        None => Ok(policy),
    }
}

/// The rules of the file, and every line that is not one.
#[must_use]
pub fn check(untrusted_bytes: &[u8]) -> (Policy, Vec<Problem>) {
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    for (number, untrusted_line) in untrusted_bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = number + 1;
        let untrusted_line = untrusted_line.trim_ascii();
        if untrusted_line.is_empty() || untrusted_line.starts_with(b"#") {
            continue;
        }
        match std::str::from_utf8(untrusted_line).ok().and_then(rule) {
            Some(says) => rules.push(Rule { line, says }),
            None => {
                let text = escape(untrusted_line).chars().take(60).collect();
                problems.push(Problem { line, text, meant: meant(untrusted_line) });
            }
        }
    }
    (Policy { rules, digest: hex(&Sha256::digest(untrusted_bytes)) }, problems)
}

/// The verb that is one or two letters away from what stands there.
fn meant(untrusted_line: &[u8]) -> Option<&'static str> {
    let word = untrusted_line.split(u8::is_ascii_whitespace).next()?;
    let near =
        |verb: &&str| *word != *verb.as_bytes() && word.len() <= 64 && distance(word, verb.as_bytes()) <= 2;
    ["untrusted-label", "never-return", "stop"].into_iter().find(near)
}

/// How many letters have to be changed, added or left out.
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.iter().enumerate() {
        let mut before = at;
        let mut left = at + 1;
        let mut next = vec![left];
        for (cell, letter_there) in row.iter().skip(1).zip(other) {
            left = (before + usize::from(letter != letter_there)).min(cell + 1).min(left + 1);
            before = *cell;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

fn rule(untrusted_line: &str) -> Option<Says> {
    let mut words = untrusted_line.split_ascii_whitespace();
    let (verb, object) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let plain = || {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        (object.len() <= 64 && object.bytes().all(good)).then(|| object.to_owned())
    };
    match verb {
        "untrusted-label" => plain().map(Says::UntrustedLabel),
        "stop" => plain().map(Says::Stop),
        "never-return" => kind(object).or_else(|| match DeviceArgument::parse(object) {
            Some(DeviceArgument::Address(sbdf)) => Some(Says::NeverReturnAddress(sbdf)),
            // A path is looked up in sysfs, where a rule must not depend on what is plugged in.
            Some(DeviceArgument::Path(..)) | None => None,
        }),
        _ => None,
    }
}

/// `8086:15b8`, four digits each.
fn kind(text: &str) -> Option<Says> {
    let (vendor, device) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u16::from_str_radix(text, 16).ok()).flatten()
    };
    Some(Says::NeverReturnKind { vendor: number(vendor)?, device: number(device)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn says(text: &str) -> Vec<Says> {
        parse(text.as_bytes()).unwrap().rules.into_iter().map(|rule| rule.says).collect()
    }

    #[test]
    fn each_line_is_one_rule() {
        let text = "# what came from the shop\n\nuntrusted-label red\r\n\tnever-return  00:1f.6 \n\
            never-return 8086:15B8\nstop exposed-before";
        let nic = Sbdf::from_sysfs("0000:00:1f.6").unwrap();
        assert_eq!(
            says(text),
            [
                Says::UntrustedLabel("red".to_owned()),
                Says::NeverReturnAddress(nic),
                Says::NeverReturnKind { vendor: 0x8086, device: 0x15b8 },
                Says::Stop("exposed-before".to_owned()),
            ]
        );
        let lines: Vec<usize> = parse(text.as_bytes()).unwrap().rules.iter().map(|rule| rule.line).collect();
        assert_eq!(lines, [3, 4, 5, 6]);
    }

    #[test]
    fn a_line_that_is_no_rule_is_an_error_with_its_number() {
        for line in [
            "untrusted-label",
            "untrusted-label red green",
            "untrusted-label red # the network's",
            "Untrusted-Label red",
            "trusted-label blue",
            "never-return",
            "never-return 00_1c.0-00_00.0",
            "never-return 8086",
            "never-return 8086:15b8a",
            "never-return *",
            "stop \x1b[2J",
            "stop",
            "allow network",
            "\u{feff}stop usb",
            "stop=usb",
        ] {
            let why = parse(format!("# head\n{line}\n").as_bytes()).unwrap_err();
            assert!(why.contains("line 2 is not a rule"), "{line:?}: {why}");
            assert!(!why.contains(char::is_control), "{why:?}");
        }
        assert!(parse(b"\xff\n").is_err());
    }

    #[test]
    fn another_content_is_another_policy() {
        assert_ne!(parse(b"").unwrap().digest, parse(b"# a word\n").unwrap().digest);
        assert!(Policy::default().digest.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_taken_has_a_rule_for_each_line_that_is_no_comment(
            text in "(((stop|untrusted-label)[ \t](usb|red)|never-return[ \t](8086:15b8|00:1f\\.6)|# [a-z]*)\r?\n){0,6}",
        ) {
            let expected = text.lines().filter(|line| !line.starts_with('#')).count();
            prop_assert_eq!(parse(text.as_bytes()).unwrap().rules.len(), expected);
        }

        #[test]
        fn a_bad_line_anywhere_makes_the_whole_file_an_error(
            before in "(stop usb\n){0,3}", bad in "[a-z]{1,8}( [a-z]{1,8}){0,3}", after in "(\nstop usb){0,3}",
        ) {
            let first = bad.split(' ').next().unwrap_or_default();
            prop_assume!(!["stop", "untrusted-label", "never-return"].contains(&first));
            let text = format!("{before}{bad}{after}");
            prop_assert!(parse(text.as_bytes()).is_err());
        }
    }
}
