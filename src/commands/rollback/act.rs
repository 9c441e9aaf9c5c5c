//! The act that is undone: found in the journal, and shown.

use super::Context;
use crate::assess::{when, Act, Acts};
use crate::error::{Code, Failure};
use crate::journal::{Entry, Moment, OperationPhase, OperationRecord};
use crate::names::Sbdf;
use crate::observe::boot_records;
use crate::report::text::wrapped;
use serde_json::{json, Value};

/// The newest act of this boot, or the newest that took `wanted`. A journal that is not there knows of none.
pub fn find(context: &Context, boot_id: &str, wanted: Option<Sbdf>) -> Result<Option<Act>, Failure> {
    let mut acts = Acts::default();
    let read = boot_records::read(&context.journal, boot_id, &mut |record| {
        if let Some(it) = OperationRecord::read(record) {
            acts.operation(&it.id, it.bdf, matches!(it.phase, OperationPhase::Start(_)));
        }
        if let Some(entry) = Entry::read(record) {
            acts.take(record.seq(), record.text("time").unwrap_or_default(), &entry);
        }
    });
    match read {
        Err(failure) if failure.code != Code::NoJournal => Err(failure),
        _ => Ok(acts.newest(wanted).cloned()),
    }
}

/// When, for which qube, and which functions.
pub fn block(act: &Act) -> String {
    let qube = act.qube.as_ref().map(|qube| format!(" for {qube}")).unwrap_or_default();
    let functions: Vec<String> =
        act.taken.iter().map(|taken| format!("{} from {}", taken.bdf, taken.driver)).collect();
    let time = Moment::parse(&act.time).map_or_else(|| act.time.clone(), when);
    let text = format!("{time}{qube}: {}", functions.join(", "));
    wrapped("Taken ", &text).trim_end().to_owned()
}

/// The act for scripts.
pub fn value(act: &Act) -> Value {
    let functions: Vec<Value> = act
        .taken
        .iter()
        .map(|taken| json!({ "bdf": taken.bdf.to_string(), "driver": taken.driver.as_str(), "id": taken.id }))
        .collect();
    json!({ "seq": act.seq, "time": act.time, "qube": act.qube, "functions": functions })
}
