//! `audit verify`: every record, and what the journal was compared with.

use super::{failure, Context};
use crate::cli::audit::VerifyArgs;
use crate::error::{Exit, Failure};
use crate::report::text::wrapped;
use crate::report::{emit, json};
use audit::{Against, Checkpoint, Verdict};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long verifying may take before it says how far it is.
const QUIET: Duration = Duration::from_millis(500);

/// Verifies the journal.
///
/// # Errors
/// There is no journal, or it cannot be read. That it does not verify is an exit status.
pub fn run(context: &Context, args: &VerifyArgs) -> Result<Exit, Failure> {
    let read = |text: &String| Checkpoint::parse(text).map_err(|error| failure(&error));
    let against = Against {
        checkpoints: args.checkpoints.iter().map(read).collect::<Result<_, _>>()?,
        from: args.from.as_ref().map(read).transpose()?,
        threads: None,
    };
    let progress = VerifyProgress::new(!context.script());
    let report = audit::verify(&context.journal, &against, &|done, total| progress.tell(done, total));
    progress.clear();
    let report = report.map_err(|error| failure(&error))?;
    if context.json {
        let members = json::with(report.to_json(), json!({ "input": context.shown_journal }));
        emit(&json::document("audit-verify", members))?;
    } else {
        emit(&folded(&report.to_string()))?;
    }
    Ok(match report.verdict() {
        Verdict::Sound => Exit::Done,
        Verdict::TornTail => Exit::TornTail,
        Verdict::Altered => Exit::JournalBroken,
    })
}

/// Lines that are too long for a page, broken under their first word.
fn folded(text: &str) -> String {
    let fold = |line: &str| {
        let words = line.trim_start();
        wrapped(&" ".repeat(line.len() - words.len()), words)
    };
    text.lines().map(fold).collect()
}

/// A line on the terminal, where it takes long.
struct VerifyProgress {
    shown: bool,
    since: Instant,
    /// The last hundredth that was told, and one more; 0 for none.
    told: AtomicU64,
}

impl VerifyProgress {
    fn new(wanted: bool) -> Self {
        Self {
            shown: wanted && std::io::stderr().is_terminal(),
            since: Instant::now(),
            told: AtomicU64::new(0),
        }
    }

    fn tell(&self, done: u64, total: u64) {
        if !self.shown || self.since.elapsed() < QUIET {
            return;
        }
        let percent = done.saturating_mul(100) / total.max(1);
        if self.told.swap(percent + 1, Ordering::Relaxed) != percent + 1 {
            let _ = write!(std::io::stderr().lock(), "\rverifying: {percent} %");
        }
    }

    fn clear(&self) {
        if self.told.load(Ordering::Relaxed) > 0 {
            let _ = write!(std::io::stderr().lock(), "\r                  \r");
        }
    }
}
