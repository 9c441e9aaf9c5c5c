//! A client of qubesd, the daemon that knows which qube is assigned what.
//!
//! One connection a request. Nothing here waits without an end, and qubesd never waits for this program: what
//! it writes is read until it ends, or the connection is closed.

#![forbid(unsafe_code)]

/// The qubesd that tests ask.
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "../../../tests/model/qubesd.rs"]
pub mod model;
mod socket;
#[cfg(test)]
mod tests;
pub mod wire;

use super::folder_watch::FolderWatch;
use super::root::Sysroot;
use crate::error::{Code, Exit, Failure};
use crate::names::escape;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use wire::{Feed, QubesdRefusal};

pub use wire::Event;

/// Where qubesd listens; `/var/run` is the same folder on every Qubes, but need not be.
const FOLDERS: [&str; 2] = ["/run", "/var/run"];
const SOCKET: &str = "qubesd.sock";

/// An answer longer than this is none that qubesd gives: 1000 qubes take 100 KiB.
const ANSWER_MAX: usize = 4 << 20;

/// How long a whole request may take. A model answers at once or never.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_WITH_A_MODEL: Duration = Duration::from_secs(2);

/// How many bytes of events are taken at once, so that other sources get their turn.
const EVENTS_AT_ONCE: usize = 256 << 10;

/// Where qubesd is asked.
#[derive(Clone, Debug)]
pub struct Qubesd {
    socket: PathBuf,
    patience: Duration,
}

impl Qubesd {
    /// The qubesd of this root; nothing is opened yet.
    #[must_use]
    pub fn new(root: &Sysroot) -> Self {
        let paths = FOLDERS.map(|folder| root.path(folder).join(SOCKET));
        let [first, _] = &paths;
        let socket = paths.iter().find(|path| path.exists()).unwrap_or(first).clone();
        Self { socket, patience: if root.is_model() { PATIENCE_WITH_A_MODEL } else { PATIENCE } }
    }

    /// Word of each socket of qubesd that appears from now on.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn watch(root: &Sysroot) -> io::Result<FolderWatch> {
        let folders = FOLDERS.map(|folder| root.path(folder));
        FolderWatch::open(folders.iter().map(PathBuf::as_path), SOCKET)
    }

    /// Whether there is a socket; one that was left by a crash counts.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.socket.exists()
    }

    /// Asks one thing and waits for the answer. `destination` is the name of a qube, `dom0` for the system.
    ///
    /// # Errors
    /// Exit 10 where qubesd does not run or this user may not ask it (`no-qubesd`, `no-right`); exit 11 where
    /// it does not answer in time (`qubesd-silent`), gives nothing (`qubesd-refused`), says why not
    /// (`qubesd-exception`), or answers nonsense (`qubesd-nonsense`).
    pub fn call(
        &self,
        method: &str,
        argument: &str,
        destination: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let answer = self.ask(method, argument, destination, payload)?;
        answer.map_err(|refusal| refused(method, destination, &refusal))
    }

    /// Calls qubesd, with its refusal as an answer of its own.
    ///
    /// # Errors
    /// qubesd does not run, or does not answer in time.
    pub fn ask(
        &self,
        method: &str,
        argument: &str,
        destination: &str,
        payload: &[u8],
    ) -> Result<Result<Vec<u8>, QubesdRefusal>, Failure> {
        let until = Instant::now() + self.patience;
        let request = wire::request(method, argument, destination, payload).ok_or_else(|| {
            failed(Code::QubesdNonsense, format!("{} cannot be asked", escape(method.as_bytes())))
        })?;
        let broken = |error: io::Error| self.broken(method, &error);
        let mut stream = socket::connect(&self.socket, until).map_err(broken)?;
        send(&mut stream, &request, until).map_err(broken)?;
        let bytes = receive(&mut stream, until).map_err(broken)?;
        Ok(wire::answer(&bytes).map(<[u8]>::to_vec))
    }

    /// Opens the stream of events. Nothing of the past comes: read everything once it is open.
    ///
    /// # Errors
    /// As [`Qubesd::call`].
    pub fn events(&self) -> Result<EventStream, Failure> {
        let until = Instant::now() + self.patience;
        let method = "admin.Events";
        let request = wire::request(method, "", "dom0", b"").unwrap_or_default();
        let broken = |error: io::Error| self.broken(method, &error);
        let mut stream = socket::connect(&self.socket, until).map_err(broken)?;
        send(&mut stream, &request, until).map_err(broken)?;
        stream.set_nonblocking(true).map_err(broken)?;
        Ok(EventStream { stream, feed: Feed::default() })
    }

    /// Opens the stream of events for sure: waits until qubesd has said that it is (`connection-established`,
    /// which it sends once it has put this listener on its list; core-admin `qubes/api/admin.py`). What it
    /// announces from then on is heard.
    ///
    /// # Errors
    /// As [`Qubesd::call`].
    pub fn events_heard(&self) -> Result<EventStream, Failure> {
        let until = Instant::now() + self.patience;
        let events = self.events()?;
        wait_for_bytes(&events.stream, until).map_err(|error| self.broken("admin.Events", &error))?;
        Ok(events)
    }

    fn broken(&self, method: &str, error: &io::Error) -> Failure {
        let path = self.socket.display();
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let message = format!("qubesd cannot be asked: {path}: {error}");
                Failure::new(Exit::NotDom0, Code::NoRight, message, "run it as root")
            }
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                let waited = self.patience.as_secs();
                failed(Code::QubesdSilent, format!("qubesd does not answer {method} within {waited} s"))
            }
            io::ErrorKind::InvalidData => failed(Code::QubesdNonsense, format!("qubesd, {method}: {error}")),
            _ => {
                let message = format!("qubesd does not run: {path}: {error}");
                Failure::new(Exit::NotDom0, Code::NoQubesd, message, "systemctl status qubesd")
            }
        }
    }
}

/// The open stream of events. Poll its descriptor for reading, then call [`EventStream::read`].
#[derive(Debug)]
pub struct EventStream {
    stream: UnixStream,
    feed: Feed,
}

impl AsFd for EventStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl EventStream {
    /// The events that came; none where nothing did. The first of a stream is `connection-established`. Never
    /// waits.
    ///
    /// # Errors
    /// The stream is at its end (`qubesd-gone`), or brings nonsense (`qubesd-nonsense`): drop it, connect
    /// again and read everything anew.
    pub fn read(&mut self) -> Result<Vec<Event>, Failure> {
        let mut events = Vec::new();
        let mut taken = 0;
        let mut buffer = [0; 16 << 10];
        while taken < EVENTS_AT_ONCE {
            match self.stream.read(&mut buffer) {
                // What came whole before the end is still told; the end is told the next time.
                Ok(0) if !events.is_empty() => return Ok(events),
                Ok(0) => return Err(failed(Code::QubesdGone, "qubesd closed the stream of events")),
                Ok(size) => {
                    taken += size;
                    let bytes = buffer.get(..size).unwrap_or_default();
                    let more =
                        self.feed.take(bytes).map_err(|refusal| refused("admin.Events", "dom0", &refusal));
                    events.extend(more?);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(events),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(Code::QubesdGone, format!("the stream of events: {error}"))),
            }
        }
        Ok(events)
    }
}

fn failed(code: Code, message: impl Into<String>) -> Failure {
    Failure::new(Exit::Io, code, message, "journalctl -u qubesd says more")
}

fn refused(method: &str, destination: &str, refusal: &QubesdRefusal) -> Failure {
    match refusal {
        QubesdRefusal::Nothing => {
            failed(Code::QubesdRefused, format!("qubesd gives no answer to {method} of {destination}"))
        }
        QubesdRefusal::Exception(kind, message) => {
            failed(Code::QubesdException, format!("qubesd, {method} of {destination}: {kind}: {message}"))
        }
        QubesdRefusal::Nonsense => {
            failed(Code::QubesdNonsense, format!("qubesd answers {method} with nonsense"))
        }
    }
}

/// Writes the whole request and closes this direction: before that qubesd answers nothing.
fn send(stream: &mut UnixStream, request: &[u8], until: Instant) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(left(until)?))?;
    match stream.write_all(request).and_then(|()| stream.shutdown(Shutdown::Write)) {
        // It may have refused already, before it read everything: its answer says why.
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        other => other,
    }
}

/// Reads to the end. The time is that of the whole answer: one that comes byte by byte does not take longer.
fn receive(stream: &mut UnixStream, until: Instant) -> io::Result<Vec<u8>> {
    stream.set_nonblocking(true)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        wait_for_bytes(stream, until)?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(size) => bytes.extend_from_slice(buffer.get(..size).unwrap_or_default()),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            // A refusal of too long a request resets the connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(bytes),
            Err(error) => return Err(error),
        }
        if bytes.len() > ANSWER_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no end"));
        }
    }
}

fn wait_for_bytes(stream: &UnixStream, until: Instant) -> io::Result<()> {
    let milliseconds = u16::try_from(left(until)?.as_millis()).unwrap_or(u16::MAX);
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(milliseconds)) {
        Ok(0) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(io::Error::from(error)),
    }
}

/// The time that is left; an error where it is over.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::Error::from(io::ErrorKind::TimedOut))
    } else {
        Ok(left)
    }
}
