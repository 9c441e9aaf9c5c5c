//! The bytes of qubesd: requests, replies and events, told apart without a socket.
//!
//! ```text
//! request   METHOD+ARGUMENT SP dom0 SP name SP DESTINATION NUL PAYLOAD, then a half-close
//! answer    0 NUL DATA
//! exception 2 NUL TYPE NUL TRACEBACK NUL MESSAGE NUL
//! event     1 NUL SUBJECT NUL NAME NUL (KEY NUL VALUE NUL)* NUL
//! ```
//!
//! An answer has neither length nor end mark: it ends with the connection. Nothing at all is how Qubes 4.2
//! and 4.3 refuse a call, an unknown method and what they stumble over alike (core-admin
//! `qubes/api/__init__.py`).

#![forbid(unsafe_code)]

use crate::names::Untrusted;

/// An event of more bytes is none that qubesd sends: its requests end at 64 KiB too.
pub const EVENT_MAX: usize = 64 << 10;

/// Why an answer brings no data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QubesdRefusal {
    /// No byte came: denied, no such method, or qubesd stumbled.
    Nothing,
    /// qubesd says why: the type of the exception and its message.
    Exception(Untrusted, Untrusted),
    /// What came is no answer.
    Nonsense,
}

/// The request; `None` where a word has a byte that would end it early.
#[must_use]
pub fn request(method: &str, argument: &str, destination: &str, payload: &[u8]) -> Option<Vec<u8>> {
    let plain = |word: &str| word.bytes().all(|byte| byte.is_ascii_graphic());
    if method.is_empty()
        || destination.is_empty()
        || ![method, argument, destination].iter().all(|w| plain(w))
    {
        return None;
    }
    let mut bytes = format!("{method}+{argument} dom0 name {destination}\0").into_bytes();
    bytes.extend_from_slice(payload);
    Some(bytes)
}

/// The data of a whole answer.
///
/// # Errors
/// It is none.
pub fn answer(untrusted_bytes: &[u8]) -> Result<&[u8], QubesdRefusal> {
    if untrusted_bytes.is_empty() {
        return Err(QubesdRefusal::Nothing);
    }
    if let Some(data) = untrusted_bytes.strip_prefix(b"0\0") {
        return Ok(data);
    }
    let fields = untrusted_bytes.strip_prefix(b"2\0").ok_or(QubesdRefusal::Nonsense)?;
    let mut fields = fields.split(|&byte| byte == 0);
    let (Some(kind), Some(_traceback), Some(message)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(QubesdRefusal::Nonsense);
    };
    Err(QubesdRefusal::Exception(Untrusted::new(kind), Untrusted::new(message)))
}

/// Something that happened in Qubes; every byte of it untrusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The qube it happened to; empty: the system.
    pub subject: Vec<u8>,
    /// `domain-start`, `property-set:label`, ...
    pub name: Vec<u8>,
    /// What is told with it, in the order it came.
    pub pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Event {
    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| &value[..])
    }
}

/// Takes bytes as they come and gives events when they are whole.
#[derive(Debug, Default)]
pub struct Feed {
    /// Fields of the event that is being read: `1`, subject, name, key, value, ...
    fields: Vec<Vec<u8>>,
    field: Vec<u8>,
    size: usize,
    broken: bool,
}

impl Feed {
    /// Reads on. After an error nothing is read any more: where the next event begins is not known.
    ///
    /// # Errors
    /// These bytes are no event, or one that is too long. What was whole before them is lost too, which
    /// matters not: a stream that breaks is followed by a snapshot.
    pub fn take(&mut self, untrusted_bytes: &[u8]) -> Result<Vec<Event>, QubesdRefusal> {
        let mut events = Vec::new();
        for &byte in untrusted_bytes {
            if self.broken || self.size >= EVENT_MAX {
                self.broken = true;
                return Err(QubesdRefusal::Nonsense);
            }
            self.size += 1;
            if byte != 0 {
                self.field.push(byte);
                continue;
            }
            let field = std::mem::take(&mut self.field);
            let at = self.fields.len();
            if at == 0 && field != b"1" {
                self.broken = true;
                return Err(QubesdRefusal::Nonsense);
            }
            // A key is never empty: an empty one is the end.
            if at >= 3 && at % 2 == 1 && field.is_empty() {
                events.extend(self.whole());
            } else {
                self.fields.push(field);
            }
        }
        Ok(events)
    }

    fn whole(&mut self) -> Option<Event> {
        self.size = 0;
        let mut fields = std::mem::take(&mut self.fields).into_iter().skip(1);
        let (subject, name) = (fields.next()?, fields.next()?);
        let mut pairs = Vec::new();
        while let (Some(key), Some(value)) = (fields.next(), fields.next()) {
            pairs.push((key, value));
        }
        Some(Event { subject, name, pairs })
    }
}
