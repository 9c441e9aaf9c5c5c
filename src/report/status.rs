//! How this dom0 stands, on one screen and for scripts.

use super::remedy::{commands, next_block};
use super::text::wrapped;
use super::{heading, no_qubes, table, unseen_block};
use crate::assess::Case;
use crate::names::{to_the_minute, Sbdf};
use crate::observe::overview::{JournalState, RecorderState, System};
use crate::observe::{Dom0, Policy, Reading, POLICY};
use crate::run::Unsettled;
use audit::{Report, Verdict};
use serde_json::{json, Value};
use std::collections::BTreeSet;

/// What this user may not see.
const HIDDEN: &str = "unknown: run it with sudo";

/// A device of dom0 that a qube takes at its next start.
pub struct Taking {
    /// The device.
    pub sbdf: Sbdf,
    /// What it is.
    pub description: String,
    /// The qube, escaped.
    pub qube: String,
    /// The command that takes the assignment back.
    pub keep: Option<String>,
}

/// All that stands on the screen.
pub struct Screen<'a> {
    /// The facts of all devices.
    pub dom0: &'a Dom0,
    /// Which system this is.
    pub system: &'a System,
    /// The recorder.
    pub recorder: &'a RecorderState,
    /// The journal.
    pub journal: &'a JournalState,
    /// The operation that is not settled.
    pub unsettled: &'a Unsettled,
    /// The devices away from dom0.
    pub cases: &'a [Case],
    /// How many more there are that nobody asks for, in words.
    pub hidden: String,
    /// The devices that dom0 loses at the next start of a qube.
    pub taking: &'a [Taking],
    /// What could not be seen.
    pub unseen: &'a [String],
}

/// The screen.
#[must_use]
pub fn screen(screen: &Screen<'_>) -> String {
    let mut text = heading(screen.dom0.by_root, screen.unseen, screen.unsettled, "status");
    let mut line = |name: &str, words: &str| text.push_str(&wrapped(&format!("{name:<10} "), words));
    line("system", &system_words(screen.system));
    line("recorder", &recorder_words(screen.recorder));
    line("operation", operation_words(screen.unsettled));
    line("journal", &journal_words(screen.journal));
    line("policy", &policy_words(&screen.dom0.policy));
    line("devices", &devices_words(screen.cases.len()));
    text.push_str(&table(screen.cases));
    text.push_str(&screen.hidden);
    for one in screen.taking {
        let what =
            format!("{} takes {} from dom0 at its next start ({})", one.qube, one.sbdf, one.description);
        text.push_str(&wrapped("", &what));
        text.push_str(&commands("To keep it:", one.keep.as_slice()));
    }
    text.push_str(&next(screen));
    text.push_str(&no_qubes(screen.dom0));
    text.push_str(&unseen_block(screen.unseen));
    text
}

/// The command to type next: what is wrong with the program's own state comes before the devices.
fn next(screen: &Screen<'_>) -> String {
    let command = |words: &str| commands("Next:", &[words.to_owned()]);
    if !matches!(screen.unsettled, Unsettled::Nothing | Unsettled::Unknown(_)) {
        return String::new();
    }
    if matches!(screen.journal, JournalState::Verified(report, _) if report.verdict() == Verdict::Altered) {
        return command("sudo qubes-dom0-pci audit verify");
    }
    if screen.dom0.policy.is_err() {
        return command("sudo qubes-dom0-pci policy check");
    }
    match next_block(screen.cases) {
        none if none.is_empty() && screen.recorder.runs == Some(false) => {
            command("sudo systemctl enable --now qubes-dom0-pci-record")
        }
        next => next,
    }
}

fn system_words(system: &System) -> String {
    let xen = system.xen.as_ref().map_or("Xen".to_owned(), |version| format!("Xen {version}"));
    match &system.qubes {
        Some(release) => format!("{release}, {xen}"),
        None => format!("{xen} without Qubes"),
    }
}

fn recorder_words(recorder: &RecorderState) -> String {
    let since = recorder.since.map(|time| to_the_minute(&time.to_string()));
    let hears = match (&recorder.sources[..], &recorder.missing[..]) {
        ([], []) => String::new(),
        (sources, []) => format!("; hears {}", sources.join(", ")),
        (sources, missing) => format!("; hears {}, but not {}", sources.join(", "), missing.join(", ")),
    };
    match (recorder.runs, since) {
        (None, _) => HIDDEN.to_owned(),
        (Some(true), Some(since)) => format!("runs since {since} UTC{hears}"),
        (Some(true), None) => format!("runs{hears}"),
        (Some(false), Some(last)) => {
            format!("does not run: nobody records which qube gets which device; last heard of {last} UTC")
        }
        (Some(false), None) => "does not run: nobody records which qube gets which device".to_owned(),
    }
}

fn operation_words(unsettled: &Unsettled) -> &'static str {
    match unsettled {
        Unsettled::Nothing => "none is pending or running",
        Unsettled::Running { .. } => "one is running, see above",
        Unsettled::Pending { .. } => "one was interrupted, see above",
        Unsettled::Unknown(why) if why.exit == crate::error::Exit::NotDom0 => HIDDEN,
        Unsettled::Unknown(_) => "unknown, see above",
    }
}

fn word(report: &Report) -> &'static str {
    match report.verdict() {
        Verdict::Sound => "ok",
        Verdict::TornTail => "torn-tail",
        Verdict::Altered => "altered",
    }
}

fn journal_words(journal: &JournalState) -> String {
    match journal {
        JournalState::Absent => "there is none yet".to_owned(),
        JournalState::Unreadable(failure) if failure.exit == crate::error::Exit::NotDom0 => HIDDEN.to_owned(),
        JournalState::Unreadable(failure) => failure.message.clone(),
        JournalState::Verified(report, given) => {
            let state = match report.verdict() {
                Verdict::Sound => "verified",
                Verdict::TornTail => "verified; a crash left a torn tail",
                Verdict::Altered => "ALTERED",
            };
            let last = match given {
                None => "no checkpoint was given out yet".to_owned(),
                Some(given) => {
                    format!(
                        "last checkpoint {}, {} UTC ({})",
                        given.seq,
                        to_the_minute(&given.time),
                        given.place
                    )
                }
            };
            format!("{} records, {state}; {last}", report.records)
        }
    }
}

fn policy_words(policy: &Reading<Policy>) -> String {
    match policy {
        Err(why) => format!("cannot be followed, and every return is refused: {why}"),
        Ok(policy) if policy.digest.is_empty() => format!("no rules ({POLICY} is not there)"),
        Ok(policy) => match policy.rules.len() {
            1 => format!("1 rule ({POLICY})"),
            all => format!("{all} rules ({POLICY})"),
        },
    }
}

fn devices_words(away: usize) -> String {
    match away {
        0 => "none is away from dom0".to_owned(),
        1 => "1 is away from dom0".to_owned(),
        all => format!("{all} are away from dom0"),
    }
}

/// The recorder, for scripts.
#[must_use]
pub fn recorder(recorder: &RecorderState) -> Value {
    json!({
        "runs": recorder.runs,
        "since": recorder.since.map(|time| time.to_string()),
        "hears": recorder.sources,
        "missing": recorder.missing,
    })
}

/// The journal, for scripts.
#[must_use]
pub fn journal(journal: &JournalState) -> Value {
    match journal {
        JournalState::Absent => {
            json!({ "verdict": "absent", "records": 0, "head": null, "checkpoint": null })
        }
        JournalState::Unreadable(_) => {
            json!({ "verdict": "unknown", "records": null, "head": null, "checkpoint": null })
        }
        JournalState::Verified(report, given) => json!({
            "verdict": word(report),
            "records": report.records,
            "head": report.head.map(|head| head.short()),
            "checkpoint": given.as_ref().map(|given| json!({
                "seq": given.seq, "time": given.time, "place": given.place,
            })),
        }),
    }
}

/// The policy, for scripts.
#[must_use]
pub fn policy(policy: &Reading<Policy>) -> Value {
    match policy {
        Ok(policy) => json!({ "good": true, "rules": policy.rules.len(), "why": null }),
        Err(why) => json!({ "good": false, "rules": null, "why": why }),
    }
}

/// A device that dom0 loses at the next start of a qube, for scripts.
#[must_use]
pub fn taking(one: &Taking) -> Value {
    json!({ "bdf": one.sbdf.to_string(), "description": one.description, "qube": one.qube, "keep": one.keep })
}

/// The answer without names of qubes and without MAC addresses, for a bug report.
#[must_use]
pub fn redacted(members: Value, names: &BTreeSet<String>) -> Value {
    let numbered = names.iter().enumerate().map(|(at, name)| (name.as_str(), format!("qube-{}", at + 1)));
    let mut numbered: Vec<(&str, String)> = numbered.collect();
    // A name that begins with another one is replaced first.
    numbered.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    hide(members, &numbered)
}

fn hide(value: Value, names: &[(&str, String)]) -> Value {
    match value {
        Value::String(text) => Value::String(without_macs(&hidden(&text, names))),
        Value::Array(all) => all.into_iter().map(|one| hide(one, names)).collect(),
        Value::Object(all) => all.into_iter().map(|(key, one)| (key, hide(one, names))).collect(),
        other => other,
    }
}

fn hidden(text: &str, names: &[(&str, String)]) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let mut out = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let begins = !out.chars().last().is_some_and(is_part);
        let found = names.iter().find(|(name, _)| {
            let behind = rest.strip_prefix(name);
            begins && behind.is_some_and(|behind| !behind.chars().next().is_some_and(is_part))
        });
        match found {
            Some((name, instead)) => {
                out.push_str(instead);
                rest = rest.strip_prefix(name).unwrap_or_default();
            }
            None => {
                out.push(letter);
                rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            }
        }
    }
    out
}

/// Letters of a MAC address: six bytes in hexadecimal, with colons between.
const MAC: usize = 17;

/// Text with `MAC` for each MAC address.
fn without_macs(text: &str) -> String {
    let is_mac = |part: &str| {
        part.len() == MAC
            && part.split(':').count() == 6
            && part
                .split(':')
                .all(|byte| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let taken = if rest.get(..MAC).is_some_and(is_mac) { MAC } else { letter.len_utf8() };
        if taken == MAC {
            out.push_str("MAC");
        } else {
            out.push(letter);
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_are_left_out() {
        let shown =
            redacted(json!(["eth0 is 00:16:3E:5e:6c:00, up", "0000:00:1f.6", "8086:10d3"]), &BTreeSet::new());
        assert_eq!(shown, json!(["eth0 is MAC, up", "0000:00:1f.6", "8086:10d3"]));
    }

    #[test]
    fn names_of_qubes_are_replaced_whole() {
        let names: BTreeSet<String> = ["work", "work-2", "sys-net"].map(str::to_owned).into();
        let shown =
            redacted(json!({ "a": ["work has it; work-2 too", "network"], "b": { "c": "sys-net" } }), &names);
        assert_eq!(shown, json!({ "a": ["qube-2 has it; qube-3 too", "network"], "b": { "c": "qube-1" } }));
    }
}
