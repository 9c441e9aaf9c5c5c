//! What goes on from records that a prune removes.
//!
//! | kind | members |
//! |---|---|
//! | `had` | `bdf`, `id`, `qube`, `stays`, `first`, `last`, `in_boot`, `imported`, and of the qube: |
//! | | `labels`, `unlabelled`, `network`, `options` |
//! | `known` | `bdf`, the identity, `at`, `in_boot` |
//! | `pruned` | besides what the journal itself writes: `kept`, `repairs`, `forgotten` |
//!
//! They are told behind records that are younger than what they are of: they only add to them.

use super::shown::{address, flag, moment, text};
use super::{Identity, Moment};
use crate::names::{unescape, Sbdf};
use audit::{Draft, Record};
use std::collections::BTreeSet;

/// A qube of earlier boots had a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carried {
    /// Where the device stood.
    pub bdf: Sbdf,
    /// What it is; empty where an import does not tell.
    pub id: String,
    /// The qube, escaped.
    pub qube: String,
    /// The labels it had then or got later.
    pub labels: BTreeSet<String>,
    /// Of one of its stays no label is known.
    pub unlabelled: bool,
    /// Whether it once provided network.
    pub network: Option<bool>,
    /// Options other than the defaults.
    pub options: BTreeSet<String>,
    /// How many stays.
    pub stays: u64,
    /// The first time that was recorded.
    pub first: Option<Moment>,
    /// The last one.
    pub last: Option<Moment>,
    /// The last boot, as the journal names it.
    pub boot: String,
    /// All of it was imported.
    pub imported: bool,
}

/// What a device was in an earlier boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Where it stood.
    pub bdf: Sbdf,
    /// What it was.
    pub identity: Identity,
    /// When.
    pub time: Option<Moment>,
    /// In which boot.
    pub boot: String,
}

/// What a prune says of what it removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Prune {
    /// Which qubes had which device is not kept: of this prune, or of one before it.
    pub forgotten: bool,
    /// How many losses were accepted there.
    pub repairs: u64,
}

/// The words of a list; `None` where they are not all there: what is too long for a
/// record is counted and left out.
fn words(record: &Record, key: &str) -> Option<BTreeSet<String>> {
    let words = record.get(key)?.as_array()?;
    let whole = |word: &str| (!word.contains("\\[")).then(|| word.to_owned());
    words.iter().map(|word| word.as_str().and_then(whole)).collect()
}

/// As the journal was given them; it escapes them again.
fn plain(words: &BTreeSet<String>) -> Vec<String> {
    words.iter().map(|word| String::from_utf8_lossy(&unescape(word)).into_owned()).collect()
}

fn at(draft: Draft, times: &[(&str, Option<Moment>)]) -> Draft {
    let known = times.iter().filter_map(|(key, time)| time.map(|time| (key, time)));
    known.fold(draft, |draft, (key, time)| draft.text(key, &time.to_string()))
}

impl Carried {
    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let draft = Draft::new("had").text("bdf", &self.bdf.to_string()).text("id", &self.id);
        let draft = draft.bytes("qube", &unescape(&self.qube)).list("labels", plain(&self.labels));
        let draft = draft.flag("unlabelled", self.unlabelled).list("options", plain(&self.options));
        let draft = self.network.into_iter().fold(draft, |draft, network| draft.flag("network", network));
        let draft = draft.number("stays", i64::try_from(self.stays).unwrap_or(i64::MAX));
        let draft = at(draft, &[("first", self.first), ("last", self.last)]);
        draft.text("in_boot", &self.boot).flag("imported", self.imported)
    }

    /// What a record of kind `had` says. What cannot be read of the labels counts as not known.
    pub(super) fn read(record: &Record) -> Option<Self> {
        let labels = words(record, "labels");
        Some(Self {
            bdf: address(record)?,
            id: text(record, "id"),
            qube: text(record, "qube"),
            unlabelled: flag(record, "unlabelled") != Some(false) || labels.is_none(),
            labels: labels.unwrap_or_default(),
            network: flag(record, "network"),
            options: words(record, "options").unwrap_or_default(),
            stays: record.number("stays").and_then(|stays| u64::try_from(stays).ok()).unwrap_or(1),
            first: moment(record, "first"),
            last: moment(record, "last"),
            boot: text(record, "in_boot"),
            imported: flag(record, "imported") == Some(true),
        })
    }

    /// Adds what another tells of the same qube and device.
    pub fn add(&mut self, more: &Self) {
        self.labels.extend(more.labels.iter().cloned());
        self.unlabelled |= more.unlabelled;
        self.network = match (self.network, more.network) {
            (Some(was), Some(is)) => Some(was || is),
            (was, is) => was.or(is),
        };
        self.options.extend(more.options.iter().cloned());
        self.stays = self.stays.saturating_add(more.stays);
        self.first = self.first.into_iter().chain(more.first).min();
        if more.last >= self.last {
            self.boot.clone_from(&more.boot);
        }
        self.last = self.last.max(more.last);
        self.imported &= more.imported;
    }
}

impl Recorded {
    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let draft = self.identity.onto(Draft::new("known").text("bdf", &self.bdf.to_string()));
        at(draft, &[("at", self.time)]).text("in_boot", &self.boot)
    }

    /// What a record of kind `known` says.
    pub(super) fn read(record: &Record) -> Option<Self> {
        Some(Self {
            bdf: address(record)?,
            identity: Identity::read(record),
            time: moment(record, "at"),
            boot: text(record, "in_boot"),
        })
    }
}

impl Prune {
    /// What a record of kind `pruned` says; one that does not tell what was kept has kept nothing.
    pub(super) fn read(record: &Record) -> Self {
        let number = |key: &str| record.number(key).and_then(|number| u64::try_from(number).ok());
        Self {
            forgotten: number("kept").is_none() || number("forgotten") != Some(0),
            repairs: number("repairs").unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use audit::Journal;

    fn written(drafts: &[Draft]) -> Vec<Record> {
        let folder = std::env::temp_dir().canonicalize().unwrap();
        let folder = folder.join(format!("dom0-pci-carried-{}-{}", std::process::id(), drafts.len()));
        Journal::open(&folder, "b00t").unwrap().append(drafts).unwrap();
        let mut records = Vec::new();
        audit::select(&folder, &audit::Query::default(), &mut |line| {
            records.extend(Record::parse(line));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        records
    }

    #[test]
    fn what_is_written_reads_back_as_it_was() {
        let carried = Carried {
            bdf: Sbdf::from_sysfs("0000:03:00.0").unwrap(),
            id: "8086:10d3 8086:0001 020000".to_owned(),
            qube: "\\x1b[31msys\\\\net".to_owned(),
            labels: ["red".to_owned(), "\\x07".to_owned()].into(),
            unlabelled: false,
            network: Some(true),
            options: ["permissive=1".to_owned()].into(),
            stays: 3,
            first: Moment::parse("2026-11-22T13:47:51.123456Z"),
            last: None,
            boot: "22222222".to_owned(),
            imported: true,
        };
        let identity = Identity { id: carried.id.clone(), revision: "01".to_owned(), ..Identity::default() };
        let recorded =
            Recorded { bdf: carried.bdf, identity, time: carried.first, boot: carried.boot.clone() };
        let records = written(&[carried.draft(), recorded.draft()]);
        assert_eq!(records.iter().find_map(Carried::read), Some(carried));
        assert_eq!(records.last().and_then(Recorded::read), Some(recorded));
    }

    #[test]
    fn labels_that_a_record_has_no_room_for_are_not_known() {
        let labels: BTreeSet<String> = (0..200).map(|number| format!("a-long-label-{number:040}")).collect();
        let draft = Draft::new("had").text("bdf", "0000:03:00.0").flag("unlabelled", false);
        let records = written(&[draft.list("labels", &labels)]);
        assert!(records.last().and_then(Carried::read).unwrap().unlabelled);
    }
}
