//! A moment by the clock that only rises: how long a silence was can be told by no
//! other, for the wall clock steps.

use nix::time::{clock_gettime, ClockId};

/// Seconds of `CLOCK_MONOTONIC`: since the boot, without the time the machine was suspended, when nothing
/// runs that could be missed. Only those of one boot compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Uptime(u64);

impl Uptime {
    /// Now; `None` where the kernel does not tell, which no kernel does.
    #[must_use]
    pub fn now() -> Option<Self> {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?;
        u64::try_from(now.tv_sec()).ok().map(Self)
    }

    /// As the journal writes it; `None` for what no clock says.
    #[must_use]
    pub fn from_record(seconds: i64) -> Option<Self> {
        u64::try_from(seconds).ok().map(Self)
    }

    /// For the journal.
    #[must_use]
    pub fn seconds(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// How many seconds it is after another; `None` where it is before it.
    #[must_use]
    pub fn since(self, other: Self) -> Option<u64> {
        self.0.checked_sub(other.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_and_what_is_no_time_is_none() {
        let (first, second) = (Uptime::now().unwrap(), Uptime::now().unwrap());
        assert!(second.since(first).is_some_and(|seconds| seconds < 60));
        assert_eq!(Uptime::from_record(5).unwrap().since(Uptime::from_record(7).unwrap()), None);
        assert_eq!(Uptime::from_record(-1), None);
        assert_eq!(Uptime::from_record(7).unwrap().seconds(), 7);
    }
}
