//! A xenstore client that only reads.
//!
//! The protocol is Xen's `xen/include/public/io/xs_wire.h`: a header of four
//! 32-bit words (type, request id, transaction id, length), then the payload.

#![forbid(unsafe_code)]

use super::root::Sysroot;
use crate::error::{Code, Exit, Failure};
use crate::names::escape;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const SOCKET: &str = "/run/xenstored/socket";
const XS_DIRECTORY: u32 = 1;
const XS_READ: u32 = 2;
const XS_ERROR: u32 = 16;
const XS_DIRECTORY_PART: u32 = 17;
/// `XENSTORE_PAYLOAD_MAX`.
const PAYLOAD_MAX: usize = 4096;
/// A listing longer than this is not one xenstored would hold.
const LISTING_MAX: usize = 1 << 20;

enum Link {
    Socket(UnixStream),
    Device(File),
}

/// A connection.
pub struct Xenstore {
    root: Sysroot,
    /// `None` after a request that got no whole answer: what comes late on that connection, or the rest of
    /// what came in part, must not be taken for the next one's. That opens another.
    link: Option<Link>,
    /// Id of the last request.
    last: u32,
    /// How long an answer is waited for.
    limit: Duration,
}

/// A store that does not answer must not hang an admin in trouble.
const LIMIT: Duration = Duration::from_secs(10);

impl Xenstore {
    /// Connects to the socket of xenstored, or to the kernel's device.
    ///
    /// # Errors
    /// Exit 10: xenstored does not run, or the right to ask it is missing.
    pub fn open(root: &Sysroot) -> Result<Self, Failure> {
        Self::open_within(root, LIMIT)
    }

    fn open_within(root: &Sysroot, limit: Duration) -> Result<Self, Failure> {
        let link = connect(root, limit).map_err(|error| {
            let (code, hint) = if error.kind() == io::ErrorKind::PermissionDenied {
                (Code::NoRight, "run it as root")
            } else {
                (Code::NoXenstore, "start xenstored (on Qubes: systemctl status xenstored)")
            };
            let socket = root.path(SOCKET);
            let message = format!("xenstore cannot be asked: {}: {error}", socket.display());
            Failure::new(Exit::NotDom0, code, message, hint)
        })?;
        Ok(Self { root: root.clone(), link: Some(link), last: 0, limit })
    }

    /// The value of a node; `None` where there is no such node.
    pub fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self.request(XS_READ, &with_nul(path)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(broken(path, &error)),
        }
    }

    /// The names below a node; none where there is no such node.
    pub fn list(&mut self, path: &str) -> Result<Vec<String>, Failure> {
        const E2BIG: i32 = 7;
        let names = match self.request(XS_DIRECTORY, &with_nul(path)) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) if error.raw_os_error() == Some(E2BIG) => {
                // On a busy host a list may change between two parts.
                let mut read = self.list_in_parts(path);
                for _ in 0..3 {
                    if read.is_err() {
                        read = self.list_in_parts(path);
                    }
                }
                read?
            }
            Err(error) => return Err(broken(path, &error)),
        };
        Ok(names
            .split(|&byte| byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect())
    }

    /// A listing above one payload: each reply is `generation NUL names...`, the
    /// last one ends in an empty name.
    fn list_in_parts(&mut self, path: &str) -> Result<Vec<u8>, Failure> {
        let mut names = Vec::new();
        let mut generation = None;
        let invalid = |words: &str| broken(path, &io::Error::new(io::ErrorKind::InvalidData, words));
        while names.len() < LISTING_MAX {
            let mut payload = with_nul(path);
            payload.extend_from_slice(&with_nul(&names.len().to_string()));
            let reply = self.request(XS_DIRECTORY_PART, &payload).map_err(|error| broken(path, &error))?;
            let end = reply.iter().position(|&byte| byte == 0).ok_or_else(|| invalid("no generation"))?;
            let (this, part) = (reply.get(..end), reply.get(end + 1..).unwrap_or_default());
            if generation.get_or_insert_with(|| this.map(<[u8]>::to_vec)).as_deref() != this {
                return Err(invalid("the list changed while it was read"));
            }
            names.extend_from_slice(part);
            if part.ends_with(&[0, 0]) || part.is_empty() || part == [0] {
                return Ok(names);
            }
        }
        Err(invalid("the list has no end"))
    }

    fn request(&mut self, kind: u32, payload: &[u8]) -> io::Result<Vec<u8>> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => connect(&self.root, self.limit)?,
        };
        let (answered, reply) = self.exchange(&mut link, kind, payload)?;
        // Only a connection on which nothing is left to come is used again.
        self.link = Some(link);
        match answered {
            XS_ERROR => Err(named_error(&reply)),
            answered if answered == kind => Ok(reply),
            _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }

    /// One request, and the type and payload of its answer.
    fn exchange(&mut self, link: &mut Link, kind: u32, payload: &[u8]) -> io::Result<(u32, Vec<u8>)> {
        let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut message = Vec::with_capacity(16 + payload.len());
        self.last = self.last.wrapping_add(1);
        for word in [kind, self.last, 0, length] {
            message.extend_from_slice(&word.to_ne_bytes());
        }
        message.extend_from_slice(payload);
        link.write_all(&message)?;
        let mut header = [0; 16];
        link.read_exact(&mut header)?;
        let word = |index: usize| -> u32 {
            let bytes = header.get(index * 4..index * 4 + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_ne_bytes)
        };
        let length = usize::try_from(word(3)).unwrap_or(usize::MAX);
        if length > PAYLOAD_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let mut reply = vec![0; length];
        link.read_exact(&mut reply)?;
        if word(1) != self.last {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer to another request"));
        }
        Ok((word(0), reply))
    }
}

impl Link {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Socket(stream) => stream.write_all(bytes),
            Self::Device(file) => file.write_all(bytes),
        }
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Socket(stream) => stream.read_exact(bytes),
            Self::Device(file) => file.read_exact(bytes),
        }
    }
}

/// The socket of xenstored, or the kernel's device.
fn connect(root: &Sysroot, limit: Duration) -> io::Result<Link> {
    let error = match UnixStream::connect(root.path(SOCKET)) {
        Ok(stream) => {
            stream.set_read_timeout(Some(limit))?;
            stream.set_write_timeout(Some(limit))?;
            return Ok(Link::Socket(stream));
        }
        Err(error) => error,
    };
    if !root.is_model() && error.kind() != io::ErrorKind::PermissionDenied {
        let device = root.path("/dev/xen/xenbus");
        if let Ok(file) = OpenOptions::new().read(true).write(true).open(device) {
            return Ok(Link::Device(file));
        }
    }
    Err(error)
}

fn with_nul(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// xenstored names errors by their symbol (`xsd_errors`).
fn named_error(name: &[u8]) -> io::Error {
    let number = match name.strip_suffix(&[0]).unwrap_or(name) {
        b"ENOENT" => 2,
        b"EIO" => 5,
        b"E2BIG" => 7,
        b"ENOMEM" => 12,
        b"EACCES" => 13,
        b"EINVAL" => 22,
        _ => return io::Error::from(io::ErrorKind::InvalidData),
    };
    io::Error::from_raw_os_error(number)
}

fn broken(path: &str, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Io,
        Code::Xenstore,
        format!("cannot read {} from xenstore: {error}", escape(path.as_bytes())),
        "check that xenstored runs, and try again",
    )
}

/// What is made of these answers, where they are all that ever comes.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) fn answered<T>(bytes: &[u8], ask: impl FnOnce(&mut Xenstore) -> T) -> T {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(bytes).unwrap();
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    let nowhere = Sysroot::new(Some("/nonexistent".into()));
    ask(&mut Xenstore { root: nowhere, link: Some(Link::Socket(ours)), last: 0, limit: LIMIT })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A store that answers each request with its path, but so many bytes of this one's answer only after so
    /// long.
    fn late(mut stream: UnixStream, which: &str, at_once: usize, pause: Duration) -> io::Result<()> {
        loop {
            let mut header = [0; 16];
            stream.read_exact(&mut header)?;
            let length = usize::try_from(u32::from_ne_bytes(header[12..].try_into().unwrap())).unwrap();
            let mut path = vec![0; length];
            stream.read_exact(&mut path)?;
            let answer = [&header[..], &path].concat();
            let (first, second) = answer.split_at(at_once);
            stream.write_all(first)?;
            if path == with_nul(which) {
                std::thread::sleep(pause);
            }
            stream.write_all(second)?;
        }
    }

    #[test]
    fn an_answer_that_comes_too_late_is_not_taken_for_the_next_ones_nor_spoils_it() {
        // Nothing of it in time, or a part of its header.
        for at_once in [0, 9] {
            let folder = std::env::temp_dir().join(format!("late-{}-{at_once}", std::process::id()));
            std::fs::create_dir_all(folder.join("run/xenstored")).unwrap();
            let listener = UnixListener::bind(folder.join("run/xenstored/socket")).unwrap();
            std::thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    std::thread::spawn(move || late(stream, "/b", at_once, Duration::from_millis(900)));
                }
            });
            let root = Sysroot::new(Some(folder.clone()));
            let mut store = Xenstore::open_within(&root, Duration::from_millis(500)).unwrap();
            assert_eq!(store.read("/a").unwrap(), Some(with_nul("/a")));
            assert!(store.read("/b").is_err());
            for path in ["/c", "/d"] {
                assert_eq!(store.read(path).unwrap(), Some(with_nul(path)));
            }
            // When the late answer has come too.
            std::thread::sleep(Duration::from_millis(500));
            assert_eq!(store.read("/e").unwrap(), Some(with_nul("/e")));
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}
