//! The act that is undone: found in the journal, and shown.

use super::Context;
use crate::assess::when;
use crate::error::{Code, Failure};
use crate::journal::{records_of_boot, Misattachment, Misattachments};
use crate::names::Sbdf;
use crate::report::text::wrapped;
use serde_json::{json, Value};

/// The newest act of this boot, or the newest that took `wanted`. A journal that is not there knows of none.
pub fn find(
    context: &Context,
    boot_id: &str,
    wanted: Option<Sbdf>,
) -> Result<Option<Misattachment>, Failure> {
    let mut acts = Misattachments::default();
    let read = records_of_boot(&context.journal, boot_id, &mut |record| {
        acts.take(record);
    });
    match read {
        Err(failure) if failure.code != Code::NoJournal => Err(failure),
        _ => Ok(acts.newest(wanted).cloned()),
    }
}

/// When, for which qube, and which functions.
pub fn block(act: &Misattachment) -> String {
    let qube = act.qube.as_ref().map(|qube| format!(" for {qube}")).unwrap_or_default();
    let functions: Vec<String> =
        act.taken.iter().map(|taken| format!("{} from {}", taken.bdf, taken.driver)).collect();
    let time = act.time.map_or("at an unknown time".to_owned(), when);
    let text = format!("{time}{qube}: {}", functions.join(", "));
    wrapped("Taken ", &text).trim_end().to_owned()
}

/// When, as the journal writes it; empty where that cannot be read.
pub fn time(act: &Misattachment) -> String {
    act.time.map(|time| time.to_string()).unwrap_or_default()
}

/// The act in a line: what is undone.
pub fn title(act: &Misattachment) -> String {
    let qube = act.qube.as_ref().map(|qube| format!(" for {qube}")).unwrap_or_default();
    let time = act.time.map_or("at an unknown time".to_owned(), when);
    let devices = if act.taken.len() == 1 { "device" } else { "devices" };
    format!("Undo what took {} {devices} from dom0{qube}, {time}:", act.taken.len())
}

/// The act for scripts.
pub fn value(act: &Misattachment) -> Value {
    let functions: Vec<Value> = act
        .taken
        .iter()
        .map(|taken| json!({ "bdf": taken.bdf.to_string(), "driver": taken.driver.as_str(), "id": taken.id }))
        .collect();
    json!({ "seq": act.seq, "time": time(act), "qube": act.qube, "functions": functions })
}
