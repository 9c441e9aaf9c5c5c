//! As much of the FUSE kernel protocol as a file system of small attributes needs
//! (`include/uapi/linux/fuse.h`, spoken on `/dev/fuse`): no library has to be
//! trusted for it, and a request can be left unanswered, which the kernel then
//! waits for as it waits for a driver that hangs.

use nix::mount::{mount, umount2, MntFlags, MsFlags};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;

/// What stands at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    Folder(Vec<String>),
    File,
    Link(String),
}

/// What a request wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access<'a> {
    Read,
    ReadLink,
    List,
    Write(&'a [u8]),
}

/// How a request is answered.
pub enum Reply {
    Data(Vec<u8>),
    Refused(i32),
    /// Not now: somebody else answers it later, or never.
    Kept,
}

/// What is behind the file system.
pub trait Served: Send + 'static {
    fn entry(&mut self, path: &str) -> Option<Entry>;
    /// Whether what stands there, or whether anything does, may change.
    fn changes(&self, path: &str) -> bool;
    fn access(&mut self, path: &str, access: Access<'_>, ticket: Ticket) -> Reply;
}

/// A request, to be answered later.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub unique: u64,
    /// The process that asks.
    pub process: i32,
}

/// A mounted file system; gone with the value.
pub struct Mount {
    place: PathBuf,
    device: File,
}

const EIO: i32 = 5;
const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;
const LONG: u64 = 3600;

impl Mount {
    /// Whether this machine can do it; why not.
    pub fn possible() -> Result<(), String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("mounting the model needs root".to_owned());
        }
        OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .map(|_| ())
            .map_err(|e| format!("/dev/fuse: {e}"))
    }

    /// Mounts it and answers from a thread of its own.
    pub fn new(place: &Path, served: impl Served) -> Self {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        mount(Some("model"), place, Some("fuse"), MsFlags::empty(), Some(options.as_str())).unwrap();
        let mut server = Server {
            device: device.try_clone().unwrap(),
            served,
            paths: HashMap::from([(1, String::new())]),
            numbers: HashMap::from([(String::new(), 1)]),
        };
        thread::spawn(move || server.serve());
        Self { place: place.to_owned(), device }
    }

    /// Answers a request that was kept.
    pub fn answer(&self, ticket: Ticket, error: i32) {
        answer(&self.device, ticket.unique, -error, &[]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = umount2(&self.place, MntFlags::MNT_DETACH);
    }
}

fn answer(mut device: &File, unique: u64, error: i32, data: &[u8]) {
    let length = u32::try_from(16 + data.len()).unwrap();
    let mut reply = Vec::with_capacity(16 + data.len());
    reply.extend(length.to_ne_bytes());
    reply.extend(error.to_ne_bytes());
    reply.extend(unique.to_ne_bytes());
    reply.extend(data);
    // The one who asked may be dead by now.
    let _ = device.write(&reply);
}

struct Server<S> {
    device: File,
    served: S,
    paths: HashMap<u64, String>,
    numbers: HashMap<String, u64>,
}

impl<S: Served> Server<S> {
    fn serve(&mut self) {
        let mut buffer = vec![0; 256 << 10];
        loop {
            let length = match self.device.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.raw_os_error() == Some(ENOENT) => continue,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let request = &buffer[..length];
            let number = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
            let long = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().unwrap());
            let (opcode, unique, node) = (number(4), long(8), long(16));
            let ticket = Ticket { unique, process: i32::try_from(number(32)).unwrap() };
            let body = request[40..].to_vec();
            if let Some((error, data)) = self.handle(opcode, node, ticket, &body) {
                answer(&self.device, unique, -error, &data);
            }
        }
    }

    /// The errno and the data; `None` where nothing is to be said (yet).
    fn handle(&mut self, opcode: u32, node: u64, ticket: Ticket, body: &[u8]) -> Option<(i32, Vec<u8>)> {
        let path = self.paths.get(&node).cloned().unwrap_or_default();
        let long = |at: usize| u64::from_ne_bytes(body[at..at + 8].try_into().unwrap());
        let number = |at: usize| u32::from_ne_bytes(body[at..at + 4].try_into().unwrap());
        Some(match opcode {
            26 => {
                let mut data = Vec::new();
                for word in [7u32, 31, 65536, 0] {
                    data.extend(word.to_ne_bytes());
                }
                data.extend([12, 0, 9, 0]);
                data.extend(65536u32.to_ne_bytes());
                data.extend(1u32.to_ne_bytes());
                data.resize(64, 0);
                (0, data)
            }
            // Forget, interrupt, forget many: nothing is said.
            2 | 36 | 42 => return None,
            1 => {
                let name = String::from_utf8_lossy(body.split(|&b| b == 0).next().unwrap()).into_owned();
                let child = if path.is_empty() { name } else { format!("{path}/{name}") };
                let Some(entry) = self.served.entry(&child) else { return Some((ENOENT, Vec::new())) };
                let next = self.numbers.len() as u64 + 1;
                let id = *self.numbers.entry(child.clone()).or_insert(next);
                self.paths.insert(id, child.clone());
                let valid = if self.served.changes(&child) { 0 } else { LONG };
                let mut data = Vec::new();
                for word in [id, 0, valid, valid, 0] {
                    data.extend(word.to_ne_bytes());
                }
                data.extend(attributes(id, &entry));
                (0, data)
            }
            3 | 4 => {
                let Some(entry) = self.served.entry(&path) else { return Some((ENOENT, Vec::new())) };
                let valid = if self.served.changes(&path) { 0 } else { LONG };
                let mut data = valid.to_ne_bytes().to_vec();
                data.extend(0u64.to_ne_bytes());
                data.extend(attributes(node, &entry));
                (0, data)
            }
            5 => return reply(self.served.access(&path, Access::ReadLink, ticket)),
            14 | 27 => {
                if self.served.entry(&path).is_none() {
                    return Some((ENOENT, Vec::new()));
                }
                let mut data = 0u64.to_ne_bytes().to_vec();
                // Direct: an attribute is made when it is read, its size is not known.
                data.extend(u32::from(opcode == 14).to_ne_bytes());
                data.extend(0u32.to_ne_bytes());
                (0, data)
            }
            15 => {
                let (offset, size) = (usize::try_from(long(8)).unwrap(), number(16) as usize);
                match self.served.access(&path, Access::Read, ticket) {
                    Reply::Data(data) => {
                        let from = offset.min(data.len());
                        let to = (from + size).min(data.len());
                        (0, data[from..to].to_vec())
                    }
                    other => return reply(other),
                }
            }
            16 => {
                let size = number(16);
                let data = &body[40..40 + size as usize];
                match self.served.access(&path, Access::Write(data), ticket) {
                    Reply::Data(_) => (0, u64::from(size).to_ne_bytes().to_vec()),
                    other => return reply(other),
                }
            }
            28 => {
                if long(8) > 0 {
                    return Some((0, Vec::new()));
                }
                match self.served.access(&path, Access::List, ticket) {
                    Reply::Data(_) => {}
                    other => return reply(other),
                }
                let Some(Entry::Folder(names)) = self.served.entry(&path) else {
                    return Some((EIO, Vec::new()));
                };
                let mut data = Vec::new();
                for (index, name) in (1u64..).zip(&names) {
                    data.extend(index.to_ne_bytes());
                    data.extend(index.to_ne_bytes());
                    data.extend(u32::try_from(name.len()).unwrap().to_ne_bytes());
                    data.extend(0u32.to_ne_bytes());
                    data.extend(name.as_bytes());
                    data.resize(data.len().next_multiple_of(8), 0);
                }
                (0, data)
            }
            // Flush, release, sync: done.
            18 | 20 | 25 | 29 | 30 => (0, Vec::new()),
            17 => (0, vec![0; 80]),
            _ => (ENOSYS, Vec::new()),
        })
    }
}

fn reply(reply: Reply) -> Option<(i32, Vec<u8>)> {
    match reply {
        Reply::Data(data) => Some((0, data)),
        Reply::Refused(error) => Some((error, Vec::new())),
        Reply::Kept => None,
    }
}

fn attributes(id: u64, entry: &Entry) -> Vec<u8> {
    let mode: u32 = match entry {
        Entry::Folder(_) => 0o040_755,
        Entry::File => 0o100_644,
        Entry::Link(_) => 0o120_777,
    };
    let mut data = Vec::new();
    for word in [id, 4096, 8, 0, 0, 0] {
        data.extend(word.to_ne_bytes());
    }
    for word in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0u32] {
        data.extend(word.to_ne_bytes());
    }
    data
}
