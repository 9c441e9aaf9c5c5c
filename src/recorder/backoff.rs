//! When something that failed is tried again: after 1 s, 2 s, 4 s, ... 60 s, or
//! sooner where there is word of it.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(1);
/// What was just made may need a moment.
const SOON: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(60);

/// The wait between two tries. It begins anew only after what was tried has worked for as long as the longest
/// wait, so that something that comes and goes is not asked all the time.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    wait: Duration,
    longest: Duration,
    due: Duration,
    worked_since: Option<Duration>,
}

impl Backoff {
    /// Nothing has failed yet: the first try may be now.
    pub fn new() -> Self {
        Self { wait: SHORTEST, longest: LONGEST, due: Duration::ZERO, worked_since: None }
    }

    /// It failed just now for the first time.
    pub fn after_failure(clock: Duration) -> Self {
        Self { due: clock + SHORTEST, wait: SHORTEST * 2, ..Self::new() }
    }

    /// Tried each second: nobody gives word of it.
    pub fn each_second() -> Self {
        Self { longest: SHORTEST, ..Self::new() }
    }

    /// It works.
    pub fn worked(&mut self, clock: Duration) {
        self.worked_since = Some(clock);
    }

    /// It failed.
    pub fn failed(&mut self, clock: Duration) {
        if self.worked_since.take().is_some_and(|since| clock.saturating_sub(since) >= LONGEST) {
            self.wait = SHORTEST;
        }
        self.due = clock + self.wait;
        self.wait = (self.wait * 2).min(self.longest);
    }

    /// There is word that it may work now: it is tried at once, and soon again.
    pub fn hurry(&mut self, clock: Duration) {
        (self.due, self.wait) = (clock, SOON);
    }

    /// When the next try may be.
    pub fn due(&self) -> Duration {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_a_minute_and_shrinks_only_after_a_quiet_minute() {
        let mut backoff = Backoff::new();
        let mut clock = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..8 {
            backoff.failed(clock);
            waits.push((backoff.due() - clock).as_secs());
            clock = backoff.due();
            backoff.worked(clock);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        clock += Duration::from_secs(60);
        backoff.failed(clock);
        assert_eq!(backoff.due() - clock, SHORTEST);
    }

    #[test]
    fn word_of_it_makes_the_next_tries_come_at_once_and_soon() {
        let mut backoff = Backoff::new();
        for _ in 0..8 {
            backoff.failed(Duration::ZERO);
        }
        let clock = Duration::from_secs(9);
        backoff.hurry(clock);
        assert_eq!(backoff.due(), clock);
        let waits = [250, 500, 1000, 2000].map(Duration::from_millis);
        for wait in waits {
            backoff.failed(clock);
            assert_eq!(backoff.due() - clock, wait);
        }
    }

    #[test]
    fn without_word_of_it_each_second_must_do() {
        let mut backoff = Backoff::each_second();
        for _ in 0..4 {
            backoff.failed(Duration::ZERO);
            assert_eq!(backoff.due(), SHORTEST);
        }
    }
}
