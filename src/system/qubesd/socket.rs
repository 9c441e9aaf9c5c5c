//! Connecting to a Unix socket without waiting for ever: a daemon that is stopped, with a full queue, would
//! keep a blocking `connect(2)` until it runs again.

#![forbid(unsafe_code)]

use super::left;
use nix::errno::Errno;
use nix::sys::socket::{connect as connect_to, socket, AddressFamily, SockFlag, SockType, UnixAddr};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Connects; the stream does not block.
pub fn connect(path: &Path, until: Instant) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let address = UnixAddr::new(path)?;
    loop {
        match connect_to(fd.as_raw_fd(), &address) {
            Ok(()) => return Ok(UnixStream::from(fd)),
            // Its queue is full.
            Err(Errno::EAGAIN) => std::thread::sleep(left(until)?.min(Duration::from_millis(20))),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(io::Error::from(error)),
        }
    }
}
