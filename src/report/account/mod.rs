//! `audit report`: what an auditor is told of a journal, on one page: as text, as JSON, as a table, or as a
//! page for a browser. Pure functions from what was read to what is shown.

mod html;
mod markup;
mod picture;
mod table;
mod text;

pub use html::html;
pub use table::{heading, row};
pub use text::text;

use crate::journal::account::{person, Account, Ran};
use crate::journal::timeline::{StaySpan, Timeline};
use crate::journal::Moment;
use crate::names::Sbdf;
use audit::{Comparison, Report, Verdict, Witness};
use serde_json::{json, Value};
use std::collections::BTreeMap;

/// As many gaps and returns are listed; more are counted.
const MOST_LISTED: usize = 200;

/// A device that came back to dom0, and who had it since it came back before.
#[derive(Clone, Debug)]
pub struct Returned {
    /// The operation.
    pub ran: Ran,
    /// The stays in between, oldest first.
    pub after: Vec<StaySpan>,
}

/// A qube's stays with one device before a return.
struct Guest {
    /// The latest of them.
    latest: StaySpan,
    count: usize,
}

/// The qubes that had a device, the one that had it last at the end.
fn guests(stays: &[StaySpan]) -> Vec<Guest> {
    let mut all: Vec<Guest> = Vec::new();
    for stay in stays {
        let known =
            all.iter().position(|guest| guest.latest.qube == stay.qube && guest.latest.label == stay.label);
        let count = known.map_or(0, |at| all.remove(at).count) + 1;
        all.push(Guest { latest: stay.clone(), count });
    }
    all
}

impl Guest {
    fn words(&self) -> String {
        let times = if self.count > 1 { format!(" {} times", self.count) } else { String::new() };
        format!("{}{times}, {}", qube(&self.latest), until(&self.latest))
    }
}

/// A record that says that others are gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Break {
    /// The record's number.
    pub seq: u64,
    /// When it was written.
    pub time: Option<Moment>,
    /// What it says.
    pub says: String,
}

/// What is told.
#[derive(Clone, Debug)]
pub struct Told {
    /// The journal's path.
    pub journal: String,
    /// When this was told.
    pub now: Moment,
    /// From when to when; `None` where nothing is recorded.
    pub period: Option<(Moment, Moment)>,
    /// What verifying it found.
    pub verified: Report,
    /// The operations.
    pub account: Account,
    /// The stays, boots and gaps.
    pub drawn: Timeline,
    /// Repairs, prunes and moves.
    pub breaks: Vec<Break>,
    /// Only this device.
    pub device: Option<Sbdf>,
}

impl Told {
    /// The devices that a qube had and that came back, by the latest operations that returned them.
    #[must_use]
    pub fn returned(&self) -> Vec<Returned> {
        let mut before: BTreeMap<Sbdf, Moment> = BTreeMap::new();
        let mut all = Vec::new();
        for ran in self.account.latest.iter().filter(|ran| ran.returned()) {
            let (Some(bdf), Some(began)) = (ran.bdf, ran.began) else { continue };
            let since = before.insert(bdf, began);
            let stays = self.drawn.lanes.get(&bdf).map(|lane| lane.stays.as_slice()).unwrap_or_default();
            let lies = |stay: &&StaySpan| stay.from < began && since.is_none_or(|since| stay.to >= since);
            let after: Vec<StaySpan> = stays.iter().filter(lies).cloned().collect();
            if !after.is_empty() {
                all.push(Returned { ran: ran.clone(), after });
            }
        }
        all
    }

    /// The latest operations that fit.
    pub fn operations<'a>(&'a self, fits: impl Fn(&Ran) -> bool + 'a) -> impl Iterator<Item = &'a Ran> {
        self.account.latest.iter().filter(move |ran| fits(ran))
    }

    /// The time that nobody recorded, and how long that is in seconds.
    #[must_use]
    pub fn gaps(&self) -> (Vec<(Moment, Moment)>, u64) {
        let gaps = self.period.map(|(from, to)| self.drawn.shown.gaps(from, to)).unwrap_or_default();
        let micros = gaps.iter().map(|(from, to)| to.micros().saturating_sub(from.micros()));
        let seconds = micros.sum::<u64>() / 1_000_000;
        (gaps, seconds)
    }

    /// What the journal was compared with by this witness: how often it was met, and how often not.
    fn compared(&self, witness: Witness) -> (usize, usize) {
        let of = |one: &&Comparison| one.witness == witness && one.outcome != audit::Outcome::Before;
        let all = self.verified.comparisons.iter().filter(of);
        let met = all.clone().filter(|one| one.outcome == audit::Outcome::Met).count();
        (met, all.count() - met)
    }

    /// The JSON document's members.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (gaps, seconds) = self.gaps();
        let time = |time: &Option<Moment>| time.map(|time| time.to_string());
        let operation = |ran: &Ran| {
            json!({
                "op": ran.id, "seq": ran.seq, "began": time(&ran.began), "ended": time(&ran.ended),
                "command": ran.command, "bdf": ran.bdf.map(|bdf| bdf.to_string()), "device": some(&ran.ids),
                "person": person(&ran.who), "loginuid": some(&ran.who.loginuid),
                "sudo_user": some(&ran.who.sudo_user), "tty": some(&ran.who.tty),
                "asked": ran.consent.as_ref().map(|consent| consent.asked),
                "accepted": ran.consent.as_ref().map(|consent| consent.accepted.clone()),
                "outcome": some(&ran.outcome), "state": some(&ran.state),
            })
        };
        let stay = |stay: &StaySpan| {
            json!({
                "qube": some(&stay.qube), "label": some(&stay.label), "from": stay.from.to_string(),
                "to": stay.to.to_string(), "begun": stay.begun, "ended": stay.ended,
                "at_latest": stay.at_latest, "imported": stay.imported,
            })
        };
        let mut returned = self.returned();
        let returns = returned.split_off(returned.len().saturating_sub(MOST_LISTED));
        json!({
            "journal": self.journal,
            "from": self.period.map(|(from, _)| from.to_string()),
            "to": self.period.map(|(_, to)| to.to_string()),
            "boots": self.drawn.boots.len(),
            "verified": self.verified.to_json(),
            "outcomes": self.account.outcomes.iter().map(|((command, outcome), count)| {
                json!({ "command": command, "outcome": outcome, "count": count })
            }).collect::<Vec<_>>(),
            "people": self.account.people.iter().map(|(person, share)| {
                json!({ "person": person, "operations": share.all, "done": share.done })
            }).collect::<Vec<_>>(),
            "returned": returns.iter().map(|it| {
                let after = it.after.iter().skip(it.after.len().saturating_sub(MOST_LISTED));
                json!({ "operation": operation(&it.ran), "after": after.map(stay).collect::<Vec<_>>() })
            }).collect::<Vec<_>>(),
            "operations": self.account.latest.iter().map(operation).collect::<Vec<_>>(),
            "earlier_operations": self.account.earlier,
            "not_recorded": {
                "seconds": seconds,
                "spans": gaps.len(),
                "longest": longest(&gaps).iter().map(|(from, to)| {
                    json!({ "from": from.to_string(), "to": to.to_string() })
                }).collect::<Vec<_>>(),
            },
            "breaks": self.breaks.iter().map(|it| {
                json!({ "seq": it.seq, "time": time(&it.time), "says": it.says })
            }).collect::<Vec<_>>(),
        })
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The longest gaps, in the order of time.
fn longest(gaps: &[(Moment, Moment)]) -> Vec<(Moment, Moment)> {
    let mut all = gaps.to_vec();
    all.sort_by_key(|(from, to)| std::cmp::Reverse(to.micros().saturating_sub(from.micros())));
    all.truncate(MOST_LISTED);
    all.sort();
    all
}

/// The verdict in one sentence.
fn verdict(report: &Report) -> &'static str {
    match report.verdict() {
        Verdict::Sound => "Every record follows from the one before it.",
        Verdict::TornTail => {
            "Every record follows from the one before it; a crash left a torn line at the end."
        }
        Verdict::Altered => "ALTERED: this journal is not as it was written. `audit verify` says where.",
    }
}

/// What the journal was compared with, a sentence each.
fn comparisons(told: &Told) -> Vec<String> {
    let mut lines = Vec::new();
    for (witness, what) in
        [(Witness::Given, "given with --checkpoint"), (Witness::Remembered, "kept in the file checkpoints")]
    {
        match told.compared(witness) {
            (0, 0) => {}
            (met, 0) => lines.push(format!("{} {what}: met.", checkpoints(met))),
            (met, unmet) => {
                lines.push(format!("{} {what}: {met} met, {unmet} NOT met.", checkpoints(met + unmet)))
            }
        }
    }
    match told.compared(Witness::Mark) {
        (_, 0) => {}
        _ => lines.push("The file HEAD is NOT met.".to_owned()),
    }
    if told.compared(Witness::Given) == (0, 0) {
        lines.push(
            "No checkpoint was given, so a rewritten journal would look the same. Use --checkpoint."
                .to_owned(),
        );
    }
    lines
}

fn checkpoints(count: usize) -> String {
    if count == 1 {
        "1 checkpoint".to_owned()
    } else {
        format!("{count} checkpoints")
    }
}

/// A qube with its label.
fn qube(stay: &StaySpan) -> String {
    match (&*stay.qube, &*stay.label) {
        ("", _) => "a qube nobody named".to_owned(),
        (qube, "") => format!("{qube} (label unknown)"),
        (qube, label) => format!("{qube} ({label})"),
    }
}

/// When a stay ended, in words.
fn until(stay: &StaySpan) -> String {
    let to = second(stay.to);
    match (stay.ended, stay.at_latest) {
        (true, false) => format!("until {to}"),
        (true, true) => format!("until {to} at the latest"),
        (false, _) => format!("last seen {to}"),
    }
}

/// What was accepted, in words.
fn accepted(ran: &Ran) -> String {
    match &ran.consent {
        None => "no consent recorded".to_owned(),
        Some(consent) if consent.accepted.is_empty() => "nothing had to be accepted".to_owned(),
        Some(consent) => {
            let list: Vec<String> = consent.accepted.iter().map(|id| printable(id)).collect();
            let how = if consent.asked { "at the prompt" } else { "on the command line" };
            format!("accepted {how}: {}", list.join(", "))
        }
    }
}

/// Printable ASCII as it is, all else escaped: what was unescaped for the program is escaped again for
/// people.
fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            ' '..='~' => letter.to_string(),
            _ => crate::names::escape(letter.to_string().as_bytes()),
        })
        .collect()
}

/// A moment to the second.
fn second(moment: Moment) -> String {
    crate::names::to_the_second(&moment.to_string())
}

/// A length of time, in the two largest units.
fn length(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut parts = Vec::new();
    let mut left = seconds;
    for (unit, name) in units {
        if left >= unit && parts.len() < 2 {
            parts.push(format!("{} {name}", left / unit));
            left %= unit;
        } else if !parts.is_empty() {
            break;
        }
    }
    if parts.is_empty() {
        "less than a second".to_owned()
    } else {
        parts.join(" ")
    }
}
