//! A xenstored that answers reads and watches, on a Unix socket.
//!
//! The protocol is Xen's `xen/include/public/io/xs_wire.h`; listings above one
//! payload are refused with E2BIG and given in parts, as xenstored's
//! `send_directory_part` does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

const XS_DIRECTORY: u32 = 1;
const XS_READ: u32 = 2;
const XS_WATCH: u32 = 4;
const XS_WATCH_EVENT: u32 = 15;
const XS_ERROR: u32 = 16;
const XS_DIRECTORY_PART: u32 = 17;
const PAYLOAD_MAX: usize = 4096;

/// How a store goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It answers this error to everything.
    Error(&'static str),
    /// It says an answer is longer than any may be.
    TooLong,
    /// It answers another question.
    OtherType,
    /// It goes away in the middle of an answer.
    HangsUp,
    /// It takes requests and answers none.
    Silent,
    /// A listing changes once, after its first part was given: what is below this
    /// node is removed.
    ChangesWhileListed(&'static str),
}

#[derive(Default)]
struct Nodes {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    fault: Option<Fault>,
    generation: u64,
    clients: Vec<UnixStream>,
    ended: bool,
    /// What happens once a node was read: these are written, or removed, all at once.
    after: BTreeMap<Vec<u8>, Vec<(String, Option<String>)>>,
    /// Who watches what, and with which token.
    watches: Vec<(UnixStream, Vec<u8>, Vec<u8>)>,
}

impl Nodes {
    /// Tells everybody who watches this node or one above it.
    fn fire(&mut self, path: &[u8]) {
        self.watches.retain_mut(|(stream, watched, token)| {
            let concerned = path == watched || path.starts_with(&[watched.as_slice(), b"/"].concat());
            let payload = [path, &[0], token, &[0]].concat();
            !concerned || stream.write_all(&message(XS_WATCH_EVENT, 0, 0, &payload)).is_ok()
        });
    }
}

/// The store, and the threads that serve it for as long as the test runs.
#[derive(Clone, Default)]
pub struct Xenstored(Arc<Mutex<Nodes>>);

impl Xenstored {
    /// Serves a socket.
    pub fn serve(&self, socket: &Path) {
        let listener = UnixListener::bind(socket).unwrap();
        let nodes = Arc::clone(&self.0);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let nodes = Arc::clone(&nodes);
                if nodes.lock().unwrap().ended {
                    return;
                }
                nodes.lock().unwrap().clients.push(stream.try_clone().unwrap());
                // A client that goes away ends its thread.
                thread::spawn(move || converse(stream, &nodes));
            }
        });
    }

    /// Serves no more: thousands of stores in one run must not leave their files open.
    pub fn end(&self, socket: &Path) {
        self.0.lock().unwrap().ended = true;
        self.hang_up();
        // The one who waits for a client finds the store ended.
        let _ = UnixStream::connect(socket);
    }

    /// Writes a node.
    pub fn write(&self, path: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let mut nodes = self.0.lock().unwrap();
        nodes.values.insert(path.as_ref().to_vec(), value.as_ref().to_vec());
        nodes.fire(path.as_ref());
    }

    /// Removes a node and what is below it.
    pub fn remove(&self, path: &str) {
        let below = format!("{path}/");
        let mut nodes = self.0.lock().unwrap();
        nodes.values.retain(|node, _| node != path.as_bytes() && !node.starts_with(below.as_bytes()));
        nodes.generation += 1;
        nodes.fire(path.as_bytes());
    }

    /// Once this node is read, others are written (or removed) in one transaction.
    pub fn once_read(&self, path: &str, changes: &[(&str, Option<&str>)]) {
        let owned = |(path, value): &(&str, Option<&str>)| ((*path).to_owned(), value.map(str::to_owned));
        let changes = changes.iter().map(owned).collect();
        self.0.lock().unwrap().after.insert(path.as_bytes().to_vec(), changes);
    }

    /// Tells those who watch `@releaseDomain` and its like.
    pub fn announce(&self, what: &str) {
        self.0.lock().unwrap().fire(what.as_bytes());
    }

    /// Closes every connection, as a store that restarts does.
    pub fn hang_up(&self) {
        let mut nodes = self.0.lock().unwrap();
        nodes.watches.clear();
        for client in nodes.clients.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// Sends bytes that nobody asked for to those who watch.
    pub fn babble(&self, bytes: &[u8]) {
        for (stream, ..) in &mut self.0.lock().unwrap().watches {
            let _ = stream.write_all(bytes);
        }
    }

    /// Makes sense again.
    pub fn mend(&self) {
        self.0.lock().unwrap().fault = None;
    }

    /// Goes wrong from now on.
    pub fn fail(&self, fault: Fault) {
        self.0.lock().unwrap().fault = Some(fault);
    }
}

fn converse(mut stream: UnixStream, nodes: &Mutex<Nodes>) -> Option<()> {
    loop {
        let mut header = [0; 16];
        stream.read_exact(&mut header).ok()?;
        let word = |index: usize| u32::from_ne_bytes(header[index * 4..index * 4 + 4].try_into().unwrap());
        let mut payload = vec![0; word(3) as usize];
        stream.read_exact(&mut payload).ok()?;
        let mut nodes = nodes.lock().unwrap();
        if word(0) == XS_WATCH {
            let mut words = payload.split(|&byte| byte == 0);
            let (path, token) = (words.next().unwrap().to_vec(), words.next().unwrap().to_vec());
            stream.write_all(&message(XS_WATCH, word(1), word(2), b"OK\0")).ok()?;
            // A new watch fires once.
            let payload = [&path, &[0][..], &token, &[0]].concat();
            stream.write_all(&message(XS_WATCH_EVENT, 0, 0, &payload)).ok()?;
            nodes.watches.push((stream.try_clone().ok()?, path, token));
            continue;
        }
        let (mut kind, answer) = match answer(&mut nodes, word(0), &payload) {
            Ok(answer) => (word(0), answer),
            Err(name) => (XS_ERROR, [name.as_bytes(), &[0]].concat()),
        };
        let mut length = answer.len();
        match nodes.fault {
            Some(Fault::TooLong) => length = PAYLOAD_MAX + 1,
            Some(Fault::OtherType) => kind = 21,
            _ => {}
        }
        if nodes.fault == Some(Fault::Silent) {
            continue;
        }
        let reply = [kind, word(1), word(2), u32::try_from(length).unwrap()];
        let mut reply: Vec<u8> = reply.iter().flat_map(|word| word.to_ne_bytes()).collect();
        reply.extend(answer);
        if nodes.fault == Some(Fault::HangsUp) {
            reply.truncate(9);
            stream.write_all(&reply).ok()?;
            return None;
        }
        stream.write_all(&reply).ok()?;
    }
}

fn message(kind: u32, request: u32, transaction: u32, payload: &[u8]) -> Vec<u8> {
    let words = [kind, request, transaction, u32::try_from(payload.len()).unwrap()];
    words.iter().flat_map(|word| word.to_ne_bytes()).chain(payload.iter().copied()).collect()
}

fn answer(nodes: &mut Nodes, kind: u32, payload: &[u8]) -> Result<Vec<u8>, &'static str> {
    if let Some(Fault::Error(name)) = nodes.fault {
        return Err(name);
    }
    let mut words = payload.split(|&byte| byte == 0);
    let path = words.next().unwrap_or_default();
    match kind {
        XS_READ => {
            let read = nodes.values.get(path).cloned().ok_or("ENOENT");
            for (path, value) in nodes.after.remove(path).unwrap_or_default() {
                match value {
                    Some(value) => drop(nodes.values.insert(path.into_bytes(), value.into_bytes())),
                    None => drop(nodes.values.remove(path.as_bytes())),
                }
            }
            read
        }
        XS_DIRECTORY => {
            let names = listing(nodes, path).ok_or("ENOENT")?;
            if names.len() > PAYLOAD_MAX {
                Err("E2BIG")
            } else {
                Ok(names)
            }
        }
        XS_DIRECTORY_PART => {
            let offset = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
            let names = listing(nodes, path).ok_or("ENOENT")?;
            let mut reply = [nodes.generation.to_string().as_bytes(), &[0]].concat();
            let rest = names.get(offset.ok_or("EINVAL")?..).unwrap_or_default();
            let mut used = 0;
            for name in rest.split_inclusive(|&byte| byte == 0) {
                if reply.len() + name.len() + 1 > PAYLOAD_MAX {
                    break;
                }
                reply.extend_from_slice(name);
                used += name.len();
            }
            if used == rest.len() {
                reply.push(0);
            }
            if let Some(Fault::ChangesWhileListed(node)) = nodes.fault.take() {
                nodes.values.retain(|path, _| !path.starts_with(node.as_bytes()));
                nodes.generation += 1;
            }
            Ok(reply)
        }
        _ => Err("EINVAL"),
    }
}

/// The names below a node, each with a NUL; `None` where there is no such node.
fn listing(nodes: &Nodes, path: &[u8]) -> Option<Vec<u8>> {
    let start = [path, b"/"].concat();
    let names: BTreeSet<&[u8]> = nodes
        .values
        .keys()
        .filter_map(|node| node.strip_prefix(start.as_slice()))
        .filter_map(|rest| rest.split(|&byte| byte == b'/').next())
        .collect();
    if names.is_empty() && !nodes.values.contains_key(path) {
        return None;
    }
    Some(names.iter().flat_map(|name| name.iter().copied().chain([0])).collect())
}
