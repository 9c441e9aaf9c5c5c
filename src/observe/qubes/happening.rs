//! An event of qubesd, read: what it means for PCI devices.

#![forbid(unsafe_code)]

use super::Port;
use crate::names::{escape, Untrusted};
use crate::system::qubesd::Event;

/// What happened to a qube.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Happening {
    /// The qube; for an event of the system the one it is about.
    pub qube: Untrusted,
    /// What.
    pub what: Happened,
}

/// What can happen that concerns PCI devices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happened {
    /// The stream begins: read everything now.
    Connected,
    /// It is about to start: its devices are taken from now on.
    Starting,
    /// It runs. No event tells of the devices it took.
    Started,
    /// It did not start, or not all the way; why, in Qubes' words, escaped.
    StartFailed(String),
    /// It stopped. No event tells of the devices it gave back.
    Stopped,
    /// It was made.
    Added,
    /// It was removed, with its assignments.
    Removed,
    /// A device was assigned (4.3).
    Assigned(PortDevice),
    /// It is assigned no longer (4.3).
    Unassigned(PortDevice),
    /// The assignment is of another mode now (4.3).
    AssignmentChanged(PortDevice),
    /// A running qube is about to be given a device.
    Attaching(PortDevice),
    /// A running qube was given a device; in 4.2 also: a device was assigned, whether it runs or not.
    Attached(PortDevice),
    /// It was taken from it; in 4.2 also: it is assigned no longer.
    Detached(PortDevice),
    /// The label is another; both escaped, empty where there is none.
    Label {
        /// Now.
        now: String,
        /// Before.
        before: String,
    },
    /// The name is another; both escaped.
    Name {
        /// Now.
        now: String,
        /// Before.
        before: String,
    },
    /// Another property that is of interest: `provides_network`, `autostart`.
    Property(String),
}

/// The device an event is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortDevice {
    /// Where it is.
    pub port: Port,
    /// The identity as Qubes writes it, escaped; empty where not told.
    pub identity: String,
    /// Options as `NAME=VALUE`, escaped, joined by commas.
    pub options: String,
}

impl Happened {
    /// Whether a qube may be known by another label, class or network from now on. What is not asked about a
    /// qube that is halted and has no device is asked from then on.
    #[must_use]
    pub fn concerns_labels(&self) -> bool {
        matches!(
            self,
            Self::Started
                | Self::Added
                | Self::Assigned(_)
                | Self::Attached(_)
                | Self::Name { .. }
                | Self::Property(_)
        )
    }
}

impl Happening {
    /// Reads an event; `None` where it is of no interest: announcements of what may still fail
    /// (`...-pre-...`) among them, but for the start and the attachment to a running qube. It is kept however
    /// strange its texts are.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let text = |key: &[u8]| event.value(key).map(escape).unwrap_or_default();
        let device = || PortDevice::of(event);
        let what = match &event.name[..] {
            b"connection-established" => Happened::Connected,
            b"domain-pre-start" => Happened::Starting,
            b"domain-start" => Happened::Started,
            b"domain-start-failed" => Happened::StartFailed(text(b"reason")),
            b"domain-shutdown" => Happened::Stopped,
            b"domain-add" => Happened::Added,
            b"domain-delete" => Happened::Removed,
            b"device-assign:pci" => Happened::Assigned(device()),
            b"device-unassign:pci" => Happened::Unassigned(device()),
            b"device-assignment-changed:pci" => Happened::AssignmentChanged(device()),
            b"device-pre-attach:pci" => Happened::Attaching(device()),
            b"device-attach:pci" => Happened::Attached(device()),
            b"device-detach:pci" => Happened::Detached(device()),
            b"property-set:label" => Happened::Label { now: text(b"newvalue"), before: text(b"oldvalue") },
            b"property-del:label" => Happened::Label { now: String::new(), before: text(b"oldvalue") },
            b"property-set:name" => Happened::Name { now: text(b"newvalue"), before: text(b"oldvalue") },
            name => {
                let property = name.strip_prefix(b"property-set:").or(name.strip_prefix(b"property-del:"))?;
                let wanted = [&b"provides_network"[..], b"autostart"].contains(&property);
                wanted.then(|| Happened::Property(escape(property)))?
            }
        };
        let about = if event.subject.is_empty() { event.value(b"vm") } else { Some(&event.subject[..]) };
        Some(Self { qube: Untrusted::new(about.unwrap_or_default()), what })
    }
}

impl PortDevice {
    /// `dom0:PORT` (4.2) or `dom0:PORT:IDENTITY` (4.3), in the key `device` or, where 4.3 detaches, `port`.
    fn of(event: &Event) -> Self {
        let told = event.value(b"device").or(event.value(b"port")).unwrap_or_default();
        let mut parts = told.splitn(3, |&byte| byte == b':').skip(1);
        let port = parts.next().map_or_else(|| Port::Unreadable(escape(told)), Port::parse);
        let identity = parts.next().map(escape).unwrap_or_default();
        let options = event.value(b"options").map(options).unwrap_or_default();
        Self { port, identity, options }
    }
}

/// Options as Python shows a dictionary of texts: `{'permissive': 'True', 'x': "a'b"}`.
fn options(untrusted_text: &[u8]) -> String {
    match dictionary(untrusted_text) {
        Some(pairs) => {
            let shown = pairs.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value)));
            shown.collect::<Vec<_>>().join(",")
        }
        None => escape(untrusted_text),
    }
}

fn dictionary(text: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut rest = text.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (key, after) = literal(rest)?;
        let (value, after) = literal(after.strip_prefix(b": ")?)?;
        pairs.push((key, value));
        rest = match after.strip_prefix(b", ") {
            Some(more) if !more.is_empty() => more,
            _ if after.is_empty() => after,
            _ => return None,
        };
    }
    Some(pairs)
}

/// One text in quotes and what follows it. An escape other than of a quote or a backslash stays as it is
/// written.
fn literal(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (&quote, mut rest) = text.split_first()?;
    if quote != b'\'' && quote != b'"' {
        return None;
    }
    let mut value = Vec::new();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, behind.first()) {
            (b'\\', Some(&next @ (b'\'' | b'"' | b'\\'))) => {
                value.push(next);
                rest = behind.get(1..).unwrap_or_default();
            }
            (byte, _) if byte == quote => return Some((value, rest)),
            (byte, _) => value.push(byte),
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::unreachable)]
mod tests {
    use super::*;

    fn happening(subject: &str, name: &str, pairs: &[(&str, &str)]) -> Option<Happening> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let pairs = pairs.iter().map(|(key, value)| (bytes(key), bytes(value))).collect();
        Happening::of(&Event { subject: bytes(subject), name: bytes(name), pairs })
    }

    fn device(name: &str, pairs: &[(&str, &str)]) -> (String, String, String) {
        let device = match happening("sys-usb", name, pairs).unwrap().what {
            Happened::Assigned(device)
            | Happened::Unassigned(device)
            | Happened::AssignmentChanged(device)
            | Happened::Attaching(device)
            | Happened::Attached(device)
            | Happened::Detached(device) => device,
            other => unreachable!("{other:?}"),
        };
        (device.port.text().to_owned(), device.identity, device.options)
    }

    fn told(port: &str, identity: &str, options: &str) -> (String, String, String) {
        (port.to_owned(), identity.to_owned(), options.to_owned())
    }

    #[test]
    fn the_device_of_4_2_and_of_4_3() {
        let options = ("options", "{'permissive': 'True', 'no-strict-reset': 'True'}");
        assert_eq!(
            device("device-attach:pci", &[("device", "dom0:01_00.0"), options]),
            told("01_00.0", "", "permissive=True,no-strict-reset=True")
        );
        assert_eq!(device("device-detach:pci", &[("device", "dom0:01_00.0")]), told("01_00.0", "", ""));
        assert_eq!(device("device-pre-attach:pci", &[("device", "dom0:01_00.0")]), told("01_00.0", "", ""));
        assert_eq!(
            device("device-assign:pci", &[("device", "dom0:00_1f.3:0x8086:0x02c8::p040380"), options]),
            told("00_1f.3", "0x8086:0x02c8::p040380", "permissive=True,no-strict-reset=True")
        );
        assert_eq!(
            device("device-assign:pci", &[("device", "dom0:*:0x8086:0x02c8::p040380"), ("options", "{}")]),
            told("*", "0x8086:0x02c8::p040380", "")
        );
        assert_eq!(
            device("device-detach:pci", &[("port", "dom0:00_08.1-00_00.4")]),
            told("00_08.1-00_00.4", "", "")
        );
    }

    #[test]
    fn what_is_not_understood_is_kept_escaped() {
        let strange = device("device-attach:pci", &[("device", "x\x1b["), ("options", "{'a': \x1b")]);
        assert_eq!(strange, told("x\\x1b[", "", "{'a': \\x1b"));
        assert_eq!(device("device-attach:pci", &[]), told("", "", ""));
        let quotes = ("options", "{'x': \"a'b\", 'y': 'c\\\\d\\'e'}");
        assert_eq!(device("device-attach:pci", &[("device", "dom0:00_1f.6"), quotes]).2, "x=a'b,y=c\\\\d'e");
    }

    #[test]
    fn what_happens_to_a_qube() {
        let of = |name: &str, pairs: &[(&str, &str)]| {
            happening("work", name, pairs).map(|happening| happening.what)
        };
        assert_eq!(of("domain-pre-start", &[]), Some(Happened::Starting));
        assert_eq!(of("domain-start", &[]), Some(Happened::Started));
        assert_eq!(of("domain-shutdown", &[]), Some(Happened::Stopped));
        assert_eq!(
            of("property-set:label", &[("name", "label"), ("newvalue", "orange"), ("oldvalue", "blue")]),
            Some(Happened::Label { now: "orange".into(), before: "blue".into() })
        );
        for name in
            ["property-set:netvm", "device-pre-attach:block", "device-attach:block", "domain-paused", ""]
        {
            assert_eq!(of(name, &[]), None, "{name}");
        }
        let removed = happening("", "domain-delete", &[("vm", "tmp1")]).unwrap();
        assert_eq!((removed.qube.to_string(), removed.what), ("tmp1".to_owned(), Happened::Removed));
    }
}
