//! The recorder: journals what happens to PCI functions, from the kernel, xenstore and qubesd together.
//!
//! [`story`] decides what is told; here is what listens, reads and writes. Idle, it waits in one `poll(2)`.

#![forbid(unsafe_code)]

mod backoff;
mod book;
mod busy;
mod limits;
mod nodes;
mod reading;
mod sources;
mod story;

use crate::error::{Code, Exit, Failure};
use crate::journal::{journal_boot, Entry, Moment, PastRecord, RecorderPhase, RecorderRecord};
use crate::names::DriverName;
use crate::observe::{boot_id, Sources};
use crate::system::confine::{confine, Capabilities, Needs};
use crate::system::lock::RecorderMark;
use crate::system::root::Sysroot;
use crate::system::signals::HeldSignals;
use crate::system::uevents::Action;
use crate::system::waiting::{tell_ready, wait};
use audit::{Query, Record};
use backoff::Backoff;
use book::Book;
use busy::Busy;
use limits::Now;
use nodes::Nodes;
use reading::look;
use sources::{Connections, News};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};
use story::Story;

/// The toolstack writes many nodes for one attachment: they are read together,
/// this long after the last one ...
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
    /// Whether that concerns what is told: qubesd is asked once it answers.
    ask_qubes: bool,
    busy: Busy,
    /// Since when drivers of dom0 were bound whose function's owner was not asked, and the last of them.
    bound: Option<(Duration, Duration)>,
    /// When qubesd is asked again, which is heard and did not say who its qubes are: the real one answers
    /// nobody while it starts or kills one.
    unanswered: Option<Backoff>,
    /// When xenstore and Xen are read again, which do not say the same of who has a function.
    owned: Option<Backoff>,
    /// When the kernel's news were all taken the last time: what overflowed since is lost.
    emptied: Moment,
    heard: (Vec<String>, Vec<String>),
}

impl Recorder {
    /// Opens everything, listens, and tells how things stand now. `say` tells
    /// people of sources that are missing.
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
            ask_qubes: false,
            busy: Busy::default(),
            bound: None,
            unanswered: None,
            owned: None,
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

    /// Holds the mark as long as all that was heard is on disk: nothing waits to be taken, or was left
    /// out and is not yet told to be.
    fn answer_for(&self, mark: &mut RecorderMark, more: bool) {
        let waits = self.changed.is_some() || self.story.due().is_some();
        let owes = more || waits || self.brief.is_some() || !self.story.limits.owing().is_empty();
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
        let news = self.hear_kernel(now, &mut entries);
        self.hear_qubesd(now, &mut entries);
        self.hear_xenstore(now, &mut entries);
        // What else is left of it may tell more.
        let again = news.overflow | self.brief.is_some() | self.connections.reopen(now.clock);
        self.stale_qubes |= again;
        self.look_around(again, now, &mut entries);
        self.do_what_is_due(now, &mut entries);
        entries.extend(self.story.tell_late(now));
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

    fn hear_kernel(&mut self, now: Now, entries: &mut Vec<Entry>) -> News {
        let news = self.connections.uevents(now.clock);
        if news.overflow {
            entries.push(self.story.overflow(self.emptied));
        }
        if self.book.is_behind() {
            self.book.missed(i64::try_from(news.events.len()).ok());
        } else {
            let Self { story, connections, .. } = self;
            for event in &news.events {
                if event.action == Action::Bind && !event.driver.as_ref().is_some_and(DriverName::is_holder) {
                    let first = self.bound.map_or(now.clock, |(first, _)| first);
                    self.bound = Some((first, now.clock));
                }
                entries.extend(story.uevent(event, &mut |sbdf| look(connections, sbdf), now));
            }
        }
        if !news.more {
            self.emptied = now.moment;
        }
        news
    }

    fn hear_qubesd(&mut self, now: Now, entries: &mut Vec<Entry>) {
        for happening in self.connections.qubesd(now.clock) {
            self.stale_qubes = true;
            self.ask_qubes |= happening.what.concerns_labels();
            self.busy.hear(&happening, now.clock);
            let (of_4_2, sysfs) = (self.connections.of_4_2, &self.connections.read.sysfs);
            let find = |port: &crate::observe::qubes::Port| port.function(sysfs).ok().flatten();
            entries.extend(self.story.happening(&happening, of_4_2, &find, now));
        }
    }

    /// Takes what changed in xenstore, and reads it once it is calm.
    fn hear_xenstore(&mut self, now: Now, entries: &mut Vec<Entry>) {
        if let Some(nodes) = self.connections.xenstore_changed(now.clock) {
            self.nodes.tell(nodes);
            let first = self.changed.map_or(now.clock, |(first, _)| first);
            self.changed = Some((first, now.clock));
        }
        if self.owned.is_some_and(|again| again.due() <= now.clock) {
            self.changed.get_or_insert((now.clock, now.clock));
        }
        if self.calm_at().is_some_and(|at| at <= now.clock) {
            self.changed = None;
            match self.uses(None) {
                Ok((uses, left)) => entries.extend(self.story.uses(uses, left, now)),
                Err(why) => self.connections.lose_xenstore(now.clock, &why),
            }
        }
    }

    /// Tells who is heard, where that changed, and how everything stands, where news were lost (`again`).
    fn look_around(&mut self, again: bool, now: Now, entries: &mut Vec<Entry>) {
        // Who is heard is known in full only after everything was read.
        let snapshot = (again && !self.book.is_behind()).then(|| self.snapshot());
        let heard = self.connections.names();
        if heard != self.heard {
            self.heard = heard;
            entries.push(self.own(RecorderPhase::Source));
        }
        if let Some(snapshot) = snapshot {
            entries.extend(self.story.snapshot(snapshot, now));
        }
    }

    fn do_what_is_due(&mut self, now: Now, entries: &mut Vec<Entry>) {
        let behind = self.book.is_behind();
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
        if self.bound.is_some_and(|bound| settled(bound) <= now.clock) {
            self.bound = None;
            self.ask_owners();
        }
        if self.qubes_due().is_some_and(|due| due <= now.clock) && !behind {
            self.meet();
            entries.extend(self.story.retell(now));
        }
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
        let qubes = self.qubes_due().filter(|_| !self.book.is_behind());
        let owned = self.owned.map(|again| again.due()).filter(|_| self.changed.is_none());
        let story = self.story.due().filter(|_| !self.book.is_behind());
        let (calm, limits) = (self.calm_at(), self.story.limits.due());
        let dues = [
            self.connections.due(),
            calm,
            limits,
            self.book.due(),
            qubes,
            owned,
            story,
            self.bound.map(settled),
        ];
        dues.into_iter().flatten().fold(self.heartbeat_due, Duration::min)
    }

    /// When xenstore is read after a change.
    fn calm_at(&self) -> Option<Duration> {
        self.changed.map(settled)
    }

    /// When qubesd is asked who its qubes are; not while it answers nobody.
    fn qubes_due(&self) -> Option<Duration> {
        let asked = self.ask_qubes.then_some(Duration::ZERO);
        let again = self.unanswered.map(|again| again.due());
        let due = asked.into_iter().chain(again).min()?;
        Some(self.busy.until(self.began.elapsed()).map_or(due, |busy| due.max(busy)))
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
}

/// When what changed from the first to the last time is read.
fn settled((first, last): (Duration, Duration)) -> Duration {
    (last + CALM).min(first + PATIENCE)
}

/// What it needs to go on for months: the journal, Xen's and xenstored's devices, config space behind its
/// first 64 bytes (`CAP_SYS_ADMIN`) and the kernel's log (`CAP_SYSLOG`). A socket for uevents that had to be
/// opened anew would have less room for bursts: that it ran over is told.
fn needs(root: &Sysroot, journal: &Path) -> Needs {
    Needs {
        keeps: Capabilities::SYS_ADMIN | Capabilities::SYSLOG,
        drives: vec![root.path("/dev/xen")],
        ..Needs::writing(journal)
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
