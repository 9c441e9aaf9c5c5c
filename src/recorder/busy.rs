//! What qubesd is about: it answers nobody while it starts a qube or gives one a device. Asking it then would
//! keep the recorder from the other news.

use crate::observe::qubes::{Happened, Happening};
use std::collections::BTreeMap;
use std::time::Duration;

/// No start takes longer: word of its end was missed.
const LONGEST: Duration = Duration::from_secs(120);

/// The qubes it is busy with, and until when at the latest.
#[derive(Default)]
pub struct Busy(BTreeMap<String, Duration>);

impl Busy {
    /// Takes in what Qubes says.
    pub fn hear(&mut self, happening: &Happening, clock: Duration) {
        let qube = happening.qube.to_string();
        match &happening.what {
            Happened::Starting | Happened::Attaching(_) => drop(self.0.insert(qube, clock + LONGEST)),
            Happened::Started | Happened::StartFailed(_) | Happened::Stopped | Happened::Attached(_) => {
                self.0.remove(&qube);
            }
            Happened::Connected => self.0.clear(),
            _ => {}
        }
    }

    /// Until when at the latest; `None` where it answers.
    pub fn until(&self, clock: Duration) -> Option<Duration> {
        self.0.values().copied().filter(|until| *until > clock).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Untrusted;

    fn hear(busy: &mut Busy, qube: &str, what: Happened, seconds: u64) {
        let happening = Happening { qube: Untrusted::new(qube.as_bytes()), what };
        busy.hear(&happening, Duration::from_secs(seconds));
    }

    #[test]
    fn it_is_busy_from_the_announcement_to_the_end_of_the_last_start_and_not_for_ever() {
        let mut busy = Busy::default();
        let is_busy = |busy: &Busy, seconds: u64| busy.until(Duration::from_secs(seconds)).is_some();
        hear(&mut busy, "work", Happened::Starting, 1);
        hear(&mut busy, "vault", Happened::Starting, 2);
        hear(&mut busy, "work", Happened::Started, 5);
        assert!(is_busy(&busy, 5));
        hear(&mut busy, "vault", Happened::StartFailed("no memory".to_owned()), 6);
        assert!(!is_busy(&busy, 6));
        hear(&mut busy, "work", Happened::Starting, 10);
        assert!(is_busy(&busy, 129) && !is_busy(&busy, 130));
    }
}
