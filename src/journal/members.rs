//! Members of records as the journal shows them: every string is escaped.

use super::{Moment, Source};
use crate::names::{unescape, Sbdf};
use audit::{Draft, Record};
use serde_json::Value;

/// Strings of this length may have been cut.
const CUT: usize = 512;

/// A string as it was before the journal escaped it; `None` where it was cut.
#[must_use]
pub fn whole(shown: &str) -> Option<String> {
    (shown.len() < CUT).then(|| String::from_utf8_lossy(&unescape(shown)).into_owned())
}

/// A string; empty where it is not there.
pub fn text(record: &Record, key: &str) -> String {
    record.text(key).unwrap_or_default().to_owned()
}

/// A list of strings; empty where it is not there.
pub fn list(record: &Record, key: &str) -> Vec<String> {
    let items = record.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A yes or no; `None` where it is not there.
pub fn flag(record: &Record, key: &str) -> Option<bool> {
    record.get(key).and_then(Value::as_bool)
}

/// A time; `None` where there is none, or it is not a time.
pub fn moment(record: &Record, key: &str) -> Option<Moment> {
    record.text(key).and_then(Moment::parse)
}

/// The function that a record names.
pub fn address(record: &Record) -> Option<Sbdf> {
    record.text("bdf").and_then(Sbdf::from_sysfs)
}

/// Who says it.
pub fn source(record: &Record) -> Source {
    Source::parse(record.text("source").unwrap_or_default())
}

/// Adds the members that are known. The journal escapes by itself.
pub fn known(draft: Draft, members: &[(&str, &str)]) -> Draft {
    let known = members.iter().filter(|(_, value)| !value.is_empty());
    known.fold(draft, |draft, (key, value)| draft.bytes(key, &unescape(value)))
}

/// Adds the times that are known.
pub fn with_times(draft: Draft, times: &[(&str, Option<Moment>)]) -> Draft {
    let known = times.iter().filter_map(|(key, time)| time.map(|time| (key, time)));
    known.fold(draft, |draft, (key, time)| draft.text(key, &time.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use super::*;
    use audit::Journal;
    use std::sync::atomic::{AtomicU32, Ordering};

    static NEXT: AtomicU32 = AtomicU32::new(0);

    /// The line that a journal makes of a draft.
    pub fn line(draft: &Draft) -> String {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("journal-record-{}-{number}", std::process::id()));
        let mut journal = Journal::open(&folder, "1c0ffee0").unwrap();
        journal.append(std::slice::from_ref(draft)).unwrap();
        drop(journal);
        let mut all = Vec::new();
        audit::export(&folder, &mut |bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        String::from_utf8(all).unwrap().lines().last().unwrap().to_owned()
    }

    /// A draft as it is read from a journal.
    pub fn read_back(draft: &Draft) -> Record {
        Record::parse(line(draft).as_bytes()).unwrap()
    }
}
