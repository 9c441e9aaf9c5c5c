//! A qubesd that replays what the real one was recorded to answer (`tests/data/qubesd`).
//!
//! As the real one it answers nothing before the request's half-close, one request a connection, and gives no byte at
//! all where it refuses. A transcript has `> request`, `< reply   [n bytes, EOF]` and `E event` lines, with `\0`, `\n`
//! and `\\` for what cannot stand in a line.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What qubesd of Qubes 4.2 answered.
pub const QUBES_42: &str = concat!(
    include_str!("../data/qubesd/transcript-4.2.txt"),
    include_str!("../data/qubesd/transcript-4.2-detach.txt")
);
/// What qubesd of Qubes 4.3 answered.
pub const QUBES_43: &str = concat!(
    include_str!("../data/qubesd/transcript-4.3.txt"),
    include_str!("../data/qubesd/transcript-4.3-detach.txt")
);

/// How qubesd goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QubesdFault {
    /// It takes requests and answers none.
    Silent,
    /// It refuses everything.
    Refuses,
    /// It answers something else.
    Nonsense,
    /// It never stops answering.
    Endless,
    /// Every answer comes in pieces of one byte.
    ByteByByte,
    /// Every answer comes in two pieces, the first of so many bytes.
    CutAt(usize),
    /// Every answer ends after so many bytes.
    EndsAt(usize),
}

/// Something that happens while a request waits for its answer.
type Meanwhile = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Script {
    answers: BTreeMap<Vec<u8>, Vec<u8>>,
    fault: Option<QubesdFault>,
    asked: Vec<String>,
    listeners: Vec<UnixStream>,
    /// Answers that change: from the how manyth time on a request is asked.
    later: Vec<(Vec<u8>, usize, Vec<u8>)>,
    /// Answers that change once another request, or its beginning, was asked.
    after: Vec<(String, Vec<u8>, Vec<u8>)>,
    /// What happens before a request that begins so is answered the next time.
    meanwhile: Vec<(String, Meanwhile)>,
    /// Whether it starts or kills a qube: then it answers nobody, and everybody afterwards.
    busy: bool,
}

/// The daemon; its threads end with the test.
#[derive(Clone, Default)]
pub struct Qubesd(Arc<Mutex<Script>>);

impl Qubesd {
    /// One that answers each request as the recorded one did the first time: all qubes were halted then.
    pub fn replaying(transcript: &str) -> Self {
        let qubesd = Self::default();
        let mut request = None;
        // Before this there was no qube yet.
        for line in transcript.lines().skip_while(|line| *line != "### admin.vm.List") {
            if let Some(text) = line.strip_prefix("> ") {
                request = Some(bytes_of(text));
            } else if let (Some(text), Some(asked)) = (line.strip_prefix("< "), request.take()) {
                let text = text.rsplit_once("   [").map_or(text, |(text, _)| text);
                let answer = if text == "(nothing)" { Vec::new() } else { bytes_of(text) };
                qubesd.0.lock().unwrap().answers.entry(asked).or_insert(answer);
            }
        }
        // Not every qube was asked everything: these are the answers of those that were and have nothing.
        let lists = if transcript == QUBES_42 { &["List"][..] } else { &["Assigned", "Attached"] };
        for qube in ["fedora-42-xfce", "sys-net", "sys-usb", "vault", "work"] {
            for list in lists {
                qubesd.has_by_default(&format!("admin.vm.device.pci.{list}+"), qube, b"0\0");
            }
            let off = b"0\0default=True type=bool False";
            qubesd.has_by_default("admin.vm.property.Get+autostart", qube, off);
            qubesd.has_by_default("admin.vm.property.Get+provides_network", qube, off);
        }
        qubesd
    }

    /// It answers this request otherwise; both as transcripts write them, the answer without `0\0`.
    pub fn answers(&self, method: &str, qube: &str, answer: &str) {
        self.answers_bytes(method, qube, &[b"0\0", &bytes_of(answer)[..]].concat());
    }

    /// It lists dom0, as it always does, and these qubes, one a line.
    pub fn lists(&self, qubes: &str) {
        self.answers("admin.vm.List+", "dom0", &with_dom0(qubes));
    }

    /// It lists these from the `nth` time on, counted from 0.
    pub fn lists_later(&self, nth: usize, qubes: &str) {
        self.answers_later(nth, "admin.vm.List+", "dom0", &with_dom0(qubes));
    }

    /// It answers this request with these bytes, `0\0` among them.
    pub fn answers_bytes(&self, method: &str, qube: &str, answer: &[u8]) {
        let request = format!("{method} dom0 name {qube}\0").into_bytes();
        self.0.lock().unwrap().answers.insert(request, answer.to_vec());
    }

    /// It answers this otherwise from the `nth` time on, counted from 0.
    pub fn answers_later(&self, nth: usize, method: &str, qube: &str, answer: &str) {
        let request = format!("{method} dom0 name {qube}\0").into_bytes();
        let answer = [b"0\0", &bytes_of(answer)[..]].concat();
        self.0.lock().unwrap().later.push((request, nth, answer));
    }

    /// It answers this otherwise once it was asked a request that begins like `first`.
    pub fn answers_after(&self, first: &str, method: &str, qube: &str, answer: &str) {
        let request = format!("{method} dom0 name {qube}\0").into_bytes();
        let answer = [b"0\0", &bytes_of(answer)[..]].concat();
        self.0.lock().unwrap().after.push((first.to_owned(), request, answer));
    }

    fn has_by_default(&self, method: &str, qube: &str, answer: &[u8]) {
        let request = format!("{method} dom0 name {qube}\0").into_bytes();
        self.0.lock().unwrap().answers.entry(request).or_insert(answer.to_vec());
    }

    /// Before it answers a request that begins so the next time, something happens, however long that takes: the real one
    /// answers nobody while it starts or kills a qube.
    pub fn meanwhile(&self, request: &str, what: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap().meanwhile.push((request.to_owned(), Box::new(what)));
    }

    /// It starts or kills a qube: it takes requests and answers none of them until that is done. Events still come.
    pub fn is_busy(&self, busy: bool) {
        self.0.lock().unwrap().busy = busy;
    }

    /// It goes wrong from now on.
    pub fn fails(&self, fault: QubesdFault) {
        self.0.lock().unwrap().fault = Some(fault);
    }

    /// It is itself again.
    pub fn recovers(&self) {
        self.0.lock().unwrap().fault = None;
    }

    /// The requests that came.
    pub fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    /// Tells everyone who listens for events.
    pub fn tells(&self, event: &[u8]) {
        for listener in &mut self.0.lock().unwrap().listeners {
            let _ = listener.write_all(event);
        }
    }

    /// Closes every stream of events, as a qubesd that is restarted does.
    pub fn hangs_up(&self) {
        self.0.lock().unwrap().listeners.clear();
    }

    /// How many listen for events.
    pub fn listeners(&self) -> usize {
        self.0.lock().unwrap().listeners.len()
    }

    /// Serves a socket.
    pub fn serve(&self, socket: &Path) {
        let listener = UnixListener::bind(socket).unwrap();
        let script = Arc::clone(&self.0);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let script = Arc::clone(&script);
                // A client that goes away ends its thread.
                thread::spawn(move || converse(stream, &script));
            }
        });
    }
}

fn converse(mut stream: UnixStream, script: &Mutex<Script>) -> Option<()> {
    let mut request = Vec::new();
    stream.read_to_end(&mut request).ok()?;
    let text = String::from_utf8_lossy(&request).trim_end_matches('\0').to_owned();
    let happens: Vec<Meanwhile> = {
        let mut script = script.lock().unwrap();
        let (now, later) = std::mem::take(&mut script.meanwhile)
            .into_iter()
            .partition::<Vec<_>, _>(|(first, _)| text.starts_with(first.as_str()));
        script.meanwhile = later;
        now.into_iter().map(|(_, what)| what).collect()
    };
    happens.into_iter().for_each(|what| what());
    while !text.starts_with("admin.Events") && script.lock().unwrap().busy {
        thread::sleep(Duration::from_millis(10));
    }
    let (fault, answer) = {
        let mut script = script.lock().unwrap();
        script.asked.push(String::from_utf8_lossy(&request).trim_end_matches('\0').to_owned());
        if request == b"admin.Events+ dom0 name dom0\0" && script.fault.is_none() {
            stream.write_all(b"1\0\0connection-established\0\0").ok()?;
            script.listeners.push(stream);
            return Some(());
        }
        let shown = String::from_utf8_lossy(&request).trim_end_matches('\0').to_owned();
        let before = script.asked.iter().filter(|asked| **asked == shown).count() - 1;
        let later = script.later.iter().find(|(asked, nth, _)| *asked == request && before >= *nth);
        let was_asked = |first: &str| script.asked.iter().any(|asked| asked.starts_with(first));
        let after = script.after.iter().find(|(first, asked, _)| *asked == request && was_asked(first));
        let changed = later.map(|(.., answer)| answer).or(after.map(|(.., answer)| answer));
        let answer = changed.or(script.answers.get(&request));
        (script.fault, answer.cloned().unwrap_or_default())
    };
    match fault {
        None => stream.write_all(&answer).ok(),
        Some(QubesdFault::Silent) => {
            thread::sleep(Duration::from_secs(600));
            None
        }
        Some(QubesdFault::Refuses) => None,
        Some(QubesdFault::Nonsense) => stream.write_all(b"\x1b[2Jsys-net class=AppVM state=Halted\n").ok(),
        Some(QubesdFault::Endless) => loop {
            stream.write_all(&[b'0'; 65536]).ok()?;
        },
        Some(QubesdFault::ByteByByte) => answer.chunks(1).try_for_each(|byte| stream.write_all(byte)).ok(),
        Some(QubesdFault::CutAt(at)) => {
            let (first, second) = answer.split_at(at.min(answer.len()));
            stream.write_all(first).ok()?;
            thread::sleep(Duration::from_millis(2));
            stream.write_all(second).ok()
        }
        Some(QubesdFault::EndsAt(at)) => stream.write_all(&answer[..at.min(answer.len())]).ok(),
    }
}

fn with_dom0(qubes: &str) -> String {
    format!("dom0 class=AdminVM state=Running\\n{qubes}")
}

/// The events of a transcript, in order.
pub fn recorded_events(transcript: &str) -> Vec<Vec<u8>> {
    transcript.lines().filter_map(|line| line.strip_prefix("E ")).map(bytes_of).collect()
}

/// The bytes that a line of a transcript shows.
pub fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let (byte, used) = match (byte, behind.first()) {
            (b'\\', Some(b'0')) => (0, 1),
            (b'\\', Some(b'n')) => (b'\n', 1),
            (b'\\', Some(b'\\')) => (b'\\', 1),
            _ => (byte, 0),
        };
        bytes.push(byte);
        rest = &behind[used..];
    }
    bytes
}
