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

/// An open connection.
pub struct Xenstore {
    link: Link,
    /// Id of the last request: an answer to an earlier one, late after a time-out,
    /// is not taken for this one's.
    last: u32,
}

impl Xenstore {
    /// Connects to the socket of xenstored, or to the kernel's device.
    ///
    /// # Errors
    /// Exit 10: xenstored does not run, or the right to ask it is missing.
    pub fn open(root: &Sysroot) -> Result<Self, Failure> {
        let socket = root.path("/run/xenstored/socket");
        let error = match UnixStream::connect(&socket) {
            Ok(stream) => {
                // A store that does not answer must not hang an admin in trouble.
                let limit = Some(Duration::from_secs(10));
                let set = stream.set_read_timeout(limit).and(stream.set_write_timeout(limit));
                set.map_err(|error| Failure::unreadable(&socket, &error))?;
                return Ok(Self { link: Link::Socket(stream), last: 0 });
            }
            Err(error) => error,
        };
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        if !root.is_model() && !denied {
            let device = root.path("/dev/xen/xenbus");
            if let Ok(file) = OpenOptions::new().read(true).write(true).open(device) {
                return Ok(Self { link: Link::Device(file), last: 0 });
            }
        }
        let (code, hint) = if denied {
            (Code::NoRight, "run it as root")
        } else {
            (Code::NoXenstore, "start xenstored (on Qubes: systemctl status xenstored)")
        };
        let message = format!("xenstore cannot be asked: {}: {error}", socket.display());
        Err(Failure::new(Exit::NotDom0, code, message, hint))
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
        let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut message = Vec::with_capacity(16 + payload.len());
        self.last = self.last.wrapping_add(1);
        for word in [kind, self.last, 0, length] {
            message.extend_from_slice(&word.to_ne_bytes());
        }
        message.extend_from_slice(payload);
        self.write_all(&message)?;
        let mut header = [0; 16];
        self.read_exact(&mut header)?;
        let word = |index: usize| -> u32 {
            let bytes = header.get(index * 4..index * 4 + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_ne_bytes)
        };
        let length = usize::try_from(word(3)).unwrap_or(usize::MAX);
        if length > PAYLOAD_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let mut reply = vec![0; length];
        self.read_exact(&mut reply)?;
        if word(1) != self.last {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer to another request"));
        }
        match word(0) {
            XS_ERROR => Err(named_error(&reply)),
            answered if answered == kind => Ok(reply),
            _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.link {
            Link::Socket(stream) => stream.write_all(bytes),
            Link::Device(file) => file.write_all(bytes),
        }
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match &mut self.link {
            Link::Socket(stream) => stream.read_exact(bytes),
            Link::Device(file) => file.read_exact(bytes),
        }
    }
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
    ask(&mut Xenstore { link: Link::Socket(ours), last: 0 })
}
