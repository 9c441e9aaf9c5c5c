//! `journalctl -o json`: one object a line (systemd's Journal Export Formats). Of the kernel's lines those of
//! xen-pciback (Linux `drivers/xen/xen-pciback/pci_stub.c`, `vpci.c`, `xenbus.c`), of qubesd's the starts of
//! qubes (core-admin `qubes/vm/qubesvm.py`: `Starting NAME`, after `vm.NAME: `). A release is never logged.

use super::{Found, Reader, Tally};
use crate::journal::{
    DeviceEvent, DeviceRecord, Entry, Log, Moment, QubeEvent, QubeRecord, Source, StayEvent, StayRecord,
};
use crate::names::{DriverName, QubeName, Sbdf};
use serde_json::{Map, Value};

const SOURCE: Source = Source::Import(Log::Journald);

/// Reads what journald kept.
#[derive(Default)]
pub struct Journald {
    tally: Tally,
}

impl Reader for Journald {
    fn line(&mut self, untrusted_line: Option<&[u8]>) {
        let Some(line) = untrusted_line else {
            self.tally.unreadable += 1;
            return;
        };
        if line.is_empty() {
            return;
        }
        // Some other file.
        if !line.starts_with(b"{") {
            self.tally.unreadable += 1;
            return;
        }
        // Most lines are about something else: they are not worth a parse.
        if !(holds(line, b"pciback") || holds(line, b": Starting ")) {
            return;
        }
        match serde_json::from_slice::<Map<String, Value>>(line) {
            Ok(object) => self.object(&object),
            Err(_) => self.tally.unreadable += 1,
        }
    }

    fn finish(self) -> Tally {
        self.tally
    }
}

impl Journald {
    fn object(&mut self, object: &Map<String, Value>) {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let Some(message) = object.get("MESSAGE").and_then(message) else { return };
        let told = match (text("_TRANSPORT"), text("SYSLOG_IDENTIFIER")) {
            // Only the kernel itself: any process may write lines that look like its.
            ("kernel", _) => kernel_line(SOURCE, &message),
            (_, "qubesd") if text("_UID") == "0" => qubesd_line(&message),
            _ => None,
        };
        let Some(mut entry) = told else { return };
        let stamp = text("__REALTIME_TIMESTAMP");
        entry.set_at(stamp.parse().ok().map(Moment::from_micros));
        let boot: String = text("_BOOT_ID").chars().filter(char::is_ascii_hexdigit).take(8).collect();
        let content = [boot.as_bytes(), stamp.as_bytes(), message.as_bytes()];
        self.tally.push(Found { of_boot: boot.clone(), ..Found::new(entry, &content) });
    }
}

fn holds(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|window| window == word)
}

/// A message: text, or an array of bytes where it is no UTF-8.
fn message(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(bytes) => {
            let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
            let bytes: Option<Vec<u8>> = bytes.iter().map(byte).collect();
            Some(String::from_utf8_lossy(&bytes?).into_owned())
        }
        _ => None,
    }
}

/// A line of xen-pciback; the assignment to a virtual slot says no more than the registration behind it.
pub(super) fn kernel_line(source: Source, message: &str) -> Option<Entry> {
    let rest = message.strip_prefix("pciback ")?;
    let (address, says) = rest.split_once(": ")?;
    let bdf = Sbdf::from_sysfs(address)?;
    let says = says.strip_prefix("xen_pciback: ").unwrap_or(says);
    if says == "seizing device" {
        let driver = Some(DriverName::PCIBACK);
        let it = DeviceRecord { driver, ..DeviceRecord::new(DeviceEvent::Seized, bdf, source) };
        return Some(Entry::Device(it));
    }
    if let Some(domain) = says.strip_prefix("registering for ") {
        return Some(numbered(source, StayEvent::Begin, bdf, domain.parse().ok()?));
    }
    if says.contains("removing device") && says.contains("while still in-use by domain") {
        let before = Some(DriverName::PCIBACK);
        let it = DeviceRecord { before, ..DeviceRecord::new(DeviceEvent::Unbound, bdf, source) };
        return Some(Entry::Device(it));
    }
    None
}

/// A stay with a domain that is known by its number only.
pub(super) fn numbered(source: Source, event: StayEvent, bdf: Sbdf, domain: u16) -> Entry {
    let stay = StayRecord::new(event, bdf, &format!("domain-{domain}"), source);
    Entry::Stay(StayRecord { domain: Some(domain), ..stay })
}

/// `vm.sys-usb: Starting sys-usb`, with `INFO: ` before it since Qubes 4.3: the name twice, so that no other
/// start of something is taken for it.
fn qubesd_line(message: &str) -> Option<Entry> {
    let message = message.strip_prefix("INFO: ").unwrap_or(message);
    let (name, says) = message.strip_prefix("vm.")?.split_once(": ")?;
    let name = QubeName::parse(name)?;
    let started = says.strip_prefix("Starting ")?;
    let same = started == name.as_str() || started.strip_prefix("qube ") == Some(name.as_str());
    same.then(|| Entry::Qube(QubeRecord::new(QubeEvent::Started, name.as_str(), SOURCE)))
}
