//! The kernel's news of PCI functions: uevents, as `lib/kobject_uevent.c` broadcasts them over netlink.
//!
//! Below a model's root they are datagrams of the same form, sent to `DIR/run/model/uevents`; there the
//! datagram `overflow` stands for the kernel's report that some did not fit.

#![forbid(unsafe_code)]

use super::root::Sysroot;
use crate::error::{Code, Exit, Failure};
use crate::names::{DriverName, Sbdf};
use nix::sys::socket::{
    bind, recvfrom, setsockopt, socket, sockopt, AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

/// The kernel's own group; in group 2 udev tells what it made of them.
const KERNEL_GROUP: u32 = 1;
/// Room for some ten thousand of them while the journal's disk is slow. The kernel doubles it for its own
/// overhead.
const RECEIVE_BUFFER: usize = 16 << 20;
/// `UEVENT_BUFFER_SIZE` of the kernel is 2048, its head line comes besides.
const LONGEST: usize = 8 << 10;

/// What happened to a function, as the kernel says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It appeared.
    Add,
    /// It is gone.
    Remove,
    /// A driver took it.
    Bind,
    /// The driver let it go.
    Unbind,
}

/// One message about a PCI function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uevent {
    /// What happened.
    pub action: Action,
    /// To which function.
    pub sbdf: Sbdf,
    /// The driver, where the message names one.
    pub driver: Option<DriverName>,
    /// The kernel's number of the message.
    pub number: u64,
}

/// What came out of the socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UeventHeard {
    /// News of a PCI function.
    Event(Uevent),
    /// Something else, or from somebody else.
    Other,
    /// Messages were lost: the buffer was full.
    Overflow,
}

/// The open socket.
pub struct Uevents {
    link: UeventLink,
    buffer: Vec<u8>,
}

enum UeventLink {
    Kernel(OwnedFd),
    Model(UnixDatagram),
}

impl Uevents {
    /// Listens from now on.
    ///
    /// # Errors
    /// The socket cannot be opened.
    pub fn open(root: &Sysroot) -> Result<Self, Failure> {
        let opened = if root.is_model() { model(root) } else { kernel().map_err(io::Error::from) };
        let link = opened.map_err(|error| {
            let message = format!("the kernel's uevents cannot be heard: {error}");
            Failure::new(Exit::Io, Code::Uevents, message, "run it as root in dom0")
        })?;
        Ok(Self { link, buffer: vec![0; LONGEST] })
    }

    /// The next message that waits; `None` where none does.
    ///
    /// # Errors
    /// The socket is of no more use.
    pub fn next(&mut self) -> io::Result<Option<UeventHeard>> {
        let Self { link, buffer } = self;
        let (length, from_kernel) = match link {
            UeventLink::Kernel(socket) => match recvfrom::<NetlinkAddr>(socket.as_raw_fd(), buffer) {
                // Only the kernel has port 0; a process cannot pose as it.
                Ok((length, sender)) => (length, sender.is_some_and(|sender| sender.pid() == 0)),
                Err(nix::errno::Errno::ENOBUFS) => return Ok(Some(UeventHeard::Overflow)),
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(None),
                Err(error) => return Err(error.into()),
            },
            UeventLink::Model(socket) => match socket.recv(buffer) {
                Ok(length) if buffer.get(..length) == Some(b"overflow".as_slice()) => {
                    return Ok(Some(UeventHeard::Overflow))
                }
                Ok(length) => (length, true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let message = buffer.get(..length).unwrap_or_default();
        let event = if from_kernel { parse(message) } else { None };
        Ok(Some(event.map_or(UeventHeard::Other, UeventHeard::Event)))
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.link {
            UeventLink::Kernel(socket) => socket.as_fd(),
            UeventLink::Model(socket) => socket.as_fd(),
        }
    }
}

fn kernel() -> nix::Result<UeventLink> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let descriptor =
        socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkKObjectUEvent)?;
    // Without the right to pass the system's limit, as much as it allows.
    if setsockopt(&descriptor, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        let _ = setsockopt(&descriptor, sockopt::RcvBuf, &RECEIVE_BUFFER);
    }
    bind(descriptor.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
    Ok(UeventLink::Kernel(descriptor))
}

fn model(root: &Sysroot) -> io::Result<UeventLink> {
    let path = root.path("/run/model/uevents");
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(path)?;
    socket.set_nonblocking(true)?;
    Ok(UeventLink::Model(socket))
}

/// Reads a message: `bind@/devices/...`, then `KEY=VALUE`, each ended by a NUL. `None` where it is about
/// something else than a PCI function that came, went, or changed its driver, or contradicts itself.
#[must_use]
pub fn parse(message: &[u8]) -> Option<Uevent> {
    let text = std::str::from_utf8(message).ok()?;
    let mut parts = text.split('\0');
    let (head_action, head_path) = parts.next()?.split_once('@')?;
    let (mut action, mut path, mut subsystem, mut slot, mut driver, mut number) =
        (None, None, None, None, None, None);
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        let place = match key {
            // Somebody asked for it (`udevadm trigger`): nothing happened.
            "SYNTH_UUID" => return None,
            "ACTION" => &mut action,
            "DEVPATH" => &mut path,
            "SUBSYSTEM" => &mut subsystem,
            "PCI_SLOT_NAME" => &mut slot,
            "DRIVER" => &mut driver,
            "SEQNUM" => &mut number,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    let path = path.filter(|path| *path == head_path)?;
    if subsystem != Some("pci") || action != Some(head_action) {
        return None;
    }
    // A function that is going away may have no PCI_SLOT_NAME any more; its folder still has its name.
    let folder = path.rsplit('/').next()?;
    let sbdf = Sbdf::from_sysfs(folder)?;
    if slot.is_some_and(|slot| slot != folder) {
        return None;
    }
    let action = match head_action {
        "add" => Action::Add,
        "remove" => Action::Remove,
        "bind" => Action::Bind,
        "unbind" => Action::Unbind,
        _ => return None,
    };
    Some(Uevent { action, sbdf, driver: driver.and_then(DriverName::parse), number: number?.parse().ok()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATH: &str = "/devices/pci0000:00/0000:00:1c.0/0000:03:00.0";

    fn message(head: &str, members: &[&str]) -> Vec<u8> {
        [&[head], members].concat().iter().flat_map(|part| [part.as_bytes(), &[0]].concat()).collect()
    }

    fn bind(members: &[&str]) -> Vec<u8> {
        let path = format!("DEVPATH={PATH}");
        let own = ["ACTION=bind", &path, "SUBSYSTEM=pci", "DRIVER=pciback", "SEQNUM=2042"];
        message(&format!("bind@{PATH}"), &[&own, members].concat())
    }

    #[test]
    fn a_driver_that_takes_a_function_is_heard() {
        let event = parse(&bind(&["PCI_CLASS=20000", "PCI_SLOT_NAME=0000:03:00.0"])).unwrap();
        let sbdf = Sbdf::from_sysfs("0000:03:00.0").unwrap();
        let driver = Some(DriverName::PCIBACK);
        assert_eq!(event, Uevent { action: Action::Bind, sbdf, driver, number: 2042 });
    }

    #[test]
    fn what_contradicts_itself_is_nothing() {
        assert_eq!(parse(&bind(&["PCI_SLOT_NAME=0000:03:00.1"])), None);
        assert_eq!(parse(&bind(&["ACTION=unbind"])), None);
        let other =
            message(&format!("bind@{PATH}"), &["ACTION=bind", "DEVPATH=/x", "SUBSYSTEM=pci", "SEQNUM=1"]);
        assert_eq!(parse(&other), None);
    }

    #[test]
    fn other_subsystems_and_udevs_own_messages_are_nothing() {
        let path = format!("DEVPATH={PATH}");
        for subsystem in ["SUBSYSTEM=usb", "SUBSYSTEM=xen-backend"] {
            let members = ["ACTION=bind", &path, subsystem, "SEQNUM=1"];
            assert_eq!(parse(&message(&format!("bind@{PATH}"), &members)), None);
        }
        assert_eq!(parse(b"libudev\0\xfe\xed\xca\xfe"), None);
        assert_eq!(parse(&bind(&["SYNTH_UUID=0"])), None);
    }

    /// Runs in a network namespace of its own, where root may have the kernel broadcast uevents. Without that
    /// right there is nothing to see: it says so.
    fn in_a_namespace(test: fn()) {
        let alone =
            std::thread::spawn(move || match nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET) {
                Ok(()) => test(),
                Err(error) => crate::fuzz::missing(&format!("no network namespace: {error}")),
            });
        alone.join().unwrap();
    }

    fn sender() -> OwnedFd {
        let (kind, flags) = (SockType::Datagram, SockFlag::SOCK_CLOEXEC);
        socket(AddressFamily::Netlink, kind, flags, SockProtocol::NetlinkKObjectUEvent).unwrap()
    }

    /// Has the kernel broadcast this.
    fn broadcast(sender: &OwnedFd, text: &[u8]) {
        // `struct nlmsghdr`: length, type and flags, sequence, port. The kernel takes it off and adds SEQNUM.
        let length = u32::try_from(text.len()).unwrap() + 16;
        let header = [length, 16 | 1 << 16, 0, 0].map(u32::to_ne_bytes).concat();
        let bytes = [header, text.to_vec()].concat();
        let flags = nix::sys::socket::MsgFlags::empty();
        nix::sys::socket::sendto(sender.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), flags).unwrap();
    }

    /// What `drivers/pci` says of a function whose driver changed, as long as it is on a real machine.
    fn whole() -> Vec<u8> {
        let path = format!("DEVPATH={PATH}");
        let modalias = "MODALIAS=pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00";
        let own =
            ["ACTION=bind", &path, "SUBSYSTEM=pci", "DRIVER=pciback", "PCI_CLASS=20000", "PCI_ID=8086:10D3"];
        let more = ["PCI_SUBSYS_ID=8086:A01F", "PCI_SLOT_NAME=0000:03:00.0", modalias];
        message(&format!("bind@{PATH}"), &[&own[..], &more[..]].concat())
    }

    fn heard(uevents: &mut Uevents) -> (usize, usize) {
        let (mut events, mut overflows) = (0, 0);
        while let Some(heard) = uevents.next().unwrap() {
            events += usize::from(matches!(heard, UeventHeard::Event(_)));
            overflows += usize::from(heard == UeventHeard::Overflow);
        }
        (events, overflows)
    }

    #[test]
    fn ten_thousand_fit_and_the_kernel_says_when_more_do_not() {
        in_a_namespace(|| {
            let mut uevents = Uevents::open(&Sysroot::new(None)).unwrap();
            let (sender, text) = (sender(), whole());
            (0..10_000).for_each(|_| broadcast(&sender, &text));
            assert_eq!(heard(&mut uevents), (10_000, 0));
            (0..100_000).for_each(|_| broadcast(&sender, &text));
            let (events, overflows) = heard(&mut uevents);
            assert!(events > 10_000 && overflows > 0, "{events} {overflows}");
        });
    }

    #[test]
    fn a_process_cannot_pose_as_the_kernel() {
        in_a_namespace(|| {
            let mut uevents = Uevents::open(&Sysroot::new(None)).unwrap();
            let UeventLink::Kernel(socket) = &uevents.link else { return };
            let port = nix::sys::socket::getsockname::<NetlinkAddr>(socket.as_raw_fd()).unwrap().pid();
            let with_number = [whole(), b"SEQNUM=7\0".to_vec()].concat();
            let to_us = NetlinkAddr::new(port, 0);
            let flags = nix::sys::socket::MsgFlags::empty();
            nix::sys::socket::sendto(sender().as_raw_fd(), &with_number, &to_us, flags).unwrap();
            assert_eq!(uevents.next().unwrap(), Some(UeventHeard::Other));
            assert_eq!(uevents.next().unwrap(), None);
        });
    }

    proptest! {
        #[test]
        fn a_message_cut_anywhere_names_no_other_function(cut in 0usize..140) {
            let whole = bind(&["PCI_SLOT_NAME=0000:03:00.0"]);
            let cut = cut.min(whole.len());
            if let Some(event) = parse(whole.get(..cut).unwrap_or_default()) {
                prop_assert_eq!(event.sbdf, Sbdf::from_sysfs("0000:03:00.0").unwrap());
            }
        }
    }
}
