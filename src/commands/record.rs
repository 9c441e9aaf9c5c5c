//! `record`: the recorder, as a service or once.

use super::Context;
use crate::cli::RecordArgs;
use crate::error::{Exit, Failure};
use crate::recorder::Recorder;
use crate::report::{emit, json, warn};
use crate::system::lock::RecorderMark;
use crate::system::signals::HeldSignals;
use std::time::Duration;

/// Runs `record`.
///
/// # Errors
/// Exit 10: no dom0, no right; 7 or 11: the journal cannot be written; 11: it cannot wait.
pub fn run(context: &Context, args: &RecordArgs) -> Result<Exit, Failure> {
    context.must_be_root()?;
    context.journal_is_safe()?;
    let say: fn(&str) = if context.json { |_| {} } else { warn };
    let interval = Duration::from_secs(args.heartbeat.into());
    // Opened before rights are given up.
    let mark = (!args.once).then(|| RecorderMark::open(&context.root));
    // From before the first record on: one that says that it began also says that it stops.
    let signals = (!args.once).then(HeldSignals::hold);
    let mut recorder = Recorder::begin(&context.root, &context.journal, interval, say)?;
    let followed = signals.zip(mark).map_or(Ok(()), |(signals, mark)| recorder.follow(signals, mark));
    recorder.end();
    followed?;
    let written = recorder.written();
    if context.json {
        emit(&json::document("record", serde_json::json!({ "records": written })))?;
    } else {
        emit(&format!("{written} records written\n"))?;
    }
    Ok(Exit::Done)
}
