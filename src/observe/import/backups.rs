//! `/var/lib/qubes/backup/qubes-YYYY-MM-DD-HH:MM:SS.xml`: Qubes copies its `qubes.xml` there at each
//! boot (core-admin-linux `startup-misc.sh`), named by local time. Each says which devices were assigned
//! then, not which qube ran: the assignment is what is told, with the first file that has it, and its
//! end with the first that lacks it.

use super::{Found, Tally};
use crate::journal::{Entry, Log, Moment, QubeEvent, QubeRecord, Source};
use crate::names::Sbdf;
use crate::observe::qubes::{Assignment, Qube};
use std::collections::BTreeMap;

const SOURCE: Source = Source::Import(Log::QubesXml);

/// One of the files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backup {
    /// The time in its name.
    pub moment: Option<Moment>,
    /// What it says.
    pub qubes: Vec<Qube>,
}

/// The time in a file's name; `None` where it is no such name.
#[must_use]
pub fn moment(untrusted_name: &str) -> Option<Moment> {
    let text = untrusted_name.strip_prefix("qubes-")?.strip_suffix(".xml")?;
    let (date, clock) = text.split_at_checked(10)?;
    Moment::parse(&format!("{date}T{}", clock.strip_prefix('-')?))
}

/// An assignment is the same as long as these are.
type Identified = (String, String, String, String);

/// What the files tell, from the oldest to the newest. `place` says to which function a port leads.
#[must_use]
pub fn assignments(backups: &[Backup], place: &dyn Fn(&Assignment) -> Option<Sbdf>) -> Tally {
    let mut tally = Tally::default();
    // How often each began, whether it still stands, and where it leads.
    let mut known: BTreeMap<Identified, (u64, bool, Option<Sbdf>)> = BTreeMap::new();
    for backup in backups {
        let mut seen = Vec::new();
        for (one, assignment) in
            backup.qubes.iter().flat_map(|it| it.assignments.iter().map(move |one| (it, one)))
        {
            let identified = (
                one.name.to_string(),
                assignment.port.text().to_owned(),
                format!("{:?}", assignment.identity),
                assignment.options.join(","),
            );
            let (count, stands, bdf) = known.entry(identified.clone()).or_default();
            if !*stands {
                (*count, *stands, *bdf) = (*count + 1, true, place(assignment));
                let mut it = QubeRecord::new(QubeEvent::Assigned, &identified.0, SOURCE);
                it.uuid.clone_from(&one.uuid);
                it.label.clone_from(&one.label);
                it.bdf = *bdf;
                tally.push(found(it, &identified, *count, backup.moment));
            }
            seen.push(identified);
        }
        for (identified, (count, stands, bdf)) in
            known.iter_mut().filter(|(it, (_, stands, _))| *stands && !seen.contains(it))
        {
            *stands = false;
            let mut it = QubeRecord::new(QubeEvent::Unassigned, &identified.0, SOURCE);
            it.bdf = *bdf;
            tally.push(found(it, identified, *count, backup.moment));
        }
    }
    tally
}

fn found(mut it: QubeRecord, identified: &Identified, count: u64, moment: Option<Moment>) -> Found {
    let (_, port, identity, options) = identified;
    it.port.clone_from(port);
    it.options.clone_from(options);
    it.at = moment;
    let (event, qube, count) = (it.event.word(), it.qube.clone(), count.to_string());
    let content = [event, &qube, port, identity, options, &count].map(str::as_bytes);
    Found { approximate: true, ..Found::new(Entry::Qube(it), &content) }
}
