//! The journal as the recorder writes it: held only for the moment of an append, so that operations come
//! first, and never with the space that they need.

use super::backoff::Backoff;
use super::limits::Now;
use crate::error::Failure;
use crate::journal::{Entry, LossCause, LossRecord, Moment, Source, Uptime};
use crate::system::space;
use audit::{Draft, Journal, Kind};
use std::path::PathBuf;
use std::time::Duration;

/// Below this much free space nothing is recorded: an operation that has begun needs `audit::RESERVED_BYTES`,
/// and the rest of dom0 needs some too.
const KEPT_BYTES: u64 = 8 << 20;
/// Records of one append: all of them fit into the space that a journal's opening reserves.
const AT_ONCE: usize = 64;

/// Where records go.
pub struct Book {
    folder: PathBuf,
    boot: String,
    behind: Option<Behind>,
    written: u64,
}

/// What was not written, and why.
struct Behind {
    why: LossCause,
    /// `None` where nobody knows.
    count: Option<i64>,
    since: Moment,
    again: Backoff,
}

impl Book {
    /// The journal in a folder.
    pub fn new(folder: PathBuf, boot: String) -> Self {
        Self { folder, boot, behind: None, written: 0 }
    }

    /// How many records were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether nothing can be written for now.
    pub fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// When it may be tried again; `None` where it need not.
    pub fn due(&self) -> Option<Duration> {
        self.behind.as_ref().map(|behind| behind.again.due())
    }

    /// So many more were not written; `None`: nobody knows how many.
    pub fn missed(&mut self, count: Option<i64>) {
        if let Some(behind) = &mut self.behind {
            behind.count = behind.count.zip(count).map(|(before, more)| before.saturating_add(more));
        }
    }

    /// Writes records; all of them are on disk when it says so. Otherwise none or some are: it is behind
    /// then, and whoever calls has to tell everything again once it is not.
    pub fn write(&mut self, entries: &[Entry], now: Now) -> bool {
        if self.is_behind() {
            self.missed(i64::try_from(entries.len()).ok());
            return false;
        }
        for (number, part) in entries.chunks(AT_ONCE).enumerate() {
            if let Err(why) = self.append(part) {
                let left = entries.len().saturating_sub(number * AT_ONCE);
                let again = Backoff::after_failure(now.clock);
                self.behind = Some(Behind { why, count: i64::try_from(left).ok(), since: now.moment, again });
                return false;
            }
        }
        true
    }

    /// Tries again: writes what says how much was lost, and then `entries`, which tell how everything stands.
    pub fn catch_up(&mut self, entries: impl FnOnce() -> Vec<Entry>, now: Now) -> bool {
        let Some(mut behind) = self.behind.take() else { return true };
        let lost = Entry::Lost(LossRecord {
            source: Source::Journal,
            qube: String::new(),
            count: behind.count.unwrap_or(0),
            why: Some(behind.why),
            since: Some(behind.since),
        });
        let room = !matches!(self.has_room(), Ok(false));
        if room && self.append(&[lost]).is_ok() {
            return self.write(&entries(), now);
        }
        behind.again.failed(now.clock);
        self.behind = Some(behind);
        false
    }

    /// Looks whether there is a journal that can be written.
    ///
    /// # Errors
    /// There is none: broken, without the right, on a full disk.
    pub fn check(&self) -> Result<(), Failure> {
        let opened = Journal::open(&self.folder, &self.boot);
        opened.map(drop).map_err(|error| Failure::of_journal(&error))
    }

    fn has_room(&self) -> std::io::Result<bool> {
        Ok(space::free(&self.folder)? >= KEPT_BYTES)
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), LossCause> {
        if matches!(self.has_room(), Ok(false)) {
            return Err(LossCause::Space);
        }
        // Who reads it measures by this how long the recorder was silent.
        let up = Uptime::now().map(Uptime::seconds);
        let draft = |entry: &Entry| up.into_iter().fold(entry.draft(), |draft, up| draft.number("up", up));
        let drafts: Vec<Draft> = entries.iter().map(draft).collect();
        let why = |error: &audit::Error| match error.kind() {
            Kind::Full => LossCause::Space,
            Kind::Busy => LossCause::Busy,
            _ => LossCause::Journal,
        };
        let mut journal = Journal::open(&self.folder, &self.boot).map_err(|error| why(&error))?;
        journal.append(&drafts).map_err(|error| why(&error))?;
        self.written += u64::try_from(drafts.len()).unwrap_or(0);
        Ok(())
    }
}
