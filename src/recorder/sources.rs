//! The recorder's open connections: each may be missing, go away, and come back.

use super::backoff::Backoff;
use crate::error::Failure;
use crate::observe::qubes::{self, Happening, QubesSource};
use crate::observe::{node_of_function, Qubes, Sources};
use crate::system::folder_watch::FolderWatch;
use crate::system::qubesd::{EventStream, Qubesd};
use crate::system::uevents::{Uevent, UeventHeard, Uevents};
use crate::system::xen::Xen;
use crate::system::xenstore::Xenstore;
use crate::system::xenstore_watch::XenstoreWatch;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Where xenstore says who gets and loses functions. A domain that ends may leave its
/// nodes as they are: hence its end.
const WATCHED: [&str; 4] =
    ["/local/domain/0/backend/pci", "/libxl/pci", "@introduceDomain", "@releaseDomain"];
/// Messages of the kernel that are taken before anything is written.
const UEVENTS_AT_ONCE: usize = 64;

/// Where a person is told what the journal says in fewer words.
pub type Say = fn(&str);

/// One source that may be missing.
struct SourceLine<T> {
    say: Say,
    name: &'static str,
    open: Option<T>,
    retry: Backoff,
    /// Why it is missing, as it was said last.
    said: String,
}

impl<T> SourceLine<T> {
    fn new(name: &'static str, say: Say, retry: Backoff) -> Self {
        Self { say, name, open: None, retry, said: String::new() }
    }

    /// Tries to open it where it is missing and due; whether it came back.
    fn try_open(&mut self, clock: Duration, open: impl FnOnce() -> Result<T, Failure>) -> bool {
        if self.open.is_some() || clock < self.retry.due() {
            return false;
        }
        match open() {
            Ok(opened) => {
                self.open = Some(opened);
                self.retry.worked(clock);
                self.said.clear();
                true
            }
            Err(failure) => {
                self.lose(clock, &failure.message);
                false
            }
        }
    }

    fn lose(&mut self, clock: Duration, why: &str) {
        self.open = None;
        self.retry.failed(clock);
        if self.said != why {
            (self.say)(&format!("{} is not heard: {why}", self.name));
            self.said = why.to_owned();
        }
    }

    fn due(&self) -> Option<Duration> {
        self.open.is_none().then(|| self.retry.due())
    }
}

/// All of them.
pub struct Connections {
    /// What is read beside the news: sysfs, Xen, xenstore.
    pub read: Sources,
    uevents: SourceLine<Uevents>,
    xenstore: SourceLine<XenstoreWatch>,
    qubesd: SourceLine<EventStream>,
    /// Word of a socket of qubesd that appears; `None` where the kernel gives none.
    socket: Option<FolderWatch>,
    /// Whether one appeared, and was not tried yet.
    appeared: bool,
    /// Whether this Qubes is 4.2; it has other words for the same.
    pub of_4_2: bool,
    version: &'static str,
}

/// What the kernel said since the last time.
#[derive(Default)]
pub struct News {
    /// News of functions, in their order.
    pub events: Vec<Uevent>,
    /// Whether some were lost.
    pub overflow: bool,
    /// Whether more may wait.
    pub more: bool,
}

impl Connections {
    /// Nothing but what is read is open yet.
    pub fn new(read: Sources, say: Say) -> Self {
        let socket = Qubesd::watch(&read.root).ok();
        let retry = if socket.is_some() { Backoff::new() } else { Backoff::each_second() };
        Self {
            read,
            uevents: SourceLine::new("uevents", say, Backoff::new()),
            xenstore: SourceLine::new("xenstore", say, Backoff::new()),
            qubesd: SourceLine::new("qubesd", say, retry),
            socket,
            appeared: false,
            of_4_2: false,
            version: "qubesd",
        }
    }

    /// Opens what needs the most rights, and reads nothing yet.
    pub fn listen_to_kernel(&mut self, clock: Duration) {
        let root = self.read.root.clone();
        self.uevents.try_open(clock, || Uevents::open(&root));
    }

    /// Opens what is missing and due; whether anything came back: then everything has to be read anew.
    pub fn reopen(&mut self, clock: Duration) -> bool {
        let root = self.read.root.clone();
        let mut back = self.uevents.try_open(clock, || Uevents::open(&root));
        let read = &mut self.read;
        back |= self.xenstore.try_open(clock, || {
            let watch = XenstoreWatch::open(&root, &WATCHED)?;
            if read.xen.is_err() {
                read.xen = Xen::open(&root);
            }
            read.xenstore = Xenstore::open(&root);
            if let Err(failure) = &read.xenstore {
                return Err(failure.clone());
            }
            Ok(watch)
        });
        self.look_for_socket(clock);
        back | self.qubesd.try_open(clock, || match Qubesd::new(&root).events() {
            Err(failure) if !qubes::is_here(&root) => {
                Err(Failure { message: "this is no Qubes".to_owned(), ..failure })
            }
            heard => heard,
        })
    }

    /// qubesd makes its socket, and then listens: it is tried at once where one appears, and soon again.
    fn look_for_socket(&mut self, clock: Duration) {
        match self.socket.as_ref().map(FolderWatch::appeared) {
            Some(Ok(appeared)) => self.appeared |= appeared,
            Some(Err(_)) => {
                self.socket = None;
                self.qubesd.retry = Backoff::each_second();
            }
            None => {}
        }
        if self.appeared && self.qubesd.open.is_none() {
            self.appeared = false;
            self.qubesd.retry.hurry(clock);
        }
    }

    /// What is waited for.
    pub fn waiting(&self) -> Vec<BorrowedFd<'_>> {
        let uevents = self.uevents.open.as_ref().map(AsFd::as_fd);
        let xenstore = self.xenstore.open.as_ref().map(AsFd::as_fd);
        let qubesd = self.qubesd.open.as_ref().map(AsFd::as_fd);
        let socket = self.socket.as_ref().map(AsFd::as_fd);
        [uevents, xenstore, qubesd, socket].into_iter().flatten().collect()
    }

    /// When the next missing one is tried.
    pub fn due(&self) -> Option<Duration> {
        [self.uevents.due(), self.xenstore.due(), self.qubesd.due()].into_iter().flatten().min()
    }

    /// The sources that are heard, and those that are not.
    pub fn names(&self) -> (Vec<String>, Vec<String>) {
        let lines = [
            ("uevents", self.uevents.open.is_some()),
            ("xenstore", self.xenstore.open.is_some()),
            (self.version, self.qubesd.open.is_some()),
        ];
        let named =
            |wanted| lines.iter().filter(|line| line.1 == wanted).map(|line| line.0.to_owned()).collect();
        (named(true), named(false))
    }

    /// The kernel's news, some of them at a time.
    pub fn uevents(&mut self, clock: Duration) -> News {
        let mut news = News::default();
        let Some(uevents) = &mut self.uevents.open else { return news };
        for _ in 0..UEVENTS_AT_ONCE {
            match uevents.next() {
                Ok(None) => return news,
                Ok(Some(UeventHeard::Event(event))) => news.events.push(event),
                Ok(Some(UeventHeard::Other)) => {}
                Ok(Some(UeventHeard::Overflow)) => news.overflow = true,
                Err(error) => {
                    self.uevents.lose(clock, &error.to_string());
                    news.overflow = true;
                    return news;
                }
            }
        }
        news.more = true;
        news
    }

    /// Whether xenstore has changed: then with the nodes of functions that were written or removed.
    pub fn xenstore_changed(&mut self, clock: Duration) -> Option<Vec<String>> {
        let watch = self.xenstore.open.as_mut()?;
        let mut nodes = Vec::new();
        match watch.fired(&mut |path| nodes.extend(node_of_function(path))) {
            Ok(fired) => fired.then_some(nodes),
            Err(error) => {
                self.lose_xenstore(clock, &error.to_string());
                None
            }
        }
    }

    /// xenstore does not make sense, or went away.
    pub fn lose_xenstore(&mut self, clock: Duration, why: &str) {
        self.xenstore.lose(clock, why);
    }

    /// Whether xenstore is heard.
    pub fn has_xenstore(&self) -> bool {
        self.xenstore.open.is_some()
    }

    /// What Qubes says has happened.
    pub fn qubesd(&mut self, clock: Duration) -> Vec<Happening> {
        let Some(stream) = &mut self.qubesd.open else { return Vec::new() };
        match stream.read() {
            Ok(events) => events.iter().filter_map(Happening::of).collect(),
            Err(failure) => {
                self.qubesd.lose(clock, &failure.message);
                Vec::new()
            }
        }
    }

    /// Whether qubesd is heard.
    pub fn has_qubesd(&self) -> bool {
        self.qubesd.open.is_some()
    }

    /// What Qubes knows of its qubes; `None` where it does not say.
    pub fn qubes(&mut self) -> Option<Qubes> {
        self.qubesd.open.as_ref()?;
        let known = qubes::read(&self.read.root, &self.read.sysfs).ok().flatten()?;
        (self.of_4_2, self.version) = match known.source {
            QubesSource::Qubesd42 => (true, "qubesd 4.2"),
            QubesSource::Qubesd43 => (false, "qubesd 4.3"),
            QubesSource::Xml { .. } => (self.of_4_2, self.version),
        };
        Some(known)
    }
}
