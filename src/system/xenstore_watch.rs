//! Word of changes in xenstore, on a connection of its own: a watch fires at any time, also between a
//! question and its answer, so that it is kept apart from [`super::xenstore`].
//!
//! The protocol is Xen's `xen/include/public/io/xs_wire.h`.

#![forbid(unsafe_code)]

use super::root::Sysroot;
use crate::error::{Code, Exit, Failure};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const XS_WATCH: u32 = 4;
const XS_WATCH_EVENT: u32 = 15;
const HEADER: usize = 16;
/// `XENSTORE_PAYLOAD_MAX`.
const PAYLOAD_MAX: usize = 4096;

/// A connection with watches on it.
pub struct XenstoreWatch {
    link: WatchLink,
    /// What was read and is no whole message yet.
    rest: Vec<u8>,
}

enum WatchLink {
    Socket(UnixStream),
    Device(File),
}

impl XenstoreWatch {
    /// Connects and watches these paths; each fires once at once.
    ///
    /// # Errors
    /// Exit 10: xenstored does not run, or the right to ask it is missing.
    pub fn open(root: &Sysroot, paths: &[&str]) -> Result<Self, Failure> {
        let opened = connect(root).and_then(|link| Self { link, rest: Vec::new() }.watch(paths));
        opened.map_err(|error| {
            let message = format!("xenstore cannot be watched: {error}");
            Failure::new(Exit::NotDom0, Code::NoXenstore, message, "start xenstored")
        })
    }

    fn watch(mut self, paths: &[&str]) -> io::Result<Self> {
        for path in paths {
            let payload = [path.as_bytes(), b"\0pci\0"].concat();
            let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            let mut message: Vec<u8> =
                [XS_WATCH, 0, 0, length].iter().flat_map(|word| word.to_ne_bytes()).collect();
            message.extend(payload);
            match &mut self.link {
                WatchLink::Socket(stream) => stream.write_all(&message)?,
                WatchLink::Device(file) => file.write_all(&message)?,
            }
        }
        if let WatchLink::Socket(stream) = &self.link {
            stream.set_nonblocking(true)?;
        }
        Ok(self)
    }

    /// Whether a watch fired since the last time, and `each` path it fired for; it does not wait.
    ///
    /// # Errors
    /// The store went away, refused a watch, or says what no store says.
    pub fn fired(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let mut fired = false;
        let mut buffer = [0; PAYLOAD_MAX + HEADER];
        loop {
            let read = match &mut self.link {
                WatchLink::Socket(stream) => stream.read(&mut buffer),
                WatchLink::Device(file) => file.read(&mut buffer),
            };
            match read {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Ok(length) => self.rest.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(fired),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            while let Some((kind, length)) = whole_message(&self.rest)? {
                match kind {
                    XS_WATCH => {}
                    XS_WATCH_EVENT => {
                        fired = true;
                        let payload = self.rest.get(HEADER..length).unwrap_or_default();
                        each(payload.split(|byte| *byte == 0).next().unwrap_or_default());
                    }
                    _ => return Err(nonsense("an answer that was not asked for, or an error")),
                }
                self.rest.drain(..length);
            }
        }
    }
}

impl AsFd for XenstoreWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.link {
            WatchLink::Socket(stream) => stream.as_fd(),
            WatchLink::Device(file) => file.as_fd(),
        }
    }
}

fn connect(root: &Sysroot) -> io::Result<WatchLink> {
    let error = match UnixStream::connect(root.path("/run/xenstored/socket")) {
        Ok(stream) => {
            stream.set_write_timeout(Some(Duration::from_secs(10)))?;
            return Ok(WatchLink::Socket(stream));
        }
        Err(error) => error,
    };
    if !root.is_model() && error.kind() != io::ErrorKind::PermissionDenied {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
        if let Ok(file) = options.open(root.path("/dev/xen/xenbus")) {
            return Ok(WatchLink::Device(file));
        }
    }
    Err(error)
}

/// Type and length of the message the bytes begin with; `None` where it is not whole yet.
pub(super) fn whole_message(bytes: &[u8]) -> io::Result<Option<(u32, usize)>> {
    let word = |index: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(index * 4..index * 4 + 4)?.try_into().ok()?))
    };
    let (Some(kind), Some(payload)) = (word(0), word(3)) else { return Ok(None) };
    let payload = usize::try_from(payload).unwrap_or(usize::MAX);
    if payload > PAYLOAD_MAX {
        return Err(nonsense("a message longer than any may be"));
    }
    Ok((bytes.len() >= HEADER + payload).then_some((kind, HEADER + payload)))
}

fn nonsense(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        let words = [kind, 0, 0, length].into_iter().flat_map(|word| word.to_ne_bytes());
        words.chain(payload.iter().copied()).collect()
    }

    proptest! {
        #[test]
        fn a_message_is_whole_at_its_last_byte_and_not_before(
            kind: u32, payload in proptest::collection::vec(any::<u8>(), 0..100), cut in 0usize..116,
        ) {
            let bytes = message(kind, &payload);
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(whole_message(&bytes[..cut]).unwrap(), None);
            prop_assert_eq!(whole_message(&bytes).unwrap(), Some((kind, bytes.len())));
        }
    }

    #[test]
    fn a_watch_that_comes_in_pieces_fires_once() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut watch = XenstoreWatch { link: WatchLink::Socket(ours), rest: Vec::new() };
        let mut paths = Vec::new();
        let mut fired = || watch.fired(&mut |path| paths.push(path.to_vec()));
        assert!(!fired().unwrap());
        let bytes = [message(XS_WATCH, b"OK\0"), message(XS_WATCH_EVENT, b"/x\0pci\0")].concat();
        for (index, byte) in bytes.iter().enumerate() {
            theirs.write_all(&[*byte]).unwrap();
            assert_eq!(fired().unwrap(), index + 1 == bytes.len());
        }
        theirs.write_all(&message(16, b"ENOENT\0")).unwrap();
        assert!(fired().is_err());
        drop(theirs);
        assert!(fired().is_err());
        assert_eq!(paths, [b"/x"]);
    }
}
