//! The records of qubes that had a device in earlier boots, which go on from records that a prune removes.
//!
//! Members: `bdf`, `id`, `qube`, `labels`, `unlabelled`, `options`, `network`, `stays`, `first`, `last`,
//! `in_boot`, `imported`.
//!
//! They are told behind records that are younger than what they are of: they only add to them.

use super::members::{address, flag, moment, text, with_times};
use super::stays::{StayEnd, Stayed};
use super::Moment;
use crate::names::{unescape, Sbdf};
use audit::{Draft, Record};
use std::collections::BTreeSet;

/// What a qube of earlier boots did with a device.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EarlierStays {
    /// The qube, escaped.
    pub qube: String,
    /// The labels it had then or got later.
    pub labels: BTreeSet<String>,
    /// Of one of the stays no label is known, or more than are kept.
    pub unlabelled: bool,
    /// Whether it once provided network; `None` where that was never recorded.
    pub network: Option<bool>,
    /// Options other than the defaults.
    pub options: BTreeSet<String>,
    /// How many stays.
    pub stays: u64,
    /// The first time that was recorded.
    pub first: Option<Moment>,
    /// The last one.
    pub last: Option<Moment>,
    /// The last boot, as the journal names it; empty where an import does not tell.
    pub boot: String,
    /// All of it was imported.
    pub imported: bool,
}

/// A record of such stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EarlierStaysRecord {
    /// Where the device stood.
    pub bdf: Sbdf,
    /// What it is; empty where an import does not tell.
    pub id: String,
    /// What the qube did with it.
    pub stays: EarlierStays,
}

/// The words of a list; `None` where they are not all there: what is too long for a record is counted and
/// left out.
fn words(record: &Record, key: &str) -> Option<BTreeSet<String>> {
    let words = record.get(key)?.as_array()?;
    let whole = |word: &str| (!word.contains("\\[")).then(|| word.to_owned());
    words.iter().map(|word| word.as_str().and_then(whole)).collect()
}

/// As the journal was given them; it escapes them again.
fn plain(words: &BTreeSet<String>) -> Vec<String> {
    words.iter().map(|word| String::from_utf8_lossy(&unescape(word)).into_owned()).collect()
}

impl EarlierStays {
    /// One stay, that no later record adds to.
    #[must_use]
    pub fn of(stayed: &Stayed) -> Self {
        let Stayed { stay, relabelled, from, to, boot, latest, .. } = stayed;
        let end = match to {
            StayEnd::At(time) => *time,
            StayEnd::By(_) | StayEnd::Open => None,
        };
        let times = || from.iter().copied().chain(latest.1).chain(end);
        let labels = std::iter::once(&stay.label).chain(relabelled);
        Self {
            qube: stay.qube.clone(),
            labels: labels.filter(|label| !label.is_empty()).cloned().collect(),
            unlabelled: stay.label.is_empty(),
            network: stay.network,
            options: stay.options.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect(),
            stays: 1,
            first: times().min(),
            last: times().max(),
            boot: boot.clone(),
            imported: stayed.is_imported(),
        }
    }

    /// Adds what another tells of the same qube and device, but for its boot. Of labels so many are kept.
    pub fn add(&mut self, more: &Self, most_labels: usize) {
        self.unlabelled |= more.unlabelled;
        for label in &more.labels {
            self.label(label, most_labels);
        }
        self.network = match (self.network, more.network) {
            (Some(was), Some(is)) => Some(was || is),
            (was, is) => was.or(is),
        };
        self.options.extend(more.options.iter().cloned());
        self.stays = self.stays.saturating_add(more.stays);
        self.first = self.first.into_iter().chain(more.first).min();
        self.last = self.last.max(more.last);
        self.imported &= more.imported;
    }

    /// Adds a label; where no more are kept, not all are known.
    pub fn label(&mut self, label: &str, most: usize) {
        if self.labels.len() < most {
            self.labels.insert(label.to_owned());
        } else {
            self.unlabelled |= !self.labels.contains(label);
        }
    }
}

impl EarlierStaysRecord {
    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let it = &self.stays;
        let draft = Draft::new("had").text("bdf", &self.bdf.to_string()).text("id", &self.id);
        let draft = draft.bytes("qube", &unescape(&it.qube)).list("labels", plain(&it.labels));
        let draft = draft.flag("unlabelled", it.unlabelled).list("options", plain(&it.options));
        let draft = it.network.into_iter().fold(draft, |draft, network| draft.flag("network", network));
        let draft = draft.number("stays", i64::try_from(it.stays).unwrap_or(i64::MAX));
        let draft = with_times(draft, &[("first", it.first), ("last", it.last)]);
        draft.text("in_boot", &it.boot).flag("imported", it.imported)
    }

    /// What a record of kind `had` says. What cannot be read of the labels counts as not known.
    pub(super) fn read(record: &Record) -> Option<Self> {
        let labels = words(record, "labels");
        let stays = EarlierStays {
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
        };
        Some(Self { bdf: address(record)?, id: text(record, "id"), stays })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::journal::members::tests::read_back;
    use crate::journal::{EarlierIdentity, Identity};

    #[test]
    fn what_is_written_reads_back_as_it_was() {
        let stays = EarlierStays {
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
        let bdf = Sbdf::from_sysfs("0000:03:00.0").unwrap();
        let id = "8086:10d3 8086:0001 020000".to_owned();
        let identity = Identity { id: id.clone(), revision: "01".to_owned(), ..Identity::default() };
        let known = EarlierIdentity { bdf, identity, time: stays.first, boot: stays.boot.clone() };
        let had = EarlierStaysRecord { bdf, id, stays };
        assert_eq!(EarlierStaysRecord::read(&read_back(&had.draft())), Some(had));
        assert_eq!(EarlierIdentity::read(&read_back(&known.draft())), Some(known));
    }

    #[test]
    fn labels_that_a_record_has_no_room_for_are_not_known() {
        let labels: BTreeSet<String> = (0..200).map(|number| format!("a-long-label-{number:040}")).collect();
        let draft = Draft::new("had").text("bdf", "0000:03:00.0").flag("unlabelled", false);
        let record = read_back(&draft.list("labels", &labels));
        assert!(EarlierStaysRecord::read(&record).unwrap().stays.unlabelled);
    }
}
