//! The past of one function, for people and for scripts.

use super::text::wrapped;
use crate::assess::{gap_words, span, when, Case};
use crate::journal::{Identity, Moment, Way};
use crate::observe::exposure::{
    EarlierQube, Exposure, Gap, IdentityChange, KnownIdentity, PastHolder, RecordedOperation, Seizure,
    StayEnd, Stayed,
};
use serde_json::{json, Value};

/// How many lines of one sort are shown to people; JSON has all that is kept.
const SHOWN: usize = 12;

fn about(label: &str, class: &str, network: Option<bool>) -> String {
    let words = [label, class, if network == Some(true) { "provides network" } else { "" }];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        String::new()
    } else {
        format!(" ({})", words.join(", "))
    }
}

/// The latest qube that had it, in this boot or before.
#[must_use]
pub fn latest(case: &Case) -> Option<String> {
    let had = case.had();
    if let Some(one) = had.first() {
        let time = one.stays.last().map(|(from, to)| format!(", {}", span(*from, *to))).unwrap_or_default();
        return Some(format!("{}{}{time}", one.who, about(&one.labels.join(", "), &one.class, one.network)));
    }
    let before = case.exposure()?.before.first()?;
    let last = before.had.last.map(|last| format!(", {}", when(last))).unwrap_or_default();
    Some(format!("{} in an earlier boot{last}", before.had.qube))
}

/// The block `show` adds.
#[must_use]
pub fn history_block(case: &Case) -> String {
    let mut block = HistoryBlock::default();
    let Some(exposure) = case.exposure() else { return block.text };
    let nobody = exposure.stays.is_empty() && exposure.more_stays == 0;
    let silent = exposure.seized.is_none() && nobody && exposure.known.is_empty();
    if silent && exposure.before.is_empty() && exposure.nobody_recorded() {
        block.line("nothing is recorded");
        return block.text;
    }
    block.seized(exposure);
    block.stays(exposure);
    block.before(exposure);
    block.uncovered(exposure);
    block.identity(exposure);
    if let Some(prune) = case.past.pruned {
        block.line(if prune.forgotten {
            "older records were removed on purpose (pruned); which qubes had it then is not known"
        } else {
            "older records were removed on purpose (pruned); which qubes had it then was kept"
        });
    }
    block.text
}

/// What `show` says of the past, line by line.
#[derive(Default)]
struct HistoryBlock {
    text: String,
}

impl HistoryBlock {
    fn line(&mut self, text: &str) {
        let first = if self.text.is_empty() { "  history   " } else { "            " };
        self.text.push_str(&wrapped(first, text));
    }

    /// When pciback got it.
    fn seized(&mut self, exposure: &Exposure) {
        let Some(seized) = &exposure.seized else {
            return self.line("when it was taken from dom0 is not recorded in this boot");
        };
        let time = seized.place.time.map_or("at some time".to_owned(), when);
        let way = seized.way.map(|way| format!(" ({})", way.word())).unwrap_or_default();
        let whom = if seized.from_dom0 == Some(false) { "by pciback" } else { "from dom0" };
        self.line(&format!("taken {whom} {time}{way}"));
    }

    /// The qubes of this boot.
    fn stays(&mut self, exposure: &Exposure) {
        let skipped = exposure.stays.len().saturating_sub(SHOWN);
        if skipped > 0 || exposure.more_stays > 0 {
            self.line(&format!("{} earlier stays in this boot", exposure.more_stays + skipped as u64));
        }
        for stayed in exposure.stays.iter().skip(skipped) {
            let stay = &stayed.stay;
            let options: String =
                stay.options.split(',').filter(|it| !it.is_empty()).map(|it| format!(", {it}")).collect();
            let source = if stay.source.is_import() { format!(", {}", stay.source) } else { String::new() };
            let qube = format!("{}{}", stay.qube, about(&stay.label, &stay.class, stay.network));
            self.line(&format!("{qube} {}{options}{source}", span(stayed.from, stayed.to)));
        }
        if exposure.stays.is_empty() && exposure.more_stays == 0 {
            self.line("no stay with a qube is recorded in this boot");
        }
    }

    /// The qubes of earlier boots.
    fn before(&mut self, exposure: &Exposure) {
        for before in exposure.before.iter().take(SHOWN) {
            self.line(&format!("earlier boots: {}", earlier(before)));
        }
        let rest = exposure.before.len().saturating_sub(SHOWN) as u64 + exposure.more_before;
        if rest > 0 {
            self.line(&format!("earlier boots: {rest} more"));
        }
    }

    /// When nobody recorded.
    fn uncovered(&mut self, exposure: &Exposure) {
        for gap in exposure.uncovered.iter().take(SHOWN) {
            self.line(&format!("not recorded: {}", gap_words(gap)));
        }
        if exposure.uncovered.len() > SHOWN {
            self.line(&format!("not recorded: {} more intervals", exposure.uncovered.len() - SHOWN));
        }
    }

    /// Whether it is the device it was.
    fn identity(&mut self, exposure: &Exposure) {
        if !exposure.twins.is_empty() && !exposure.before.is_empty() {
            let twins: Vec<String> = exposure.twins.iter().map(ToString::to_string).collect();
            let twins = twins.join(", ");
            self.line(&format!("it cannot be told from {twins}: what either was through counts for both"));
        }
        let time = |known: &KnownIdentity| known.time.map_or("once".to_owned(), when);
        for change in &exposure.changes {
            self.line(&format!("changed since {}: {}", time(&change.known), change.fields.join("; ")));
        }
        if let (true, Some(known)) = (exposure.changes.is_empty(), exposure.known.first()) {
            self.line(&format!("its identity is as recorded {}", time(known)));
        }
    }
}

/// What a qube of earlier boots did with it, in words.
fn earlier(before: &EarlierQube) -> String {
    let labels: Vec<&str> = before.had.labels.iter().map(String::as_str).collect();
    let qube = format!("{}{}", before.had.qube, about(&labels.join(", "), "", before.had.network));
    let times = if before.had.stays == 1 { "once".to_owned() } else { format!("{} times", before.had.stays) };
    let time = match (before.had.first, before.had.last) {
        (Some(first), Some(last)) if first != last => format!("{} to {}", when(first), when(last)),
        (_, Some(last)) => when(last),
        _ => "when is not known".to_owned(),
    };
    let boot = match before.had.boot.as_str() {
        "" => "imported".to_owned(),
        boot => format!("last in boot {boot}"),
    };
    let options: String = before.had.options.iter().map(|option| format!(", {option}")).collect();
    let place = if before.moved { ", at another address" } else { "" };
    let twin = if before.perhaps { ", it or a device like it" } else { "" };
    format!("{qube} {times}, {time}, {boot}{options}{place}{twin}")
}

fn time(moment: Option<Moment>) -> Value {
    moment.map_or(Value::Null, |moment| Value::String(moment.to_string()))
}

fn end(to: StayEnd) -> Value {
    match to {
        StayEnd::At(moment) => time(moment),
        StayEnd::Open | StayEnd::By(_) => Value::Null,
    }
}

/// When it had ended by, where nobody saw it end.
fn at_latest(to: StayEnd) -> Value {
    match to {
        StayEnd::By(moment) => time(moment),
        StayEnd::Open | StayEnd::At(_) => Value::Null,
    }
}

fn identity(identity: &Identity) -> Value {
    json!({
        "id": identity.id,
        "revision": identity.revision,
        "header": identity.header,
        "bars": identity.bars,
        "capabilities": identity.capabilities,
        "rom": identity.rom,
        "rom_sha256": identity.rom_sha256,
    })
}

fn stay(stayed: &Stayed) -> Value {
    let stay = &stayed.stay;
    json!({
        "qube": stay.qube,
        "uuid": stay.uuid,
        "label": stay.label,
        "class": stay.class,
        "network": stay.network,
        "domain": stay.domain.map_or(-1, i64::from),
        "options": stay.options,
        "source": stay.source.to_string(),
        "from": time(stayed.from),
        "begin_recorded": stayed.begun,
        "to": end(stayed.to),
        "to_at_latest": at_latest(stayed.to),
        "open": stayed.to == StayEnd::Open,
        "boot": stayed.boot,
        "record": stayed.seq,
    })
}

fn before(one: &EarlierQube) -> Value {
    json!({
        "qube": one.had.qube,
        "labels": one.had.labels,
        "network": one.had.network,
        "options": one.had.options,
        "stays": one.had.stays,
        "first": time(one.had.first),
        "last": time(one.had.last),
        "boot": one.had.boot,
        "moved": one.moved,
        "perhaps": one.perhaps,
        "imported": one.had.imported,
    })
}

fn seized(seized: &Seizure) -> Value {
    json!({
        "time": time(seized.place.time),
        "way": seized.way.map_or("", Way::word),
        "source": seized.source.to_string(),
        "record": seized.place.seq,
    })
}

fn uncovered(gap: &Gap) -> Value {
    json!({
        "from": time(gap.from.and_then(|place| place.time)),
        "to": time(gap.to.and_then(|place| place.time)),
        "why": gap.why.words(),
    })
}

fn change(change: &IdentityChange) -> Value {
    json!({
        "recorded": time(change.known.time),
        "boot": change.known.boot,
        "bdf": change.known.sbdf.to_string(),
        "fields": change.fields,
    })
}

fn operation(done: &RecordedOperation) -> Value {
    json!({ "command": done.command, "time": time(done.time) })
}

fn list<T>(all: &[T], one: fn(&T) -> Value) -> Vec<Value> {
    all.iter().map(one).collect()
}

/// The past of a function for scripts; only the qubes' names where the journal was not read.
#[must_use]
pub fn history(case: &Case) -> Value {
    let had = case.had();
    let names: Vec<&str> = had.iter().map(|one: &PastHolder| one.name.as_str()).collect();
    let Some(exposure) = case.exposure() else { return json!({ "qubes": names }) };
    let twins: Vec<String> = exposure.twins.iter().map(ToString::to_string).collect();
    json!({
        "qubes": names,
        "seized": exposure.seized.as_ref().map(seized),
        "stays": list(&exposure.stays, stay),
        "stays_not_kept": exposure.more_stays,
        "before": list(&exposure.before, before),
        "before_not_kept": exposure.more_before,
        "uncovered": list(&exposure.uncovered, uncovered),
        "twins": twins,
        "identity": identity(&exposure.identity),
        "changes": list(&exposure.changes, change),
        "operations": list(&exposure.operations, operation),
    })
}
