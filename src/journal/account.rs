//! An account of the operations, folded from the journal's records in their order: how many ended how, who
//! ran them, and the latest of them one by one. It stays small, however long the journal is.

use super::{Consent, Moment, OperationPhase, OperationRecord, Start};
use crate::names::Sbdf;
use crate::system::who::Who;
use audit::Record;
use std::collections::{BTreeMap, VecDeque};

/// As many operations are kept one by one; what came before is only counted.
pub const MOST_OPERATIONS: usize = 500;
/// As many unfinished operations are waited for.
const MOST_OPEN: usize = 4096;
/// As many different words are counted apart: commands, outcomes and people come from the journal, and a
/// forger can write what he likes there.
const MOST_WORDS: usize = 64;

/// An operation's id, and the device.
type OperationKey = (String, Option<Sbdf>);

/// One operation on one device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// The operation.
    pub id: String,
    /// The number of its first record.
    pub seq: u64,
    /// When it began.
    pub began: Option<Moment>,
    /// When it ended; `None` where nothing says so.
    pub ended: Option<Moment>,
    /// `reattach`, `hold`, ...; escaped.
    pub command: String,
    /// The device; `None` where no record names it.
    pub bdf: Option<Sbdf>,
    /// Vendor and device, as `8086:10d3`; escaped.
    pub ids: String,
    /// What was consented to.
    pub consent: Option<Consent>,
    /// Who ran it.
    pub who: Who,
    /// The word it ended with, escaped; empty where it is not finished.
    pub outcome: String,
    /// The device's state at the end, escaped.
    pub state: String,
}

impl Ran {
    /// Whether every step was proved.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome == "done"
    }

    /// The outcome in words.
    #[must_use]
    pub fn ending(&self) -> &str {
        if self.outcome.is_empty() {
            "not finished"
        } else {
            &self.outcome
        }
    }

    /// Whether it gave the device to dom0.
    #[must_use]
    pub fn returned(&self) -> bool {
        self.is_done() && self.command == "reattach"
    }
}

/// A person's operations.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Share {
    /// All of them.
    pub all: u64,
    /// How many had every step proved.
    pub done: u64,
}

/// All that is told of the operations.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Account {
    /// How many operations ended how: by command, then by outcome.
    pub outcomes: BTreeMap<(String, String), u64>,
    /// Who ran them.
    pub people: BTreeMap<String, Share>,
    /// The latest, in the order in which they ended.
    pub latest: VecDeque<Ran>,
    /// How many came before these.
    pub earlier: u64,
    open: BTreeMap<OperationKey, Ran>,
}

impl Account {
    /// Takes one record; gives the operation that it ends.
    pub fn take(&mut self, record: &Record) -> Option<Ran> {
        let OperationRecord { id, bdf, phase } = OperationRecord::read(record)?;
        let time = record.text("time").and_then(Moment::parse);
        match phase {
            OperationPhase::Start(start) => self.begins((id, bdf), record.seq(), time, *start),
            OperationPhase::End { outcome, state } => {
                let key = self.key(id, bdf)?;
                let mut ran = self.open.remove(&key)?;
                ran.ended = time;
                (ran.outcome, ran.state) = (if outcome.is_empty() { "ended".into() } else { outcome }, state);
                self.counts(&ran);
                Some(ran)
            }
            OperationPhase::Recover | OperationPhase::Other => None,
        }
    }

    /// That is all: gives what is not finished.
    pub fn finish(&mut self) -> Vec<Ran> {
        let mut left: Vec<Ran> = std::mem::take(&mut self.open).into_values().collect();
        left.sort_by_key(|ran| ran.seq);
        left.iter().for_each(|ran| self.counts(ran));
        left
    }

    /// The operation that a record of its end is of. Older versions named the device at the start only.
    fn key(&self, id: String, bdf: Option<Sbdf>) -> Option<OperationKey> {
        let key = (id, bdf);
        if self.open.contains_key(&key) {
            return Some(key);
        }
        let first = (key.0, None);
        let found = self.open.range(&first..).next().map(|(open, _)| open);
        found.filter(|open| bdf.is_none() && open.0 == first.0).cloned()
    }

    fn begins(&mut self, key: OperationKey, seq: u64, time: Option<Moment>, start: Start) -> Option<Ran> {
        let ran = Ran {
            id: key.0.clone(),
            seq,
            began: time,
            ended: None,
            command: if start.command.is_empty() { "operation".into() } else { start.command },
            bdf: key.1,
            ids: start.device,
            consent: start.consent,
            who: start.who,
            outcome: String::new(),
            state: String::new(),
        };
        if self.open.len() >= MOST_OPEN {
            self.gives_up();
        }
        let again = self.open.insert(key, ran);
        again.iter().for_each(|ran| self.counts(ran));
        again
    }

    /// Waits no longer for the older half: a forger's journal begins more than any run would.
    fn gives_up(&mut self) {
        let mut all: Vec<(OperationKey, Ran)> = std::mem::take(&mut self.open).into_iter().collect();
        all.sort_by_key(|(_, ran)| ran.seq);
        let kept = all.split_off(all.len() / 2);
        all.iter().for_each(|(_, ran)| self.counts(ran));
        self.open = kept.into_iter().collect();
    }

    fn counts(&mut self, ran: &Ran) {
        *counted(&mut self.outcomes, (ran.command.clone(), ran.ending().to_owned()), other()) += 1;
        let share = counted(&mut self.people, person(&ran.who), "others".to_owned());
        share.all += 1;
        share.done += u64::from(ran.is_done());
        self.latest.push_back(ran.clone());
        if self.latest.len() > MOST_OPERATIONS {
            self.latest.pop_front();
            self.earlier += 1;
        }
    }
}

fn other() -> (String, String) {
    ("other commands".to_owned(), "other outcomes".to_owned())
}

fn counted<K: Ord + Clone, V: Default>(counts: &mut BTreeMap<K, V>, key: K, other: K) -> &mut V {
    let key = if counts.len() < MOST_WORDS || counts.contains_key(&key) { key } else { other };
    counts.entry(key).or_default()
}

/// Who ran it, in words. Texts are escaped once more, as the journal keeps what the system told.
#[must_use]
pub fn person(who: &Who) -> String {
    let escaped = |text: &str| crate::names::escape(text.as_bytes());
    match (who.sudo_user.as_str(), who.loginuid.as_str()) {
        ("", "") => "nobody logged in (a service)".to_owned(),
        ("", "0") => "root".to_owned(),
        ("", uid) => format!("login uid {}", escaped(uid)),
        (user, "") => format!("{} (says sudo)", escaped(user)),
        (user, uid) => format!("{} (login uid {})", escaped(user), escaped(uid)),
    }
}
