//! `audit log`: what was done and what happened, a line each, the newest last.

mod filter;
mod follow;
mod output;
mod shown;

use super::{failure, no_records, Context};
use crate::cli::audit::{LogArgs, LogForm};
use crate::error::{Exit, Failure};
use crate::journal::StepPhase;
use crate::report::warn;
use audit::{Query, Record, Skipped};
use output::Output;
use std::io::Write;
use std::ops::ControlFlow;

/// How many are shown where nothing was asked for.
const NEWEST: usize = 25;

/// Prints the records that match.
///
/// # Errors
/// There is no journal, it cannot be read, or a filter is none.
pub fn run(context: &Context, args: &LogArgs) -> Result<Exit, Failure> {
    if context.json && args.output.is_some_and(|form| form != LogForm::Raw) {
        return Err(Failure::usage(
            "--json prints records as they are, no table",
            "leave out --json or --output",
        ));
    }
    let query = filter::query(context, args)?;
    let form = args.output.unwrap_or(if context.json { LogForm::Raw } else { LogForm::Table });
    let skipped = match form {
        _ if args.follow => follow::run(context, args, &query, form)?,
        LogForm::Table => operations(context, args, &query)?,
        LogForm::Records | LogForm::Raw => records(context, args, &query, form)?,
    };
    if skipped.lines > 0 {
        warn(&no_records(skipped.lines, [" that matches", " that match"]));
    }
    Ok(Exit::Done)
}

/// How many of the newest are wanted; `None` for all.
fn newest(args: &LogArgs, query: &Query, when_unfiltered: Option<usize>) -> Option<usize> {
    let filtered = !query.values.is_empty()
        || !query.any.is_empty()
        || query.since.is_some()
        || query.until.is_some()
        || args.failed;
    match args.limit {
        Some(0) => None,
        Some(count) => Some(count),
        None if filtered => None,
        None => when_unfiltered,
    }
}

fn operations(context: &Context, args: &LogArgs, query: &Query) -> Result<Skipped, Failure> {
    let newest = newest(args, query, Some(NEWEST));
    let read = if args.failed { None } else { newest };
    let keeps = args.reverse || args.failed && newest.is_some();
    let mut output = Output::new(keeps, newest, &|out, row| out.write_all(row));
    let mut count = 0;
    let skipped = audit::operations(&context.journal, query, read, &mut |operation| {
        if args.failed && (operation.id.is_none() || shown::outcome(operation) == "done") {
            return ControlFlow::Continue(());
        }
        count += 1;
        output.take(shown::operation(operation).as_bytes())
    })
    .map_err(|error| failure(&error))?;
    if count == 0 {
        warn("nothing matches");
    }
    let more = args.limit.is_none() && newest == Some(count);
    let end = if more { format!("the newest {NEWEST}; -n 0 shows all\n") } else { String::new() };
    output.finish(args.reverse, &end)?;
    Ok(skipped)
}

fn records(context: &Context, args: &LogArgs, query: &Query, form: LogForm) -> Result<Skipped, Failure> {
    let limit = newest(args, query, (form == LogForm::Records).then_some(NEWEST));
    let print = |out: &mut dyn Write, line: &[u8]| print(out, line, form);
    let mut output = Output::new(limit.is_some() || args.reverse, limit, &print);
    let failed_only = |line: &[u8]| {
        !args.failed
            || Record::parse(line).is_some_and(|record| StepPhase::of(&record) == Some(StepPhase::Failed))
    };
    let skipped = audit::select(&context.journal, query, &mut |line| {
        if failed_only(line) {
            output.take(line)
        } else {
            ControlFlow::Continue(())
        }
    })
    .map_err(|error| failure(&error))?;
    output.finish(args.reverse, "")?;
    Ok(skipped)
}

fn print(out: &mut dyn Write, line: &[u8], form: LogForm) -> std::io::Result<()> {
    if form == LogForm::Raw {
        out.write_all(line)?;
        return out.write_all(b"\n");
    }
    let Some(record) = Record::parse(line) else { return Ok(()) };
    let text = if form == LogForm::Records { shown::numbered(&record) } else { shown::record(&record) };
    out.write_all(text.as_bytes())
}
