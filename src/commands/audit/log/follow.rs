//! `audit log --follow`: what is written from now on, as it is written.

use super::{failure, print, Context};
use crate::cli::audit::{LogArgs, LogForm};
use crate::error::Failure;
use crate::journal::StepPhase;
use crate::report::{reader_is_gone, taken};
use crate::system::signals::HeldSignals;
use audit::{Follow, Query, Record, Skipped};
use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::time::Duration;

/// So many records are shown before those to come, where no number was given.
const BEFORE: usize = 10;
/// How often the journal is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Runs until a signal asks it to end, or nobody reads it any more.
///
/// # Errors
/// The journal cannot be read; stdout takes no more.
pub fn run(context: &Context, args: &LogArgs, query: &Query, form: LogForm) -> Result<Skipped, Failure> {
    let mut signals = HeldSignals::hold();
    let most = match args.limit {
        Some(0) => usize::MAX,
        Some(count) => count,
        None => BEFORE,
    };
    let wanted = |line: &[u8]| {
        !args.failed
            || Record::parse(line).is_some_and(|record| StepPhase::of(&record) == Some(StepPhase::Failed))
    };
    let mut follow = Follow::new(&context.journal, query.clone());
    let mut skipped = Skipped::default();
    let mut waiting: VecDeque<Vec<u8>> = VecDeque::new();
    let mut first = true;
    loop {
        let read = follow
            .poll(&mut |line| {
                if wanted(line) {
                    waiting.push_back(line.to_vec());
                    if first && waiting.len() > most {
                        waiting.pop_front();
                    }
                }
            })
            .map_err(|error| failure(&error))?;
        skipped.lines += read.lines;
        first = false;
        let mut out = std::io::stdout().lock();
        let written =
            waiting.drain(..).try_for_each(|line| print(&mut out, &line, form)).and_then(|()| out.flush());
        drop(out);
        let broken = written.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe);
        taken(written)?;
        if broken || signals.arrived() || reader_is_gone() {
            return Ok(skipped);
        }
        std::thread::sleep(EVERY);
    }
}
