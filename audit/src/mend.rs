//! What an admin does to a journal on purpose: accept a break, remove old
//! segments. Both are records themselves.
#![forbid(unsafe_code)]

use std::path::Path;

use crate::chain::Next;
use crate::checkpoint::{note, Checkpoint};
use crate::error::{Error, Kind, Result};
use crate::form::Says;
use crate::hash;
use crate::head::{segment_name, Head};
use crate::journal::{Journal, SEGMENT_BYTES};
use crate::record::Draft;
use crate::report::Verdict;
use crate::snapshot::{Opening, Snapshot};
use crate::store::{Folder, For, LOCK_WAIT};
use crate::tail::{locate, Place};
use crate::verify::{verify, Against};

/// Accepts a break: the journal goes on behind it in a segment of its own, whose first record, a `gap`,
/// says what was wrong. Nothing is changed or removed, and verifying stays red at that place for ever.
/// `None` where nothing is broken.
///
/// # Errors
/// As [`Journal::open`], but for what it mends.
pub fn repair(path: &Path, boot: &str) -> Result<Option<Head>> {
    let against = Against { from: last_repair(path)?, ..Against::default() };
    let report = verify(path, &against, &|_, _| {})?;
    let folder = Folder::open_private(path)?;
    let lock = folder.lock(For::Writing, LOCK_WAIT)?;
    let place = locate(&folder, None)?;
    let journal_id = report.journal.clone().unwrap_or_else(|| "unknown".to_owned());
    let why = report.findings.first().map(|finding| finding.what.clone());
    let gap = |why: &str| Draft::new("gap").text("why", why).text("journal", &journal_id);
    let segments = folder.segments()?;
    let opened = Folder::open_private(path)?;
    let mut journal = Journal::closed(opened, boot, LOCK_WAIT, SEGMENT_BYTES);
    let head = match place {
        Place::Lost(lost) => {
            let marked = lost.mark.map(|mark| mark.head);
            let last = marked.into_iter().chain(report.head).max_by_key(|head| head.seq);
            // The gap names the hash it goes on from. Where that is not the one that HEAD has, which is
            // overwritten, the file of checkpoints keeps the other: it stays unmet for ever.
            if let Some(marked) = marked.filter(|marked| last != Some(*marked)) {
                note(&folder, marked, "HEAD before a repair")?;
            }
            let mut next =
                last.map_or(Next::FIRST, |head| Next { seq: head.seq + 1, prev: hash::to_hex(&head.hash) });
            if let Some(newest) = segments.last().filter(|newest| **newest > next.seq) {
                // Never in the middle of what is there: the new segment is the last by name too.
                next.seq = newest + 1;
            }
            if next.seq == 0
                || (segments.last() == Some(&next.seq) && Snapshot::holds_records(&folder, next.seq)?)
            {
                next.seq += 1;
            }
            journal.begin_with_gap(next, gap(&why.unwrap_or(lost.why)))?
        }
        Place::End(_) if report.verdict() == Verdict::Altered => {
            journal.begin()?;
            // Heals a torn tail first, so that the old segment ends with a record.
            let head =
                journal
                    .append_locked(&[Draft::new("note")
                        .text("text", "repair: a break was found; what it was is said next")])?;
            let next = Next { seq: head.seq + 1, prev: hash::to_hex(&head.hash) };
            journal.begin_with_gap(next, gap(&why.unwrap_or_else(|| "a checkpoint is not met".to_owned())))?
        }
        Place::End(_) | Place::Nothing => return Ok(None),
    };
    drop(lock);
    Ok(Some(head))
}

/// What a repair would accept, in words; `None` where nothing is broken. It only reads.
///
/// # Errors
/// As [`verify`].
pub fn repairable(path: &Path) -> Result<Option<String>> {
    let against = Against { from: last_repair(path)?, ..Against::default() };
    let report = verify(path, &against, &|_, _| {})?;
    let why = report.findings.first().map(|finding| finding.what.clone());
    Ok(match locate(&Folder::open(path)?, None)? {
        Place::Lost(lost) => Some(why.unwrap_or(lost.why)),
        Place::End(_) if report.verdict() == Verdict::Altered => {
            Some(why.unwrap_or_else(|| "a checkpoint is not met".to_owned()))
        }
        Place::End(_) | Place::Nothing => None,
    })
}

/// The head that the last repair went on from: what follows it can be verified by
/// itself, with [`Against::from`].
///
/// # Errors
/// As [`verify`].
pub fn last_repair(path: &Path) -> Result<Option<Checkpoint>> {
    let snapshot = Snapshot::take(path)?;
    for span in snapshot.segments.iter().rev() {
        let opening = snapshot.opening(*span)?;
        if opening.iter().any(|first| first.says() == Says::Gap) {
            let before = opening.first().and_then(|Opening { next, .. }| {
                Some(Head { seq: next.seq.checked_sub(1)?, hash: hash::from_hex(&next.prev)? })
            });
            return Ok(before.map(Checkpoint::from));
        }
    }
    Ok(None)
}

/// What a prune would remove, or has removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prune {
    /// The names of the segments.
    pub files: Vec<String>,
    /// Their first record.
    pub first: u64,
    /// Their last record.
    pub last: u64,
    /// The hash of that record.
    pub last_hash: String,
}

/// What pruning everything before record `before` would remove: whole segments only, never the last
/// one. `None` where that is nothing.
///
/// # Errors
/// As [`verify`]; [`Kind::Broken`] where the first segment that stays does not begin with its record.
pub fn prunable(path: &Path, before: u64) -> Result<Option<Prune>> {
    let snapshot = Snapshot::take(path)?;
    let Some(stays) =
        snapshot.segments.iter().rposition(|span| span.first <= before).filter(|index| *index > 0)
    else {
        return Ok(None);
    };
    let (old, rest) = snapshot.segments.split_at(stays);
    let (Some(oldest), Some(kept)) = (old.first(), rest.first()) else { return Ok(None) };
    let prev = snapshot
        .opening(*kept)?
        .first()
        .filter(|first| first.next.seq == kept.first)
        .map(|first| first.next.prev);
    let prev = prev.ok_or_else(|| {
        Error::new(
            Kind::Broken,
            format!("{} does not begin with its record", segment_name(kept.first)),
            Some(path),
        )
    })?;
    Ok(Some(Prune {
        files: old.iter().map(|span| segment_name(span.first)).collect(),
        first: oldest.first,
        last: kept.first.saturating_sub(1),
        last_hash: hash::as_str(&prev).to_owned(),
    }))
}

/// What goes on from the records that a prune removes.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Records to write before the one that says what was removed: on disk with it, or not at all.
    pub records: Vec<Draft>,
    /// Members that this one has besides.
    pub numbers: Vec<(&'static str, u64)>,
}

/// Removes whole old segments, after a record that says which. An interrupted one is finished by the next.
///
/// # Errors
/// As [`Journal::append`]; [`Kind::Permission`] where a segment is append-only, before anything is written.
pub fn prune(path: &Path, boot: &str, before: u64, keep: Keep) -> Result<Option<(Prune, Head)>> {
    let folder = Folder::open_private(path)?;
    let Some(plan) = prunable(path, before)? else { return Ok(None) };
    let segments: Vec<u64> = folder.segments()?.into_iter().filter(|first| *first <= plan.last).collect();
    for first in &segments {
        folder.check_removable(*first)?;
    }
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let draft = Draft::new("pruned")
        .number("first", number(plan.first))
        .number("last", number(plan.last))
        .text("last_hash", &plan.last_hash)
        .list("files", &plan.files);
    let draft = keep.numbers.iter().fold(draft, |draft, (key, count)| draft.number(key, number(*count)));
    let mut drafts = keep.records;
    drafts.push(draft);
    let mut journal = Journal::open(path, boot)?;
    let head = journal.append(&drafts)?;
    let _lock = folder.lock(For::Writing, LOCK_WAIT)?;
    // A HEAD on disk that names a record of a removed segment would say that it is lost.
    journal.sync_mark()?;
    for first in segments {
        folder.remove_segment(first)?;
    }
    folder.sync()?;
    journal.close()?;
    Ok(Some((plan, head)))
}
