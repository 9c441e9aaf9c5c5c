//! The recorder: journals what happens to PCI functions, from the kernel, xenstore and qubesd together.
//!
//! [`story`] decides what is told; here is what listens, reads and writes. Idle, it waits in one `poll(2)`.

#![forbid(unsafe_code)]

mod backoff;
mod book;
mod limits;
mod nodes;
mod sources;
mod story;

use crate::error::{Code, Exit, Failure};
use crate::journal::{journal_boot, Entry, Moment, PastRecord, RecorderPhase, RecorderRecord};
use crate::names::{Owner, Sbdf};
use crate::observe::qubes::QubesSource;
use crate::observe::{boot_id, identity, traces, Function, Sources, Use};
use crate::system::confine::{confine, Capabilities, Needs};
use crate::system::lock::RecorderMark;
use crate::system::root::Sysroot;
use crate::system::signals::HeldSignals;
use crate::system::waiting::{tell_ready, wait};
use audit::{Query, Record};
use backoff::Backoff;
use book::Book;
use limits::Now;
use nodes::Nodes;
use sources::Connections;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};
use story::{About, Seen, Snapshot, Story, Using};

/// The toolstack writes many nodes for one attachment: they are read together, this long after the last one ...
const CALM: Duration = Duration::from_millis(100);
/// ... and this long after the first one at the latest.
const PATIENCE: Duration = Duration::from_secs(1);

/// One run of the recorder.
pub struct Recorder {
    connections: Connections,
    book: Book,
    story: Story,
    began: Instant,
    run: String,
    interval: Duration,
    first: bool,
    /// Whether the run's beginning is on disk.
    started: bool,
    heartbeat_due: Duration,
    /// xenstore changed: the first and the last time since it was read.
    changed: Option<(Duration, Duration)>,
    /// When xenstore was read last.
    read: Moment,
    nodes: Nodes,
    /// How many nodes went before they were read, and since when that may have been.
    brief: Option<(usize, Moment)>,
    /// What Qubes says may have changed since it was read.
    stale_qubes: bool,
    /// When qubesd is asked again, which is heard and did not say who its qubes are: the real one answers nobody while it
    /// starts or kills one.
    unanswered: Option<Backoff>,
    /// When the kernel's news were all taken the last time: what overflowed since is lost.
    emptied: Moment,
    heard: (Vec<String>, Vec<String>),
}

impl Recorder {
    /// Opens everything, listens, and tells how things stand now. `say` tells people of sources that are missing.
    ///
    /// # Errors
    /// Exit 10: this is no dom0, or a right is missing. 7, 11: the journal cannot be written.
    pub fn begin(root: &Sysroot, journal: &Path, interval: Duration, say: fn(&str)) -> Result<Self, Failure> {
        let boot = journal_boot(&boot_id(root)?);
        let book = Book::new(journal.to_path_buf(), boot.clone());
        book.check()?;
        let began = Instant::now();
        let mut connections = Connections::new(Sources::open(root)?, say);
        connections.listen_to_kernel(Duration::ZERO);
        // Everything that was written by others is read after this.
        for left in confine(&needs(root, journal)) {
            say(&left);
        }
        let mut story = Story::default();
        resume(&mut story, journal, &boot)?;
        let moment = Moment::now();
        // One run differs from the next: by when it began, and by who it is.
        let run = format!("{:08x}", (moment.micros() ^ u64::from(std::process::id()) << 20) & 0xffff_ffff);
        connections.reopen(Duration::ZERO);
        let mut recorder = Self {
            connections,
            book,
            story,
            began,
            run,
            interval,
            first: false,
            started: false,
            heartbeat_due: interval,
            changed: None,
            read: moment,
            nodes: Nodes::default(),
            brief: None,
            stale_qubes: true,
            unanswered: None,
            emptied: moment,
            heard: (Vec::new(), Vec::new()),
        };
        recorder.tell_begin();
        Ok(recorder)
    }

    /// How many records were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.book.written()
    }

    /// Records until one of the held signals tells it to stop.
    ///
    /// # Errors
    /// The kernel does not let it wait.
    pub fn follow(&mut self, mut signals: HeldSignals, mut mark: RecorderMark) -> Result<(), Failure> {
        let mut more = false;
        self.answer_for(&mut mark, more);
        tell_ready();
        while !signals.arrived() {
            let at_most = if more { Duration::ZERO } else { self.due().saturating_sub(self.now().clock) };
            let mut waiting = self.connections.waiting();
            waiting.extend(signals.descriptor());
            wait(&waiting, at_most).map_err(|error| {
                Failure::new(Exit::Io, Code::Poll, format!("cannot wait: {error}"), "try again")
            })?;
            drop(waiting);
            more = self.turn();
            self.answer_for(&mut mark, more);
        }
        Ok(())
    }

    /// Holds the mark as long as all that was heard is on disk: nothing waits to be taken, or was left out and is not yet
    /// told to be.
    fn answer_for(&self, mark: &mut RecorderMark, more: bool) {
        let owes = more || self.brief.is_some() || !self.story.limits.owing().is_empty();
        let written = self.started && !self.book.is_behind() && !owes;
        if !written {
            mark.release();
        } else if !mark.is_held() {
            mark.hold(&self.run);
        }
    }

    /// Ends the run: what was held back is counted, and it says that it stops.
    pub fn end(&mut self) {
        let now = self.now();
        let Self { story, connections, .. } = self;
        let mut entries = story.settle(&mut |sbdf| look(connections, sbdf), now, true);
        entries.push(self.own(RecorderPhase::Stop));
        if self.book.is_behind() {
            self.book.catch_up(|| entries, now);
        } else {
            self.book.write(&entries, now);
        }
    }

    /// The first records.
    fn tell_begin(&mut self) {
        let snapshot = self.snapshot();
        self.first = snapshot.first;
        let now = self.now();
        self.heard = self.connections.names();
        let before = self.story.clone();
        let mut entries = vec![self.own(RecorderPhase::Start)];
        entries.extend(self.story.snapshot(snapshot, now));
        self.started = self.book.write(&entries, now);
        if !self.started {
            self.story = before;
        }
    }

    /// Takes what came and writes what it means; whether more waits.
    fn turn(&mut self) -> bool {
        let now = self.now();
        let before = self.story.clone();
        let mut entries = Vec::new();
        let behind = self.book.is_behind();

        let news = self.connections.uevents(now.clock);
        let mut again = news.overflow;
        if news.overflow {
            entries.push(self.story.overflow(self.emptied));
        }
        if behind {
            self.book.missed(i64::try_from(news.events.len()).ok());
        } else {
            let Self { story, connections, .. } = self;
            for event in &news.events {
                entries.extend(story.uevent(event, &mut |sbdf| look(connections, sbdf), now));
            }
        }
        if !news.more {
            self.emptied = now.moment;
        }

        for happening in self.connections.qubesd(now.clock) {
            self.stale_qubes = true;
            let (of_4_2, sysfs) = (self.connections.of_4_2, &self.connections.read.sysfs);
            let find = |port: &crate::observe::qubes::Port| port.function(sysfs).ok().flatten();
            entries.extend(self.story.happening(&happening, of_4_2, &find, now));
        }

        if let Some(nodes) = self.connections.xenstore_changed(now.clock) {
            self.nodes.tell(nodes);
            let first = self.changed.map_or(now.clock, |(first, _)| first);
            self.changed = Some((first, now.clock));
        }
        if self.calm_at().is_some_and(|at| at <= now.clock) {
            self.changed = None;
            match self.uses() {
                Ok((uses, left)) => entries.extend(self.story.uses(uses, left, now)),
                Err(why) => self.connections.lose_xenstore(now.clock, &why),
            }
        }
        // What else is left of it may tell more.
        again |= self.brief.is_some();
        again |= self.connections.reopen(now.clock);
        self.stale_qubes |= again;

        // Who is heard is known in full only after everything was read.
        let snapshot = (again && !behind).then(|| self.snapshot());
        let heard = self.connections.names();
        if heard != self.heard {
            self.heard = heard;
            entries.push(self.own(RecorderPhase::Source));
        }
        if let Some(snapshot) = snapshot {
            entries.extend(self.story.snapshot(snapshot, now));
        }
        if self.story.limits.due().is_some_and(|due| due <= now.clock) && !behind {
            let Self { story, connections, .. } = self;
            entries.extend(story.settle(&mut |sbdf| look(connections, sbdf), now, false));
        }
        if self.heartbeat_due <= now.clock {
            self.heartbeat_due = now.clock + self.interval;
            entries.push(self.own(RecorderPhase::Heartbeat));
            // A change that nobody told of would be found now.
            self.changed.get_or_insert((now.clock, now.clock));
        }
        if self.unanswered.is_some_and(|again| again.due() <= now.clock) && !behind {
            self.meet();
            entries.extend(self.story.retell(now));
        }
        if let Some((count, since)) = self.brief.take() {
            entries.extend(self.story.brief(count, since, now));
        }
        if !entries.is_empty() && !self.book.write(&entries, now) {
            // What is not on disk was not told.
            self.story = before;
        }
        self.try_again(now);
        news.more
    }

    /// Where nothing could be written: tries, and tells how everything stands now.
    fn try_again(&mut self, now: Now) {
        if self.book.due().is_none_or(|due| due > now.clock) {
            return;
        }
        let snapshot = self.snapshot();
        let before = self.story.clone();
        // Where not even the beginning could be told, this is it; it proves nothing of the time before.
        self.first &= self.started;
        let own = self.own(if self.started { RecorderPhase::Source } else { RecorderPhase::Start });
        let story = &mut self.story;
        let entries = || std::iter::once(own).chain(story.snapshot(snapshot, now)).collect();
        if self.book.catch_up(entries, now) {
            self.started = true;
        } else {
            self.story = before;
        }
    }

    /// When something has to be done though nobody says anything.
    fn due(&self) -> Duration {
        let unanswered = self.unanswered.map(|again| again.due()).filter(|_| !self.book.is_behind());
        let dues =
            [self.connections.due(), self.calm_at(), self.story.limits.due(), self.book.due(), unanswered];
        dues.into_iter().flatten().fold(self.heartbeat_due, Duration::min)
    }

    /// When xenstore is read after a change.
    fn calm_at(&self) -> Option<Duration> {
        self.changed.map(|(first, last)| (last + CALM).min(first + PATIENCE))
    }

    fn now(&self) -> Now {
        Now { clock: self.began.elapsed(), moment: Moment::now() }
    }

    fn own(&self, phase: RecorderPhase) -> Entry {
        let (sources, missing) = self.heard.clone();
        Entry::Recorder(RecorderRecord {
            phase,
            run: self.run.clone(),
            sources,
            missing,
            first: self.first && phase == RecorderPhase::Start,
            interval: u32::try_from(self.interval.as_secs()).unwrap_or(u32::MAX),
        })
    }

    /// Everything that is to be seen now. What cannot be read is left out, and its source counts as missing.
    fn snapshot(&mut self) -> Snapshot {
        let clock = self.began.elapsed();
        if std::mem::take(&mut self.stale_qubes) {
            self.meet();
        }
        let given = traces::read(&self.connections.read.root);
        let uses = match self.uses() {
            Ok(uses) => Some(uses),
            Err(why) => {
                if self.connections.has_xenstore() {
                    self.connections.lose_xenstore(clock, &why);
                }
                None
            }
        };
        let first = uses.is_some() && self.connections.read.no_qube_ran(&given);
        let (uses, left) = uses.map_or((None, Vec::new()), |(uses, left)| (Some(uses), left));
        let mut snapshot = Snapshot {
            uses,
            left,
            first,
            given: given.map(|traces| traces.given).unwrap_or_default(),
            ..Snapshot::default()
        };
        let Ok(dom0) = self.connections.read.observe() else { return snapshot };
        for (sbdf, function) in &dom0.functions {
            let owner = dom0.owners.as_ref().ok().and_then(|owners| owners.get(sbdf)).copied();
            let held = function.driver.as_ref().is_some_and(crate::names::DriverName::is_holder);
            if held || matches!(owner, Some(Owner::Quarantine | Owner::Domain(_))) {
                let mut seen = seen(&mut self.connections, function, dom0.slots.contains(sbdf));
                seen.owner = owner;
                snapshot.held.insert(*sbdf, seen);
            }
            snapshot.owners.extend(owner.map(|owner| (*sbdf, owner)));
            snapshot.drivers.insert(*sbdf, function.driver.clone());
        }
        snapshot
    }

    /// Who has what, and what is left of those who had.
    fn uses(&mut self) -> Result<(Vec<Using>, Vec<Using>), String> {
        let (clock, moment) = (self.began.elapsed(), Moment::now());
        let uses = self.connections.read.uses().inspect_err(|_| self.nodes.forget())?;
        let since = std::mem::replace(&mut self.read, moment);
        let missed = self.nodes.read(uses.iter().map(|one| one.node.clone()), clock);
        if missed > 0 {
            let (count, first) = self.brief.unwrap_or((0, since));
            self.brief = Some((count + missed, first));
        }
        let mut merged: BTreeMap<(bool, story::Place), Using> = BTreeMap::new();
        for one in uses.iter() {
            let using = self.using(one);
            let known = merged.entry((one.alive, using.place)).or_insert_with(|| using.clone());
            if known.options.is_empty() {
                known.options = using.options;
            }
            known.stub = known.stub.max(using.stub);
        }
        let news = merged.keys().any(|(_, place)| self.story.knows(*place).is_none());
        if self.stale_qubes && news {
            self.stale_qubes = false;
            self.meet();
        }
        let (alive, dead): (Vec<_>, Vec<_>) = merged.into_iter().partition(|((alive, _), _)| *alive);
        let alive: Vec<Using> = alive.into_iter().map(|(_, using)| using).collect();
        let is_alive = |place: story::Place| alive.iter().any(|using| using.place == place);
        let dead = dead.into_iter().map(|(_, using)| using).filter(|using| !is_alive(using.place)).collect();
        Ok((alive, dead))
    }

    fn using(&mut self, one: &Use) -> Using {
        let place = (one.sbdf, one.domain);
        let stub = (one.frontend != one.domain).then_some(one.frontend);
        let known = self.story.knows(place).map(|known| (known.uuid.clone(), known.id.clone()));
        let (uuid, id) = known.unwrap_or_else(|| {
            let read = &mut self.connections.read;
            let function = read.function(one.sbdf).ok();
            let id = function.map(|function| identity::of(&read.sysfs, &function).id);
            (read.uuid_of(one.domain), id.unwrap_or_default())
        });
        let qube = one.qube.as_ref().map(ToString::to_string).filter(|name| !name.is_empty());
        let qube = qube.unwrap_or_else(|| format!("domain-{}", one.domain));
        Using { place, stub, qube, uuid, id, options: crate::names::escape(one.options.as_bytes()) }
    }

    /// Asks Qubes who its qubes are.
    fn meet(&mut self) {
        let known = self.connections.qubes();
        let answered = known.as_ref().is_some_and(|known| !matches!(known.source, QubesSource::Xml { .. }));
        if answered || !self.connections.has_qubesd() {
            self.unanswered = None;
        } else {
            self.unanswered.get_or_insert_with(Backoff::new).failed(self.began.elapsed());
        }
        let Some(known) = known else { return };
        let about = |qube: &crate::observe::qubes::Qube| About {
            uuid: qube.uuid.clone(),
            label: qube.label.clone(),
            class: qube.class.clone(),
            network: qube.provides_network,
        };
        self.story.meet(known.qubes.iter().map(|qube| (qube.name.to_string(), about(qube))).collect());
    }
}

/// What it needs to go on for months: the journal, Xen's and xenstored's devices, config space behind its first 64 bytes
/// (`CAP_SYS_ADMIN`) and the kernel's log (`CAP_SYSLOG`). A socket for uevents that had to be opened anew would have
/// less room for bursts: that it ran over is told.
fn needs(root: &Sysroot, journal: &Path) -> Needs {
    Needs {
        keeps: Capabilities::SYS_ADMIN | Capabilities::SYSLOG,
        drives: vec![root.path("/dev/xen")],
        ..Needs::writing(journal)
    }
}

/// A function as it is now; `None` where it is gone.
fn look(connections: &mut Connections, sbdf: Sbdf) -> Option<Seen> {
    let function = connections.read.function(sbdf).ok()?;
    let listed = connections.read.sysfs.slots().is_ok_and(|slots| slots.contains(&sbdf));
    Some(seen(connections, &function, listed))
}

fn seen(connections: &mut Connections, function: &Function, listed: bool) -> Seen {
    Seen {
        identity: identity::of(&connections.read.sysfs, function),
        driver: function.driver.clone(),
        pinned: function.driver_override.as_deref() == Some("pciback"),
        listed,
        xl: connections.read.xl_took(function.sbdf),
        owner: None,
    }
}

/// Takes in what earlier runs told in this boot.
fn resume(story: &mut Story, journal: &Path, boot: &str) -> Result<(), Failure> {
    let is = |key: &str, value: &str| (Some(key.to_owned()), value.to_owned());
    let query = Query { values: vec![is("kind", "stay"), is("boot", boot)], ..Query::default() };
    let read = audit::select(journal, &query, &mut |line| {
        if let Some(told) = Record::parse(line).as_ref().and_then(PastRecord::read) {
            story.resume(&told);
        }
        ControlFlow::Continue(())
    });
    read.map(|_| ()).map_err(|error| Failure::of_journal(&error))
}
