//! Waiting for several sources at once, without using the processor; and telling the service manager.

#![forbid(unsafe_code)]

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Waits until one of them can be read, or for so long.
///
/// # Errors
/// The kernel does not wait; a signal is no error.
pub fn wait(sources: &[BorrowedFd<'_>], at_most: Duration) -> io::Result<()> {
    let mut waiting: Vec<PollFd> =
        sources.iter().map(|source| PollFd::new(*source, PollFlags::POLLIN)).collect();
    // Rounded up: a wait that ends too early would turn in a circle.
    let millis = at_most.as_micros().div_ceil(1000);
    let timeout = i32::try_from(millis).ok().and_then(|millis| PollTimeout::try_from(millis).ok());
    match poll(&mut waiting, timeout.unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Tells systemd (`sd_notify(3)`), where it waits for that, that this service does its work now.
pub fn tell_ready() {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&place),
    };
    // Where it cannot be told it will say so itself.
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(b"READY=1", &address);
    }
}
