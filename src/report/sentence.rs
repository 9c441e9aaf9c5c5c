//! One sentence for what a record says. Texts of records are escaped as the journal keeps them.

use crate::journal::{
    DeviceEvent, DeviceRecord, Entry, LossRecord, OperationPhase, OperationRecord, QubeEvent, QubeRecord,
    RecorderPhase, RecorderRecord, Source, StayEvent, StayRecord, StepRecord,
};
use crate::names::{to_the_second, DriverName};
use audit::Record;

/// What a record says, but for when it was written, to which boot and operation it belongs, and its `bdf`.
#[must_use]
pub fn of_record(record: &Record) -> String {
    match Entry::read(record) {
        Some(entry) => of_entry(&entry, record.get("approximate").is_some()),
        None => match record.kind() {
            "op" => OperationRecord::read(record).map_or_else(String::new, |it| operation(&it, record)),
            "step" => StepRecord::read(record).map_or_else(String::new, |it| step(&it)),
            "genesis" => "the journal begins".to_owned(),
            "segment" | "torn" | "gap" | "pruned" | "moved" => of_journal(record),
            "had" => had(record),
            _ => members(record),
        },
    }
}

/// What an entry of the history says. `about` where its own time is only near.
#[must_use]
pub fn of_entry(entry: &Entry, about: bool) -> String {
    let text = match entry {
        Entry::Recorder(it) => recorder(it),
        Entry::Lost(it) => lost(it),
        Entry::Device(it) => device(it),
        Entry::Stay(it) => stay(it),
        Entry::Qube(it) => qube(it),
    };
    let Some(log) = entry.source().and_then(Source::log) else { return text };
    let about = if about { "about " } else { "" };
    match entry.at() {
        None => format!("{text} (import: {}, at an unknown time)", log.word()),
        Some(at) => format!("{text} (import: {}, {about}{})", log.word(), to_the_second(&at.to_string())),
    }
}

fn recorder(it: &RecorderRecord) -> String {
    let heard = match (it.sources.is_empty(), it.missing.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!(" and hears {}", it.sources.join(", ")),
        (true, false) => format!(" and does not hear {}", it.missing.join(", ")),
        (false, false) => format!(" and hears {}, but not {}", it.sources.join(", "), it.missing.join(", ")),
    };
    match it.phase {
        RecorderPhase::Start if it.first => {
            format!("the recorder began, before any qube ran,{heard}").replace(",  and", " and")
        }
        RecorderPhase::Start => format!("the recorder began{heard}"),
        RecorderPhase::Heartbeat => "the recorder still runs".to_owned(),
        RecorderPhase::Source => format!("the recorder goes on{heard}"),
        RecorderPhase::Stop => "the recorder was stopped".to_owned(),
    }
}

fn device(it: &DeviceRecord) -> String {
    let driver = it.driver.as_ref().map_or("no driver", DriverName::as_str);
    let before = it.before.as_ref().map(|before| format!(", before that {before}")).unwrap_or_default();
    let mut text = match it.event {
        DeviceEvent::Present => format!("it is there, with {driver}"),
        DeviceEvent::Added => "it appeared".to_owned(),
        DeviceEvent::Removed => "it went away".to_owned(),
        DeviceEvent::Seized => {
            let way = it.way.map(|way| format!(", by {}", way.word())).unwrap_or_default();
            format!("pciback took it{way}{before}")
        }
        DeviceEvent::Bound => format!("{driver} took it{before}"),
        DeviceEvent::Unbound => {
            format!("{} let it go", it.before.as_ref().map_or("its driver", DriverName::as_str))
        }
    };
    if let Some(owner) = it.owner {
        let is = if it.event == DeviceEvent::Seized { "was" } else { "is" };
        text.push_str(&format!("; Xen's owner {is} {owner}"));
        if it.event != DeviceEvent::Seized && it.is_dom0s() {
            text.push_str(": no qube has it");
        }
    }
    text
}

fn stay(it: &StayRecord) -> String {
    let mut about: Vec<String> = Vec::new();
    let kind = [it.label.as_str(), it.class.as_str()]
        .iter()
        .filter(|word| !word.is_empty())
        .copied()
        .collect::<Vec<_>>();
    about.extend((!kind.is_empty()).then(|| kind.join(" ")));
    about.extend((it.network == Some(true)).then(|| "provides network".to_owned()));
    let unnamed = |domain: &u16| it.qube == format!("domain-{domain}");
    about.extend(it.domain.filter(|domain| !unnamed(domain)).map(|domain| format!("domain {domain}")));
    let qube = if it.qube.is_empty() { "a qube nobody named" } else { &it.qube };
    let qube = if about.is_empty() { qube.to_owned() } else { format!("{qube} ({})", about.join(", ")) };
    let options = if it.options.is_empty() { String::new() } else { format!(", {}", it.options) };
    match it.event {
        StayEvent::Begin => format!("it went to {qube}{options}"),
        StayEvent::Present => format!("it is with {qube}{options}"),
        StayEvent::End => format!("{qube} no longer has it"),
    }
}

fn qube(it: &QubeRecord) -> String {
    let port = if it.port.is_empty() { "a device".to_owned() } else { format!("the device at {}", it.port) };
    let options = if it.options.is_empty() { String::new() } else { format!(", {}", it.options) };
    match it.event {
        QubeEvent::Starting => format!("{} is about to start", it.qube),
        QubeEvent::Started => format!("{} started", it.qube),
        QubeEvent::StartFailed if it.reason.is_empty() => format!("{} failed to start", it.qube),
        QubeEvent::StartFailed => format!("{} failed to start: {}", it.qube, it.reason),
        QubeEvent::Stopped => format!("{} stopped", it.qube),
        QubeEvent::Label if it.before.is_empty() => format!("{} is {} now", it.qube, it.label),
        QubeEvent::Label => format!("{} is {} now, no longer {}", it.qube, it.label, it.before),
        QubeEvent::Name => format!("{} is called {} now", it.before, it.qube),
        QubeEvent::Assigned => format!("{port} is assigned to {}{options}", it.qube),
        QubeEvent::Unassigned => format!("{port} is no longer assigned to {}", it.qube),
    }
}

fn lost(it: &LossRecord) -> String {
    let (what, was) = match it.count {
        0 => ("what happened".to_owned(), "was"),
        1 => ("1 event".to_owned(), "was"),
        count => (format!("{count} events"), "were"),
    };
    let of = if it.qube.is_empty() { String::new() } else { format!(" of {}", it.qube) };
    let why = it.why.map(|why| format!(" ({})", why.word())).unwrap_or_default();
    let since =
        it.since.map(|since| format!(" since {}", to_the_second(&since.to_string()))).unwrap_or_default();
    format!("{what}{of} {was} not recorded by {}{why}{since}", it.source)
}

fn operation(it: &OperationRecord, record: &Record) -> String {
    match &it.phase {
        OperationPhase::Start(start) if start.found.is_empty() => format!("{} began", start.command),
        OperationPhase::Start(start) => format!("{} began; it was {}", start.command, start.found),
        OperationPhase::End { outcome, state } if state.is_empty() => format!("ended: {outcome}"),
        OperationPhase::End { outcome, state } => format!("ended: {outcome}, {state}"),
        OperationPhase::Recover | OperationPhase::Other => members(record),
    }
}

fn step(it: &StepRecord) -> String {
    let name = if it.step.word().is_empty() { "?" } else { it.step.word() };
    let text = format!("{name} {}", it.phase.word());
    if it.said.is_empty() {
        text
    } else {
        format!("{text}: {}", it.said)
    }
}

/// What the journal says of itself.
fn of_journal(record: &Record) -> String {
    let text = |key: &str| record.text(key).unwrap_or("?");
    let number = |key: &str| record.number(key).map_or("?".to_owned(), |number| number.to_string());
    match record.kind() {
        "segment" => format!("the journal goes on here, after {} ({} bytes)", text("after"), number("bytes")),
        "torn" => format!("{} bytes before this record are what a crash left", number("len")),
        "gap" => format!("a repair: a break before this record was accepted: {}", text("why")),
        "moved" => {
            let doubt = record.text("why").map(|why| format!("; {why}")).unwrap_or_default();
            format!("the journal was moved here from {}{doubt}", text("from"))
        }
        _ => format!("records {} to {} were removed on purpose", number("first"), number("last")),
    }
}

/// What was kept of pruned records.
fn had(record: &Record) -> String {
    let text = |key: &str| record.text(key).unwrap_or("?");
    let times = record.number("stays").map_or("?".to_owned(), |number| number.to_string());
    let last = to_the_second(text("last"));
    format!("{} had it in earlier boots ({times} times, last {last}), says what was pruned", text("qube"))
}

/// A record of a kind that no sentence is made for: its members.
fn members(record: &Record) -> String {
    let own = ["v", "prev", "seq", "time", "boot", "op", "kind", "hash", "bdf", "id", "journal", "sha256"];
    let mut text = String::new();
    for (key, value) in record.members().iter().filter(|(key, _)| !own.contains(&key.as_str())) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&format!("{key}={value} "));
    }
    text.trim_end().to_owned()
}
