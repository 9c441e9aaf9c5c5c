//! How much one qube, or one function, may have recorded: a qube that restarts for
//! ever must not fill dom0's disk.
//!
//! Each has a bucket of 60 records, which gets one back every ten seconds. What does not fit is counted.

use crate::journal::{LossCause, LossRecord, Moment, Source};
use crate::names::Sbdf;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many records one may cause at once.
const CAPACITY: u32 = 60;
/// How often it gets one more.
const REFILL: Duration = Duration::from_secs(10);
/// How many buckets are remembered; full ones say nothing and go first.
const MOST: usize = 4096;

/// The time of an event: by the clock that only rises, and as the journal writes it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since the recorder began.
    pub clock: Duration,
    /// For people.
    pub moment: Moment,
}

/// Whose records are counted together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// Events of a qube.
    Qube(String),
    /// Events of a function in dom0.
    Function(Sbdf),
}

#[derive(Clone, Debug)]
struct Bucket {
    left: u32,
    /// Up to when it was refilled.
    filled: Duration,
    dropped: i64,
    since: Moment,
    source: Source,
}

/// All buckets.
#[derive(Clone, Default, Debug)]
pub struct Limits(BTreeMap<Key, Bucket>);

impl Limits {
    /// Takes a record's worth out of a bucket; `false` where it is empty.
    pub fn admit(&mut self, key: &Key, now: Now) -> bool {
        let bucket = self.bucket(key, now);
        let admitted = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        admitted
    }

    /// Counts a record that was not written.
    pub fn dropped(&mut self, key: &Key, source: Source, now: Now) {
        let bucket = self.bucket(key, now);
        if bucket.dropped == 0 {
            (bucket.since, bucket.source) = (now.moment, source);
        }
        bucket.dropped += 1;
    }

    /// The count of what was dropped, once there is room for the record that it goes
    /// before (or, at the end, at once).
    pub fn lost(&mut self, key: &Key, now: Now, at_once: bool) -> Option<LossRecord> {
        let bucket = self.bucket(key, now);
        if bucket.dropped == 0 || (bucket.left == 0 && !at_once) {
            return None;
        }
        let qube = match key {
            Key::Qube(name) => name.clone(),
            Key::Function(_) => String::new(),
        };
        let count = std::mem::take(&mut bucket.dropped);
        let (source, why, since) = (bucket.source.clone(), Some(LossCause::Rate), Some(bucket.since));
        Some(LossRecord { source, qube, count, why, since })
    }

    /// Whether it has dropped something.
    pub fn owes(&self, key: &Key) -> bool {
        self.0.get(key).is_some_and(|bucket| bucket.dropped > 0)
    }

    /// What has dropped something.
    pub fn owing(&self) -> Vec<Key> {
        self.0.iter().filter(|(_, bucket)| bucket.dropped > 0).map(|(key, _)| key.clone()).collect()
    }

    /// When the next of them can be written.
    pub fn due(&self) -> Option<Duration> {
        self.0.values().filter(|bucket| bucket.dropped > 0).map(|bucket| bucket.filled + REFILL).min()
    }

    fn bucket(&mut self, key: &Key, now: Now) -> &mut Bucket {
        if self.0.len() >= MOST && !self.0.contains_key(key) {
            self.0.retain(|_, bucket| bucket.dropped > 0 || bucket.refilled(now.clock) < CAPACITY);
        }
        let (filled, since, source) = (now.clock, now.moment, Source::Journal);
        let empty = || Bucket { left: CAPACITY, filled, dropped: 0, since, source };
        let bucket = self.0.entry(key.clone()).or_insert_with(empty);
        let left = bucket.refilled(now.clock);
        let whole = (now.clock.saturating_sub(bucket.filled).as_secs()) / REFILL.as_secs();
        bucket.filled += REFILL * u32::try_from(whole).unwrap_or(u32::MAX).min(CAPACITY * 1000);
        bucket.left = left;
        bucket
    }
}

impl Bucket {
    fn refilled(&self, clock: Duration) -> u32 {
        let more = clock.saturating_sub(self.filled).as_secs() / REFILL.as_secs();
        self.left.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)).min(CAPACITY)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now { clock: Duration::from_secs(seconds), moment: Moment::from_micros(seconds * 1_000_000) }
    }

    #[test]
    fn sixty_at_once_then_one_every_ten_seconds_and_the_rest_is_counted() {
        let (mut limits, key) = (Limits::default(), Key::Qube("work".into()));
        for second in 0..100 {
            let admitted = (0..10).filter(|_| limits.admit(&key, at(second))).count();
            let may = if second < 6 { 10 } else { usize::from(second % 10 == 0) };
            assert_eq!(admitted, may, "{second}");
        }
        limits.dropped(&key, Source::Xenstore, at(95));
        limits.dropped(&key, Source::Xenstore, at(96));
        assert_eq!(limits.due(), Some(Duration::from_secs(100)));
        assert_eq!(limits.lost(&key, at(99), false), None);
        let lost = limits.lost(&key, at(100), false).unwrap();
        assert_eq!((lost.count, lost.qube.as_str(), lost.since), (2, "work", Some(at(95).moment)));
        assert!(limits.owing().is_empty());
    }

    #[test]
    fn one_does_not_take_from_another() {
        let mut limits = Limits::default();
        let keys = ["a", "b"].map(|name| Key::Qube(name.into()));
        while limits.admit(&keys[0], at(1)) {}
        assert!(limits.admit(&keys[1], at(1)));
    }

    #[test]
    fn names_without_end_do_not_fill_the_memory() {
        let mut limits = Limits::default();
        for number in 0..100_000u64 {
            limits.admit(&Key::Qube(format!("disp{number}")), at(number));
        }
        assert!(limits.0.len() <= MOST + 1, "{}", limits.0.len());
    }
}
