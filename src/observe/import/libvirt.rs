//! `/var/log/libvirt/libxl/QUBE.log`: libvirt appends `Domain start: ` and libxl's configuration as JSON,
//! over many lines, whenever it starts a qube (libvirt `src/libxl/libxl_logger.c`, `libxlLoggerOpenFile`;
//! Xen's `tools/libs/light/libxl_types.idl`, `device_pci`: what has its default value is left out). That line
//! has no time. Its neighbours have: messages of libxl, `2020-11-15 19:06:33.880+0000: libxl: …`, in UTC.

use super::{Found, Reader, Tally};
use crate::journal::{Entry, Log, Moment, Source, StayEvent, StayRecord};
use crate::names::{escape, Sbdf};
use serde_json::{Map, Value};

const SOURCE: Source = Source::Import(Log::Libvirt);
const START: &[u8] = b"Domain start: ";
/// No configuration is longer.
const LONGEST: usize = 1 << 20;

/// Reads one such log.
pub struct Libvirt {
    /// The qube that the file is named after.
    qube: String,
    tally: Tally,
    /// The configuration that is being read.
    open: Option<Vec<u8>>,
    /// The time before it, and how many starts have been found since.
    before: Option<Moment>,
    since: u64,
    /// From here on, what was found has no time yet.
    waiting: usize,
}

impl Libvirt {
    /// A log whose name, without `.log`, is this.
    #[must_use]
    pub fn new(untrusted_stem: &[u8]) -> Self {
        let qube = escape(untrusted_stem);
        Self { qube, tally: Tally::default(), open: None, before: None, since: 0, waiting: 0 }
    }

    /// The configuration ends here, or with a later line.
    fn close(&mut self, at_end: bool) {
        let Some(text) = &self.open else { return };
        match serde_json::from_slice::<Value>(text) {
            Ok(Value::Object(config)) => {
                self.open = None;
                self.start(&config);
            }
            Ok(_) => self.give_up(),
            Err(_) if at_end => self.give_up(),
            Err(_) => {}
        }
    }

    fn give_up(&mut self) {
        self.open = None;
        self.tally.unreadable += 1;
    }

    fn start(&mut self, config: &Map<String, Value>) {
        let info = config.get("c_info").and_then(Value::as_object);
        let text = |key: &str| info.and_then(|info| info.get(key)).and_then(Value::as_str);
        let qube = text("name").map_or_else(|| self.qube.clone(), |name| escape(name.as_bytes()));
        let uuid = escape(text("uuid").unwrap_or_default().as_bytes());
        self.since += 1;
        for value in config.get("pcidevs").and_then(Value::as_array).into_iter().flatten() {
            let Some((bdf, options)) = value.as_object().and_then(function) else {
                self.tally.unreadable += 1;
                continue;
            };
            let mut it = StayRecord::new(StayEvent::Begin, bdf, &qube, SOURCE);
            it.uuid.clone_from(&uuid);
            it.options = options;
            let before = self.before.map_or(0, Moment::micros);
            let place = [it.bdf.to_string(), uuid.clone(), before.to_string(), self.since.to_string()];
            let [bdf, uuid, before, since] = &place;
            let content =
                [qube.as_bytes(), bdf.as_bytes(), uuid.as_bytes(), before.as_bytes(), since.as_bytes()];
            let found = Found { approximate: true, ..Found::new(Entry::Stay(it), &content) };
            self.tally.push(found);
        }
    }

    /// A line with a time: what was started before it was started no later.
    fn passes(&mut self, moment: Moment) {
        for found in self.tally.found.iter_mut().skip(self.waiting) {
            found.entry.set_at(Some(moment));
        }
        self.waiting = self.tally.found.len();
        if self.before != Some(moment) {
            self.before = Some(moment);
            self.since = 0;
        }
    }
}

impl Reader for Libvirt {
    fn line(&mut self, untrusted_line: Option<&[u8]>) {
        let Some(line) = untrusted_line else {
            self.open = None;
            self.tally.unreadable += 1;
            return;
        };
        if let Some(config) = line.strip_prefix(START) {
            self.close(true);
            self.open = Some(config.to_vec());
            self.close(false);
            return;
        }
        let Some(text) = &mut self.open else {
            if let Some(moment) = moment(line) {
                self.passes(moment);
            }
            return;
        };
        // libxl writes its JSON with the braces of the whole in the first column.
        text.push(b'\n');
        text.extend_from_slice(line);
        if text.len() > LONGEST {
            self.give_up();
        } else if line == b"}" {
            self.close(true);
        } else if let Some(moment) = moment(line) {
            self.give_up();
            self.passes(moment);
        }
    }

    fn finish(mut self) -> Tally {
        self.close(true);
        // Nothing follows: the time before is all there is.
        if let Some(before) = self.before {
            for found in self.tally.found.iter_mut().skip(self.waiting) {
                found.entry.set_at(Some(before));
            }
        }
        self.tally
    }
}

/// The time a line of libxl begins with.
fn moment(line: &[u8]) -> Option<Moment> {
    let text = std::str::from_utf8(line.get(..28)?).ok()?;
    Moment::parse(text.strip_suffix("+0000")?)
}

/// A member of `pcidevs`: the function, and its options as xenstore writes them.
fn function(device: &Map<String, Value>) -> Option<(Sbdf, String)> {
    let number = |key: &str| match device.get(key) {
        None => Some(0),
        Some(value) => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    let byte = |key: &str| number(key).and_then(|number| u8::try_from(number).ok());
    // Libraries before 4.17 have the parts side by side; later ones may fold them into `bdf`.
    let bdf = Sbdf::new(number("domain")?, byte("bus")?, byte("dev")?, byte("func")?)?;
    let mut options = Vec::new();
    for key in ["msitranslate", "power_mgmt", "permissive", "seize"] {
        if device.get(key).and_then(Value::as_bool) == Some(true) {
            options.push(format!("{key}=1"));
        }
    }
    if let Some(policy) = device.get("rdm_policy").and_then(Value::as_str) {
        options.push(format!("rdm_policy={}", escape(policy.as_bytes())));
    }
    Some((bdf, options.join(",")))
}
